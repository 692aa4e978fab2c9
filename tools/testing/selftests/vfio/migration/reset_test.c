// SPDX-License-Identifier: GPL-2.0-only
/*
 * A6: VFIO_DEVICE_RESET from any state, at any time, whoever is blocked where:
 * ends in RUNNING, terminates the session, wakes everyone, cancels a SET_STATE.
 */
#include <libvfio_migration.h>

FIXTURE(reset) {
	struct vfm_device *dev;
	struct vfm_buf stream;
	char page[4096];
};

FIXTURE_VARIANT(reset) {
	const char *type;
};

FIXTURE_VARIANT_ADD(reset, full) { .type = MIGSIM_FULL };
FIXTURE_VARIANT_ADD(reset, snapshot) { .type = MIGSIM_SNAPSHOT };
FIXTURE_VARIANT_ADD(reset, precopy) { .type = MIGSIM_PRECOPY };
FIXTURE_VARIANT_ADD(reset, basic) { .type = MIGSIM_BASIC };

FIXTURE_SETUP(reset)
{
	VFM_REQUIRE_TYPE(variant->type);
	self->dev = vfm_create_small(variant->type);
	vfm_save(self->dev, &self->stream, NULL);
	vfm_reset(self->dev);
}

FIXTURE_TEARDOWN(reset)
{
	vfm_buf_free(&self->stream);
	vfm_destroy(self->dev);
}

static void configure(struct vfm_device *dev, const char *name, u64 val)
{
	vfm_close(dev);
	vfm_attr_set(dev, name, val);
	vfm_open(dev);
}

/* The device does a whole round trip after whatever came before. */
static void check_works(struct vfm_device *dev)
{
	struct vfm_buf got = { 0 };

	vfm_assert_state(dev, VFM_RUNNING);
	vfm_save(dev, &got, NULL);
	vfm_restore(dev, &got, NULL);
	vfm_reset(dev);
	vfm_buf_free(&got);
}

static void check_fd_over(int fd, bool saves)
{
	char c = 0;

	VFIO_ASSERT_EQ(saves ? vfm_read(fd, &c, 1) : vfm_write(fd, &c, 1),
		       -ENODEV);
	VFIO_ASSERT_EQ(vfm_poll(fd, POLLIN | POLLOUT, 0) &
		       (POLLERR | POLLHUP), POLLERR | POLLHUP);
	close(fd);
}

TEST_F(reset, every_state)
{
	u64 fresh;
	u32 state;
	int fd, i;

	vfm_close(self->dev);
	fresh = vfm_state_hash(self->dev);
	vfm_open(self->dev);

	for (state = 0; state < VFM_NR_STATES; state++) {
		if (!vfm_supports(self->dev, state))
			continue;
		vfm_bar_write(self->dev, MIGSIM_BAR_MEM, 64, "dirt", 4);
		fd = vfm_enter(self->dev, state);
		if (state == VFM_RESUMING)
			vfm_feed(fd, self->stream.data, self->stream.len / 2,
				 NULL);
		for (i = 0; i < 2; i++) {
			vfm_reset(self->dev);
			vfm_assert_state(self->dev, VFM_RUNNING);
		}
		if (fd >= 0)
			check_fd_over(fd, state != VFM_RESUMING);
		check_works(self->dev);
		vfm_close(self->dev);
		ASSERT_EQ(fresh, vfm_state_hash(self->dev));
		vfm_open(self->dev);
	}
}

