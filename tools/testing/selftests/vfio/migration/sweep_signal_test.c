// SPDX-License-Identifier: GPL-2.0-only
/*
 * B2, B3, A5: a migration that waits at every chance, and a signal each time that it
 * sleeps. What a call had done before the signal it says, and it is done once more for
 * the rest: no byte is lost and none comes twice.
 */
#include <fcntl.h>
#include <signal.h>

#include <libvfio_migration.h>

#define CHUNK		40000
#define STATE_SIZE	(128 * 4096)
#define WINDOW		65536
#define BANDWIDTH	(1 << 20)
#define LATENCY_US	10000

FIXTURE(signal_sweep) {
	struct vfm_device *from, *to;
	struct vfm_move move;
	struct vfm_thread thread;
	atomic_uint hits;		/* calls that a signal ended */
	int pipe[2];
};

FIXTURE_VARIANT(signal_sweep) {
	const char *type;
};

FIXTURE_VARIANT_ADD(signal_sweep, full) { .type = MIGSIM_FULL };
FIXTURE_VARIANT_ADD(signal_sweep, basic) { .type = MIGSIM_BASIC };

static struct vfm_device *device(const char *type, u64 seed)
{
	static const char * const waits[] = {
		"stop_latency_us", "save_latency_us", "load_latency_us",
		"p2p_latency_us",
	};
	struct vfm_device *dev = vfm_create(type);
	size_t i;

	vfm_attr_set(dev, "state_size", STATE_SIZE);
	vfm_attr_set(dev, "window", WINDOW);
	vfm_attr_set(dev, "bandwidth", BANDWIDTH);
	vfm_attr_set(dev, "seed", seed);
	for (i = 0; i < ARRAY_SIZE(waits); i++)
		vfm_attr_set(dev, waits[i], LATENCY_US);
	vfm_open(dev);
	return dev;
}

FIXTURE_SETUP(signal_sweep)
{
	VFM_REQUIRE_TYPE(variant->type);
	self->from = device(variant->type, 1);
	self->to = device(variant->type, 2);
	ASSERT_EQ(0, pipe(self->pipe));
	vfm_bar_write(self->from, MIGSIM_BAR_MEM, 4096, "state", 5);
	vfm_move_begin(&self->move, self->from, self->to, CHUNK);
}

FIXTURE_TEARDOWN(signal_sweep)
{
	close(self->pipe[0]);
	close(self->pipe[1]);
	vfm_move_end(&self->move);
	vfm_destroy(self->from);
	vfm_destroy(self->to);
}

/*
 * As often as it sleeps; the mover does not know when. An arc that is interrupted begins
 * anew, and is let through now and then.
 */
static void disturb(FIXTURE_DATA(signal_sweep) *self, long (*fn)(void *))
{
	struct timespec deadline = vfm_deadline();
	unsigned int n = 0;

	vfm_thread_start(&self->thread, fn, self);
	/* Every other one may come at any time, in the middle of a copy, too. */
	while (n & 1 ? !atomic_load(&self->thread.done) :
	       vfm_thread_asleep(&self->thread)) {
		vfm_thread_signal(&self->thread);
		VFIO_ASSERT_FALSE(vfm_expired(&deadline), "no end in sight");
		usleep(++n % 16 ? 1000 : 3 * LATENCY_US);
	}
	VFIO_ASSERT_EQ(vfm_thread_join(&self->thread), 0);
	vfm_count("signal_points", self->hits);
}

static u64 distance(u64 a, u64 b)
{
	return a > b ? a - b : b - a;
}

/*
 * What the source made and nobody was given, what the destination took and nobody was
 * told, and the other way round. The hash tells whether they are the right bytes.
 */
static void check(FIXTURE_DATA(signal_sweep) *self)
{
	u64 lost, hash;

	lost = distance(vfm_session_bytes(self->move.save_fd), self->move.stream.len) +
	       distance(vfm_session_bytes(self->move.load_fd), self->move.fed);
	vfm_count("lost_bytes", lost);
	VFIO_ASSERT_EQ(lost, 0);
	VFIO_ASSERT_EQ(self->move.fed, self->move.stream.len);
	VFIO_ASSERT_GT(self->hits, 0);
	hash = vfm_state_hash(self->from);
	vfm_set_state_nofd(self->to, VFM_STOP);
	VFIO_ASSERT_EQ(vfm_state_hash(self->to), hash);
}

