// SPDX-License-Identifier: GPL-2.0-only
/*
 * Random sequences over the whole surface of one to three devices, with the kernel on
 * watch, and after each the question whether the devices still do their work: all of A
 * and B, as nobody has written it down.
 *
 * What a sequence does follows from VFM_SEED and its name, which a failure prints, and
 * the log of the kernel has: VFM_FUZZ="name" does that one only. VFM_ROUNDS says how
 * many there are. With kcov, those that reach new code are changed a little and tried
 * again.
 */
#include <dirent.h>
#include <fcntl.h>
#include <signal.h>
#include <sys/ioctl.h>
#include <unistd.h>

#include <libvfio_migration.h>

#define NR_SEQUENCES	24
#define NR_GUIDED	8	/* as many times as many, if kcov guides */

static const char * const types[VFM_FUZZ_TYPES] = {
	MIGSIM_FULL, MIGSIM_SNAPSHOT, MIGSIM_PRECOPY, MIGSIM_BASIC,
};

FIXTURE(fuzz) {
	struct vfm_fuzz fuzz;
	struct vfm_trial trial[VFM_FUZZ_TYPES];
	struct vfm_fuzz_corpus corpus;
	struct vfm_kcov kcov;
};

static char name[512];
static bool running;

/* Whatever went wrong: that is how to have it again. */
static void tell_name(void)
{
	if (running)
		fprintf(stderr, "# the sequence was VFM_FUZZ=\"%s\"\n", name);
}

/* If the machine dies, its log is what is left. */
static void log_name(void)
{
	int fd = open("/dev/kmsg", O_WRONLY | O_CLOEXEC);

	if (fd < 0)
		return;
	dprintf(fd, "fuzz: sequence \"%s\"\n", name);
	close(fd);
}

FIXTURE_SETUP(fuzz)
{
	int i;

	for (i = 0; i < VFM_FUZZ_TYPES; i++) {
		VFM_REQUIRE_TYPE(types[i]);
		vfm_trial_init(&self->trial[i], types[i], VFM_FUZZ_SIZE);
		vfm_close(self->trial[i].dev);
	}
	for (i = 0; i < VFM_FUZZ_FDS; i++)
		self->fuzz.fd[i] = -1;
	self->fuzz.trial = self->trial;
	ASSERT_EQ(pipe2(self->fuzz.pipe, O_CLOEXEC | O_NONBLOCK), 0);
	atexit(tell_name);
}

FIXTURE_TEARDOWN(fuzz)
{
	int i;

	for (i = 0; i < VFM_FUZZ_TYPES; i++)
		if (self->trial[i].dev)
			vfm_trial_exit(&self->trial[i]);
	vfm_kcov_exit(&self->kcov);
}

static unsigned int count_fds(void)
{
	DIR *dir = opendir("/proc/self/fd");
	unsigned int n = 0;

	VFIO_ASSERT_TRUE(dir);
	while (readdir(dir))
		n++;
	closedir(dir);
	return n;
}

static void create_devices(struct vfm_fuzz *fuzz)
{
	unsigned int i;

	fuzz->nr = 1 + vfm_random_below(&fuzz->rng, VFM_FUZZ_DEVICES);
	for (i = 0; i < fuzz->nr; i++) {
		fuzz->dev[i] = vfm_create(types[vfm_random_below(&fuzz->rng, 4)]);
		vfm_attr_set(fuzz->dev[i], "state_size", VFM_FUZZ_SIZE);
		vfm_attr_set(fuzz->dev[i], "window", 65536);
		vfm_attr_set(fuzz->dev[i], "drain", 1);
		vfm_attr_set(fuzz->dev[i], "stop_copy_back", 1);
		vfm_attr_set(fuzz->dev[i], "donate", vfm_random_below(&fuzz->rng, 2));
		vfm_open(fuzz->dev[i]);
	}
}

