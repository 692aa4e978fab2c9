// SPDX-License-Identifier: GPL-2.0-only
/*
 * VFIO migration core, KUnit tests: the fake device
 *
 * What it is good for stands in fake.h. It is torn down when its test is over, and
 * the test fails then if anything still refers to the device.
 */
#include <linux/delay.h>
#include <linux/device.h>
#include <linux/file.h>
#include <linux/math.h>
#include <linux/slab.h>

#include "fake.h"

/* What tests open the device with if they do not care. */
const struct vfio_mig_config migt_config = {
	.id = "migt",
	.size = 42,
	.version = 3,
	.min_version = 2,
	.nr_types = MIGT_TYPES,
	.window = SZ_64K,
};

static int migt_do_fault(struct migt_fake *fake, const struct migt_fault *fault,
			 int err)
{
	struct vfio_mig *mig = fake->mig;

	/* In the middle of an arc only its first step is taken (A6). */
	if (fault->what >= MIGT_RESET)
		vfio_mig_reset_done(mig);
	switch (fault->what) {
	case MIGT_FAIL:
	case MIGT_RESET_FAIL:
		return vfio_mig_fail(mig, err, MIGT_REASON, err);
	case MIGT_BREAK:
	case MIGT_RESET_BREAK:
		return vfio_mig_broken(mig, err, MIGT_REASON, err);
	case MIGT_BREAK_ZERO:
		vfio_mig_broken(mig, err, MIGT_REASON, err);
		return 0;
	case MIGT_RESET:
		KUNIT_EXPECT_TRUE(fake->test, vfio_mig_aborted(mig));
		return -ECANCELED;
	default:
		return 0;
	}
}

static int migt_arc(struct vfio_mig *mig, enum vfio_device_mig_state from,
		    enum vfio_device_mig_state to)
{
	struct migt_fake *fake = vfio_mig_priv(mig);
	unsigned int i = fake->nr_arcs++;

	if (i < ARRAY_SIZE(fake->arcs))
		fake->arcs[i] = (struct migt_arc){ from, to };
	if (fake->faults[0].call == i + 1)
		return migt_do_fault(fake, &fake->faults[0], -MIGT_ERRNO);
	if (fake->faults[1].call == i + 1)
		return migt_do_fault(fake, &fake->faults[1], -MIGT_ERRNO2);

	return fake->arc ? fake->arc(fake) : 0;
}

/**
 * migt_byte - content of every section
 * @object: of the section
 * @offset: in its payload
 *
 * Return: the byte there.
 */
u8 migt_byte(u64 object, u64 offset)
{
	return offset ^ offset >> 8 ^ offset >> 16 ^ object * 37;
}

/**
 * migt_fill - content of a section
 * @to: where to
 * @object: of the section
 * @offset: of the first byte
 * @length: bytes
 */
void migt_fill(void *to, u64 object, u64 offset, size_t length)
{
	u8 *byte = to;

	while (length--)
		*byte++ = migt_byte(object, offset++);
}

/**
 * migt_save_section - save() as the device does it by default
 * @fake: device, whose next section it is
 * @sink: gets it
 *
 * Return: VFIO_MIG_MORE while there are sections, then IDLE or DONE.
 */
int migt_save_section(struct migt_fake *fake, struct vfio_mig_sink *sink)
{
	const struct migt_section *section;
	size_t given, left, n;
	void *to;

	if (fake->next == fake->nr_sections)
		return vfio_mig_precopy(vfio_mig_state(fake->mig)) ?
		       VFIO_MIG_IDLE : VFIO_MIG_DONE;
	section = &fake->sections[fake->next++];
	vfio_mig_sink_section(sink, section->type, section->object);
	for (left = section->length; left; left -= n) {
		to = vfio_mig_sink_reserve(sink, &given);
		if (IS_ERR_OR_NULL(to))
			return to ? PTR_ERR(to) : -EINVAL;
		n = min(given, left);
		migt_fill(to, section->object, section->length - left, n);
		vfio_mig_sink_commit(sink, n);
	}

	return VFIO_MIG_MORE;
}

/**
 * migt_load_section - load() as the device does it by default
 * @fake: device
 * @source: section that it gets
 *
 * Return: VFIO_MIG_MORE.
 */
