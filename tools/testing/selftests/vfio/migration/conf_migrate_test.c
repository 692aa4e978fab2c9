// SPDX-License-Identifier: GPL-2.0-only
/* Any device: what is saved can be restored, however it is cut, and nothing less. */
#include <libvfio_migration.h>

#define RULE_CANCEL \
	"uapi STOP_COPY -> STOP: a save can be given up, and begun again"
#define RULE_FAILED \
	"uapi MIG_DEVICE_STATE: a failed SET leaves a state of its path, or ERROR"
#define RULE_REFUSED \
	RULE_CHECK "; what write() has refused is not there"
#define RULE_KEEPS \
	"uapi RUNNING_P2P -> STOP: a stopped device does not change its state"

FIXTURE(conf) {
	struct vfm_device *dev;
	struct vfm_buf stream;
	struct vfm_rng rng;
};

VFM_TARGET_VARIANTS(conf);

FIXTURE_SETUP(conf)
{
	VFM_TARGET_GET(self->dev, &variant->claims);
	VFM_REQUIRE_RESET(self->dev);
	self->rng = vfm_rng(0);
	vfm_judge_save(self->dev, &self->stream, NULL);
	vfm_reset(self->dev);
}

FIXTURE_TEARDOWN(conf)
{
	vfm_buf_free(&self->stream);
	vfm_target_put(self->dev);
}

VFM_TARGET_CLAIMS(conf)

static bool same(const struct vfm_buf *a, const struct vfm_buf *b)
{
	return a->len == b->len && !memcmp(a->data, b->data, a->len);
}

/* Save, reset, restore, save again: a chain, and it runs at its end. */
TEST_F(conf, round_trips)
{
	struct vfm_buf next = { 0 };
	int i;

	for (i = 0; i < 4; i++) {
		vfm_judge_accepts(self->dev, &self->stream, NULL);
		if (i & 1)
			vfm_set_state_nofd(self->dev, VFM_RUNNING);
		next.len = 0;
		vfm_judge_save(self->dev, &next, NULL);
		vfm_buf_copy(&self->stream, &next);
	}
	vfm_set_state_nofd(self->dev, VFM_RUNNING);
	vfm_buf_free(&next);
}

TEST_F(conf, straight_to_running)
{
	int fd;

	vfm_judge_enter(self->dev, VFM_RESUMING, &fd);
	vfm_feed(fd, self->stream.data, self->stream.len, NULL);
	ASSERT_EQ(-1, vfm_set_state(self->dev, VFM_RUNNING)) RULE(RULE_STREAM);
	ASSERT_EQ(VFM_RUNNING, vfm_get_state(self->dev)) RULE(RULE_SYNC);
	close(fd);
}

/*
 * What can be compared of the state of a device that is stopped: what it saves or,
 * since no two of our streams are the same, migsim's hash.
 */
static void fingerprint(struct vfm_device *dev, struct vfm_buf *out)
{
	u64 hash;

	out->len = 0;
	if (vfm_target_foreign()) {
		vfm_judge_save(dev, out, NULL);
	} else {
		hash = vfm_state_hash(dev);
		vfm_buf_append(out, &hash, sizeof(hash));
	}
}

/* That of the device restored from @buf, cut by @rng. */
static void restored(struct vfm_device *dev, const struct vfm_buf *buf,
		     struct vfm_rng *rng, struct vfm_buf *out)
{
	vfm_judge_accepts(dev, buf, rng);
	fingerprint(dev, out);
}

/*
 * Streams need not be the same twice, but where they are the same after two
 * restores of one kind, another way to cut them has to give the same.
 */
