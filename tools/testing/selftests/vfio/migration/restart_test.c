// SPDX-License-Identifier: GPL-2.0-only
/*
 * A5, B2, B3: a process that is stopped and continued, attached to by a debugger or
 * frozen does not notice, wherever a call of it sleeps: the call goes on by itself, no
 * byte is lost or comes twice, and nothing has failed. After a handler, reads and writes
 * go on if it says SA_RESTART; a SET_STATE never does, and has changed nothing.
 */
#include <fcntl.h>
#include <signal.h>
#include <sys/time.h>

#include <libvfio_migration.h>

#define STATE_SIZE	(128 * 4096)
#define WINDOW		65536
#define TURN		100		/* bytes of one call, less than a header */
#define PAUSES		3		/* of each kind */
#define TRIES		60		/* of a call that a timer interrupts */
#define ARC_US		100000
#define TICK_US		10000

FIXTURE(restart) {
	struct vfm_device *from, *to;
	struct vfm_buf stream;
	struct vfm_child child;
	int save_fd, load_fd;
	size_t fed;
	int pipe[2];
};

FIXTURE_VARIANT(restart) {
	const char *type;
};

FIXTURE_VARIANT_ADD(restart, full) { .type = MIGSIM_FULL };
FIXTURE_VARIANT_ADD(restart, basic) { .type = MIGSIM_BASIC };

static struct vfm_device *device(const char *type, u64 seed)
{
	struct vfm_device *dev = vfm_create(type);

	vfm_attr_set(dev, "state_size", STATE_SIZE);
	vfm_attr_set(dev, "window", WINDOW);
	vfm_attr_set(dev, "seed", seed);
	vfm_open(dev);
	return dev;
}

FIXTURE_SETUP(restart)
{
	VFM_REQUIRE_TYPE(variant->type);
	self->from = device(variant->type, 1);
	self->to = device(variant->type, 2);
	VFM_REQUIRE_FAULTS(self->from);
	ASSERT_EQ(0, pipe(self->pipe));
	self->save_fd = -1;
	self->load_fd = -1;
}

static void close_if(int fd)
{
	if (fd >= 0)
		close(fd);
}

FIXTURE_TEARDOWN(restart)
{
	close_if(self->save_fd);
	close_if(self->load_fd);
	close(self->pipe[0]);
	close(self->pipe[1]);
	vfm_buf_free(&self->stream);
	vfm_destroy(self->from);
	vfm_destroy(self->to);
}

static void rule(struct vfm_device *dev, const char *line)
{
	VFIO_ASSERT_EQ(__vfm_fault_write(dev, line), 0, "%s", line);
}

/* The child sleeps in its call, and after each pause it sleeps there again. */
static void pause_often(struct vfm_child *child, const struct vfm_pause *pause)
{
	unsigned int i;

	for (i = 0; i < PAUSES; i++) {
		VFIO_ASSERT_TRUE(vfm_child_blocked(child), "before %s %u",
				 pause->name, i);
		pause->begin(child);
		pause->end(child);
	}
	VFIO_ASSERT_TRUE(vfm_child_blocked(child), "after %s", pause->name);
}

/* All pauses that this machine has; what is missing is told. */
static void pause_all(struct vfm_child *child)
{
	const struct vfm_pause *pause;
	const char *missing;

	for (pause = vfm_pauses; pause < vfm_pauses + VFM_NR_PAUSES; pause++) {
		missing = pause->missing();
		if (missing)
			printf("# no %s: %s\n", pause->name, missing);
		else
			pause_often(child, pause);
	}
}

static void expect_no_error(struct vfm_device *dev)
{
	struct vfio_device_feature_migx_last_error e = vfm_last_error(dev);

	VFIO_ASSERT_EQ(e.count, 0, "errno %u: %s", e.error, e.reason);
}

static void check_moved(FIXTURE_DATA(restart) *self)
{
	u64 hash;

	vfm_set_state_nofd(self->from, VFM_STOP);
	vfm_set_state_nofd(self->to, VFM_STOP);
	hash = vfm_state_hash(self->from);
	VFIO_ASSERT_EQ(vfm_state_hash(self->to), hash);
	expect_no_error(self->from);
	expect_no_error(self->to);
}

static void feed_rest(FIXTURE_DATA(restart) *self)
{
	vfm_feed(self->load_fd, self->stream.data + self->fed,
		 self->stream.len - self->fed, NULL);
	check_moved(self);
}

static long set_stop_copy(void *arg)
{
	FIXTURE_DATA(restart) *self = arg;
	int fd;

	return __vfm_set_state(self->from, VFM_STOP_COPY, &fd);
}