int migt_load_section(struct migt_fake *fake, struct vfio_mig_source *source)
{
	struct migt_section section = {
		.type = vfio_mig_source_type(source),
		.object = vfio_mig_source_object(source),
		.length = vfio_mig_source_left(source),
	};
	u32 offset;
	u8 byte;

	for (offset = 0; offset < section.length; offset++)
		if (vfio_mig_source_bytes(source, &byte, 1) ||
		    byte != migt_byte(section.object, offset))
			fake->corrupt++;
	if (fake->nr_loaded < ARRAY_SIZE(fake->loaded))
		fake->loaded[fake->nr_loaded] = section;
	fake->nr_loaded++;

	return VFIO_MIG_MORE;
}

static int migt_save(struct vfio_mig *mig, struct vfio_mig_sink *sink)
{
	struct migt_fake *fake = vfio_mig_priv(mig);

	fake->saves++;

	return fake->save ? fake->save(fake, sink) :
			    migt_save_section(fake, sink);
}

static int migt_load(struct vfio_mig *mig, struct vfio_mig_source *source)
{
	struct migt_fake *fake = vfio_mig_priv(mig);

	return fake->load ? fake->load(fake, source) :
			    migt_load_section(fake, source);
}

static void migt_power_on(struct vfio_mig *mig)
{
	struct migt_fake *fake = vfio_mig_priv(mig);

	fake->resets++;
	fake->nr_loaded = 0;
	fake->corrupt = 0;
	fake->next = 0;
}

/* No more than it tells by precopy_info(): the least that is right. */
static u64 migt_data_size(struct vfio_mig *mig)
{
	struct migt_fake *fake = vfio_mig_priv(mig);

	return fake->initial + fake->dirty;
}

static void migt_precopy_info(struct vfio_mig *mig,
			      struct vfio_mig_precopy *info)
{
	struct migt_fake *fake = vfio_mig_priv(mig);

	fake->infos++;
	info->initial = fake->initial;
	info->dirty = fake->dirty;
}

static const struct vfio_mig_ops migt_ops = {
	.arc = migt_arc,
	.save = migt_save,
	.load = migt_load,
	.reset = migt_power_on,
	.data_size = migt_data_size,
};

static const struct vfio_mig_ops migt_ops_precopy = {
	.arc = migt_arc,
	.save = migt_save,
	.load = migt_load,
	.reset = migt_power_on,
	.data_size = migt_data_size,
	.precopy_info = migt_precopy_info,
};

/**
 * migt_settle - wait for everything that goes on in the background
 *
 * Files that the core dropped are released, and workers have done what they can.
 */
void migt_settle(void)
{
	flush_delayed_fput();
	flush_workqueue(vfio_mig_wq);
}

/**
 * migt_expect_sessions - see that no session is left over
 * @fake: device
 * @nr: sessions that there should be, current or not
 */
void migt_expect_sessions(struct migt_fake *fake, unsigned int nr)
{
	unsigned int tries;

	/* What is under way may have to come by a CPU that is busy. */
	for (tries = 0; kref_read(&fake->mig->ref) != 1 + nr && tries < 1000; tries++) {
		migt_settle();
		usleep_range(1000, 2000);
	}
	KUNIT_EXPECT_EQ_MSG(fake->test, kref_read(&fake->mig->ref) - 1, nr,
			    "sessions");
}

static void migt_expect_section(struct migt_fake *fake, unsigned int i,
				const struct migt_section *section,
				const char *what)
{
	const struct migt_section *loaded = &fake->loaded[i];

	KUNIT_EXPECT_EQ_MSG(fake->test, loaded->type, section->type, "%s", what);
	KUNIT_EXPECT_EQ_MSG(fake->test, loaded->object, section->object, "%s",
			    what);
	KUNIT_EXPECT_EQ_MSG(fake->test, loaded->length, section->length, "%s",
			    what);
}

/**
 * migt_expect_loaded - see which sections the driver has got, and that they are right
 * @fake: device that loads by default
 * @sections: of the stream; those of unknown types are not for the driver
 * @nr: how many of them the driver should have, from the first on
 * @what: for people
 */
void migt_expect_loaded(struct migt_fake *fake,
			const struct migt_section *sections, unsigned int nr,
			const char *what)
{
	unsigned int i;

	KUNIT_EXPECT_EQ_MSG(fake->test, fake->nr_loaded, nr, "%s", what);
	KUNIT_EXPECT_EQ_MSG(fake->test, fake->corrupt, 0, "%s", what);
	for (i = 0; i < min(nr, fake->nr_loaded); sections++)
		if (sections->type < MIGT_TYPES)
			migt_expect_section(fake, i++, sections, what);
}

static void migt_end(void *data)
{
	struct migt_fake *fake = data;

	migt_close(fake);
	vfio_mig_close(fake->mig);
	migt_expect_sessions(fake, 0);
	vfio_mig_free(fake->mig);
}

