// SPDX-License-Identifier: GPL-2.0-only
/*
 * A11: the way back from STOP_COPY. Who may go it, and until when; that the stream
 * goes on as one stream; and that it then holds what the device was in the end.
 */
#include <libvfio_migration.h>

#include "migsim_regs.h"

#define NR_PAGES	64
#define STATE_SIZE	(NR_PAGES * 4096)
#define END_LENGTH	(sizeof(struct vfio_mig_section_header) + \
			 sizeof(struct vfio_mig_section_end))
#define REGS_LENGTH	(sizeof(struct vfio_mig_section_header) + \
			 MIGSIM_REGS_PAYLOAD)
/* What is left for STOP_COPY when all pages have been sent. */
#define REST_LENGTH	(REGS_LENGTH + END_LENGTH)

FIXTURE(back) {
	struct vfm_device *src;
	struct vfm_device *dst;
	struct vfm_buf got;
	struct vfm_rng rng;
	u32 to;			/* where the arc from STOP_COPY leads */
};

FIXTURE_VARIANT(back) {
	const char *type;
};

FIXTURE_VARIANT_ADD(back, full) { .type = MIGSIM_FULL };
FIXTURE_VARIANT_ADD(back, precopy) { .type = MIGSIM_PRECOPY };

static struct vfm_device *make(const char *type, u64 seed)
{
	struct vfm_device *dev = vfm_create(type);

	vfm_attr_set(dev, "state_size", STATE_SIZE);
	vfm_attr_set(dev, "stop_copy_back", 1);
	/* The other device sees for itself, each time that it ends. */
	vfm_attr_set(dev, "verify", 1);
	vfm_attr_set(dev, "seed", seed);
	return dev;
}

FIXTURE_SETUP(back)
{
	VFM_REQUIRE_TYPE(variant->type);
	self->rng = vfm_rng(0);
	self->src = make(variant->type, 1);
	self->dst = make(variant->type, 2);
	vfm_open(self->src);
	vfm_open(self->dst);
	self->to = vfm_supports(self->src, VFM_PRE_COPY_P2P) ?
		   VFM_PRE_COPY_P2P : VFM_PRE_COPY;
	vfm_allow_copy_back(self->src);
}

FIXTURE_TEARDOWN(back)
{
	vfm_buf_free(&self->got);
	vfm_destroy(self->dst);
	vfm_destroy(self->src);
}

/* Before the open that has it, with the opt-in after it. */
static void configure(struct vfm_device *dev, const char *name, u64 val)
{
	vfm_close(dev);
	vfm_attr_set(dev, name, val);
	vfm_open(dev);
	vfm_allow_copy_back(dev);
}

static void scribble(FIXTURE_DATA(back) *self, unsigned int pages)
{
	u64 val, page;

	while (pages--) {
		val = vfm_random(&self->rng);
		page = vfm_random_below(&self->rng, NR_PAGES);
		vfm_bar_write(self->src, MIGSIM_BAR_MEM, 4096 * page, &val,
			      sizeof(val));
		vfm_bar_write(self->src, MIGSIM_BAR_REGS,
			      MIGSIM_REG_SCRATCH, &val, sizeof(val));
	}
}

static void take(FIXTURE_DATA(back) *self, int fd, size_t len)
{
	ssize_t n;

	for (; len; len -= n) {
		n = vfm_read(fd, vfm_buf_room(&self->got, len), len);
		VFIO_ASSERT_GT(n, 0, "with %zu to go", len);
		self->got.len += n;
	}
}

/* Until so much is there to be read, the end section with it. */
static void wait_end(int fd, size_t left)
{
	VFM_WAIT(vfm_fionread(fd) >= left);
	VFIO_ASSERT_EQ(vfm_fionread(fd), left);
}

/* The stream to its end is a good one and makes the other device equal. */
static void check_stream(FIXTURE_DATA(back) *self, int fd)
{
	struct vfm_stream parsed;

	vfm_assert_state(self->src, VFM_STOP_COPY);
	vfm_drain(fd, &self->got, &self->rng);
	vfm_stream_parse(&parsed, &self->got);
	vfm_stream_free(&parsed);
	vfm_restore(self->dst, &self->got, &self->rng);
	VFIO_ASSERT_EQ(vfm_state_hash(self->dst), vfm_state_hash(self->src));
	close(fd);
}

