// SPDX-License-Identifier: GPL-2.0-only
/*
 * The kernel installs the data fd after the device has changed state. When that
 * fails, the state must be what it was and a retry must give an fd: A5, B1.
 */
#include <fcntl.h>
#include <sys/ioctl.h>
#include <sys/resource.h>

#include <libvfio_migration.h>

FIXTURE(emfile) {
	struct vfm_device *dev;
	struct vfm_buf stream;
	struct rlimit limit;
};

FIXTURE_VARIANT(emfile) {
	const char *type;
};

FIXTURE_VARIANT_ADD(emfile, full) { .type = MIGSIM_FULL };
FIXTURE_VARIANT_ADD(emfile, snapshot) { .type = MIGSIM_SNAPSHOT };
FIXTURE_VARIANT_ADD(emfile, precopy) { .type = MIGSIM_PRECOPY };
FIXTURE_VARIANT_ADD(emfile, basic) { .type = MIGSIM_BASIC };

FIXTURE_SETUP(emfile)
{
	VFM_REQUIRE_TYPE(variant->type);
	self->dev = vfm_create_small(variant->type);
	vfm_save(self->dev, &self->stream, NULL);
	vfm_reset(self->dev);
	ASSERT_EQ(0, getrlimit(RLIMIT_NOFILE, &self->limit));
}

FIXTURE_TEARDOWN(emfile)
{
	setrlimit(RLIMIT_NOFILE, &self->limit);
	vfm_buf_free(&self->stream);
	vfm_destroy(self->dev);
}

/* The lowest free number is the limit, so there is none. */
static void no_more_fds(const struct rlimit *limit)
{
	struct rlimit tight = *limit;
	int fd = open("/dev/null", O_RDONLY);

	VFIO_ASSERT_LE(0, fd);
	close(fd);
	tight.rlim_cur = fd;
	VFIO_ASSERT_EQ(setrlimit(RLIMIT_NOFILE, &tight), 0);
	VFIO_ASSERT_EQ(open("/dev/null", O_RDONLY), -1);
	VFIO_ASSERT_EQ(errno, EMFILE);
}

static int set_state_emfile(struct vfm_device *dev, const struct rlimit *limit,
			    u32 to)
{
	int fd, ret;

	no_more_fds(limit);
	ret = __vfm_set_state(dev, to, &fd);
	VFIO_ASSERT_EQ(setrlimit(RLIMIT_NOFILE, limit), 0);
	return ret;
}

/* A page that can be read and not written: the request arrives, no answer does. */
static int set_state_efault(struct vfm_device *dev, u32 to)
{
	struct vfio_device_feature_mig_state *mig;
	struct vfio_device_feature *feature;
	int ret;

	feature = mmap(NULL, 4096, PROT_READ | PROT_WRITE,
		       MAP_PRIVATE | MAP_ANONYMOUS, -1, 0);
	VFIO_ASSERT_TRUE(feature != MAP_FAILED);
	feature->argsz = sizeof(*feature) + sizeof(*mig);
	feature->flags = VFIO_DEVICE_FEATURE_SET |
			 VFIO_DEVICE_FEATURE_MIG_DEVICE_STATE;
	mig = (void *)feature->data;
	mig->device_state = to;
	VFIO_ASSERT_EQ(mprotect(feature, 4096, PROT_READ), 0);
	ret = ioctl(dev->fd, VFIO_DEVICE_FEATURE, feature) ? -errno : 0;
	munmap(feature, 4096);
	return ret;
}

static int start_in(struct vfm_device *dev, const struct vfm_buf *stream,
		    u32 state)
{
	int fd;

	vfm_reset(dev);
	fd = vfm_enter(dev, state);
	if (state == VFM_RESUMING)
		vfm_feed(fd, stream->data, stream->len, NULL);
	return fd;
}

/*
 * Where the device must be: at the start, unless the path ended a session there,
 * which nothing brings back; then in the last state before the opening arc.
 */
static u32 expected_state(const struct vfm_path *path)
{
	const u32 from = path->state[0];

	return vfm_has_session(from) ? path->state[path->arcs - 1] : from;
}

/* Whatever happened before, this device saves and restores. */
static void check_works(struct vfm_device *dev, const struct vfm_buf *stream,
			u32 to)
{
	struct vfm_buf got = { 0 };
	int fd;

	fd = vfm_set_state(dev, to);
	VFIO_ASSERT_LE(0, fd);
	vfm_assert_state(dev, to);
	if (to == VFM_RESUMING) {
		vfm_feed(fd, stream->data, stream->len, NULL);
	} else {
		vfm_drain_err(fd, &got, NULL, to == VFM_STOP_COPY ? 0 : ENOMSG);
		VFIO_ASSERT_LE(VFM_SMALL_STATE, got.len);
	}
	vfm_set_state_nofd(dev, VFM_STOP);
	close(fd);
	vfm_buf_free(&got);
}

