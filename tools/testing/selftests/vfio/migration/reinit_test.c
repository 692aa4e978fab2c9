// SPDX-License-Identifier: GPL-2.0-only
/*
 * B8: PRECOPY_INFOv2. A device whose first pass begins again tells a client that
 * asked to be told, once, by VFIO_PRECOPY_INFO_REINIT, and no other. On every
 * kernel, whether vfio.ko knows the feature or not.
 */
#include <libvfio_migration.h>

#include "migsim_regs.h"

#define STATE_SIZE	(64 * 4096)

FIXTURE(reinit) {
	struct vfm_device *dev;
	struct vfm_device *dst;
	struct vfm_buf got;
};

FIXTURE_VARIANT(reinit) {
	const char *type;
};

FIXTURE_VARIANT_ADD(reinit, full) { .type = MIGSIM_FULL };
FIXTURE_VARIANT_ADD(reinit, precopy) { .type = MIGSIM_PRECOPY };

FIXTURE_SETUP(reinit)
{
	VFM_REQUIRE_TYPE(variant->type);
	self->dev = vfm_create(variant->type);
	vfm_attr_set(self->dev, "state_size", STATE_SIZE);
	vfm_attr_set(self->dev, "seed", 77);
	vfm_open(self->dev);
	self->dst = vfm_create(variant->type);
	vfm_attr_set(self->dst, "state_size", STATE_SIZE);
	vfm_open(self->dst);
}

FIXTURE_TEARDOWN(reinit)
{
	vfm_buf_free(&self->got);
	vfm_destroy(self->dst);
	vfm_destroy(self->dev);
}

static struct vfio_precopy_info info(int fd)
{
	struct vfio_precopy_info info = { .flags = ~0U };

	vfm_precopy_info(fd, &info);
	return info;
}

/* Any write is one. */
static void reconfigure(struct vfm_device *dev)
{
	const u64 val = 1;

	vfm_bar_write(dev, MIGSIM_BAR_REGS, MIGSIM_REG_RECONFIG, &val,
		      sizeof(val));
}

static void write_page(struct vfm_device *dev, unsigned int page)
{
	vfm_bar_write(dev, MIGSIM_BAR_MEM, 4096 * page, "written", 7);
}

/* In PRE_COPY with all of the first pass read. */
static int end_of_pass(FIXTURE_DATA(reinit) *self)
{
	int fd = vfm_set_state(self->dev, VFM_PRE_COPY);

	vfm_drain_err(fd, &self->got, NULL, ENOMSG);
	return fd;
}

/* Whatever was sent how often, it is what the device was. */
static void check_stream(FIXTURE_DATA(reinit) *self, int fd)
{
	vfm_set_state_nofd(self->dev, VFM_STOP_COPY);
	vfm_drain(fd, &self->got, NULL);
	vfm_restore(self->dst, &self->got, NULL);
	VFIO_ASSERT_EQ(vfm_state_hash(self->dst), vfm_state_hash(self->dev));
	close(fd);
}

TEST_F(reinit, told_once)
{
	struct vfio_precopy_info i;
	int fd;

	vfm_ask_reinit(self->dev);
	fd = vfm_set_state(self->dev, VFM_PRE_COPY);
	ASSERT_EQ(0, info(fd).flags);
	vfm_drain_err(fd, &self->got, NULL, ENOMSG);
	i = info(fd);
	ASSERT_EQ(0, i.flags | i.initial_bytes | i.dirty_bytes);

	/* What was dirty is part of the new pass. */
	write_page(self->dev, 3);
	ASSERT_LT(0, info(fd).dirty_bytes);
	reconfigure(self->dev);
	ASSERT_EQ(POLLIN, vfm_poll(fd, POLLIN, vfm_deadline_ms()));
	i = info(fd);
	ASSERT_EQ(VFIO_PRECOPY_INFO_REINIT, i.flags);
	ASSERT_LE(STATE_SIZE, i.initial_bytes);
	ASSERT_EQ(0, i.dirty_bytes);
	i = info(fd);
	ASSERT_EQ(0, i.flags);
	ASSERT_LE(STATE_SIZE, i.initial_bytes);
	ASSERT_EQ(0, i.dirty_bytes);

	/* From there on it is a first pass like any. */
	vfm_drain_err(fd, &self->got, NULL, ENOMSG);
	i = info(fd);
	ASSERT_EQ(0, i.flags | i.initial_bytes | i.dirty_bytes);
	write_page(self->dev, 5);
	i = info(fd);
	ASSERT_EQ(0, i.flags | i.initial_bytes);
	ASSERT_LE(4096, i.dirty_bytes);
	check_stream(self, fd);
}

/* A client that did not ask sees more to do, and reserved bits of 0. */
TEST_F(reinit, not_told)
{
	struct vfio_precopy_info i;
	int fd = end_of_pass(self);

	reconfigure(self->dev);
	ASSERT_EQ(POLLIN, vfm_poll(fd, POLLIN, vfm_deadline_ms()));
	i = info(fd);
	ASSERT_EQ(0, i.flags | i.initial_bytes);
	ASSERT_LE(STATE_SIZE, i.dirty_bytes);
	vfm_drain_err(fd, &self->got, NULL, ENOMSG);
	ASSERT_LE(2 * STATE_SIZE, self->got.len);
	i = info(fd);
	ASSERT_EQ(0, i.flags | i.initial_bytes | i.dirty_bytes);
	check_stream(self, fd);
}

