// SPDX-License-Identifier: GPL-2.0-only
/*
 * What no client does. Nothing here has a result to be compared; the kernel must
 * stay silent (the runner fails on any warning), nothing may hang, and the device
 * must work afterwards. A4, A6, A9 to A12, B1, B9.
 */
#include <sys/ioctl.h>

#include <libvfio_migration.h>

#include "migsim_regs.h"

#define NR_THREADS	4
#define NR_STEPS	1500
#define NR_FDS		6

FIXTURE(abuse) {
	struct vfm_device *dev;
	struct vfm_buf stream;
	struct vfm_rng rng;
};

FIXTURE_VARIANT(abuse) {
	const char *type;
};

FIXTURE_VARIANT_ADD(abuse, full) { .type = MIGSIM_FULL };
FIXTURE_VARIANT_ADD(abuse, snapshot) { .type = MIGSIM_SNAPSHOT };
FIXTURE_VARIANT_ADD(abuse, precopy) { .type = MIGSIM_PRECOPY };
FIXTURE_VARIANT_ADD(abuse, basic) { .type = MIGSIM_BASIC };

FIXTURE_SETUP(abuse)
{
	VFM_REQUIRE_TYPE(variant->type);
	self->rng = vfm_rng(0);
	self->dev = vfm_create(variant->type);
	vfm_attr_set(self->dev, "state_size", 64 * 4096);
	vfm_attr_set(self->dev, "window", 65536);
	vfm_attr_set(self->dev, "dirty_rate", 1 << 20);
	vfm_attr_set(self->dev, "drain", 1);
	vfm_attr_set(self->dev, "stop_copy_back", 1);
	vfm_open(self->dev);
	vfm_save(self->dev, &self->stream, NULL);
	vfm_reset(self->dev);
}

FIXTURE_TEARDOWN(abuse)
{
	vfm_buf_free(&self->stream);
	vfm_destroy(self->dev);
}

static void check_works(struct vfm_device *dev)
{
	struct vfm_buf got = { 0 };
	u64 hash;

	/* Somebody may have opted in to drain. */
	vfm_reopen(dev);
	vfm_reset(dev);
	vfm_assert_state(dev, VFM_RUNNING);
	vfm_save(dev, &got, NULL);
	hash = vfm_state_hash(dev);
	vfm_reset(dev);
	vfm_restore(dev, &got, NULL);
	VFIO_ASSERT_EQ(hash, vfm_state_hash(dev));
	vfm_reset(dev);
	vfm_buf_free(&got);
}

static void fill(struct vfm_rng *rng, void *data, size_t len)
{
	u8 *p = data;

	while (len--)
		*p++ = vfm_random(rng);
}

static void garbage_feature(int fd, struct vfm_rng *rng)
{
	static const u32 index[] = {
		VFIO_DEVICE_FEATURE_MIGRATION,
		VFIO_DEVICE_FEATURE_MIG_DEVICE_STATE,
		VFIO_DEVICE_FEATURE_MIG_DATA_SIZE,
		VFIO_DEVICE_FEATURE_MIG_PRECOPY_INFOv2,
		VFIO_DEVICE_FEATURE_MIGX_PATH,
		VFIO_DEVICE_FEATURE_MIGX_DRAIN,
		VFIO_DEVICE_FEATURE_MIGX_COPY_BACK,
		VFIO_DEVICE_FEATURE_MIGX_LAST_ERROR,
		0xffff,
	};
	union {
		struct vfio_device_feature feature;
		u8 bytes[256];
	} arg;

	fill(rng, &arg, sizeof(arg));
	arg.feature.argsz = vfm_random_below(rng, 4) ?
			    vfm_random_below(rng, sizeof(arg)) :
			    vfm_random(rng);
	arg.feature.flags = index[vfm_random_below(rng, ARRAY_SIZE(index))] |
			    vfm_random_below(rng, 16) << 16;
	if (!vfm_random_below(rng, 8))
		arg.feature.flags = vfm_random(rng);
	ioctl(fd, VFIO_DEVICE_FEATURE, &arg);
}

