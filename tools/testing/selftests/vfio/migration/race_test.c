// SPDX-License-Identifier: GPL-2.0-only
/*
 * A6, A7, B1: threads, and a process that is handed data fds through a socket, do
 * anything at any time to two devices, one of which is removed or unbound meanwhile;
 * sessions are used on when their devices are gone. Nobody may hang, and nobody looks
 * at results: the kernel complains, in the end or in a later round, if something went
 * wrong. A round can be had again by its seed, but not the order of the threads in it.
 * Attributes are what only a closed device lets be changed: meanwhile it is opened.
 */
#include <fcntl.h>
#include <sys/ioctl.h>
#include <sys/socket.h>
#include <sys/syscall.h>
#include <sys/uio.h>
#include <sys/wait.h>

#include <linux/close_range.h>

#include <libvfio_migration.h>

#define NR_DEVS		2
#define NR_THREADS	4
#define NR_FDS		8
#define NR_ACTS		250
#define STATE_SIZE	(32 * 4096)
#define FAR_FD		512
#define ROUNDS		8

FIXTURE(race) {
	struct vfm_device *dev[NR_DEVS];
	struct vfm_buf stream;
	struct vfm_rng rng;
	atomic_int fds[NR_FDS];
	int post[2];			/* to the process, and its end */
	pid_t process;
	atomic_uint settings, hashes;	/* attributes that were written and read */
};

FIXTURE_VARIANT(race) {
	const char *type;
};

FIXTURE_VARIANT_ADD(race, full) { .type = MIGSIM_FULL };
FIXTURE_VARIANT_ADD(race, snapshot) { .type = MIGSIM_SNAPSHOT };
FIXTURE_VARIANT_ADD(race, precopy) { .type = MIGSIM_PRECOPY };
FIXTURE_VARIANT_ADD(race, basic) { .type = MIGSIM_BASIC };

#define RACE	FIXTURE_DATA(race)

/* What is configured, and what it is changed to. */
static const struct setting {
	const char *name;
	u64 usual;
	const char *other;
} settings[] = {
	{ "state_size", STATE_SIZE, "1048576" },
	{ "window", 65536, "131072" },
	{ "dirty_rate", 1 << 20, "0" },
	{ "bandwidth", 0, "1048576" },
	{ "seed", 0, "3" },
	{ "drain", 1, "0" },
	{ "stop_copy_back", 1, "0" },
	{ "donate", 1, "0" },
	{ "poll", 1, "0" },
	{ "nowait", 1, "0" },
};

static void configure(struct vfm_device *dev)
{
	size_t i;

	for (i = 0; i < ARRAY_SIZE(settings); i++)
		vfm_attr_set(dev, settings[i].name, settings[i].usual);
}

static struct vfm_device *device(const char *type)
{
	struct vfm_device *dev = vfm_create(type);

	configure(dev);
	vfm_open(dev);
	return dev;
}

FIXTURE_SETUP(race)
{
	struct vfm_device *dev;

	VFM_REQUIRE_TYPE(variant->type);
	self->rng = vfm_rng(0);
	dev = device(variant->type);
	vfm_save(dev, &self->stream, NULL);
	vfm_destroy(dev);
}

FIXTURE_TEARDOWN(race)
{
	vfm_buf_free(&self->stream);
}

struct actor {
	RACE *race;
	struct vfm_rng rng;
	atomic_bool *gone;		/* no device is left but by its name */
	int pipe[2];
};

static void keep(RACE *self, u64 slot, int fd)
{
	int old = atomic_exchange(&self->fds[slot % NR_FDS], fd);

	if (old >= 0)
		close(old);
}

static void use_state(struct actor *a, struct vfm_device *dev)
{
	int fd = -1;

	__vfm_set_state(dev, vfm_random_below(&a->rng, VFM_NR_STATES), &fd);
	if (fd >= 0) {
		if (vfm_random_below(&a->rng, 4))
			fcntl(fd, F_SETFL, O_NONBLOCK);
		keep(a->race, vfm_random(&a->rng), fd);
	}
}

