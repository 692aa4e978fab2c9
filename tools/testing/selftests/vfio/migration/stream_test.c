// SPDX-License-Identifier: GPL-2.0-only
/*
 * B9, by sample: streams that are cut, longer, changed, reordered or for another
 * device are refused, each class with its own errno, and leave nothing behind that
 * a reset does not clear. Those that were forged are in stream_forged_test, and
 * all single bits and cuts of a small one in stream_sweep_test. B10: what was loaded
 * is given back.
 */
#include <libvfio_migration.h>

#define STATE_SIZE	(40 * 4096)	/* several sections of any size */

FIXTURE(stream) {
	struct vfm_trial t;
};

FIXTURE_VARIANT(stream) {
	const char *type;
	const char *other;
};

FIXTURE_VARIANT_ADD(stream, full) {
	.type = MIGSIM_FULL,
	.other = MIGSIM_SNAPSHOT,
};

FIXTURE_VARIANT_ADD(stream, basic) {
	.type = MIGSIM_BASIC,
	.other = MIGSIM_PRECOPY,
};

FIXTURE_SETUP(stream)
{
	VFM_REQUIRE_TYPE(variant->type);
	vfm_trial_init(&self->t, variant->type, STATE_SIZE);
	ASSERT_LT(4, self->t.parsed.nr);
}

FIXTURE_TEARDOWN(stream)
{
	vfm_trial_exit(&self->t);
}

TEST_F(stream, good)
{
	struct vfm_trial *t = &self->t;

	vfm_restore(t->dev, &t->good, &t->rng);
	vfm_reset(t->dev);
	vfm_buf_copy(&t->bad, &t->good);
	vfm_restore(t->dev, &t->bad, NULL);
	ASSERT_NE(t->fresh, vfm_state_hash(t->dev));
}

static void cut_at(struct vfm_trial *t, size_t at)
{
	vfm_trial_cut(t, at);
	vfm_trial_refused(t, ENODATA, "cut", at);
}

TEST_F(stream, cut)
{
	struct vfm_trial *t = &self->t;
	const struct vfm_stream *s = &t->parsed;
	size_t i, at;

	/* Around each border, a few anywhere, and around the end. */
	for (i = 0; i < s->nr; i += 1 + s->nr / 6) {
		at = s->section[i].offset;
		cut_at(t, at - 1);
		cut_at(t, at);
		cut_at(t, at + 1);
		cut_at(t, at + sizeof(struct vfio_mig_section_header));
	}
	for (i = 0; i < 16; i++)
		cut_at(t, vfm_random_below(&t->rng, t->good.len));
	for (i = 1; i < 90; i += 11)
		cut_at(t, t->good.len - i);
	cut_at(t, 0);
	cut_at(t, 1);
}

TEST_F(stream, appended)
{
	struct vfm_trial *t = &self->t;
	static const size_t extra[] = { 1, 56, 4096, 65536 };
	static const char zero[65536];
	size_t i;

	for (i = 0; i < ARRAY_SIZE(extra); i++) {
		vfm_buf_copy(&t->bad, &t->good);
		vfm_buf_append(&t->bad, zero, extra[i]);
		vfm_trial_refused(t, E2BIG, "appended", extra[i]);
	}
	/* Also a second stream, however good it is. */
	vfm_buf_copy(&t->bad, &t->good);
	vfm_buf_append(&t->bad, t->good.data, t->good.len);
	vfm_trial_refused(t, E2BIG, "appended stream", 0);
}

static int flip_errno(size_t at)
{
	return at < 8 ? EILSEQ : EBADMSG;
}

static void flip(struct vfm_trial *t, size_t at)
{
	vfm_buf_copy(&t->bad, &t->good);
	t->bad.data[at] ^= 1 << vfm_random_below(&t->rng, 8);
	vfm_trial_refused(t, flip_errno(at), "flipped bit", at);
}

TEST_F(stream, flipped_header)
{
	struct vfm_trial *t = &self->t;
	size_t at;

	for (at = 0; at < sizeof(struct vfio_mig_stream_header); at++)
		flip(t, at);
}