TEST_F(reset, wakes_reader)
{
	struct vfm_thread reader[2], poller;
	struct vfm_io io;
	int fd;

	configure(self->dev, "save_latency_us", MIGSIM_FOREVER_US);
	fd = vfm_enter(self->dev, VFM_STOP_COPY);
	io = (struct vfm_io) { fd, self->page, 4096 };
	vfm_thread_start(&reader[0], vfm_thread_read, &io);
	vfm_thread_start(&reader[1], vfm_thread_read, &io);
	vfm_thread_start(&poller, vfm_thread_poll,
			 &(struct vfm_io) { fd, NULL, POLLIN });
	vfm_assert_blocked(&reader[0]);
	vfm_assert_blocked(&reader[1]);
	vfm_assert_blocked(&poller);
	vfm_reset(self->dev);
	ASSERT_EQ(-ENODEV, vfm_thread_join(&reader[0]));
	ASSERT_EQ(-ENODEV, vfm_thread_join(&reader[1]));
	ASSERT_EQ(POLLERR | POLLHUP, vfm_thread_join(&poller) &
		  (POLLERR | POLLHUP));
	vfm_assert_state(self->dev, VFM_RUNNING);
	check_fd_over(fd, true);
}

/* In PRE_COPY only poll waits for long; a reader is told that nothing is there. */
TEST_F(reset, wakes_precopy_poller)
{
	struct vfm_buf got = { 0 };
	struct vfm_thread poller;
	int fd;

	if (!vfm_supports(self->dev, VFM_PRE_COPY))
		return;
	fd = vfm_enter(self->dev, VFM_PRE_COPY);
	vfm_drain_err(fd, &got, NULL, ENOMSG);
	vfm_thread_start(&poller, vfm_thread_poll,
			 &(struct vfm_io) { fd, NULL, POLLIN });
	vfm_assert_blocked(&poller);
	vfm_reset(self->dev);
	ASSERT_EQ(POLLERR | POLLHUP, vfm_thread_join(&poller) &
		  (POLLERR | POLLHUP));
	check_fd_over(fd, true);
	vfm_buf_free(&got);
}

/*
 * The transition that waits for the data to be loaded refuses no writer, it lets
 * it wait: so a writer can be made to block without any timing.
 */
TEST_F(reset, wakes_writer)
{
	struct vfm_set set = { .dev = self->dev, .state = VFM_STOP };
	struct vfm_thread setter, writer, poller;
	struct vfm_io io;
	int fd;

	VFM_REQUIRE_FAULTS(self->dev);
	vfm_fault_arc(self->dev, "arc_stall", VFM_RESUMING, VFM_STOP, 1, 1, 0);
	fd = vfm_enter(self->dev, VFM_RESUMING);
	vfm_feed(fd, self->stream.data, self->stream.len, NULL);
	vfm_thread_start(&setter, vfm_thread_set_state, &set);
	VFM_WAIT(vfm_fault_fired(self->dev, "arc_stall", VFM_RESUMING,
				 VFM_STOP));
	io = (struct vfm_io) { fd, self->page, 1 };
	vfm_thread_start(&writer, vfm_thread_write, &io);
	vfm_thread_start(&poller, vfm_thread_poll,
			 &(struct vfm_io) { fd, NULL, POLLOUT });
	/* Or it is told at once that the stream is complete: also right. */
	if (!vfm_thread_blocked(&writer))
		ASSERT_EQ(-E2BIG, writer.ret);
	vfm_reset(self->dev);
	ASSERT_EQ(-ECANCELED, vfm_thread_join(&setter));
	vfm_thread_join(&writer);
	ASSERT_TRUE(writer.ret == -ENODEV || writer.ret == -E2BIG);
	ASSERT_TRUE(vfm_thread_join(&poller));
	vfm_assert_state(self->dev, VFM_RUNNING);
	check_fd_over(fd, false);
	check_works(self->dev);
}

static long write_all(void *arg)
{
	struct vfm_io *io = arg;

	return __vfm_feed(io->fd, io->buf, io->len, NULL, NULL);
}