static void garbage_ioctl(int fd, struct vfm_rng *rng)
{
	u8 arg[256];
	unsigned int cmd;

	fill(rng, arg, sizeof(arg));
	switch (vfm_random_below(rng, 4)) {
	case 0:
		cmd = VFIO_MIG_GET_PRECOPY_INFO;
		break;
	case 1:
		cmd = FIONREAD;
		break;
	case 2:
		cmd = _IO(VFIO_TYPE, VFIO_BASE + vfm_random_below(rng, 40));
		break;
	default:
		cmd = _IOC(vfm_random_below(rng, 4), vfm_random(rng) & 0xff,
			   vfm_random(rng) & 0xff, vfm_random_below(rng, 256));
		break;
	}
	ioctl(fd, cmd, vfm_random_below(rng, 8) ? arg : (void *)8);
}

TEST_F(abuse, garbage_device_ioctls)
{
	int i, fd;

	for (i = 0; i < 2000; i++) {
		garbage_feature(self->dev->fd, &self->rng);
		/* It may have opened sessions, legally; their fds are garbage. */
		for (fd = 32; fd < 1024 && !(i & 63); fd++)
			close(fd);
	}
	check_works(self->dev);
}

TEST_F(abuse, garbage_data_ioctls)
{
	static const u32 states[] = {
		VFM_STOP_COPY, VFM_PRE_COPY, VFM_RESUMING,
	};
	size_t s;
	int i, fd;

	for (s = 0; s < ARRAY_SIZE(states); s++) {
		if (!vfm_supports(self->dev, states[s]))
			continue;
		fd = vfm_enter(self->dev, states[s]);
		for (i = 0; i < 500; i++)
			garbage_ioctl(fd, &self->rng);
		vfm_reset(self->dev);
		for (i = 0; i < 100; i++)
			garbage_ioctl(fd, &self->rng);
		close(fd);
	}
	check_works(self->dev);
}

/* Random bytes, and good ones with garbage in the middle. */
TEST_F(abuse, garbage_streams)
{
	struct vfm_buf bad = { 0 };
	size_t at, len;
	int i;

	for (i = 0; i < 60; i++) {
		vfm_buf_copy(&bad, &self->stream);
		at = i & 1 ? vfm_random_below(&self->rng, bad.len) : 0;
		len = vfm_random_segment(&self->rng, bad.len - at);
		fill(&self->rng, bad.data + at, len);
		__vfm_restore(self->dev, bad.data, bad.len, &self->rng);
		vfm_reset(self->dev);
	}
	vfm_buf_free(&bad);
	check_works(self->dev);
}

struct actor {
	struct vfm_device *dev;
	const struct vfm_buf *stream;
	atomic_int *fds;
	struct vfm_rng rng;
	unsigned int acts;	/* how many of them there are */
};

static void keep_fd(struct actor *a, int i, int fd)
{
	int old = atomic_exchange(&a->fds[i], fd);

	if (old >= 0)
		close(old);
}

static void act_set_state(struct actor *a, int i)
{
	int fd = -1;

	if (!__vfm_set_state(a->dev, vfm_random_below(&a->rng, 9), &fd) &&
	    fd >= 0)
		keep_fd(a, i, fd);
}

static void act_ask(struct actor *a)
{
	struct vfio_device_feature_migx_last_error error;
	struct vfio_device_feature_migx_path path;

	__vfm_query_path(a->dev, vfm_random_below(&a->rng, 9),
			 vfm_random_below(&a->rng, 9), &path);
	__vfm_last_error(a->dev, &error);
}

static void act_extend(struct actor *a, int i)
{
	const u64 any = 0;
	int fd;

	switch (vfm_random_below(&a->rng, 4)) {
	case 0:
		if (!__vfm_begin_drain(a->dev, &fd))
			keep_fd(a, i, fd);
		break;
	case 1:
		__vfm_allow_copy_back(a->dev);
		break;
	case 2:
		__vfm_ask_reinit(a->dev);
		break;
	case 3:
		__vfm_bar_write(a->dev, MIGSIM_BAR_REGS, MIGSIM_REG_RECONFIG,
				&any, sizeof(any));
		break;
	}
}

#define NR_PLAIN_ACTS	17
#define NR_ACTS		19