TEST_F(stream, flipped_sections)
{
	struct vfm_trial *t = &self->t;
	const struct vfm_stream *s = &t->parsed;
	const size_t header = sizeof(struct vfio_mig_section_header);
	size_t i, at;

	/* The first, one in the middle and the end section, every byte. */
	for (i = 0; i < header; i++) {
		flip(t, s->section[0].offset + i);
		flip(t, s->section[s->nr / 2].offset + i);
		flip(t, s->section[s->nr - 1].offset + i);
	}
	for (at = s->section[s->nr - 1].offset + header; at < t->good.len;
	     at++)
		flip(t, at);
	for (i = 0; i < 48; i++)
		flip(t, sizeof(struct vfio_mig_stream_header) +
		     vfm_random_below(&t->rng, t->good.len -
				      sizeof(struct vfio_mig_stream_header)));
}

TEST_F(stream, reordered)
{
	struct vfm_trial *t = &self->t;
	const size_t nr = t->parsed.nr;
	size_t i;

	for (i = 0; i < nr - 1; i += i < 2 || i + 3 > nr ? 1 : nr / 4) {
		vfm_trial_drop(t, i);
		vfm_trial_refused(t, EPROTO, "dropped", i);
		vfm_trial_repeat(t, i);
		vfm_trial_refused(t, EPROTO, "repeated", i);
		vfm_trial_swap(t, i);
		vfm_trial_refused(t, EPROTO, "swapped", i);
	}
	/* Without its end section a stream is only cut. */
	cut_at(t, t->parsed.section[nr - 1].offset);
}

/* Sections that are right in all but the stream that they belong to. */
TEST_F(stream, foreign_section)
{
	struct vfm_trial *t = &self->t;
	struct vfm_buf other = { 0 };
	struct vfm_stream parsed;
	struct vfm_device *src;
	size_t i;

	src = vfm_trial_device(variant->type, STATE_SIZE);
	vfm_save(src, &other, NULL);
	vfm_destroy(src);
	vfm_stream_parse(&parsed, &other);
	ASSERT_EQ(t->parsed.nr, parsed.nr);
	ASSERT_NE(t->parsed.header->stream_id, parsed.header->stream_id);
	for (i = 0; i < parsed.nr; i += i + 3 > parsed.nr ? 1 : parsed.nr / 4) {
		ASSERT_EQ(t->parsed.section[i].length,
			  parsed.section[i].length);
		vfm_buf_copy(&t->bad, &t->good);
		memcpy(t->bad.data + parsed.section[i].offset,
		       parsed.section[i].header, parsed.section[i].length);
		vfm_trial_refused(t, EPROTO, "foreign section", i);
	}
	vfm_stream_free(&parsed);
	vfm_buf_free(&other);
}

TEST_F(stream, other_device)
{
	struct vfm_trial *t = &self->t;
	struct vfm_device *dst;

	VFM_REQUIRE_TYPE(variant->other);
	dst = vfm_trial_device(variant->other, STATE_SIZE);
	vfm_restore_err(dst, &t->good, NULL, EMEDIUMTYPE);
	vfm_destroy(dst);
	dst = vfm_trial_device(variant->type, STATE_SIZE + 4096);
	vfm_restore_err(dst, &t->good, NULL, EMEDIUMTYPE);
	vfm_destroy(dst);
}

/* Saves from STOP into t->bad. */
static void save_again(struct vfm_trial *t, struct vfm_device *dev)
{
	t->bad.len = 0;
	vfm_save(dev, &t->bad, &t->rng);
}

static void check_same_bytes(struct vfm_trial *t, struct vfm_device *dev)
{
	save_again(t, dev);
	VFIO_ASSERT_EQ(t->bad.len, t->good.len);
	VFIO_ASSERT_FALSE(memcmp(t->bad.data, t->good.data, t->good.len));
}