static long move_by_calls(void *arg)
{
	FIXTURE_DATA(signal_sweep) *self = arg;
	int ret;

	do {
		ret = vfm_move_step(&self->move);
		if (ret == -EINTR)
			self->hits++;
	} while (ret > 0 || ret == -EINTR);
	return ret;
}

TEST_F(signal_sweep, calls)
{
	disturb(self, move_by_calls);
	check(self);
}

static int set(FIXTURE_DATA(signal_sweep) *self, struct vfm_device *dev, u32 state)
{
	int fd, ret;

	while ((ret = __vfm_set_state(dev, state, &fd)) == -EINTR)
		self->hits++;
	VFIO_ASSERT_EQ(ret, 0, "%s", vfm_state_name(state));
	return fd;
}

static ssize_t splice_some(FIXTURE_DATA(signal_sweep) *self, int in, int out,
			   size_t len)
{
	ssize_t n;

	while ((n = splice(in, NULL, out, NULL, len, 0)) < 0 && errno == EINTR)
		self->hits++;
	VFIO_ASSERT_GE(n, 0, "splice: %s", strerror(errno));
	return n;
}

/* What is in the pipe goes on before more comes, so only the devices can wait. */
static long move_by_splice(void *arg)
{
	FIXTURE_DATA(signal_sweep) *self = arg;
	struct vfm_move *m = &self->move;
	ssize_t n;

	m->load_fd = set(self, m->to, VFM_RESUMING);
	m->save_fd = set(self, m->from, VFM_STOP_COPY);
	while ((n = splice_some(self, m->save_fd, self->pipe[1], CHUNK))) {
		for (m->stream.len += n; m->fed < m->stream.len; m->fed += n)
			n = splice_some(self, self->pipe[0], m->load_fd, CHUNK);
	}
	set(self, m->to, VFM_RUNNING);
	set(self, m->from, VFM_STOP);
	return 0;
}

TEST_F(signal_sweep, splice)
{
	disturb(self, move_by_splice);
	check(self);
}

/* poll is where event loops wait: with O_NONBLOCK nobody else does. */
static void wait_for(FIXTURE_DATA(signal_sweep) *self, int fd, short events)
{
	struct pollfd pfd = { .fd = fd, .events = events };

	while (poll(&pfd, 1, -1) < 0) {
		VFIO_ASSERT_EQ(errno, EINTR);
		self->hits++;
	}
}

static long move_by_poll(void *arg)
{
	FIXTURE_DATA(signal_sweep) *self = arg;
	struct vfm_move *m = &self->move;
	u8 *chunk = vfm_zalloc(CHUNK);
	ssize_t n, done, k;

	m->load_fd = set(self, m->to, VFM_RESUMING);
	m->save_fd = set(self, m->from, VFM_STOP_COPY);
	vfm_nonblock(m->load_fd, true);
	vfm_nonblock(m->save_fd, true);
	while ((n = vfm_read(m->save_fd, chunk, CHUNK))) {
		if (n == -EAGAIN) {
			wait_for(self, m->save_fd, POLLIN);
			continue;
		}
		VFIO_ASSERT_GT(n, 0);
		m->stream.len += n;
		for (done = 0; done < n; done += k > 0 ? k : 0) {
			k = vfm_write(m->load_fd, chunk + done, n - done);
			if (k == -EAGAIN)
				wait_for(self, m->load_fd, POLLOUT);
			else
				VFIO_ASSERT_GT(k, 0);
			m->fed += k > 0 ? k : 0;
		}
	}
	free(chunk);
	set(self, m->to, VFM_RUNNING);
	set(self, m->from, VFM_STOP);
	return 0;
}

TEST_F(signal_sweep, poll)
{
	disturb(self, move_by_poll);
	check(self);
}

TEST_HARNESS_MAIN