/* Refused while the device is open, and when it is no more. */
static void use_attributes(struct actor *a, struct vfm_device *dev)
{
	const struct setting *setting = &settings[vfm_random_below(&a->rng,
						  ARRAY_SIZE(settings))];
	char text[64];

	snprintf_assert(text, sizeof(text), "%llu", (unsigned long long)setting->usual);
	if (!__vfm_attr_write(dev, setting->name, vfm_random_below(&a->rng, 2) ?
			      text : setting->other))
		atomic_fetch_add(&a->race->settings, 1);
	__vfm_attr_read(dev, "mig_state", text, sizeof(text));
	if (!__vfm_attr_read(dev, "state_hash", text, sizeof(text)))
		atomic_fetch_add(&a->race->hashes, 1);
}

/* The other one is asked, set or reset; all of it has an owner of its own. */
static void use_device(struct actor *a, struct vfm_device *dev)
{
	struct vfio_device_feature_migx_last_error error;
	u64 word = vfm_random(&a->rng);

	switch (vfm_random_below(&a->rng, 9)) {
	case 0 ... 3:
		use_state(a, dev);
		break;
	case 4:
		__vfm_reset(dev);
		break;
	case 5:
		__vfm_bar_write(dev, MIGSIM_BAR_MEM, word % STATE_SIZE & ~7ULL,
				&word, sizeof(word));
		break;
	case 6:
		__vfm_data_size(dev, &word);
		__vfm_last_error(dev, &error);
		break;
	case 7:
		/* Out of the way: who finds it in place of a data fd would keep it. */
		close(fcntl(dev->fd, F_DUPFD_CLOEXEC, FAR_FD));
		break;
	case 8:
		use_attributes(a, dev);
		break;
	}
}

static void feed_some(struct actor *a, int fd)
{
	const struct vfm_buf *stream = &a->race->stream;
	size_t at = vfm_random_below(&a->rng, 3) ? 0 :
		    vfm_random_below(&a->rng, stream->len);
	size_t len = vfm_random_segment(&a->rng, stream->len - at);

	if (vfm_random_below(&a->rng, 2)) {
		vfm_write(fd, stream->data + at, len);
		return;
	}
	if (vfm_write(a->pipe[1], stream->data + at, len) > 0)
		splice(a->pipe[0], NULL, fd, NULL, len, SPLICE_F_NONBLOCK);
}

static void take_some(struct actor *a, int fd)
{
	char buf[8192];

	switch (vfm_random_below(&a->rng, 3)) {
	case 0:
		vfm_read(fd, buf, 1 + vfm_random_below(&a->rng, sizeof(buf)));
		break;
	case 1:
		vfm_read_nowait(fd, buf, sizeof(buf));
		break;
	case 2:
		/* What stays in the pipe is held for longer than its session. */
		splice(fd, NULL, a->pipe[1], NULL, 65536, SPLICE_F_NONBLOCK);
		if (vfm_random_below(&a->rng, 2))
			vfm_read(a->pipe[0], buf, sizeof(buf));
		break;
	}
}

static void post(int socket, int fd)
{
	union {
		struct cmsghdr header;
		char space[CMSG_SPACE(sizeof(int))];
	} control = { 0 };
	struct iovec iov = { .iov_base = "", .iov_len = 1 };
	struct msghdr msg = {
		.msg_iov = &iov,
		.msg_iovlen = 1,
		.msg_control = &control,
		.msg_controllen = sizeof(control),
	};

	control.header.cmsg_level = SOL_SOCKET;
	control.header.cmsg_type = SCM_RIGHTS;
	control.header.cmsg_len = CMSG_LEN(sizeof(int));
	memcpy(CMSG_DATA(&control.header), &fd, sizeof(fd));
	sendmsg(socket, &msg, MSG_DONTWAIT | MSG_NOSIGNAL);
}

static void ask(int fd)
{
	struct vfio_precopy_info info = { 0 };
	int n;

	vfm_poll(fd, POLLIN | POLLOUT, 0);
	__vfm_precopy_info(fd, &info);
	ioctl(fd, FIONREAD, &n);
}

static void use_session(struct actor *a)
{
	u64 slot = vfm_random_below(&a->rng, NR_FDS);
	int fd = atomic_load(&a->race->fds[slot]);

	if (fd < 0)
		return;
	switch (vfm_random_below(&a->rng, 10)) {
	case 0 ... 2:
		take_some(a, fd);
		break;
	case 3 ... 5:
		feed_some(a, fd);
		break;
	case 6:
		ask(fd);
		break;
	case 7:
		post(a->race->post[0], fd);
		break;
	case 8:
		keep(a->race, slot + 1, dup(fd));
		break;
	case 9:
		keep(a->race, slot, -1);
		break;
	}
}