/* A session that has come to STOP_COPY from PRE_COPY, all pages read. */
static int from_precopy(FIXTURE_DATA(back) *self)
{
	int fd = vfm_set_state(self->src, VFM_PRE_COPY);

	vfm_drain_err(fd, &self->got, NULL, ENOMSG);
	vfm_set_state_nofd(self->src, VFM_STOP_COPY);
	return fd;
}

TEST_F(back, needs_opt_in)
{
	int fd;

	vfm_reopen(self->src);
	fd = from_precopy(self);
	vfm_set_state_err(self->src, VFM_PRE_COPY, EINVAL);
	vfm_set_state_err(self->src, VFM_PRE_COPY_P2P, EINVAL);
	/* Early enough, since nothing of the end was read. */
	vfm_allow_copy_back(self->src);
	vfm_set_state_nofd(self->src, VFM_PRE_COPY);
	vfm_set_state_nofd(self->src, VFM_STOP_COPY);
	check_stream(self, fd);
}

TEST_F(back, opt_in_lasts)
{
	int fd;

	vfm_reset(self->src);
	fd = from_precopy(self);
	vfm_set_state_nofd(self->src, VFM_PRE_COPY);
	close(fd);
	vfm_reopen(self->src);
	fd = from_precopy(self);
	vfm_set_state_err(self->src, VFM_PRE_COPY, EINVAL);
	close(fd);
}

TEST_F(back, refusals)
{
	const u32 set = VFIO_DEVICE_FEATURE_SET;
	const u32 index = VFIO_DEVICE_FEATURE_MIGX_COPY_BACK;
	int fd;

	vfm_reopen(self->src);
	vfm_check_refusals(self->src, set, index, NULL, 0);
	/* None of them was the opt-in. */
	fd = from_precopy(self);
	vfm_set_state_err(self->src, VFM_PRE_COPY, EINVAL);
	vfm_ext_longer(self->src, set, index, NULL, 0);
	vfm_set_state_nofd(self->src, VFM_PRE_COPY);
	close(fd);
}

TEST_F(back, not_offered)
{
	const u32 index = VFIO_DEVICE_FEATURE_MIGX_COPY_BACK;
	int fd;

	vfm_close(self->src);
	vfm_attr_set(self->src, "stop_copy_back", 0);
	vfm_open(self->src);
	vfm_allow_copy_back_err(self->src, ENOTTY);
	vfm_ext_err(self->src,
		    VFIO_DEVICE_FEATURE_PROBE | VFIO_DEVICE_FEATURE_SET, index,
		    NULL, 0, ENOTTY);
	fd = from_precopy(self);
	vfm_set_state_err(self->src, VFM_PRE_COPY, EINVAL);
	vfm_set_state_err(self->src, VFM_PRE_COPY_P2P, EINVAL);
	check_stream(self, fd);
}

/* A device without PRE_COPY has nowhere to go back to, whatever it offers. */
TEST(back_without_precopy)
{
	static const char * const types[] = { MIGSIM_SNAPSHOT, MIGSIM_BASIC };
	struct vfm_device *dev;
	size_t i;

	for (i = 0; i < ARRAY_SIZE(types); i++) {
		VFM_REQUIRE_TYPE(types[i]);
		dev = make(types[i], 1);
		vfm_open(dev);
		vfm_allow_copy_back_err(dev, ENOTTY);
		vfm_destroy(dev);
	}
}

/*
 * With @len bytes of @rest read in STOP_COPY, the device goes back, changes, and
 * stops again.
 */
static void go_back_after(FIXTURE_DATA(back) *self, int fd, size_t len,
			  size_t rest)
{
	struct vfio_precopy_info info = { 0 };

	take(self, fd, len);
	wait_end(fd, rest - len);
	vfm_precopy_info_err(fd, &info, EINVAL);
	vfm_set_state_nofd(self->src, VFM_PRE_COPY);
	VFIO_ASSERT_EQ(vfm_fionread(fd), rest - len - END_LENGTH);
	vfm_precopy_info(fd, &info);
	scribble(self, 5);
	vfm_drain_err(fd, &self->got, &self->rng, ENOMSG);
	vfm_precopy_info(fd, &info);
	VFIO_ASSERT_EQ(info.initial_bytes + info.dirty_bytes, 0);
	scribble(self, 3);
	vfm_set_state_nofd(self->src, VFM_STOP_COPY);
	check_stream(self, fd);
}