/* In the middle of a pass: what is unread still comes, as part of the new one. */
TEST_F(reinit, unread)
{
	struct vfio_precopy_info i;
	size_t unread;
	int fd;

	vfm_ask_reinit(self->dev);
	fd = end_of_pass(self);
	write_page(self->dev, 1);
	write_page(self->dev, 9);
	VFM_WAIT(vfm_fionread(fd) >= 2 * 4096);
	unread = vfm_fionread(fd);
	reconfigure(self->dev);
	i = info(fd);
	ASSERT_EQ(VFIO_PRECOPY_INFO_REINIT, i.flags);
	ASSERT_LE(STATE_SIZE + unread, i.initial_bytes);
	ASSERT_EQ(0, i.dirty_bytes);
	vfm_drain_err(fd, &self->got, NULL, ENOMSG);
	i = info(fd);
	ASSERT_EQ(0, i.flags | i.initial_bytes | i.dirty_bytes);
	check_stream(self, fd);
}

/* Several are one, until it was told; then the next is another. */
TEST_F(reinit, again)
{
	int fd, n;

	vfm_ask_reinit(self->dev);
	fd = end_of_pass(self);
	for (n = 0; n < 3; n++) {
		reconfigure(self->dev);
		reconfigure(self->dev);
		ASSERT_EQ(VFIO_PRECOPY_INFO_REINIT, info(fd).flags);
		ASSERT_EQ(0, info(fd).flags);
		ASSERT_LT(0, vfm_read(fd, vfm_buf_room(&self->got, 5000), 5000));
	}
	close(fd);
}

/* A call that fails tells nothing, so the next one does. */
TEST_F(reinit, not_lost)
{
	struct vfio_precopy_info short_info = { .argsz = 8 };
	int fd;

	vfm_ask_reinit(self->dev);
	fd = end_of_pass(self);
	reconfigure(self->dev);
	vfm_precopy_info_err(fd, &short_info, EINVAL);
	ASSERT_EQ(VFIO_PRECOPY_INFO_REINIT, info(fd).flags);
	close(fd);
}

/* It belongs to the session: what happens without one is in its first pass. */
TEST_F(reinit, elsewhere)
{
	struct vfio_precopy_info i;
	int fd;

	vfm_ask_reinit(self->dev);
	reconfigure(self->dev);
	fd = vfm_set_state(self->dev, VFM_PRE_COPY);
	i = info(fd);
	ASSERT_EQ(0, i.flags);
	ASSERT_LE(STATE_SIZE, i.initial_bytes);
	reconfigure(self->dev);
	vfm_set_state_nofd(self->dev, VFM_RUNNING);
	close(fd);
	fd = vfm_set_state(self->dev, VFM_PRE_COPY);
	ASSERT_EQ(0, info(fd).flags);
	close(fd);
}

/* From the SET to the last close, also over a reset. */
TEST_F(reinit, opt_in)
{
	int fd;

	vfm_ask_reinit(self->dev);
	vfm_reset(self->dev);
	fd = end_of_pass(self);
	reconfigure(self->dev);
	ASSERT_EQ(VFIO_PRECOPY_INFO_REINIT, info(fd).flags);
	close(fd);
	vfm_reopen(self->dev);
	fd = vfm_set_state(self->dev, VFM_PRE_COPY);
	reconfigure(self->dev);
	ASSERT_EQ(0, info(fd).flags);
	/* Asked for after the fact is early enough. */
	vfm_ask_reinit(self->dev);
	ASSERT_EQ(VFIO_PRECOPY_INFO_REINIT, info(fd).flags);
	close(fd);
}

TEST_F(reinit, refusals)
{
	const u32 index = VFIO_DEVICE_FEATURE_MIG_PRECOPY_INFOv2;
	int fd;

	vfm_ext(self->dev, VFIO_DEVICE_FEATURE_PROBE | VFIO_DEVICE_FEATURE_SET,
		index, NULL, 0);
	vfm_ext_err(self->dev, VFIO_DEVICE_FEATURE_GET, index, NULL, 0, EINVAL);
	vfm_ext_err(self->dev,
		    VFIO_DEVICE_FEATURE_PROBE | VFIO_DEVICE_FEATURE_GET, index,
		    NULL, 0, EINVAL);
	/* None of them was the opt-in. */
	fd = end_of_pass(self);
	reconfigure(self->dev);
	ASSERT_EQ(0, info(fd).flags);
	close(fd);
}

/* Devices that have no PRE_COPY have no information about it. */
TEST(reinit_without_precopy)
{
	static const char * const types[] = { MIGSIM_SNAPSHOT, MIGSIM_BASIC };
	struct vfm_device *dev;
	size_t i;

	for (i = 0; i < ARRAY_SIZE(types); i++) {
		VFM_REQUIRE_TYPE(types[i]);
		dev = vfm_create_small(types[i]);
		vfm_ask_reinit_err(dev, EINVAL);
		vfm_destroy(dev);
	}
}

TEST_HARNESS_MAIN