/* Loading takes its time: the writer fills the window, and then waits. */
TEST_F(reset, wakes_writer_window_full)
{
	struct vfm_thread writer, poller;
	struct vfm_buf big = { 0 };
	struct vfm_io io, iop;
	int fd;

	vfm_close(self->dev);
	vfm_attr_set(self->dev, "state_size", 4 << 20);
	vfm_attr_set(self->dev, "window", 65536);
	vfm_open(self->dev);
	vfm_save(self->dev, &big, NULL);
	vfm_close(self->dev);
	/* Hours for the second section. */
	vfm_attr_set(self->dev, "bandwidth", 1);
	vfm_open(self->dev);
	fd = vfm_enter(self->dev, VFM_RESUMING);
	io = (struct vfm_io) { fd, big.data, big.len };
	vfm_thread_start(&writer, write_all, &io);
	VFM_WAIT(vfm_session_holds(fd) >= 65536 && !vfm_poll(fd, POLLOUT, 0));
	vfm_assert_blocked(&writer);
	iop = (struct vfm_io) { fd, NULL, POLLOUT };
	vfm_thread_start(&poller, vfm_thread_poll, &iop);
	vfm_assert_blocked(&poller);
	vfm_reset(self->dev);
	ASSERT_EQ(-ENODEV, vfm_thread_join(&writer));
	ASSERT_EQ(POLLERR | POLLHUP, vfm_thread_join(&poller) &
		  (POLLERR | POLLHUP));
	vfm_assert_state(self->dev, VFM_RUNNING);
	check_fd_over(fd, false);
	vfm_buf_free(&big);
}

TEST_F(reset, cancels_set_state)
{
	struct vfm_set set = { .dev = self->dev };
	struct vfm_thread setter, getter;
	struct vfm_path path;
	u32 from, to;
	unsigned int i;
	int old;

	VFM_REQUIRE_FAULTS(self->dev);
	for (from = 0; from < VFM_NR_STATES; from++) {
		for (to = 0; to < VFM_NR_STATES; to++) {
			if (from == to)
				continue;
			path = vfm_find_path(self->dev->flags, from, to);
			for (i = 0; i < path.arcs; i++) {
				const u32 a = path.state[i];
				const u32 b = path.state[i + 1];

				old = vfm_enter(self->dev, from);
				if (from == VFM_RESUMING)
					vfm_feed(old, self->stream.data,
						 self->stream.len, NULL);
				vfm_fault_arc(self->dev, "arc_stall", a, b,
					      1, 1, 0);
				set.state = to;
				vfm_thread_start(&setter, vfm_thread_set_state,
						 &set);
				VFM_WAIT(vfm_fault_fired(self->dev,
							 "arc_stall", a, b));
				vfm_thread_start(&getter, vfm_thread_get_state,
						 self->dev);
				vfm_reset(self->dev);
				ASSERT_EQ(-ECANCELED, vfm_thread_join(&setter));
				ASSERT_EQ(-1, set.data_fd);
				ASSERT_EQ(VFM_RUNNING,
					  vfm_thread_join(&getter));
				vfm_assert_state(self->dev, VFM_RUNNING);
				vfm_fault_clear(self->dev);
				if (old >= 0)
					check_fd_over(old,
						      from != VFM_RESUMING);
			}
		}
	}
	check_works(self->dev);
}

/* A transition that has failed already and is on its way back. */
TEST_F(reset, cancels_way_back)
{
	const struct vfm_path back = vfm_find_path(self->dev->flags, VFM_STOP,
						   VFM_RUNNING);
	struct vfm_set set = { .dev = self->dev, .state = VFM_STOP_COPY };
	struct vfm_thread setter;

	VFM_REQUIRE_FAULTS(self->dev);
	vfm_fault_arc(self->dev, "arc_fail", VFM_STOP, VFM_STOP_COPY, 1, 1,
		      EXDEV);
	vfm_fault_arc(self->dev, "arc_stall", VFM_STOP, back.state[1], 1, 1, 0);
	vfm_thread_start(&setter, vfm_thread_set_state, &set);
	VFM_WAIT(vfm_fault_fired(self->dev, "arc_stall", VFM_STOP,
				 back.state[1]));
	/* Only what kills ends the way back early, and a reset. */
	vfm_thread_signal(&setter);
	vfm_assert_blocked(&setter);
	vfm_reset(self->dev);
	ASSERT_EQ(-ECANCELED, vfm_thread_join(&setter));
	ASSERT_EQ(-1, set.data_fd);
	vfm_assert_state(self->dev, VFM_RUNNING);
	vfm_fault_clear(self->dev);
	check_works(self->dev);
}