TEST_F(back, from_precopy)
{
	const size_t lengths[] = { 0, 1, 56, REGS_LENGTH - 1, REGS_LENGTH };
	size_t i;

	for (i = 0; i < ARRAY_SIZE(lengths); i++) {
		vfm_reset(self->src);
		scribble(self, 10);
		self->got.len = 0;
		go_back_after(self, from_precopy(self), lengths[i],
			      REST_LENGTH);
	}
}

/* The session was opened by STOP -> STOP_COPY: nothing was noted before. */
TEST_F(back, from_stop)
{
	const size_t lengths[] = { 0, 1, 100, 5000, STATE_SIZE };
	struct vfm_buf whole = { 0 };
	size_t i;
	int fd;

	vfm_save(self->src, &whole, NULL);
	for (i = 0; i < ARRAY_SIZE(lengths); i++) {
		vfm_reset(self->src);
		vfm_reset(self->dst);
		scribble(self, 10);
		self->got.len = 0;
		vfm_set_state_nofd(self->src, VFM_STOP);
		fd = vfm_set_state(self->src, VFM_STOP_COPY);
		go_back_after(self, fd, lengths[i], whole.len);
	}
	vfm_buf_free(&whole);
}

/* A byte of the end was given away, and there is no way back; nor is it missed. */
TEST_F(back, end_given)
{
	const size_t lengths[] = { 1, 55, 56, 57, END_LENGTH - 1, END_LENGTH };
	size_t i;
	int fd;

	for (i = 0; i < ARRAY_SIZE(lengths); i++) {
		vfm_reset(self->src);
		self->got.len = 0;
		fd = from_precopy(self);
		wait_end(fd, REST_LENGTH);
		take(self, fd, REGS_LENGTH + lengths[i]);
		vfm_set_state_err(self->src, VFM_PRE_COPY, ENODATA);
		vfm_assert_state(self->src, VFM_STOP_COPY);
		vfm_set_state_err(self->src, self->to, ENODATA);
		vfm_assert_state(self->src, VFM_STOP_COPY);
		ASSERT_EQ(END_LENGTH - lengths[i], vfm_fionread(fd));
		check_stream(self, fd);
	}
}

/* Directly to the state next to it, and to the one behind that. */
TEST_F(back, both_states)
{
	int fd = from_precopy(self);

	vfm_set_state_nofd(self->src, self->to);
	scribble(self, 2);
	vfm_set_state_nofd(self->src, VFM_STOP_COPY);
	vfm_set_state_nofd(self->src, VFM_PRE_COPY);
	scribble(self, 2);
	if (self->to == VFM_PRE_COPY)
		vfm_set_state_err(self->src, VFM_PRE_COPY_P2P, EINVAL);
	vfm_set_state_nofd(self->src, VFM_STOP_COPY);
	check_stream(self, fd);
}

/* Back and forth: a stream of many sections that all belong together. */
TEST_F(back, many_times)
{
	int fd = from_precopy(self), n;

	for (n = 0; n < 40; n++) {
		vfm_set_state_nofd(self->src, n & 1 ? VFM_PRE_COPY : self->to);
		scribble(self, vfm_random_below(&self->rng, 4));
		if (vfm_random_below(&self->rng, 2))
			vfm_drain_err(fd, &self->got, &self->rng, ENOMSG);
		vfm_set_state_nofd(self->src, VFM_STOP_COPY);
		if (vfm_random_below(&self->rng, 2))
			VFM_WAIT(vfm_fionread(fd) >= REST_LENGTH);
	}
	check_stream(self, fd);
}

/*
 * In the middle of the first pass, with a window that is much smaller: pages that
 * were sent and pages that were not are changed.
 */
TEST_F(back, in_first_pass)
{
	int fd, n;

	configure(self->src, "window", 65536);
	vfm_set_state_nofd(self->src, VFM_STOP);
	fd = vfm_set_state(self->src, VFM_STOP_COPY);
	for (n = 0; n < 6; n++) {
		take(self, fd, 20000);
		vfm_set_state_nofd(self->src, VFM_PRE_COPY);
		scribble(self, 20);
		take(self, fd, 10000);
		vfm_set_state_nofd(self->src, VFM_STOP_COPY);
	}
	check_stream(self, fd);
}

