// SPDX-License-Identifier: GPL-2.0-only
/*
 * B6, A5: pages and objects that are not to be had, one after the other, while a whole
 * state is saved or restored: those of the worker too, which fails for nobody that waits for an
 * answer of its own. The session says so, the device is where it was, and the next
 * migration is good.
 */
#include <libvfio_migration.h>

#define LIMIT		1000
/* Bytes: not more than any object of those. */
#define STEP		64
/* More than one node of migsim's xarray has room for. */
#define STATE_SIZE	(80 * 4096)

FIXTURE(failpage) {
	struct vfm_device *from, *to;
	struct vfm_buf good, got;
	unsigned int left;		/* of what was last skipped, see disarm() */
	unsigned int points;
	unsigned int first;		/* of those tried, less than the stride */
};

FIXTURE_VARIANT(failpage) {
	const char *type;
	const char *module;		/* whose pages, */
	bool slab;			/* or objects */
};

FIXTURE_VARIANT_ADD(failpage, core) { MIGSIM_FULL, "vfio_migration", false };
FIXTURE_VARIANT_ADD(failpage, device) { MIGSIM_FULL, "migsim", false };
FIXTURE_VARIANT_ADD(failpage, basic) { MIGSIM_BASIC, "vfio_migration", false };
FIXTURE_VARIANT_ADD(failpage, core_slab) { MIGSIM_FULL, "vfio_migration", true };
FIXTURE_VARIANT_ADD(failpage, device_slab) { MIGSIM_FULL, "migsim", true };

#define FAILPAGE	FIXTURE_DATA(failpage)
#define VARIANT		FIXTURE_VARIANT(failpage)

static struct vfm_device *device(const char *type, u64 seed)
{
	struct vfm_device *dev = vfm_create(type);

	vfm_attr_set(dev, "state_size", STATE_SIZE);
	vfm_attr_set(dev, "window", 65536);
	vfm_attr_set(dev, "seed", seed);
	vfm_open(dev);
	return dev;
}

FIXTURE_SETUP(failpage)
{
	struct vfm_rng rng = vfm_rng(0);

	VFM_REQUIRE_TYPE(variant->type);
	VFM_REQUIRE_FAILNTH();
	self->first = vfm_random_below(&rng, vfm_stride());
	self->from = device(variant->type, 1);
	self->to = device(variant->type, 2);
	vfm_bar_write(self->from, MIGSIM_BAR_MEM, 8192, "state", 5);
	vfm_bar_write(self->from, MIGSIM_BAR_MEM, STATE_SIZE - 4096, "more", 4);
	vfm_save(self->from, &self->good, NULL);
}

FIXTURE_TEARDOWN(failpage)
{
	vfm_count("fail_nth_points", self->points);
	vfm_buf_free(&self->good);
	vfm_buf_free(&self->got);
	vfm_destroy(self->from);
	vfm_destroy(self->to);
}

static void arm(FAILPAGE *self, const VARIANT *variant, unsigned int skip)
{
	const unsigned int point = self->first + skip * vfm_stride();

	if (!skip)
		self->left = ~0U;
	if (variant->slab)
		vfm_failslab_arm(variant->module, point * STEP);
	else
		vfm_failpage_arm(variant->module, point);
}

/* An object that fails once more does not count. */
static bool disarm(FAILPAGE *self, const VARIANT *variant)
{
	unsigned int left = 0;
	bool failed = variant->slab ? vfm_failslab_disarm(&left) : vfm_failpage_disarm();

	self->points += failed && (!variant->slab || left < self->left);
	self->left = left;
	return failed;
}

/* What was opened for it is closed; -ENOMEM may come from any call. */
static int save_from(struct vfm_device *dev, u32 state, struct vfm_buf *got)
{
	int fd, none, ret;

	ret = __vfm_set_state(dev, state, &fd);
	if (ret)
		return ret;
	ret = __vfm_drain(fd, got, NULL);
	if (ret == -ENOMSG) {
		ret = __vfm_set_state(dev, VFM_STOP_COPY, &none);
		if (!ret)
			ret = __vfm_drain(fd, got, NULL);
	}
	close(fd);
	return ret;
}

static void sweep_saves(FAILPAGE *self, const VARIANT *variant, u32 state)
{
	unsigned int skip;
	bool failed;
	int ret;

	for (skip = 0;; skip++) {
		VFIO_ASSERT_LT(skip, LIMIT);
		vfm_reset(self->from);
		self->got.len = 0;
		arm(self, variant, skip);
		ret = save_from(self->from, state, &self->got);
		failed = disarm(self, variant);
		VFIO_ASSERT_TRUE(!ret || (failed && ret == -ENOMEM), "page %u: %s",
				 skip, strerror(-ret));
		VFIO_ASSERT_NE(vfm_get_state(self->from), VFM_ERROR);
		if (!ret) {
			vfm_reset(self->to);
			vfm_restore(self->to, &self->got, NULL);
		}
		if (!failed)
			break;
	}
	vfm_reset(self->from);
	vfm_reset(self->to);
	vfm_move_all(self->from, self->to);
}

TEST_F(failpage, save)
{
	sweep_saves(self, variant, VFM_STOP_COPY);
	if (vfm_supports(self->from, VFM_PRE_COPY))
		sweep_saves(self, variant, VFM_PRE_COPY);
	/* migsim needs no object to save what it has. */
	if (!variant->slab || strcmp(variant->module, "migsim"))
		ASSERT_LT(0, self->points);
}

/* Writes that got no page took nothing, and are done once more. */
static int feed(int fd, const struct vfm_buf *buf)
{
	size_t pos = 0, done;
	int ret, tries = 0;

	do {
		ret = __vfm_feed(fd, buf->data + pos, buf->len - pos, NULL, &done);
		pos += done;
	} while (ret == -ENOMEM && !vfm_session_error(fd) && !tries++);
	return ret;
}

TEST_F(failpage, load)
{
	unsigned int skip;
	bool failed;
	u64 hash;
	int fd, none, ret;

	hash = vfm_state_hash(self->from);
	for (skip = 0;; skip++) {
		ASSERT_LT(skip, LIMIT);
		vfm_reset(self->to);
		fd = vfm_set_state(self->to, VFM_RESUMING);
		arm(self, variant, skip);
		ret = feed(fd, &self->good);
		if (!ret)
			ret = __vfm_set_state(self->to, VFM_STOP, &none);
		failed = disarm(self, variant);
		ASSERT_TRUE(!ret || (failed && ret == -ENOMEM))
			TH_LOG("page %u: %s", skip, strerror(-ret));
		if (!ret)
			ASSERT_EQ(hash, vfm_state_hash(self->to));
		close(fd);
		if (!failed)
			break;
	}
	/* migsim takes pages that the core has got. */
	if (variant->slab || strcmp(variant->module, "migsim"))
		ASSERT_LT(0, self->points);
}

TEST_HARNESS_MAIN
