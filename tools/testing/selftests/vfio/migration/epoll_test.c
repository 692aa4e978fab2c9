// SPDX-License-Identifier: GPL-2.0-only
/*
 * B2, B3: a data fd under epoll, level and edge triggered, in every situation of the
 * table of outcomes. Who is told of edges only waits for ever if a single wake-up is
 * missing, and after each event does all that can be done without waiting.
 */
#include <sys/epoll.h>

#include <libvfio_migration.h>

#define STATE_SIZE	(1 << 20)
#define WINDOW		65536

FIXTURE(epoll) {
	struct vfm_device *dev;
	struct vfm_buf got;
	int ep;
	int fd;
};

FIXTURE_VARIANT(epoll) {
	u32 trigger;
};

FIXTURE_VARIANT_ADD(epoll, level) { .trigger = 0 };
FIXTURE_VARIANT_ADD(epoll, edge) { .trigger = EPOLLET };

FIXTURE_SETUP(epoll)
{
	VFM_REQUIRE_TYPE(MIGSIM_FULL);
	self->dev = vfm_create(MIGSIM_FULL);
	vfm_attr_set(self->dev, "state_size", STATE_SIZE);
	vfm_attr_set(self->dev, "window", WINDOW);
	vfm_open(self->dev);
	VFM_REQUIRE_FAULTS(self->dev);
	self->ep = epoll_create1(0);
	ASSERT_LE(0, self->ep);
	self->fd = -1;
}

FIXTURE_TEARDOWN(epoll)
{
	if (self->ep > 0)
		close(self->ep);
	vfm_buf_free(&self->got);
	vfm_destroy(self->dev);
}

static void control(FIXTURE_DATA(epoll) *self, int op, u32 events)
{
	struct epoll_event event = { .events = events };

	VFIO_ASSERT_EQ(epoll_ctl(self->ep, op, self->fd, &event), 0, "%s",
		       strerror(errno));
}

/* Events of the one fd, or 0 if there are none by then. */
static u32 next_event(FIXTURE_DATA(epoll) *self, int timeout_ms)
{
	struct epoll_event event = { 0 };

	VFIO_ASSERT_LE(0, epoll_wait(self->ep, &event, 1, timeout_ms));
	return event.events;
}

#define ASSERT_EVENT(_events) \
	ASSERT_EQ(_events, next_event(self, vfm_deadline_ms()))
#define ASSERT_NO_EVENT() ASSERT_EQ(0, next_event(self, 0))

/* What stays true is told for ever, and to who asks anew. */
#define ASSERT_STAYS(_want, _events) do {				\
	if (!variant->trigger)						\
		ASSERT_EQ(_events, next_event(self, 0));		\
	control(self, EPOLL_CTL_MOD, (_want) | variant->trigger);	\
	ASSERT_EQ(_events, next_event(self, 0));			\
} while (0)

static void watch(FIXTURE_DATA(epoll) *self, u32 state, u32 events)
{
	if (self->fd >= 0)
		close(self->fd);
	self->fd = vfm_enter(self->dev, state);
	vfm_nonblock(self->fd, true);
	control(self, EPOLL_CTL_ADD, events);
}

static void rule(FIXTURE_DATA(epoll) *self, const char *line)
{
	VFIO_ASSERT_EQ(__vfm_fault_write(self->dev, line), 0, "%s", line);
}

/* What stalls goes on: the device has to have come to it. */
static void release(FIXTURE_DATA(epoll) *self, const char *stalls)
{
	VFM_WAIT(vfm_rule_fired(self->dev, stalls) == 1);
	vfm_fault_release(self->dev);
}

/* Reads after each event, until something else is to be said than "wait". */
static int read_by_events(FIXTURE_DATA(epoll) *self)
{
	int ret;

	do {
		VFIO_ASSERT_TRUE(next_event(self, vfm_deadline_ms()) &
				 (EPOLLIN | EPOLLERR));
		ret = __vfm_drain(self->fd, &self->got, NULL);
	} while (ret == -EAGAIN);
	return ret;
}

/*
 * Data are an event, but the temporary end behind them is none: who has read all
 * before the device says that it was all comes to it without one.
 */
static void read_to_temporary_end(FIXTURE_DATA(epoll) *self)
{
	VFIO_ASSERT_EQ(EPOLLIN, next_event(self, vfm_deadline_ms()));
	VFM_WAIT(__vfm_drain(self->fd, &self->got, NULL) == -ENOMSG);
}