/* The device fails to go: it is in STOP_COPY, and its stream is whole. */
TEST_F(back, arc_fails)
{
	int fd;

	VFM_REQUIRE_FAULTS(self->src);
	fd = from_precopy(self);
	wait_end(fd, REST_LENGTH);
	vfm_fault_arc(self->src, "arc_fail", VFM_STOP_COPY, self->to, 1, 1,
		      EXDEV);
	vfm_set_state_err(self->src, VFM_PRE_COPY, EXDEV);
	vfm_assert_state(self->src, VFM_STOP_COPY);
	ASSERT_EQ(1, vfm_fault_fired(self->src, "arc_fail", VFM_STOP_COPY,
				     self->to));
	check_stream(self, fd);
}

/* A second step fails: the first is taken back, like any. */
TEST_F(back, second_arc_fails)
{
	int fd;

	VFM_REQUIRE_FAULTS(self->src);
	if (self->to == VFM_PRE_COPY)
		return;
	fd = from_precopy(self);
	vfm_fault_arc(self->src, "arc_fail", VFM_PRE_COPY_P2P, VFM_PRE_COPY, 1,
		      1, EXDEV);
	vfm_set_state_err(self->src, VFM_PRE_COPY, EXDEV);
	vfm_assert_state(self->src, VFM_STOP_COPY);
	check_stream(self, fd);
}

/* What it still prepares for STOP_COPY does not hold up PRE_COPY. */
TEST_F(back, not_prepared)
{
	int fd;

	configure(self->src, "save_latency_us", MIGSIM_FOREVER_US);
	fd = from_precopy(self);
	ASSERT_EQ(0, vfm_fionread(fd));
	vfm_set_state_nofd(self->src, VFM_PRE_COPY);
	scribble(self, 4);
	ASSERT_EQ(POLLIN, vfm_poll(fd, POLLIN, vfm_deadline_ms()));
	vfm_drain_err(fd, &self->got, NULL, ENOMSG);
	close(fd);
}

/* It runs again, and from there the session is left as from any PRE_COPY. */
TEST_F(back, runs)
{
	u64 before, now;
	int fd;

	configure(self->src, "dirty_rate", 1 << 20);
	fd = from_precopy(self);
	vfm_bar_read(self->src, MIGSIM_BAR_REGS, MIGSIM_REG_TICKS, &before, 8);
	vfm_set_state_nofd(self->src, VFM_PRE_COPY);
	do {
		vfm_bar_read(self->src, MIGSIM_BAR_REGS, MIGSIM_REG_TICKS, &now,
			     sizeof(now));
	} while (now < before + 20);
	vfm_set_state_nofd(self->src, VFM_RUNNING);
	ASSERT_EQ(POLLERR | POLLHUP, vfm_poll(fd, POLLIN, 0));
	close(fd);
	fd = from_precopy(self);
	close(fd);
}

struct sleeper {
	struct vfm_thread thread;
	struct vfm_uffd uffd;
	struct vfm_io io;
};

/* A reader that sleeps in the copy of @len bytes. */
static void fall_asleep(struct sleeper *s, int fd, size_t len)
{
	s->io = (struct vfm_io) { .fd = fd, .buf = s->uffd.page, .len = len };
	vfm_thread_start(&s->thread, vfm_thread_read, &s->io);
	vfm_uffd_wait(&s->uffd);
}

static void wake_up(FIXTURE_DATA(back) *self, struct sleeper *s)
{
	char page[4096] = "";

	vfm_uffd_release(&s->uffd, page);
	VFIO_ASSERT_EQ(vfm_thread_join(&s->thread), s->io.len);
	vfm_buf_append(&self->got, s->uffd.page, s->io.len);
}