static long act(void *arg)
{
	struct actor *a = arg;
	struct vfm_device *dev;
	unsigned int i;

	for (i = 0; i < NR_ACTS; i++) {
		dev = a->race->dev[vfm_random_below(&a->rng, NR_DEVS)];
		if (vfm_random_below(&a->rng, 2))
			use_session(a);
		else if (atomic_load(a->gone))
			use_attributes(a, dev);
		else
			use_device(a, dev);
	}
	return 0;
}

/* Whoever sleeps in a read or write is woken by a reset, some time. */
struct nudger {
	RACE *race;
	atomic_bool stop;
};

static long nudge(void *arg)
{
	struct nudger *n = arg;
	unsigned int i = 0;

	while (!atomic_load(&n->stop)) {
		__vfm_reset(n->race->dev[i++ % NR_DEVS]);
		usleep(2000);
	}
	return 0;
}

/* A device is removed, or unbound: then it stays, without a driver. */
struct leaving {
	struct vfm_device *dev;
	bool removed;
	int fd;
};

/*
 * Out of the way: who found it in place of a data fd would wait for this write, and it
 * waits until nobody has the device open.
 */
static void open_exit(struct leaving *l)
{
	char path[256];
	int fd;

	snprintf_assert(path, sizeof(path), l->removed ?
			"/sys/bus/mdev/devices/%s/remove" :
			"/sys/bus/mdev/drivers/migsim/unbind", l->dev->uuid);
	fd = open(path, O_WRONLY | O_CLOEXEC);
	VFIO_ASSERT_GE(fd, 0, "%s", path);
	l->fd = fcntl(fd, F_DUPFD_CLOEXEC, FAR_FD);
	VFIO_ASSERT_GE(l->fd, 0);
	close(fd);
}

static long leave(void *arg)
{
	struct leaving *l = arg;
	const char *text = l->removed ? "1" : l->dev->uuid;

	if (write(l->fd, text, strlen(text)) < 0)
		return -errno;
	l->dev->created = !l->removed;
	return 0;
}

/*
 * Opens and closes what there still is. With a table of fds of its own: who found one
 * of these in place of a data fd would keep it.
 */
struct visitor {
	RACE *race;
	atomic_bool stop;
};

static long visit(void *arg)
{
	struct visitor *v = arg;
	unsigned int i = 0;

	VFIO_ASSERT_EQ(syscall(SYS_close_range, 3, ~0U, CLOSE_RANGE_UNSHARE), 0);
	while (!atomic_load(&v->stop)) {
		__vfm_open(v->race->dev[i % NR_DEVS]);
		vfm_close(v->race->dev[i++ % NR_DEVS]);
		usleep(1000);
	}
	return 0;
}

static void receive(int socket)
{
	char control[CMSG_SPACE(sizeof(int))], buf[4096];
	struct iovec iov = { .iov_base = buf, .iov_len = 1 };
	struct msghdr msg = {
		.msg_iov = &iov,
		.msg_iovlen = 1,
		.msg_control = control,
		.msg_controllen = sizeof(control),
	};
	struct cmsghdr *header;
	int fd;

	if (recvmsg(socket, &msg, 0) <= 0)
		_exit(0);
	header = CMSG_FIRSTHDR(&msg);
	if (!header)
		return;
	memcpy(&fd, CMSG_DATA(header), sizeof(fd));
	ask(fd);
	vfm_read_nowait(fd, buf, sizeof(buf));
	close(fd);
}

static void start_process(RACE *self)
{
	VFIO_ASSERT_EQ(socketpair(AF_UNIX, SOCK_DGRAM | SOCK_CLOEXEC, 0, self->post), 0);
	self->process = fork();
	VFIO_ASSERT_GE(self->process, 0);
	if (!self->process) {
		close(self->post[0]);
		for (;;)
			receive(self->post[1]);
	}
	close(self->post[1]);
}