/* What would make a migration slow, or another than one expects. */
static void configure_plainly(struct vfm_device *dev)
{
	static const char * const zero[] = {
		"save_latency_us", "stop_latency_us", "p2p_latency_us",
		"load_latency_us", "bandwidth", "dirty_rate", "token_count",
	};
	size_t i;

	vfm_close(dev);
	for (i = 0; i < ARRAY_SIZE(zero); i++)
		vfm_attr_set(dev, zero[i], 0);
	vfm_attr_set(dev, "state_size", VFM_FUZZ_SIZE);
	vfm_attr_set(dev, "poll", 1);
	vfm_attr_set(dev, "nowait", 1);
	vfm_open(dev);
}

/* A whole migration, there and back. */
static void check_works(struct vfm_device *dev)
{
	struct vfm_buf got = { 0 };
	u64 hash;

	if (vfm_have_faults(dev))
		vfm_fault_clear(dev);
	vfm_reset(dev);
	vfm_assert_state(dev, VFM_RUNNING);
	configure_plainly(dev);
	vfm_assert_state(dev, VFM_RUNNING);
	vfm_save(dev, &got, NULL);
	hash = vfm_state_hash(dev);
	vfm_reset(dev);
	vfm_restore(dev, &got, NULL);
	VFIO_ASSERT_EQ(hash, vfm_state_hash(dev));
	vfm_buf_free(&got);
}

static void drop_all(struct vfm_fuzz *fuzz)
{
	char left[4096];
	unsigned int i;

	for (i = 0; i < VFM_FUZZ_FDS; i++) {
		if (fuzz->fd[i] >= 0)
			close(fuzz->fd[i]);
		fuzz->fd[i] = -1;
	}
	while (vfm_read(fuzz->pipe[0], left, sizeof(left)) > 0)
		;
	for (i = 0; i < fuzz->nr; i++)
		vfm_destroy(fuzz->dev[i]);
	fuzz->nr = 0;
}

/*
 * What stalls is ended by a signal; what does not heed one, such as an arc of the way
 * back after a failure, by a reset.
 */
struct rescue {
	struct vfm_fuzz *fuzz;
	pthread_t main;
	atomic_bool stop;
};

static long rescue(void *arg)
{
	struct timespec deadline = vfm_deadline();
	struct rescue *r = arg;
	unsigned int step = 0, ticks = 0, i;

	while (!atomic_load(&r->stop)) {
		usleep(4000);
		ticks = atomic_load(&r->fuzz->step) == step ? ticks + 1 : 0;
		if (!ticks)
			deadline = vfm_deadline();
		else if (vfm_expired(&deadline))
			VFIO_FAIL("step %u hangs", step);
		step = atomic_load(&r->fuzz->step);
		if (ticks >= 3)
			pthread_kill(r->main, SIGUSR1);
		for (i = 0; ticks >= 6 && i < r->fuzz->nr; i++) {
			if (vfm_have_faults(r->fuzz->dev[i]))
				__vfm_fault_write(r->fuzz->dev[i], "release");
			ioctl(r->fuzz->dev[i]->fd, VFIO_DEVICE_RESET);
		}
	}
	return 0;
}

/* Return: places in the kernel that no sequence reached before. */
static unsigned int run_sequence(FIXTURE_DATA(fuzz) *self,
				 const struct vfm_fuzz_input *input)
{
	struct rescue r = { .fuzz = &self->fuzz, .main = pthread_self() };
	struct vfm_thread thread;
	unsigned int new, i;

	vfm_fuzz_name(input, name, sizeof(name));
	log_name();
	self->fuzz.rng = vfm_rng(input->number);
	create_devices(&self->fuzz);
	vfm_thread_start(&thread, rescue, &r);
	vfm_kcov_start(&self->kcov);
	vfm_fuzz_run(&self->fuzz, input);
	new = vfm_kcov_stop(&self->kcov);
	atomic_store(&r.stop, true);
	vfm_thread_join(&thread);
	for (i = 0; i < self->fuzz.nr; i++)
		check_works(self->fuzz.dev[i]);
	drop_all(&self->fuzz);
	return new;
}

