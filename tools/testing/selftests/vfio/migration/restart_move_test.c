// SPDX-License-Identifier: GPL-2.0-only
/*
 * A5, B2, B3: a process that migrates eight devices by calls that block, half of them by
 * splice, and that is stopped and continued at random moments all the time. It does not
 * notice, and what arrives is what left.
 */
#include <fcntl.h>

#include <libvfio_migration.h>

#define NR_PAIRS	8
#define STOPS		100
#define STATE_SIZE	(64 * 4096)
#define WINDOW		65536
#define CHUNK		30000
#define LATENCY_US	5000
#define BANDWIDTH	(1 << 20)

FIXTURE(restart_move) {
	struct vfm_device *from[NR_PAIRS], *to[NR_PAIRS];
	struct vfm_child child;
	struct vfm_rng rng;
};

static const char * const types[] = {
	MIGSIM_FULL, MIGSIM_FULL, MIGSIM_SNAPSHOT, MIGSIM_SNAPSHOT,
	MIGSIM_PRECOPY, MIGSIM_PRECOPY, MIGSIM_BASIC, MIGSIM_BASIC,
};

static struct vfm_device *device(const char *type, u64 seed)
{
	struct vfm_device *dev = vfm_create(type);

	vfm_attr_set(dev, "state_size", STATE_SIZE);
	vfm_attr_set(dev, "window", WINDOW);
	vfm_attr_set(dev, "bandwidth", BANDWIDTH);
	vfm_attr_set(dev, "seed", seed);
	vfm_attr_set(dev, "p2p_latency_us", LATENCY_US);
	vfm_attr_set(dev, "stop_latency_us", LATENCY_US);
	vfm_attr_set(dev, "save_latency_us", LATENCY_US);
	vfm_attr_set(dev, "load_latency_us", LATENCY_US);
	vfm_open(dev);
	return dev;
}

FIXTURE_SETUP(restart_move)
{
	unsigned int i;

	for (i = 0; i < NR_PAIRS; i++) {
		VFM_REQUIRE_TYPE(types[i]);
		self->from[i] = device(types[i], 2 * i + 1);
		self->to[i] = device(types[i], 2 * i + 2);
	}
	VFM_REQUIRE_FAULTS(self->from[0]);
	self->rng = vfm_rng(1);
}

FIXTURE_TEARDOWN(restart_move)
{
	unsigned int i;

	for (i = 0; i < NR_PAIRS; i++) {
		vfm_destroy(self->from[i]);
		vfm_destroy(self->to[i]);
	}
}

/* By reads and writes; the first call that fails is the result. */
static int move_by_calls(struct vfm_device *from, struct vfm_device *to)
{
	struct vfm_move move;
	int ret;

	vfm_move_begin(&move, from, to, CHUNK);
	do {
		ret = vfm_move_step(&move);
	} while (ret > 0);
	vfm_move_end(&move);
	return ret;
}

static int splice_all(int in, int out, size_t len)
{
	ssize_t n;

	for (; len; len -= n) {
		n = splice(in, NULL, out, NULL, len, 0);
		if (n <= 0)
			return n ? -errno : -EPIPE;
	}
	return 0;
}

static int splice_state(int save_fd, int load_fd)
{
	int fds[2], ret = 0;
	ssize_t n;

	VFIO_ASSERT_EQ(pipe(fds), 0);
	while (!ret && (n = splice(save_fd, NULL, fds[1], NULL, CHUNK, 0)))
		ret = n < 0 ? -errno : splice_all(fds[0], load_fd, n);
	close(fds[0]);
	close(fds[1]);
	return ret;
}

static int move_by_splice(struct vfm_device *from, struct vfm_device *to)
{
	int save_fd = -1, load_fd = -1, none, ret;

	ret = __vfm_set_state(to, VFM_RESUMING, &load_fd);
	if (!ret)
		ret = __vfm_set_state(from, VFM_STOP_COPY, &save_fd);
	if (!ret)
		ret = splice_state(save_fd, load_fd);
	if (!ret)
		ret = __vfm_set_state(to, VFM_RUNNING, &none);
	if (!ret)
		ret = __vfm_set_state(from, VFM_STOP, &none);
	close(save_fd);
	close(load_fd);
	return ret;
}

struct pair {
	struct vfm_thread thread;
	struct vfm_device *from, *to;
	bool splice;
};

static long move_pair(void *arg)
{
	struct pair *pair = arg;

	return pair->splice ? move_by_splice(pair->from, pair->to) :
			      move_by_calls(pair->from, pair->to);
}

/* In the child: all at the same time. */
static long move_all(void *arg)
{
	FIXTURE_DATA(restart_move) *self = arg;
	struct pair pairs[NR_PAIRS];
	unsigned int i;
	long ret, result = 0;

	for (i = 0; i < NR_PAIRS; i++) {
		pairs[i].from = self->from[i];
		pairs[i].to = self->to[i];
		pairs[i].splice = i & 1;
		vfm_thread_start(&pairs[i].thread, move_pair, &pairs[i]);
	}
	for (i = 0; i < NR_PAIRS; i++) {
		pthread_join(pairs[i].thread.thread, NULL);
		ret = pairs[i].thread.ret;
		if (ret)
			printf("# pair %u by %s: %s\n", i,
			       i & 1 ? "splice" : "calls", strerror(-ret));
		result = result ?: ret;
	}
	fflush(stdout);
	return result;
}

static void check(FIXTURE_DATA(restart_move) *self)
{
	struct vfio_device_feature_migx_last_error e;
	unsigned int i;

	for (i = 0; i < NR_PAIRS; i++) {
		vfm_set_state_nofd(self->to[i], VFM_STOP);
		VFIO_ASSERT_EQ(vfm_state_hash(self->to[i]),
			       vfm_state_hash(self->from[i]), "pair %u", i);
		e = vfm_last_error(self->from[i]);
		VFIO_ASSERT_EQ(e.count, 0, "pair %u: %s", i, e.reason);
		e = vfm_last_error(self->to[i]);
		VFIO_ASSERT_EQ(e.count, 0, "pair %u: %s", i, e.reason);
	}
}

/* Two of the devices only get on when it is over, so that it is not over before. */
TEST_F(restart_move, stopped_and_continued)
{
	const struct vfm_pause *pause = &vfm_pauses[0];
	unsigned int i;

	for (i = 0; i < 2; i++)
		ASSERT_EQ(0, __vfm_fault_write(self->from[i],
					       "save_stall REGS 1 1 0"));
	vfm_child_start(&self->child, move_all, self);
	for (i = 0; i < STOPS; i++) {
		usleep(vfm_random_below(&self->rng, 3 * LATENCY_US));
		pause->begin(&self->child);
		pause->end(&self->child);
	}
	for (i = 0; i < 2; i++)
		vfm_fault_release(self->from[i]);
	ASSERT_EQ(0, vfm_child_join(&self->child));
	check(self);
	vfm_count("stops", STOPS);
}

TEST_HARNESS_MAIN