/* B10: what a device has loaded it gives back, byte by byte, as often as asked. */
TEST_F(stream, same_bytes)
{
	struct vfm_trial *t = &self->t;
	struct vfm_device *next;
	int fd;

	vfm_restore(t->dev, &t->good, &t->rng);
	check_same_bytes(t, t->dev);
	check_same_bytes(t, t->dev);
	/* Writes to a stopped device are dropped, and a save that is left is none. */
	vfm_bar_write(t->dev, MIGSIM_BAR_MEM, 0, "dropped", 7);
	fd = vfm_set_state(t->dev, VFM_STOP_COPY);
	ASSERT_LT(0, vfm_read(fd, vfm_buf_room(&t->bad, 1000), 1000));
	vfm_set_state_nofd(t->dev, VFM_STOP);
	close(fd);
	check_same_bytes(t, t->dev);

	next = vfm_trial_device(variant->type, STATE_SIZE);
	vfm_restore(next, &t->bad, NULL);
	check_same_bytes(t, next);
	vfm_destroy(next);
}

/* Another stream, which no section of the first one may be mixed into. */
static void check_other_stream(struct vfm_trial *t)
{
	struct vfm_stream parsed;

	save_again(t, t->dev);
	vfm_stream_parse(&parsed, &t->bad);
	VFIO_ASSERT_NE(parsed.header->stream_id, t->parsed.header->stream_id);
	vfm_stream_free(&parsed);
}

/* Once it has run, or was reset, it is another state, if perhaps an equal one. */
TEST_F(stream, other_bytes)
{
	struct vfm_trial *t = &self->t;
	int fd;

	vfm_restore(t->dev, &t->good, NULL);
	vfm_set_state_nofd(t->dev, VFM_RUNNING);
	vfm_set_state_nofd(t->dev, VFM_STOP);
	check_other_stream(t);
	vfm_restore(t->dev, &t->good, NULL);
	if (vfm_supports(t->dev, VFM_RUNNING_P2P)) {
		vfm_set_state_nofd(t->dev, VFM_RUNNING_P2P);
		vfm_set_state_nofd(t->dev, VFM_STOP);
		check_other_stream(t);
	}
	vfm_restore(t->dev, &t->good, NULL);
	vfm_reset(t->dev);
	vfm_set_state_nofd(t->dev, VFM_STOP);
	check_other_stream(t);

	/* What was refused is not what it holds. */
	vfm_restore(t->dev, &t->good, NULL);
	fd = vfm_set_state(t->dev, VFM_RESUMING);
	vfm_feed(fd, t->good.data, t->good.len - 1, NULL);
	vfm_set_state_err(t->dev, VFM_STOP, ENODATA);
	close(fd);
	vfm_reset(t->dev);
	vfm_set_state_nofd(t->dev, VFM_STOP);
	check_other_stream(t);

	/* The last close ends it too: whoever is next may do anything. */
	vfm_restore(t->dev, &t->good, NULL);
	vfm_reopen(t->dev);
	vfm_set_state_nofd(t->dev, VFM_STOP);
	check_other_stream(t);
}

/* Found at the earliest point: a wrong header is not read past. */
TEST_F(stream, refused_early)
{
	struct vfm_trial *t = &self->t;
	const struct vfm_stream *s = &t->parsed;
	size_t done;
	int fd;

	vfm_buf_copy(&t->bad, &t->good);
	t->bad.data[3] ^= 4;
	fd = vfm_enter(t->dev, VFM_RESUMING);
	done = vfm_feed_err(fd, t->bad.data, t->bad.len, NULL, EILSEQ);
	ASSERT_GE(65536, done);
	vfm_set_state_err(t->dev, VFM_STOP, EILSEQ);
	close(fd);

	/* Bad length: refused before any of the payload is waited for. */
	vfm_reset(t->dev);
	vfm_buf_copy(&t->bad, &t->good);
	t->bad.data[s->section[1].offset + 8] ^= 1;
	fd = vfm_enter(t->dev, VFM_RESUMING);
	vfm_feed(fd, t->bad.data, s->section[1].offset, NULL);
	__vfm_feed(fd, t->bad.data + s->section[1].offset,
		   sizeof(struct vfio_mig_section_header), NULL, NULL);
	VFM_WAIT(vfm_poll(fd, POLLOUT, 0) & POLLERR);
	ASSERT_EQ(-EBADMSG, vfm_write(fd, "", 1));
	close(fd);
}

TEST_HARNESS_MAIN
