// SPDX-License-Identifier: GPL-2.0-only
/*
 * B2, B3, A5: a migration that waits at every chance, and a signal each time that it
 * sleeps. What a call had done before the signal it says, and it is done once more for
 * the rest: no byte is lost and none comes twice. Wherever a call can sleep, it is kept
 * there until a signal has ended it.
 */
#include <fcntl.h>
#include <signal.h>

#include <libvfio_migration.h>

#define CHUNK		40000
#define STATE_SIZE	(128 * 4096)
#define WINDOW		65536
#define BANDWIDTH	(1 << 20)
#define LATENCY_US	10000
#define TURN		100		/* bytes, less than a header */
#define VERDICT_RULE	"load_stall REGS 1 1 0"

/* Where calls sleep. */
enum point {
	IN_SET,
	IN_READ,
	IN_WRITE,
	IN_SPLICE_READ,
	IN_SPLICE_WRITE,
	IN_POLLIN,
	IN_POLLOUT,
	IN_VERDICT,
	IN_SLOT,
	NR_POINTS,
};

/* A rule that has a call sleep there until it is let go. */
struct stall {
	enum point point;
	struct vfm_device *dev;
	const char *rule;
	bool gone;
};

#define NR_STALLS	3

FIXTURE(signal_sweep) {
	struct vfm_device *from, *to;
	struct vfm_move move;
	struct vfm_thread thread;
	struct stall stalls[NR_STALLS];
	atomic_uint hits[NR_POINTS];	/* calls that a signal ended */
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
	VFM_REQUIRE_FAULTS(self->from);
	ASSERT_EQ(0, pipe(self->pipe));
	vfm_bar_write(self->from, MIGSIM_BAR_MEM, 4096, "state", 5);
	vfm_move_begin(&self->move, self->from, self->to, CHUNK);
}

static void count(FIXTURE_DATA(signal_sweep) *self)
{
	static const char * const names[NR_POINTS] = {
		[IN_SET] = "signals_set",
		[IN_READ] = "signals_read",
		[IN_WRITE] = "signals_write",
		[IN_SPLICE_READ] = "signals_splice_read",
		[IN_SPLICE_WRITE] = "signals_splice_write",
		[IN_POLLIN] = "signals_poll_in",
		[IN_POLLOUT] = "signals_poll_out",
		[IN_VERDICT] = "signals_verdict",
		[IN_SLOT] = "signals_slot",
	};
	unsigned int i, sum = 0;

	for (i = 0; i < NR_POINTS; i++) {
		if (self->hits[i])
			vfm_count(names[i], self->hits[i]);
		sum += self->hits[i];
	}
	vfm_count("signal_points", sum);
}

FIXTURE_TEARDOWN(signal_sweep)
{
	count(self);
	close(self->pipe[0]);
	close(self->pipe[1]);
	vfm_move_end(&self->move);
	vfm_destroy(self->from);
	vfm_destroy(self->to);
}

static void rule(struct vfm_device *dev, const char *line)
{
	VFIO_ASSERT_EQ(__vfm_fault_write(dev, line), 0, "%s", line);
}

/* What is asleep at @in has nothing to read, at @out no room to write. */
static void stall(FIXTURE_DATA(signal_sweep) *self, enum point in, enum point out)
{
	const struct stall stalls[NR_STALLS] = {
		{ IN_SET, self->from, "arc_stall RUNNING->* 1 1 0", false },
		{ in, self->from, "save_stall MEMORY 2 1 0", false },
		{ out, self->to, "load_stall MEMORY 2 1 0", false },
	};
	size_t i;

	memcpy(self->stalls, stalls, sizeof(stalls));
	for (i = 0; i < NR_STALLS; i++)
		rule(stalls[i].dev, stalls[i].rule);
}

static void let_go(FIXTURE_DATA(signal_sweep) *self)
{
	struct stall *s;

	for (s = self->stalls; s < self->stalls + NR_STALLS; s++) {
		if (s->gone || !atomic_load(&self->hits[s->point]) ||
		    !vfm_rule_fired(s->dev, s->rule))
			continue;
		s->gone = true;
		vfm_fault_release(s->dev);
	}
}

