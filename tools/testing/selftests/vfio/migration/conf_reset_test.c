// SPDX-License-Identifier: GPL-2.0-only
/* Any device that can be reset: from every state, in order. Races are in conf_hostile. */
#include <libvfio_migration.h>

FIXTURE(conf) {
	struct vfm_device *dev;
	struct vfm_buf stream;
};

VFM_TARGET_VARIANTS(conf);

FIXTURE_SETUP(conf)
{
	VFM_TARGET_GET(self->dev, &variant->claims);
	VFM_REQUIRE_RESET(self->dev);
	vfm_judge_save(self->dev, &self->stream, NULL);
	vfm_reset(self->dev);
}

FIXTURE_TEARDOWN(conf)
{
	vfm_buf_free(&self->stream);
	vfm_target_put(self->dev);
}

VFM_TARGET_CLAIMS(conf)

TEST_F(conf, from_every_state)
{
	u32 state;
	int fd;

	for (state = 0; state < VFM_NR_STATES; state++) {
		if (!vfm_supports(self->dev, state) ||
		    !vfm_judge_enter(self->dev, state, &fd))
			continue;
		ASSERT_EQ(0, __vfm_reset(self->dev)) RULE(RULE_RESET);
		ASSERT_EQ(VFM_RUNNING, vfm_get_state(self->dev)) {
			TH_LOG("from %s", vfm_state_name(state));
			RULE(RULE_RESET);
		}
		if (fd >= 0)
			vfm_judge_over(fd, state != VFM_RESUMING);
		vfm_close_data(fd);
		vfm_judge_works(self->dev);
	}
}

/* In the middle of the data, in both directions. */
TEST_F(conf, amid_data)
{
	const size_t half = self->stream.len / 2;
	char page[64];
	int fd;

	vfm_judge_enter(self->dev, VFM_STOP_COPY, &fd);
	ASSERT_LT(0, vfm_judge_read(fd, page, half < 64 ? half : 64))
		RULE(RULE_DIRECTION);
	vfm_reset(self->dev);
	ASSERT_EQ(VFM_RUNNING, vfm_get_state(self->dev)) RULE(RULE_RESET);
	vfm_judge_over(fd, true);
	close(fd);

	vfm_judge_enter(self->dev, VFM_RESUMING, &fd);
	vfm_feed(fd, self->stream.data, half, NULL);
	vfm_reset(self->dev);
	ASSERT_EQ(VFM_RUNNING, vfm_get_state(self->dev)) RULE(RULE_RESET);
	vfm_judge_over(fd, false);
	close(fd);
	vfm_judge_works(self->dev);
}

TEST_F(conf, again_and_again)
{
	int i, fd;

	for (i = 0; i < 100; i++) {
		vfm_judge_enter(self->dev, i & 1 ? VFM_STOP_COPY : VFM_RESUMING,
				&fd);
		ASSERT_EQ(0, __vfm_reset(self->dev)) RULE(RULE_RESET);
		ASSERT_EQ(0, __vfm_reset(self->dev)) RULE(RULE_RESET);
		close(fd);
	}
	vfm_judge_works(self->dev);
}

VFM_TARGET_MAIN