/* Everything that a session can be asked, by anybody, at any time. */
static void act(struct actor *a)
{
	const int i = vfm_random_below(&a->rng, NR_FDS);
	const int fd = atomic_load(&a->fds[i]);
	struct vfio_precopy_info info = { 0 };
	char buf[8192];
	u64 size;
	u32 state;
	size_t at;

	switch (vfm_random_below(&a->rng, a->acts)) {
	case 0 ... 3:
		act_set_state(a, i);
		break;
	case 4:
		__vfm_reset(a->dev);
		break;
	case 5 ... 7:
		vfm_read_nowait(fd, buf, vfm_random_below(&a->rng,
							  sizeof(buf)));
		break;
	case 8:
		vfm_read(fd, buf, 1 + vfm_random_below(&a->rng, 100));
		break;
	case 9 ... 10:
		at = vfm_random_below(&a->rng, a->stream->len);
		vfm_write(fd, a->stream->data + at,
			  vfm_random_segment(&a->rng, a->stream->len - at));
		break;
	case 11:
		vfm_poll(fd, POLLIN | POLLOUT, 0);
		__vfm_precopy_info(fd, &info);
		break;
	case 12:
		garbage_ioctl(fd, &a->rng);
		break;
	case 13:
		garbage_feature(a->dev->fd, &a->rng);
		break;
	case 14:
		__vfm_get_state(a->dev, &state);
		__vfm_data_size(a->dev, &size);
		break;
	case 15:
		if (fd >= 0 && atomic_compare_exchange_strong(&a->fds[i],
							      &(int) { fd },
							      -1))
			close(fd);
		break;
	case 16:
		act_ask(a);
		break;
	default:
		act_extend(a, i);
		break;
	}
}

static long act_all(void *arg)
{
	int i;

	for (i = 0; i < NR_STEPS; i++)
		act(arg);
	return 0;
}

/* Resets until all others are done, so that nobody sleeps in a read for ever. */
struct nudge {
	struct vfm_device *dev;
	atomic_bool stop;
};

static long nudge(void *arg)
{
	struct nudge *n = arg;

	while (!atomic_load(&n->stop)) {
		__vfm_reset(n->dev);
		usleep(2000);
	}
	return 0;
}

static void run_threads(FIXTURE_DATA(abuse) *self, unsigned int acts)
{
	struct nudge nudger = { .dev = self->dev };
	struct vfm_thread thread[NR_THREADS + 1];
	struct actor actor[NR_THREADS];
	atomic_int fds[NR_FDS];
	int i;

	for (i = 0; i < NR_FDS; i++)
		fds[i] = -1;
	for (i = 0; i < NR_THREADS; i++) {
		actor[i] = (struct actor) {
			.dev = self->dev,
			.stream = &self->stream,
			.fds = fds,
			.rng = vfm_rng(1000 + i),
			.acts = acts,
		};
		vfm_thread_start(&thread[i], act_all, &actor[i]);
	}
	vfm_thread_start(&thread[NR_THREADS], nudge, &nudger);
	for (i = 0; i < NR_THREADS; i++)
		VFIO_ASSERT_EQ(vfm_thread_join(&thread[i]), 0);
	atomic_store(&nudger.stop, true);
	vfm_thread_join(&thread[NR_THREADS]);
	for (i = 0; i < NR_FDS; i++)
		if (fds[i] >= 0)
			close(fds[i]);
	check_works(self->dev);
}

/* Apart from the others: whoever opted in to drain cannot stop the device at will. */
TEST_F(abuse, threads)
{
	run_threads(self, NR_PLAIN_ACTS);
}

TEST_F(abuse, threads_extended)
{
	run_threads(self, NR_ACTS);
}

/* Opened, used a little and closed, again and again, by whatever state. */
TEST_F(abuse, open_close)
{
	u32 state;
	int i, fd;

	for (i = 0; i < 40; i++) {
		state = i % VFM_NR_STATES;
		vfm_reopen(self->dev);
		if (!vfm_supports(self->dev, state))
			continue;
		fd = vfm_enter(self->dev, state);
		vfm_close(self->dev);
		if (fd >= 0)
			close(fd);
		vfm_open(self->dev);
	}
	check_works(self->dev);
}

TEST_HARNESS_MAIN