/* Latencies are waits of an arc as well. */
TEST_F(reset, cancels_latency)
{
	struct vfm_set set = { .dev = self->dev, .state = VFM_STOP };
	struct vfm_thread setter;
	int fd;

	vfm_close(self->dev);
	vfm_attr_set(self->dev, "load_latency_us", MIGSIM_FOREVER_US);
	vfm_open(self->dev);
	fd = vfm_enter(self->dev, VFM_RESUMING);
	vfm_feed(fd, self->stream.data, self->stream.len, NULL);
	vfm_thread_start(&setter, vfm_thread_set_state, &set);
	vfm_assert_blocked(&setter);
	vfm_reset(self->dev);
	ASSERT_EQ(-ECANCELED, vfm_thread_join(&setter));
	vfm_assert_state(self->dev, VFM_RUNNING);
	check_fd_over(fd, false);

	configure(self->dev, "stop_latency_us", MIGSIM_FOREVER_US);
	vfm_thread_start(&setter, vfm_thread_set_state, &set);
	vfm_assert_blocked(&setter);
	vfm_reset(self->dev);
	ASSERT_EQ(-ECANCELED, vfm_thread_join(&setter));
	vfm_assert_state(self->dev, VFM_RUNNING);
}

struct storm {
	struct vfm_device *dev;
	const struct vfm_buf *stream;
	atomic_bool stop;
	atomic_int resets;
};

static long storm_resets(void *arg)
{
	struct storm *storm = arg;
	struct vfm_rng rng = vfm_rng(1);

	while (!atomic_load(&storm->stop)) {
		vfm_reset(storm->dev);
		atomic_fetch_add(&storm->resets, 1);
		usleep(vfm_random_below(&rng, 300));
	}
	return 0;
}

/* Every errno that a client may see when resets come at any moment. */
static bool allowed(int ret)
{
	return ret >= 0 || ret == -ECANCELED || ret == -ENODEV ||
	       ret == -ENOMSG;
}

static long storm_migrates(void *arg)
{
	struct storm *storm = arg;
	struct vfm_device *dev = storm->dev;
	struct vfm_rng rng = vfm_rng(2);
	int fd, i, ret;

	for (i = 0; i < 300 || atomic_load(&storm->resets) < 100; i++) {
		const bool save = vfm_random_below(&rng, 2);
		u32 to = save ? VFM_STOP_COPY : VFM_RESUMING;
		struct vfm_buf got = { 0 };

		fd = -1;
		ret = __vfm_set_state(dev, to, &fd);
		VFIO_ASSERT_TRUE(allowed(ret), "%s: %s", vfm_state_name(to),
				 strerror(-ret));
		if (fd < 0)
			continue;
		ret = save ? __vfm_drain(fd, &got, NULL) :
			     __vfm_feed(fd, storm->stream->data,
					storm->stream->len, NULL, NULL);
		VFIO_ASSERT_TRUE(allowed(ret), "I/O: %s", strerror(-ret));
		vfm_buf_free(&got);
		close(fd);
		fd = -1;
		ret = __vfm_set_state(dev, VFM_STOP, &fd);
		VFIO_ASSERT_TRUE(allowed(ret), "STOP: %s", strerror(-ret));
		VFIO_ASSERT_EQ(fd, -1);
	}
	return 0;
}

TEST_F(reset, storm)
{
	struct storm storm = { .dev = self->dev, .stream = &self->stream };
	struct vfm_thread resetter, migrator;

	vfm_thread_start(&resetter, storm_resets, &storm);
	vfm_thread_start(&migrator, storm_migrates, &storm);
	vfm_thread_join(&migrator);
	atomic_store(&storm.stop, true);
	vfm_thread_join(&resetter);
	vfm_reset(self->dev);
	check_works(self->dev);
}

TEST_HARNESS_MAIN