TEST_F(epoll, stop_copy)
{
	rule(self, "save_stall CONFIG 1 1 0");
	watch(self, VFM_STOP_COPY, EPOLLIN | variant->trigger);
	ASSERT_NO_EVENT();
	ASSERT_EQ(-EAGAIN, __vfm_drain(self->fd, &self->got, NULL));
	ASSERT_EQ(0, self->got.len);
	release(self, "save_stall");
	ASSERT_EQ(0, read_by_events(self));
	ASSERT_LT(STATE_SIZE, self->got.len);
	ASSERT_STAYS(EPOLLIN, EPOLLIN);
	vfm_set_state_nofd(self->dev, VFM_STOP);
	ASSERT_EVENT(EPOLLERR | EPOLLHUP);
	vfm_restore(self->dev, &self->got, NULL);
}

TEST_F(epoll, precopy)
{
	u64 val = 0x1122334455667788;
	size_t before;
	int i;

	watch(self, VFM_PRE_COPY, EPOLLIN | variant->trigger);
	read_to_temporary_end(self);
	for (i = 0; i < 5; i++) {
		ASSERT_NO_EVENT();
		before = self->got.len;
		val++;
		vfm_bar_write(self->dev, MIGSIM_BAR_MEM, i * 4096, &val,
			      sizeof(val));
		read_to_temporary_end(self);
		ASSERT_LT(before, self->got.len);
	}
	ASSERT_NO_EVENT();
	vfm_set_state_nofd(self->dev, VFM_STOP_COPY);
	ASSERT_EQ(0, read_by_events(self));
	ASSERT_STAYS(EPOLLIN, EPOLLIN);
}

/* The session ends while nothing has come. */
TEST_F(epoll, ended)
{
	static const u32 ways[] = { VFM_STOP, VFM_RUNNING };
	size_t i;

	rule(self, "save_stall CONFIG 1 0 0");
	for (i = 0; i <= ARRAY_SIZE(ways); i++) {
		watch(self, VFM_STOP_COPY, EPOLLIN | variant->trigger);
		ASSERT_NO_EVENT();
		if (i < ARRAY_SIZE(ways))
			vfm_set_state_nofd(self->dev, ways[i]);
		else
			vfm_reset(self->dev);
		ASSERT_EVENT(EPOLLERR | EPOLLHUP);
		ASSERT_EQ(-ENODEV, __vfm_drain(self->fd, &self->got, NULL));
		ASSERT_STAYS(EPOLLIN, EPOLLERR | EPOLLHUP);
		vfm_reset(self->dev);
	}
}

/* An error is told behind the data that came before it, and for good. */
TEST_F(epoll, error)
{
	rule(self, "save_fail REGS 1 1 5");
	watch(self, VFM_STOP_COPY, EPOLLIN | variant->trigger);
	ASSERT_EQ(-EIO, read_by_events(self));
	ASSERT_LT(STATE_SIZE, self->got.len);
	ASSERT_STAYS(EPOLLIN, EPOLLERR);
	ASSERT_EQ(-EIO, __vfm_drain(self->fd, &self->got, NULL));
}

/* From @pos on; returns where there was no room any more. */
static size_t feed_some(FIXTURE_DATA(epoll) *self, size_t pos)
{
	size_t done;
	int ret;

	ret = __vfm_feed(self->fd, self->got.data + pos, self->got.len - pos,
			 NULL, &done);
	VFIO_ASSERT_TRUE(!ret || ret == -EAGAIN, "%s", strerror(-ret));
	return pos + done;
}

TEST_F(epoll, resuming)
{
	size_t pos;

	vfm_save(self->dev, &self->got, NULL);
	vfm_reset(self->dev);
	rule(self, "load_stall CONFIG 1 1 0");
	watch(self, VFM_RESUMING, EPOLLOUT | variant->trigger);
	ASSERT_EVENT(EPOLLOUT);
	pos = feed_some(self, 0);
	ASSERT_GT(self->got.len, pos);
	ASSERT_NO_EVENT();
	release(self, "load_stall");
	while (pos < self->got.len) {
		ASSERT_EVENT(EPOLLOUT);
		pos = feed_some(self, pos);
	}
	vfm_set_state_nofd(self->dev, VFM_STOP);
	ASSERT_EVENT(EPOLLERR | EPOLLHUP);
}