TEST_F(restart, set_state)
{
	rule(self->from, "arc_stall RUNNING->* 1 0 0");
	vfm_child_start(&self->child, set_stop_copy, self);
	pause_all(&self->child);
	vfm_fault_clear(self->from);
	ASSERT_EQ(0, vfm_child_join(&self->child));
	vfm_assert_state(self->from, VFM_STOP_COPY);
	expect_no_error(self->from);
}

/* Whose source does not say anything yet. */
static void begin_stalled_save(FIXTURE_DATA(restart) *self)
{
	rule(self->from, "save_stall CONFIG 1 1 0");
	self->save_fd = vfm_set_state(self->from, VFM_STOP_COPY);
	self->load_fd = vfm_set_state(self->to, VFM_RESUMING);
}

static long read_turn(void *arg)
{
	FIXTURE_DATA(restart) *self = arg;
	u8 turn[TURN];
	ssize_t n;

	n = vfm_read(self->save_fd, turn, TURN);
	if (n > 0 && write(self->pipe[1], turn, n) != n)
		return -EPIPE;
	return n;
}

static long splice_turn_out(void *arg)
{
	FIXTURE_DATA(restart) *self = arg;
	ssize_t n;

	n = splice(self->save_fd, NULL, self->pipe[1], NULL, TURN, 0);
	return n < 0 ? -errno : n;
}

/* The child takes the first bytes, and they are the stream's first. */
static void take_first(FIXTURE_DATA(restart) *self, long (*fn)(void *))
{
	begin_stalled_save(self);
	vfm_child_start(&self->child, fn, self);
	pause_all(&self->child);
	vfm_fault_release(self->from);
	VFIO_ASSERT_EQ(vfm_child_join(&self->child), TURN);
	VFIO_ASSERT_EQ(read(self->pipe[0], vfm_buf_room(&self->stream, TURN), TURN),
		       TURN);
	self->stream.len = TURN;
	vfm_drain(self->save_fd, &self->stream, NULL);
	feed_rest(self);
}

TEST_F(restart, read)
{
	take_first(self, read_turn);
}

TEST_F(restart, splice_from_device)
{
	take_first(self, splice_turn_out);
}

/* Written to until it has no room, by a destination that does not load. */
static void fill(FIXTURE_DATA(restart) *self)
{
	ssize_t n;

	rule(self->to, "load_stall CONFIG 1 1 0");
	self->save_fd = vfm_set_state(self->from, VFM_STOP_COPY);
	vfm_drain(self->save_fd, &self->stream, NULL);
	self->load_fd = vfm_set_state(self->to, VFM_RESUMING);
	vfm_nonblock(self->load_fd, true);
	while ((n = vfm_write(self->load_fd, self->stream.data + self->fed,
			      self->stream.len - self->fed)) > 0)
		self->fed += n;
	VFIO_ASSERT_EQ(n, -EAGAIN);
	vfm_nonblock(self->load_fd, false);
}

static long write_turn(void *arg)
{
	FIXTURE_DATA(restart) *self = arg;

	return vfm_write(self->load_fd, self->stream.data + self->fed, TURN);
}

static long splice_turn_in(void *arg)
{
	FIXTURE_DATA(restart) *self = arg;
	ssize_t n;

	n = splice(self->pipe[0], NULL, self->load_fd, NULL, TURN, 0);
	return n < 0 ? -errno : n;
}

/* The child gives the next bytes, once. */
static void give_next(FIXTURE_DATA(restart) *self, long (*fn)(void *))
{
	vfm_child_start(&self->child, fn, self);
	pause_all(&self->child);
	vfm_fault_release(self->to);
	VFIO_ASSERT_EQ(vfm_child_join(&self->child), TURN);
	self->fed += TURN;
	feed_rest(self);
}

TEST_F(restart, write)
{
	fill(self);
	give_next(self, write_turn);
}

TEST_F(restart, splice_to_device)
{
	fill(self);
	ASSERT_EQ(TURN, write(self->pipe[1], self->stream.data + self->fed, TURN));
	give_next(self, splice_turn_in);
}

static long set_stop(void *arg)
{
	FIXTURE_DATA(restart) *self = arg;
	int fd;

	return __vfm_set_state(self->to, VFM_STOP, &fd);
}

/* Half a window is written, to a destination that does not load. */
static void begin_verdict(FIXTURE_DATA(restart) *self)
{
	self->save_fd = vfm_set_state(self->from, VFM_STOP_COPY);
	vfm_drain(self->save_fd, &self->stream, NULL);
	self->load_fd = vfm_set_state(self->to, VFM_RESUMING);
	rule(self->to, "load_stall CONFIG 1 1 0");
	vfm_nonblock(self->load_fd, true);
	self->fed = WINDOW / 2;
	VFIO_ASSERT_EQ(vfm_write(self->load_fd, self->stream.data, self->fed),
		       self->fed);
	vfm_nonblock(self->load_fd, false);
}