static void run_checked(FIXTURE_DATA(fuzz) *self,
			const struct vfm_fuzz_input *input)
{
	const unsigned int fds = count_fds();

	running = true;
	if (run_sequence(self, input))
		vfm_fuzz_remember(&self->corpus, input);
	VFIO_ASSERT_EQ(count_fds(), fds);
	running = false;
}

static bool run_named(FIXTURE_DATA(fuzz) *self)
{
	const char *wanted = getenv("VFM_FUZZ");
	struct vfm_fuzz_input input;

	if (!wanted)
		return false;
	VFIO_ASSERT_TRUE(vfm_fuzz_parse(&input, wanted), "VFM_FUZZ='%s'", wanted);
	run_checked(self, &input);
	return true;
}

/* There may be any number; a step that hangs is noticed by who rescues the others. */
TEST_F_TIMEOUT(fuzz, sequences, 36000)
{
	unsigned int i, n = NR_SEQUENCES;
	struct vfm_fuzz_input input;

	if (vfm_kcov_init(&self->kcov))
		n *= NR_GUIDED;
	else
		TH_LOG("unguided: no kcov (%s)", strerror(errno));
	if (run_named(self))
		return;
	n = vfm_rounds(n);
	for (i = 0; i < n; i++) {
		vfm_fuzz_next(&self->corpus, i, &input);
		run_checked(self, &input);
	}
	vfm_count("fuzz_execs", atomic_load(&self->fuzz.step));
	if (self->kcov.fd >= 0)
		printf("# kcov: %u places, %u sequences that reached new ones\n",
		       self->kcov.nr_seen, self->corpus.nr);
}

/* The guide itself: what is new is counted once, whatever the table is full of. */
TEST(kcov_merge)
{
	struct vfm_kcov *kcov = vfm_zalloc(sizeof(*kcov));
	unsigned long pcs[1000];
	unsigned int i, n;

	for (i = 0; i < ARRAY_SIZE(pcs); i++)
		pcs[i] = 0xffffffffa0000000UL + 4 * (i / 2);
	ASSERT_EQ(vfm_kcov_merge(kcov, pcs, ARRAY_SIZE(pcs)), ARRAY_SIZE(pcs) / 2);
	ASSERT_EQ(vfm_kcov_merge(kcov, pcs, ARRAY_SIZE(pcs)), 0);
	for (n = 1; n < 100; n++) {
		for (i = 0; i < ARRAY_SIZE(pcs); i++)
			pcs[i] += 0x100000;
		vfm_kcov_merge(kcov, pcs, ARRAY_SIZE(pcs));
	}
	ASSERT_LT(0, kcov->nr_seen);
	ASSERT_GE(VFM_KCOV_SEEN / 4 * 3, kcov->nr_seen);
	ASSERT_EQ(vfm_kcov_merge(kcov, pcs, ARRAY_SIZE(pcs)), 0);
	free(kcov);
}

/* A sequence is what its name says, and a mutation of it one that was kept. */
TEST(names)
{
	struct vfm_fuzz_corpus corpus = { .nr = 0 };
	struct vfm_fuzz_input input, again;
	char text[512], other[512];
	unsigned int i, mutated = 0;

	for (i = 0; i < 200; i++) {
		vfm_fuzz_next(&corpus, i, &input);
		vfm_fuzz_name(&input, text, sizeof(text));
		ASSERT_TRUE(vfm_fuzz_parse(&again, text));
		vfm_fuzz_name(&again, other, sizeof(other));
		ASSERT_STREQ(text, other);
		mutated += input.nr > 0;
		ASSERT_TRUE(i || !input.nr);
		if (i % 3 == 0)
			vfm_fuzz_remember(&corpus, &input);
	}
	ASSERT_LT(100, mutated);
	ASSERT_FALSE(vfm_fuzz_parse(&input, "x"));
	ASSERT_FALSE(vfm_fuzz_parse(&input, "1 2"));
}

TEST_HARNESS_MAIN