/* A reader sleeps in the copy of the end: it gets it, and the device stays. */
TEST_F(back, reader_in_the_end)
{
	struct sleeper reader;
	int fd;

	VFM_REQUIRE_UFFD(&reader.uffd);
	fd = from_precopy(self);
	wait_end(fd, REST_LENGTH);
	take(self, fd, REGS_LENGTH);
	fall_asleep(&reader, fd, END_LENGTH);
	vfm_set_state_err(self->src, VFM_PRE_COPY, ENODATA);
	vfm_assert_state(self->src, VFM_STOP_COPY);
	wake_up(self, &reader);
	check_stream(self, fd);
	vfm_uffd_exit(&reader.uffd);
}

/* A reader sleeps in the copy of what comes before it: the end can be withdrawn. */
TEST_F(back, reader_before_the_end)
{
	struct sleeper reader;
	int fd;

	VFM_REQUIRE_UFFD(&reader.uffd);
	fd = from_precopy(self);
	wait_end(fd, REST_LENGTH);
	fall_asleep(&reader, fd, REGS_LENGTH);
	vfm_set_state_nofd(self->src, self->to);
	wake_up(self, &reader);
	scribble(self, 4);
	vfm_set_state_nofd(self->src, VFM_STOP_COPY);
	check_stream(self, fd);
	vfm_uffd_exit(&reader.uffd);
}

static u64 stream_id(const struct vfm_buf *stream)
{
	const struct vfio_mig_stream_header *header = (void *)stream->data;

	return header->stream_id;
}

/* The stream that was loaded is the only one of its id: it cannot become another. */
TEST_F(back, no_other_under_its_id)
{
	u64 id;
	int fd;

	vfm_save(self->src, &self->got, NULL);
	id = stream_id(&self->got);
	vfm_close(self->dst);
	vfm_open(self->dst);
	vfm_restore(self->dst, &self->got, NULL);
	fd = vfm_set_state(self->dst, VFM_STOP_COPY);
	ASSERT_EQ(0, __vfm_allow_copy_back(self->dst));
	vfm_set_state_err(self->dst, self->to, ENODATA);
	vfm_assert_state(self->dst, VFM_STOP_COPY);
	self->got.len = 0;
	vfm_drain(fd, &self->got, NULL);
	ASSERT_EQ(id, stream_id(&self->got));
	close(fd);

	vfm_set_state_nofd(self->dst, VFM_STOP);
	fd = vfm_set_state(self->dst, VFM_STOP_COPY);
	vfm_set_state_nofd(self->dst, self->to);
	vfm_set_state_nofd(self->dst, VFM_STOP_COPY);
	self->got.len = 0;
	vfm_drain(fd, &self->got, NULL);
	ASSERT_NE(id, stream_id(&self->got));
	close(fd);
}

/* Reads without end, over temporary ends, to the last one. */
static long read_on(void *arg)
{
	FIXTURE_DATA(back) *self = ((void **)arg)[0];
	const int fd = *((int **)arg)[1];
	ssize_t n;

	for (;;) {
		n = vfm_read(fd, vfm_buf_room(&self->got, 4096),
			     1 + vfm_random_below(&self->rng, 300));
		if (n == -ENOMSG) {
			vfm_poll(fd, POLLIN, 100);
			continue;
		}
		if (n <= 0)
			return n;
		self->got.len += n;
	}
}

/* Whoever wins, it is one stream, with one end, of what the device is then. */
TEST_F(back, races_reader)
{
	int fd = vfm_set_state(self->src, VFM_PRE_COPY), n, none, ret = 0;
	void *arg[] = { self, &fd };
	struct vfm_rng rng = vfm_rng(1);
	struct vfm_thread reader;
	u64 val;

	vfm_thread_start(&reader, read_on, arg);
	for (n = 0; n < 300 && !ret; n++) {
		vfm_set_state_nofd(self->src, VFM_STOP_COPY);
		ret = __vfm_set_state(self->src, VFM_PRE_COPY, &none);
		if (ret)
			break;
		val = vfm_random(&rng);
		vfm_bar_write(self->src, MIGSIM_BAR_MEM,
			      4096 * vfm_random_below(&rng, NR_PAGES), &val,
			      sizeof(val));
	}
	ASSERT_TRUE(!ret || ret == -ENODATA);
	if (!ret)
		vfm_set_state_nofd(self->src, VFM_STOP_COPY);
	ASSERT_EQ(0, vfm_thread_join(&reader));
	check_stream(self, fd);
}

TEST_HARNESS_MAIN