/*
 * As often as it sleeps; the mover does not know when. An arc that is interrupted begins
 * anew.
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
		let_go(self);
		VFIO_ASSERT_FALSE(vfm_expired(&deadline), "no end in sight");
		usleep(++n % 16 ? 1000 : 3 * LATENCY_US);
	}
	VFIO_ASSERT_EQ(vfm_thread_join(&self->thread), 0);
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
	hash = vfm_state_hash(self->from);
	vfm_set_state_nofd(self->to, VFM_STOP);
	VFIO_ASSERT_EQ(vfm_state_hash(self->to), hash);
}

/* And each place where a call was kept asleep was one that a signal ended. */
static void check_disturbed(FIXTURE_DATA(signal_sweep) *self)
{
	struct stall *s;

	for (s = self->stalls; s < self->stalls + NR_STALLS; s++)
		VFIO_ASSERT_TRUE(s->gone && self->hits[s->point], "%s", s->rule);
	check(self);
}

static long move_by_calls(void *arg)
{
	static const enum point points[] = {
		[VFM_CALL_SET] = IN_SET,
		[VFM_CALL_READ] = IN_READ,
		[VFM_CALL_WRITE] = IN_WRITE,
	};
	FIXTURE_DATA(signal_sweep) *self = arg;
	enum vfm_call call;
	int ret;

	do {
		call = vfm_move_call(&self->move);
		ret = vfm_move_step(&self->move);
		/* It only sleeps where a signal does not come to. */
		VFIO_ASSERT_FALSE(call == VFM_CALL_ASK && ret == -EINTR);
		if (ret == -EINTR)
			self->hits[points[call]]++;
	} while (ret > 0 || ret == -EINTR);
	return ret;
}

TEST_F(signal_sweep, calls)
{
	stall(self, IN_READ, IN_WRITE);
	disturb(self, move_by_calls);
	check_disturbed(self);
}

static int set(FIXTURE_DATA(signal_sweep) *self, struct vfm_device *dev, u32 state)
{
	int fd, ret;

	while ((ret = __vfm_set_state(dev, state, &fd)) == -EINTR)
		self->hits[IN_SET]++;
	VFIO_ASSERT_EQ(ret, 0, "%s", vfm_state_name(state));
	return fd;
}

static ssize_t splice_some(FIXTURE_DATA(signal_sweep) *self, int in, int out,
			   enum point point)
{
	ssize_t n;

	while ((n = splice(in, NULL, out, NULL, CHUNK, 0)) < 0 && errno == EINTR)
		self->hits[point]++;
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
	while ((n = splice_some(self, m->save_fd, self->pipe[1], IN_SPLICE_READ))) {
		for (m->stream.len += n; m->fed < m->stream.len; m->fed += n)
			n = splice_some(self, self->pipe[0], m->load_fd,
					IN_SPLICE_WRITE);
	}
	set(self, m->to, VFM_RUNNING);
	set(self, m->from, VFM_STOP);
	return 0;
}

TEST_F(signal_sweep, splice)
{
	stall(self, IN_SPLICE_READ, IN_SPLICE_WRITE);
	disturb(self, move_by_splice);
	check_disturbed(self);
}