/* An empty datagram ends it: closing a socket of this kind does not. */
static void end_process(RACE *self)
{
	VFIO_ASSERT_EQ(send(self->post[0], "", 0, 0), 0);
	VFIO_ASSERT_EQ(waitpid(self->process, NULL, 0), self->process);
	close(self->post[0]);
}

static void start_actors(RACE *self, struct actor *actor, struct vfm_thread *thread,
			 atomic_bool *gone)
{
	unsigned int i;

	for (i = 0; i < NR_THREADS; i++) {
		actor[i] = (struct actor) {
			.race = self,
			.rng = vfm_rng(vfm_random(&self->rng)),
			.gone = gone,
		};
		VFIO_ASSERT_EQ(pipe2(actor[i].pipe, O_NONBLOCK | O_CLOEXEC), 0);
		vfm_thread_start(&thread[i], act, &actor[i]);
	}
}

static void join_actors(struct vfm_thread *thread)
{
	unsigned int i;

	for (i = 0; i < NR_THREADS; i++)
		VFIO_ASSERT_EQ(vfm_thread_join(&thread[i]), 0);
}

static void close_pipes(struct actor *actor)
{
	unsigned int i;

	for (i = 0; i < NR_THREADS; i++) {
		close(actor[i].pipe[0]);
		close(actor[i].pipe[1]);
	}
}

/*
 * First with the devices, while one of them is taken away, which waits for the end of
 * that; then without any but those that a visitor has for a moment.
 */
static void run_threads(RACE *self, bool removed)
{
	struct leaving way = { .dev = self->dev[0], .removed = removed };
	struct nudger nudger = { .race = self };
	struct visitor visitor = { .race = self };
	struct actor actor[NR_THREADS], late[NR_THREADS];
	struct vfm_thread thread[NR_THREADS], nudging, leaving, visiting;
	atomic_bool gone = false;
	unsigned int i;

	open_exit(&way);
	vfm_thread_start(&nudging, nudge, &nudger);
	start_actors(self, actor, thread, &gone);
	usleep(vfm_random_below(&self->rng, 5000));
	vfm_thread_start(&leaving, leave, &way);
	join_actors(thread);
	atomic_store(&nudger.stop, true);
	vfm_thread_join(&nudging);

	atomic_store(&gone, true);
	start_actors(self, late, thread, &gone);
	for (i = 0; i < NR_DEVS; i++)
		vfm_close(self->dev[i]);
	vfm_thread_start(&visiting, visit, &visitor);
	join_actors(thread);
	atomic_store(&visitor.stop, true);
	VFIO_ASSERT_EQ(vfm_thread_join(&visiting), 0);
	VFIO_ASSERT_EQ(vfm_thread_join(&leaving), 0);
	close(way.fd);
	close_pipes(actor);
	close_pipes(late);
}

/* What is left moves to a new one; both stand still, to be compared. */
static void check_works(RACE *self, const char *type)
{
	unsigned int i;

	self->dev[0] = device(type);
	for (i = 0; i < NR_DEVS; i++) {
		vfm_close(self->dev[i]);
		configure(self->dev[i]);
		vfm_attr_set(self->dev[i], "dirty_rate", 0);
		vfm_open(self->dev[i]);
		vfm_reset(self->dev[i]);
	}
	vfm_move_all(self->dev[1], self->dev[0]);
}

static void run_round(RACE *self, const char *type)
{
	unsigned int i;

	for (i = 0; i < NR_FDS; i++)
		atomic_store(&self->fds[i], -1);
	start_process(self);
	for (i = 0; i < NR_DEVS; i++)
		self->dev[i] = device(type);
	run_threads(self, vfm_random_below(&self->rng, 2));
	for (i = 0; i < NR_FDS; i++)
		keep(self, i, -1);
	end_process(self);

	vfm_destroy(self->dev[0]);
	check_works(self, type);
	for (i = 0; i < NR_DEVS; i++)
		vfm_destroy(self->dev[i]);
}

TEST_F_TIMEOUT(race, everything, 7200)
{
	unsigned int i, rounds = vfm_rounds(ROUNDS);

	for (i = 0; i < rounds; i++)
		run_round(self, variant->type);
	vfm_count("race_rounds", rounds);
	vfm_count("race_settings", self->settings);
	ASSERT_LT(0, self->settings);
	ASSERT_LT(0, self->hashes);
}

TEST_HARNESS_MAIN