/* A stream that is refused. */
TEST_F(epoll, refused)
{
	watch(self, VFM_RESUMING, EPOLLOUT | variant->trigger);
	ASSERT_EVENT(EPOLLOUT);
	ASSERT_EQ(-EILSEQ, vfm_write(self->fd, "VFIONEVER", 9));
	ASSERT_EVENT(EPOLLERR);
	ASSERT_EQ(-EILSEQ, vfm_write(self->fd, "VFIOMIG", 7));
	vfm_reset(self->dev);
	ASSERT_EVENT(EPOLLERR | EPOLLHUP);
}

#define NIBBLE		4096
#define NIBBLERS	2
#define NIBBLE_ROUNDS	20

struct nibbler {
	int ep;
	int fd;
	size_t bytes;
	char page[NIBBLE];
};

static void nibbler_init(struct nibbler *n, int fd, u32 events)
{
	struct epoll_event event = { .events = events };

	n->ep = epoll_create1(0);
	VFIO_ASSERT_LE(0, n->ep);
	n->fd = fd;
	n->bytes = 0;
	VFIO_ASSERT_EQ(epoll_ctl(n->ep, EPOLL_CTL_ADD, fd, &event), 0, "%s",
		       strerror(errno));
}

/* One read of 4 KiB after each event, although there may be more, to some end. */
static long nibble(void *arg)
{
	struct nibbler *n = arg;
	struct epoll_event event;
	ssize_t ret;

	do {
		VFIO_ASSERT_EQ(epoll_wait(n->ep, &event, 1, vfm_deadline_ms()), 1,
			       "no event, after %zu bytes", n->bytes);
		ret = vfm_read(n->fd, n->page, NIBBLE);
		n->bytes += ret > 0 ? ret : 0;
	} while (ret > 0 || ret == -EAGAIN);
	return ret;
}

/* A reader that never drains, and is told of edges, is told after each of its reads. */
TEST_F(epoll, nibbles)
{
	struct nibbler n;
	u64 i;

	watch(self, VFM_PRE_COPY, EPOLLIN);
	nibbler_init(&n, self->fd, EPOLLIN | EPOLLPRI | variant->trigger);
	for (i = 0; i < 5; i++) {
		ASSERT_EQ(-ENOMSG, nibble(&n));
		ASSERT_EQ(vfm_session_bytes(self->fd), n.bytes);
		vfm_bar_write(self->dev, MIGSIM_BAR_MEM, i * 4096, &i, sizeof(i));
	}
	vfm_set_state_nofd(self->dev, VFM_STOP_COPY);
	/* The temporary end may still be told. */
	if (nibble(&n))
		ASSERT_EQ(0, nibble(&n));
	ASSERT_EQ(vfm_session_bytes(self->fd), n.bytes);
	close(n.ep);
}

/* Several of them, of whom one is enough to be told: none waits for the others. */
TEST_F(epoll, nibbles_exclusively)
{
	struct vfm_thread thread[NIBBLERS];
	struct nibbler n[NIBBLERS];
	unsigned int i, round, rounds = vfm_rounds(NIBBLE_ROUNDS);
	size_t bytes;

	for (round = 0; round < rounds; round++) {
		watch(self, VFM_STOP_COPY, EPOLLIN);
		for (i = 0; i < NIBBLERS; i++) {
			nibbler_init(&n[i], self->fd, EPOLLIN | EPOLLEXCLUSIVE |
						      variant->trigger);
			vfm_thread_start(&thread[i], nibble, &n[i]);
		}
		for (bytes = 0, i = 0; i < NIBBLERS; i++) {
			ASSERT_EQ(0, vfm_thread_join(&thread[i]));
			bytes += n[i].bytes;
			close(n[i].ep);
		}
		ASSERT_EQ(vfm_session_bytes(self->fd), bytes);
		vfm_set_state_nofd(self->dev, VFM_RUNNING);
	}
}

/* A writer that does not fill the room there is. */
TEST_F(epoll, nibbles_in)
{
	size_t pos, left;
	ssize_t n;

	vfm_save(self->dev, &self->got, NULL);
	vfm_reset(self->dev);
	watch(self, VFM_RESUMING, EPOLLOUT | variant->trigger);
	for (pos = 0; pos < self->got.len; pos += n) {
		ASSERT_EVENT(EPOLLOUT);
		left = self->got.len - pos;
		n = vfm_write(self->fd, self->got.data + pos,
			      left < NIBBLE ? left : NIBBLE);
		if (n == -EAGAIN)
			n = 0;
		ASSERT_LE(0, n);
	}
	vfm_set_state_nofd(self->dev, VFM_STOP);
}

TEST_HARNESS_MAIN