#define for_each_opening_path(_dev, _path, _from, _to)			\
	for (_from = 0; _from < VFM_NR_STATES; _from++)			\
		for (_to = 0; _to < VFM_NR_STATES; _to++)		\
			if (_from == _to ||				\
			    !(_path = vfm_find_path((_dev)->flags, _from, \
						    _to)).arcs ||	\
			    !vfm_arc_opens(_path.state[_path.arcs - 1],	\
					   _to)) {			\
			} else

TEST_F(emfile, every_opening_path)
{
	struct vfm_path path;
	u32 from, to;
	unsigned int n = 0;
	int old;

	for_each_opening_path(self->dev, path, from, to) {
		old = start_in(self->dev, &self->stream, from);
		ASSERT_EQ(-EMFILE, set_state_emfile(self->dev, &self->limit,
						    to));
		ASSERT_EQ(expected_state(&path), vfm_get_state(self->dev))
			TH_LOG("%s to %s", vfm_state_name(from),
			       vfm_state_name(to));
		check_works(self->dev, &self->stream, to);
		if (old >= 0)
			close(old);
		n++;
	}
	ASSERT_LE(4, n);
}

TEST_F(emfile, efault)
{
	struct vfm_path path;
	u32 from, to;
	int old;

	for_each_opening_path(self->dev, path, from, to) {
		old = start_in(self->dev, &self->stream, from);
		ASSERT_EQ(-EFAULT, set_state_efault(self->dev, to));
		ASSERT_EQ(expected_state(&path), vfm_get_state(self->dev))
			TH_LOG("%s to %s", vfm_state_name(from),
			       vfm_state_name(to));
		check_works(self->dev, &self->stream, to);
		if (old >= 0)
			close(old);
	}
}

/* Again and again: nothing is held by what nobody got. */
TEST_F(emfile, many)
{
	int i;

	for (i = 0; i < 200; i++)
		ASSERT_EQ(-EMFILE, set_state_emfile(self->dev, &self->limit,
						    VFM_STOP_COPY));
	vfm_assert_state(self->dev, VFM_RUNNING);
	check_works(self->dev, &self->stream, VFM_STOP_COPY);
}

/* Walking back is a transition like any other, so it can fail: A5 again. */
TEST_F(emfile, way_back_fails)
{
	struct vfm_path path = vfm_find_path(self->dev->flags, VFM_RUNNING,
					     VFM_STOP_COPY);
	struct vfm_path back = vfm_find_path(self->dev->flags, VFM_STOP,
					     VFM_RUNNING);

	VFM_REQUIRE_FAULTS(self->dev);
	ASSERT_LE(2, path.arcs);
	vfm_fault_arc(self->dev, "arc_fail", VFM_STOP, back.state[1], 1, 1,
		      EXDEV);
	ASSERT_EQ(-EMFILE, set_state_emfile(self->dev, &self->limit,
					    VFM_STOP_COPY));
	vfm_assert_state(self->dev, VFM_STOP);
	vfm_fault_clear(self->dev);
	check_works(self->dev, &self->stream, VFM_STOP_COPY);
}

/* Not a byte came, so there is nothing to refuse when it is left later. */
TEST_F(emfile, way_back_from_resuming_fails)
{
	u64 hash;

	VFM_REQUIRE_FAULTS(self->dev);
	vfm_set_state_nofd(self->dev, VFM_STOP);
	hash = vfm_state_hash(self->dev);
	vfm_fault_arc(self->dev, "arc_fail", VFM_RESUMING, VFM_STOP, 1, 1,
		      EXDEV);
	ASSERT_EQ(-EMFILE, set_state_emfile(self->dev, &self->limit,
					    VFM_RESUMING));
	vfm_assert_state(self->dev, VFM_RESUMING);
	vfm_fault_clear(self->dev);
	vfm_set_state_nofd(self->dev, VFM_STOP);
	ASSERT_EQ(hash, vfm_state_hash(self->dev));
	check_works(self->dev, &self->stream, VFM_RESUMING);
}

static long thread_efault(void *dev)
{
	return set_state_efault(dev, VFM_STOP_COPY);
}

/* The way back is walked with the device fd no longer held: it may be closed. */
TEST_F(emfile, closed_on_way_back)
{
	struct vfm_thread setter;

	VFM_REQUIRE_FAULTS(self->dev);
	vfm_fault_arc(self->dev, "arc_stall", VFM_STOP_COPY, VFM_STOP, 1, 0, 0);
	vfm_thread_start(&setter, thread_efault, self->dev);
	VFM_WAIT(vfm_fault_fired(self->dev, "arc_stall", VFM_STOP_COPY,
				 VFM_STOP));
	vfm_close(self->dev);
	ASSERT_EQ(-EFAULT, vfm_thread_join(&setter));
	vfm_fault_clear(self->dev);
	vfm_open(self->dev);
	vfm_assert_state(self->dev, VFM_RUNNING);
	vfm_set_state_nofd(self->dev, VFM_STOP);
}

TEST_HARNESS_MAIN