static void migt_release(struct device *dev)
{
	kfree(dev);
}

static void migt_put_device(void *dev)
{
	put_device(dev);
}

/* It has a name, which is all that the core wants; nothing is registered. */
static struct device *migt_device(struct kunit *test)
{
	struct device *dev;

	dev = kzalloc(sizeof(*dev), GFP_KERNEL);
	KUNIT_ASSERT_NOT_NULL(test, dev);
	device_initialize(dev);
	dev->release = migt_release;
	KUNIT_ASSERT_EQ(test, 0,
			kunit_add_action_or_reset(test, migt_put_device, dev));
	KUNIT_ASSERT_EQ(test, 0, dev_set_name(dev, "migt"));

	return dev;
}

/**
 * migt_new - a fake device, open and RUNNING
 * @test: that it ends with
 * @flags: VFIO_MIGRATION_*
 * @config: of the opening, or NULL
 *
 * Return: the device; the test ends if there is none.
 */
struct migt_fake *migt_new(struct kunit *test, unsigned int flags,
			   const struct vfio_mig_config *config)
{
	const struct vfio_mig_ops *ops =
		flags & VFIO_MIGRATION_PRE_COPY ? &migt_ops_precopy : &migt_ops;
	struct migt_fake *fake;

	fake = kunit_kzalloc(test, sizeof(*fake), GFP_KERNEL);
	KUNIT_ASSERT_NOT_NULL(test, fake);
	fake->test = test;
	fake->vdev.dev = migt_device(test);
	fake->mig = vfio_mig_alloc(&fake->vdev, ops, flags, fake);
	KUNIT_ASSERT_NOT_ERR_OR_NULL(test, fake->mig);
	KUNIT_ASSERT_EQ(test, 0, vfio_mig_open(fake->mig, config ?: &migt_config));
	KUNIT_ASSERT_EQ(test, 0, kunit_add_action_or_reset(test, migt_end, fake));

	return fake;
}

/**
 * migt_forget - forget what was recorded, and all faults
 * @fake: device
 */
void migt_forget(struct migt_fake *fake)
{
	memset(fake->faults, 0, sizeof(fake->faults));
	fake->nr_arcs = 0;
	fake->resets = 0;
	fake->saves = 0;
}

/**
 * migt_go - SET of VFIO_DEVICE_FEATURE_MIG_DEVICE_STATE
 * @fake: device, whose newest data file this closes if another comes
 * @target: any number
 *
 * Return: 0, 1 if there is a new data file, or a negative errno.
 */
int migt_go(struct migt_fake *fake, u32 target)
{
	struct file *file;

	file = fake->vdev.mig_ops->migration_set_state(&fake->vdev, target);
	if (IS_ERR_OR_NULL(file))
		return PTR_ERR_OR_ZERO(file);
	migt_close(fake);
	fake->file = file;

	return 1;
}

/**
 * migt_state - GET of VFIO_DEVICE_FEATURE_MIG_DEVICE_STATE
 * @fake: device
 *
 * Return: the state.
 */
enum vfio_device_mig_state migt_state(struct migt_fake *fake)
{
	enum vfio_device_mig_state state = MIGT_STATES;
	int ret;

	ret = fake->vdev.mig_ops->migration_get_state(&fake->vdev, &state);
	KUNIT_EXPECT_EQ(fake->test, ret, 0);
	KUNIT_EXPECT_EQ(fake->test, state, vfio_mig_state(fake->mig));

	return state;
}

/**
 * migt_reset - VFIO_DEVICE_RESET
 * @fake: device, RUNNING afterwards
 */
void migt_reset(struct migt_fake *fake)
{
	KUNIT_EXPECT_EQ(fake->test, vfio_mig_reset(fake->mig), 0);
	KUNIT_EXPECT_EQ(fake->test, migt_state(fake), VFIO_DEVICE_STATE_RUNNING);
}

/**
 * migt_close - close(2) of the newest data file
 * @fake: device
 */
void migt_close(struct migt_fake *fake)
{
	struct file *file = fake->file;

	if (!file)
		return;
	fake->file = NULL;
	file->f_op->flush(file, NULL);
	__fput_sync(file);
}

/**
 * migt_drop - what vfio.ko does with a data file that it cannot install
 * @fake: device
 */
void migt_drop(struct migt_fake *fake)
{
	struct file *file = fake->file;

	fake->file = NULL;
	__fput_sync(file);
}
