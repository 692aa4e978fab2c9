// SPDX-License-Identifier: GPL-2.0-only
/*
 * B9, by sample: streams that are cut, longer, changed, reordered or for another
 * device are refused, each class with its own errno, and leave nothing behind that
 * a reset does not clear. Those that were forged are in stream_forged_test.
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
	ASSERT_EQ(-EMEDIUMTYPE, __vfm_restore(dst, t->good.data,
					      t->good.len, NULL));
	vfm_destroy(dst);
	dst = vfm_trial_device(variant->type, STATE_SIZE + 4096);
	ASSERT_EQ(-EMEDIUMTYPE, __vfm_restore(dst, t->good.data,
					      t->good.len, NULL));
	vfm_destroy(dst);
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
	ASSERT_EQ(-EILSEQ, __vfm_feed(fd, t->bad.data, t->bad.len, NULL,
				      &done));
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