/* poll is where event loops wait: with O_NONBLOCK nobody else does. */
static void wait_for(FIXTURE_DATA(signal_sweep) *self, int fd, short events)
{
	struct pollfd pfd = { .fd = fd, .events = events };

	while (poll(&pfd, 1, -1) < 0) {
		VFIO_ASSERT_EQ(errno, EINTR);
		self->hits[events == POLLIN ? IN_POLLIN : IN_POLLOUT]++;
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
	stall(self, IN_POLLIN, IN_POLLOUT);
	disturb(self, move_by_poll);
	check_disturbed(self);
}

/* Everything is read, and written but for the last bytes. */
static void move_but_last(FIXTURE_DATA(signal_sweep) *self)
{
	struct vfm_move *m = &self->move;

	m->load_fd = set(self, m->to, VFM_RESUMING);
	m->save_fd = set(self, m->from, VFM_STOP_COPY);
	vfm_drain(m->save_fd, &m->stream, NULL);
	m->fed = m->stream.len - CHUNK;
	vfm_feed(m->load_fd, m->stream.data, m->fed, NULL);
	rule(m->to, VERDICT_RULE);
}

/* The writer waits for the verdict, and what it wrote was taken all the same. */
static void disturb_verdict(FIXTURE_DATA(signal_sweep) *self, long (*fn)(void *))
{
	struct vfm_move *m = &self->move;

	vfm_thread_start(&self->thread, fn, self);
	VFM_WAIT(vfm_rule_fired(m->to, VERDICT_RULE));
	vfm_assert_blocked(&self->thread);
	vfm_thread_signal(&self->thread);
	VFIO_ASSERT_EQ(vfm_thread_join(&self->thread), CHUNK);
	self->hits[IN_VERDICT]++;
	m->fed += CHUNK;
	vfm_fault_release(m->to);
	set(self, m->to, VFM_RUNNING);
	set(self, m->from, VFM_STOP);
	check(self);
}

static long write_last(void *arg)
{
	FIXTURE_DATA(signal_sweep) *self = arg;
	struct vfm_move *m = &self->move;

	return vfm_write(m->load_fd, m->stream.data + m->fed, CHUNK);
}

TEST_F(signal_sweep, verdict)
{
	move_but_last(self);
	disturb_verdict(self, write_last);
}

static long splice_last(void *arg)
{
	FIXTURE_DATA(signal_sweep) *self = arg;
	size_t done;
	ssize_t n;

	/* It takes what there is room for. */
	for (done = 0; done < CHUNK; done += n) {
		n = splice(self->pipe[0], NULL, self->move.load_fd, NULL,
			   CHUNK - done, 0);
		if (n < 0)
			return -errno;
	}
	return done;
}

TEST_F(signal_sweep, verdict_of_splice)
{
	struct vfm_move *m = &self->move;

	move_but_last(self);
	ASSERT_EQ(CHUNK, write(self->pipe[1], m->stream.data + m->fed, CHUNK));
	disturb_verdict(self, splice_last);
}

/* One call sleeps in user memory, and the next one waits for its turn. */
static void disturb_turn(FIXTURE_DATA(signal_sweep) *self, struct vfm_uffd *uffd,
			 long (*fn)(void *), struct vfm_io *second, void *content)
{
	struct vfm_io first = { second->fd, uffd->page, TURN };
	struct vfm_thread holder;

	vfm_thread_start(&holder, fn, &first);
	vfm_uffd_wait(uffd);
	vfm_thread_start(&self->thread, fn, second);
	vfm_assert_blocked(&self->thread);
	vfm_thread_signal(&self->thread);
	VFIO_ASSERT_EQ(vfm_thread_join(&self->thread), -EINTR);
	self->hits[IN_SLOT]++;
	vfm_thread_start(&self->thread, fn, second);
	vfm_assert_blocked(&self->thread);
	vfm_uffd_release(uffd, content);
	VFIO_ASSERT_EQ(vfm_thread_join(&holder), TURN);
	VFIO_ASSERT_EQ(vfm_thread_join(&self->thread), TURN);
}

TEST_F(signal_sweep, turn_to_read)
{
	struct vfm_move *m = &self->move;
	u8 page[4096] = { 0 }, chunk[TURN];
	struct vfm_uffd uffd;
	struct vfm_io io;

	VFM_REQUIRE_UFFD(&uffd);
	m->load_fd = set(self, m->to, VFM_RESUMING);
	m->save_fd = set(self, m->from, VFM_STOP_COPY);
	VFM_WAIT(vfm_fionread(m->save_fd) >= 2 * TURN);
	io = (struct vfm_io) { m->save_fd, chunk, TURN };
	disturb_turn(self, &uffd, vfm_thread_read, &io, page);
	vfm_buf_append(&m->stream, uffd.page, TURN);
	vfm_buf_append(&m->stream, chunk, TURN);
	vfm_drain(m->save_fd, &m->stream, NULL);
	vfm_feed(m->load_fd, m->stream.data, m->stream.len, NULL);
	m->fed = m->stream.len;
	vfm_uffd_exit(&uffd);
	set(self, m->to, VFM_RUNNING);
	set(self, m->from, VFM_STOP);
	check(self);
}

TEST_F(signal_sweep, turn_to_write)
{
	struct vfm_move *m = &self->move;
	struct vfm_uffd uffd;
	u8 page[4096] = { 0 };
	struct vfm_io io;

	VFM_REQUIRE_UFFD(&uffd);
	m->load_fd = set(self, m->to, VFM_RESUMING);
	m->save_fd = set(self, m->from, VFM_STOP_COPY);
	vfm_drain(m->save_fd, &m->stream, NULL);
	memcpy(page, m->stream.data, TURN);
	io = (struct vfm_io) { m->load_fd, m->stream.data + TURN, TURN };
	disturb_turn(self, &uffd, vfm_thread_write, &io, page);
	vfm_feed(m->load_fd, m->stream.data + 2 * TURN, m->stream.len - 2 * TURN,
		 NULL);
	m->fed = m->stream.len;
	vfm_uffd_exit(&uffd);
	set(self, m->to, VFM_RUNNING);
	set(self, m->from, VFM_STOP);
	check(self);
}

TEST_HARNESS_MAIN