/* RESUMING -> STOP waits for the driver to have loaded all. */
TEST_F(restart, verdict)
{
	begin_verdict(self);
	vfm_child_start(&self->child, set_stop, self);
	pause_all(&self->child);
	vfm_fault_release(self->to);
	/* Only half of it came. */
	ASSERT_EQ(-ENODATA, vfm_child_join(&self->child));
	expect_no_error(self->from);
}

static atomic_uint handled;

static void on_signal(int sig)
{
	(void)sig;
	handled++;
}

static void handle(int sig, int flags)
{
	struct sigaction action = { .sa_handler = on_signal, .sa_flags = flags };

	VFIO_ASSERT_EQ(sigaction(sig, &action, NULL), 0);
}

static long read_with_handler(void *arg)
{
	long n;

	handle(SIGUSR1, SA_RESTART);
	n = read_turn(arg);
	return handled ? n : -ENOMSG;
}

/* SA_RESTART is heeded by reads and writes. */
TEST_F(restart, handler_of_read)
{
	begin_stalled_save(self);
	vfm_child_start(&self->child, read_with_handler, self);
	ASSERT_TRUE(vfm_child_blocked(&self->child));
	kill(self->child.pid, SIGUSR1);
	ASSERT_TRUE(vfm_child_blocked(&self->child));
	vfm_fault_release(self->from);
	ASSERT_EQ(TURN, vfm_child_join(&self->child));
}

static long set_with_handler(void *arg)
{
	handle(SIGUSR1, SA_RESTART);
	return set_stop_copy(arg);
}

/* And never by SET_STATE, which has changed nothing then. */
TEST_F(restart, handler_of_set)
{
	rule(self->from, "arc_stall RUNNING->* 1 0 0");
	vfm_child_start(&self->child, set_with_handler, self);
	ASSERT_TRUE(vfm_child_blocked(&self->child));
	kill(self->child.pid, SIGUSR1);
	ASSERT_EQ(-EINTR, vfm_child_join(&self->child));
	vfm_assert_state(self->from, VFM_RUNNING);
	expect_no_error(self->from);
}

static long stop_with_handler(void *arg)
{
	handle(SIGUSR1, SA_RESTART);
	return set_stop(arg);
}

/* A destination whose verdict is not waited for goes on to take bytes. */
TEST_F(restart, handler_of_verdict)
{
	begin_verdict(self);
	vfm_child_start(&self->child, stop_with_handler, self);
	ASSERT_TRUE(vfm_child_blocked(&self->child));
	kill(self->child.pid, SIGUSR1);
	ASSERT_EQ(-EINTR, vfm_child_join(&self->child));
	vfm_assert_state(self->to, VFM_RESUMING);
	ASSERT_EQ(POLLOUT, vfm_poll(self->load_fd, POLLOUT, 0));
	vfm_fault_release(self->to);
	feed_rest(self);
}

/* Arcs of a device that takes its time, longer than a timer leaves a call alone. */
static void configure_slow(struct vfm_device *dev)
{
	vfm_close(dev);
	vfm_attr_set(dev, "p2p_latency_us", ARC_US);
	vfm_attr_set(dev, "stop_latency_us", ARC_US);
	vfm_attr_set(dev, "load_latency_us", ARC_US);
	vfm_open(dev);
}

static int set_with_timer(struct vfm_device *dev, u32 state)
{
	const struct itimerval tick = {
		.it_value.tv_usec = TICK_US,
		.it_interval.tv_usec = TICK_US,
	}, off = { 0 };
	unsigned int i = 0;
	int fd, ret;

	handle(SIGALRM, 0);
	VFIO_ASSERT_EQ(setitimer(ITIMER_REAL, &tick, NULL), 0);
	do {
		ret = __vfm_set_state(dev, state, &fd);
	} while (ret == -EINTR && ++i < TRIES);
	setitimer(ITIMER_REAL, &off, NULL);
	VFIO_ASSERT_EQ(ret, 0, "to %s, %u tries", vfm_state_name(state), i);
	return fd;
}

TEST_F(restart, timer)
{
	configure_slow(self->from);
	configure_slow(self->to);
	self->save_fd = set_with_timer(self->from, VFM_STOP_COPY);
	self->load_fd = set_with_timer(self->to, VFM_RESUMING);
	vfm_drain(self->save_fd, &self->stream, NULL);
	vfm_feed(self->load_fd, self->stream.data, self->stream.len, NULL);
	close_if(set_with_timer(self->to, VFM_STOP));
	check_moved(self);
}

TEST_HARNESS_MAIN