TEST_F(conf, any_segments)
{
	struct vfm_buf plain = { 0 }, again = { 0 }, cut = { 0 };
	bool repeats;
	int i;

	restored(self->dev, &self->stream, NULL, &plain);
	restored(self->dev, &self->stream, NULL, &again);
	repeats = same(&plain, &again);
	for (i = 0; i < vfm_judge_rounds(&self->stream, 20); i++) {
		restored(self->dev, &self->stream, &self->rng, &cut);
		ASSERT_TRUE(!repeats || same(&plain, &cut)) RULE(RULE_SEGMENTS);
	}
	vfm_buf_free(&plain);
	vfm_buf_free(&again);
	vfm_buf_free(&cut);
}

/* The first part of it in single bytes: no header comes in one piece. */
TEST_F(conf, byte_by_byte)
{
	size_t pos, some = self->stream.len < 8192 ? self->stream.len : 8192;
	int fd;

	vfm_judge_enter(self->dev, VFM_RESUMING, &fd);
	for (pos = 0; pos < some; pos++)
		ASSERT_EQ(1, vfm_write(fd, self->stream.data + pos, 1)) {
			TH_LOG("at byte %zu", pos);
			RULE(RULE_SEGMENTS);
		}
	vfm_feed(fd, self->stream.data + some, self->stream.len - some, NULL);
	ASSERT_EQ(-1, vfm_set_state(self->dev, VFM_STOP)) RULE(RULE_SEGMENTS);
	close(fd);
}

static void check_cut(struct vfm_device *dev, const struct vfm_buf *stream,
		      size_t len)
{
	int written, ret;
	u32 state;

	ret = vfm_judge_restore(dev, stream->data, len, NULL, &written);
	VFIO_ASSERT_NE(ret, 0, VFM_RULE(RULE_CHECK) ": %zu of %zu bytes", len,
		       stream->len);
	state = vfm_get_state(dev);
	VFIO_ASSERT_TRUE(state == VFM_RESUMING || state == VFM_ERROR,
			 VFM_RULE(RULE_FAILED) ": %s", vfm_state_name(state));
}

/* Nothing that a connection which breaks would not do, so every device is asked. */
TEST_F(conf, truncated)
{
	int i;

	check_cut(self->dev, &self->stream, 0);
	check_cut(self->dev, &self->stream, 1);
	check_cut(self->dev, &self->stream, self->stream.len - 1);
	for (i = 0; i < vfm_judge_rounds(&self->stream, 30); i++)
		check_cut(self->dev, &self->stream,
			  vfm_random_below(&self->rng, self->stream.len));
	vfm_judge_accepts(self->dev, &self->stream, NULL);
}

/*
 * A damage that a write notices: the device said that it has not taken these
 * bytes, so without them the state is incomplete.
 */
TEST_F(conf, refused_is_missing)
{
	unsigned int noticed = 0;
	int written, ret;
	size_t i;

	VFM_REQUIRE_DESTRUCTIVE();
	/* The first bytes, where a header would be. */
	for (i = 0; i < vfm_judge_rounds(&self->stream, 64) &&
	     i < self->stream.len; i++) {
		self->stream.data[i] ^= 0xff;
		ret = vfm_judge_restore(self->dev, self->stream.data,
					self->stream.len, NULL, &written);
		self->stream.data[i] ^= 0xff;
		if (!written)
			continue;
		noticed++;
		ASSERT_NE(0, ret) {
			TH_LOG("byte %zu is another: write() says %s, SET STOP success",
			       i, strerror(-written));
			RULE(RULE_REFUSED);
		}
	}
	vfm_judge_accepts(self->dev, &self->stream, NULL);
	if (!noticed)
		SKIP(return, "write() has nothing to say about damaged data");
}

TEST_F(conf, cancelled)
{
	struct vfm_buf got = { 0 };
	char page[64];
	int fd, i;

	for (i = 0; i < 3; i++) {
		vfm_judge_enter(self->dev, VFM_STOP_COPY, &fd);
		ASSERT_LT(0, vfm_read(fd, page, sizeof(page)))
			RULE(RULE_DIRECTION);
		ASSERT_EQ(-1, vfm_set_state(self->dev, VFM_RUNNING))
			RULE(RULE_CANCEL);
		close(fd);
	}
	vfm_judge_save(self->dev, &got, NULL);
	vfm_judge_accepts(self->dev, &got, NULL);
	vfm_buf_free(&got);
}

