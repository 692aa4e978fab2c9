// SPDX-License-Identifier: GPL-2.0-only
/*
 * B1 when memory is short: as sweep_failnth_test, for what makes, opens, closes and
 * removes a device. It is there or it is not, and what failed can be done again.
 */
#include <fcntl.h>

#include <libvfio_migration.h>

#define LIMIT	3000
#define UUID	"f0f0f0f0-0000-4000-8000-00000000f00d"
#define TYPES	"/sys/class/mdev_bus/migsim/mdev_supported_types"
#define DEVICE	"/sys/bus/mdev/devices/" UUID

FIXTURE(life) {
	struct vfm_device *dev;
	char create[256];		/* the file that makes devices */
	int fd;				/* of a session, or -1 */
	unsigned int points;
};

FIXTURE_VARIANT(life) {
	const char *type;
	enum vfm_via via;
};

FIXTURE_VARIANT_ADD(life, full) { .type = MIGSIM_FULL };
FIXTURE_VARIANT_ADD(life, basic) { .type = MIGSIM_BASIC };
FIXTURE_VARIANT_ADD(life, group) { .type = MIGSIM_FULL, .via = VFM_VIA_GROUP };

#define LIFE	FIXTURE_DATA(life)

FIXTURE_SETUP(life)
{
	VFM_REQUIRE_TYPE(variant->type);
	VFM_REQUIRE_FAILNTH();
	self->fd = -1;
	if (variant->via == VFM_VIA_GROUP && !vfm_has_group())
		SKIP(return, "no VFIO groups in this kernel");
	self->dev = vfm_create(variant->type);
	self->dev->via = variant->via;
	vfm_attr_set(self->dev, "state_size", VFM_SMALL_STATE);
	vfm_open(self->dev);
	snprintf_assert(self->create, sizeof(self->create), TYPES "/%s/create",
			variant->type);
}

FIXTURE_TEARDOWN(life)
{
	vfm_count("fail_nth_points", self->points);
	if (!self->dev)
		return;
	if (self->fd >= 0)
		close(self->fd);
	vfm_destroy(self->dev);
}

/* Does what @run does until nothing of it is left to fail. */
static void sweep(LIFE *self, const char *name, void (*prepare)(LIFE *self),
		  int (*run)(LIFE *self), void (*check)(LIFE *self, int ret))
{
	unsigned int nth;
	bool failed;
	int ret;

	for (nth = 1;; nth++) {
		VFIO_ASSERT_LT(nth, LIMIT, "%s does not end", name);
		prepare(self);
		vfm_failnth_arm(nth);
		ret = run(self);
		failed = vfm_failnth_disarm();
		VFIO_ASSERT_TRUE(!ret || failed, "%s, %u: %s", name, nth,
				 strerror(-ret));
		check(self, ret);
		if (!failed)
			break;
		self->points++;
	}
}

static void closed(LIFE *self)
{
	vfm_close(self->dev);
}

static int open_device(LIFE *self)
{
	return __vfm_open(self->dev);
}

static void check_opened(LIFE *self, int ret)
{
	if (!ret)
		vfm_assert_state(self->dev, VFM_RUNNING);
}

TEST_F_TIMEOUT(life, open, 600)
{
	sweep(self, "open", closed, open_device, check_opened);
	ASSERT_LT(0, self->points);
}

static void in_session(LIFE *self)
{
	vfm_reopen(self->dev);
	self->fd = vfm_enter(self->dev, VFM_STOP_COPY);
}

/* Nobody can be told that a close has failed. */
static int close_device(LIFE *self)
{
	vfm_close(self->dev);
	close(self->fd);
	self->fd = -1;
	return 0;
}

static void check_closed(LIFE *self, int ret)
{
	vfm_open(self->dev);
	vfm_assert_state(self->dev, VFM_RUNNING);
}

/* Which asks for no memory today. */
TEST_F_TIMEOUT(life, close, 600)
{
	sweep(self, "close", in_session, close_device, check_closed);
}

static int write_path(const char *path, const char *text)
{
	int fd = open(path, O_WRONLY | O_CLOEXEC);
	ssize_t n;

	if (fd < 0)
		return -errno;
	n = write(fd, text, strlen(text));
	n = n < 0 ? -errno : 0;
	close(fd);
	return n;
}

static bool exists(void)
{
	return !access(DEVICE, F_OK);
}

static void absent(LIFE *self)
{
	if (exists())
		VFIO_ASSERT_EQ(write_path(DEVICE "/remove", "1"), 0);
}

static int create_device(LIFE *self)
{
	return write_path(self->create, UUID);
}

static void check_created(LIFE *self, int ret)
{
	VFIO_ASSERT_EQ(!ret, exists(), "%s", strerror(-ret));
}

TEST_F_TIMEOUT(life, create, 600)
{
	/* Mainline's warns when it fails: it releases what it has not yet given up. */
	vfm_failnth_spare("vfio_create_group");
	sweep(self, "create", absent, create_device, check_created);
	vfm_failnth_spare(NULL);
	ASSERT_LT(0, self->points);
	absent(self);
}

static void present(LIFE *self)
{
	if (!exists())
		VFIO_ASSERT_EQ(create_device(self), 0);
}

static int remove_device(LIFE *self)
{
	return write_path(DEVICE "/remove", "1");
}

static void check_removed(LIFE *self, int ret)
{
	VFIO_ASSERT_EQ(!ret, !exists(), "%s", strerror(-ret));
}

TEST_F_TIMEOUT(life, remove, 600)
{
	sweep(self, "remove", present, remove_device, check_removed);
	ASSERT_LT(0, self->points);
}

TEST_HARNESS_MAIN