TEST_F(conf, stopped_keeps_still)
{
	struct vfm_buf a = { 0 }, b = { 0 };

	/* Twice without RUNNING in between; if that repeats, it does later too. */
	vfm_set_state_nofd(self->dev, VFM_STOP);
	fingerprint(self->dev, &a);
	fingerprint(self->dev, &b);
	if (!same(&a, &b))
		SKIP(return, "its streams differ even when it has not run");
	usleep(100000);
	fingerprint(self->dev, &b);
	ASSERT_TRUE(same(&a, &b)) RULE(RULE_KEEPS);
	vfm_buf_free(&a);
	vfm_buf_free(&b);
}

/* Ours: any flipped bit is noticed, and any byte behind the end. */
TEST_F(conf, ours_checked)
{
	int written, ret, i;
	size_t at;
	u8 bit;

	VFM_REQUIRE_OURS("B9: the stream is checked");
	for (i = 0; i < vfm_judge_rounds(&self->stream, 50); i++) {
		at = vfm_random_below(&self->rng, self->stream.len);
		bit = 1 << vfm_random_below(&self->rng, 8);
		self->stream.data[at] ^= bit;
		ret = vfm_judge_restore(self->dev, self->stream.data,
					self->stream.len, &self->rng, &written);
		self->stream.data[at] ^= bit;
		ASSERT_NE(0, ret) RULE("spec B9: a flipped bit is refused");
	}
	vfm_buf_append(&self->stream, "x", 1);
	ret = vfm_judge_restore(self->dev, self->stream.data, self->stream.len,
				NULL, &written);
	ASSERT_NE(0, ret) RULE("spec B9: bytes behind the end are refused");
}

FIXTURE(precopy) {
	struct vfm_device *dev;
	struct vfm_buf stream;
};

VFM_PRECOPY_VARIANTS(precopy);

FIXTURE_SETUP(precopy)
{
	VFM_TARGET_GET(self->dev, &variant->claims);
	VFM_REQUIRE_RESET(self->dev);
}

FIXTURE_TEARDOWN(precopy)
{
	vfm_buf_free(&self->stream);
	vfm_target_put(self->dev);
}

VFM_TARGET_CLAIMS(precopy)

/* What came in PRE_COPY, and the rest: one stream. */
TEST_F(precopy, one_stream)
{
	int fd, err;

	vfm_judge_enter(self->dev, VFM_PRE_COPY, &fd);
	err = __vfm_drain(fd, &self->stream, NULL);
	ASSERT_TRUE(!err || err == -ENOMSG) RULE(RULE_STREAM);
	vfm_set_state_nofd(self->dev, VFM_STOP_COPY);
	vfm_drain(fd, &self->stream, NULL);
	close(fd);
	vfm_judge_accepts(self->dev, &self->stream, NULL);

	/* And without any of it read before. */
	vfm_judge_enter(self->dev, VFM_PRE_COPY, &fd);
	vfm_set_state_nofd(self->dev, VFM_STOP_COPY);
	self->stream.len = 0;
	vfm_drain(fd, &self->stream, NULL);
	close(fd);
	vfm_judge_accepts(self->dev, &self->stream, NULL);
}

/* What came in PRE_COPY alone is not a state. */
TEST_F(precopy, without_its_end)
{
	int fd, err;

	vfm_judge_enter(self->dev, VFM_PRE_COPY, &fd);
	err = __vfm_drain(fd, &self->stream, NULL);
	ASSERT_TRUE(!err || err == -ENOMSG) RULE(RULE_STREAM);
	close(fd);
	check_cut(self->dev, &self->stream, self->stream.len);
}

VFM_TARGET_MAIN
