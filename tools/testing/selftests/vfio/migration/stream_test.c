// SPDX-License-Identifier: GPL-2.0-only
/*
 * B9, by sample: streams that are cut, longer, changed, reordered or for another
 * device are refused, each class with its own errno, and leave nothing behind that
 * a reset does not clear. Those that were forged are in stream_forged_test.
 */
#include <libvfio_migration.h>

#define STATE_SIZE	(40 * 4096)	/* several sections of any size */

FIXTURE(stream) {
	struct vfm_device *dev;
	struct vfm_buf good;
	struct vfm_buf bad;
	struct vfm_stream parsed;
	struct vfm_rng rng;
	u64 fresh;
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

static struct vfm_device *make(const char *type, u64 size)
{
	struct vfm_device *dev = vfm_create(type);

	vfm_attr_set(dev, "state_size", size);
	vfm_attr_set(dev, "window", 65536);
	vfm_open(dev);
	return dev;
}

FIXTURE_SETUP(stream)
{
	struct vfm_device *src;

	VFM_REQUIRE_TYPE(variant->type);
	self->rng = vfm_rng(0);
	src = make(variant->type, STATE_SIZE);
	vfm_bar_write(src, MIGSIM_BAR_MEM, 5000, "from the source", 15);
	vfm_save(src, &self->good, NULL);
	vfm_destroy(src);
	vfm_stream_parse(&self->parsed, &self->good);
	ASSERT_LT(4, self->parsed.nr);

	self->dev = make(variant->type, STATE_SIZE);
	vfm_set_state_nofd(self->dev, VFM_STOP);
	self->fresh = vfm_state_hash(self->dev);
	vfm_reset(self->dev);
}

FIXTURE_TEARDOWN(stream)
{
	vfm_stream_free(&self->parsed);
	vfm_buf_free(&self->bad);
	vfm_buf_free(&self->good);
	vfm_destroy(self->dev);
}

/* Nothing of a refused stream is left after a reset. */
static void refused(FIXTURE_DATA(stream) *self, int err, const char *what,
		    size_t where)
{
	int ret;

	vfm_assert_state(self->dev, VFM_RUNNING);
	ret = __vfm_restore(self->dev, self->bad.data, self->bad.len, NULL);
	VFIO_ASSERT_EQ(ret, -err, "%s at %zu: %s", what, where,
		       ret ? strerror(-ret) : "accepted");
	vfm_reset(self->dev);
	vfm_set_state_nofd(self->dev, VFM_STOP);
	VFIO_ASSERT_EQ(vfm_state_hash(self->dev), self->fresh);
	vfm_reset(self->dev);
}

TEST_F(stream, good)
{
	vfm_restore(self->dev, &self->good, &self->rng);
	vfm_reset(self->dev);
	vfm_buf_copy(&self->bad, &self->good);
	vfm_restore(self->dev, &self->bad, NULL);
	ASSERT_NE(self->fresh, vfm_state_hash(self->dev));
}

static void cut_at(FIXTURE_DATA(stream) *self, size_t at)
{
	self->bad.len = 0;
	vfm_buf_append(&self->bad, self->good.data, at);
	refused(self, ENODATA, "cut", at);
}

TEST_F(stream, cut)
{
	const struct vfm_stream *s = &self->parsed;
	size_t i, at;

	/* Around each border, a few anywhere, and around the end. */
	for (i = 0; i < s->nr; i += 1 + s->nr / 6) {
		at = s->section[i].offset;
		cut_at(self, at - 1);
		cut_at(self, at);
		cut_at(self, at + 1);
		cut_at(self, at + sizeof(struct vfio_mig_section_header));
	}
	for (i = 0; i < 16; i++)
		cut_at(self, vfm_random_below(&self->rng, self->good.len));
	for (i = 1; i < 90; i += 11)
		cut_at(self, self->good.len - i);
	cut_at(self, 0);
	cut_at(self, 1);
}

TEST_F(stream, appended)
{
	static const size_t extra[] = { 1, 56, 4096, 65536 };
	static const char zero[65536];
	size_t i;

	for (i = 0; i < ARRAY_SIZE(extra); i++) {
		vfm_buf_copy(&self->bad, &self->good);
		vfm_buf_append(&self->bad, zero, extra[i]);
		refused(self, E2BIG, "appended", extra[i]);
	}
	/* Also a second stream, however good it is. */
	vfm_buf_copy(&self->bad, &self->good);
	vfm_buf_append(&self->bad, self->good.data, self->good.len);
	refused(self, E2BIG, "appended stream", 0);
}

static int flip_errno(size_t at)
{
	return at < 8 ? EILSEQ : EBADMSG;
}

static void flip(FIXTURE_DATA(stream) *self, size_t at)
{
	vfm_buf_copy(&self->bad, &self->good);
	self->bad.data[at] ^= 1 << vfm_random_below(&self->rng, 8);
	refused(self, flip_errno(at), "flipped bit", at);
}

TEST_F(stream, flipped_header)
{
	size_t at;

	for (at = 0; at < sizeof(struct vfio_mig_stream_header); at++)
		flip(self, at);
}

TEST_F(stream, flipped_sections)
{
	const struct vfm_stream *s = &self->parsed;
	const size_t header = sizeof(struct vfio_mig_section_header);
	size_t i, at;

	/* The first, one in the middle and the end section, every byte. */
	for (i = 0; i < header; i++) {
		flip(self, s->section[0].offset + i);
		flip(self, s->section[s->nr / 2].offset + i);
		flip(self, s->section[s->nr - 1].offset + i);
	}
	for (at = s->section[s->nr - 1].offset + header; at < self->good.len;
	     at++)
		flip(self, at);
	for (i = 0; i < 48; i++)
		flip(self, sizeof(struct vfio_mig_stream_header) +
		     vfm_random_below(&self->rng, self->good.len -
				      sizeof(struct vfio_mig_stream_header)));
}

static void append_section(FIXTURE_DATA(stream) *self, size_t i)
{
	vfm_buf_append(&self->bad, self->good.data +
		       self->parsed.section[i].offset,
		       self->parsed.section[i].length);
}

/* The stream without, twice with, or with a swapped section @i. */
static void reorder(FIXTURE_DATA(stream) *self, size_t at, const char *how)
{
	const size_t nr = self->parsed.nr;
	size_t i;

	self->bad.len = 0;
	vfm_buf_append(&self->bad, self->good.data,
		       sizeof(struct vfio_mig_stream_header));
	for (i = 0; i < nr; i++) {
		if (i != at) {
			append_section(self, i);
		} else if (!strcmp(how, "repeated")) {
			append_section(self, i);
			append_section(self, i);
		} else if (!strcmp(how, "swapped")) {
			append_section(self, i + 1);
			append_section(self, i);
			i++;
		}
	}
	refused(self, EPROTO, how, at);
}

TEST_F(stream, reordered)
{
	const size_t nr = self->parsed.nr;
	size_t i;

	for (i = 0; i < nr - 1; i += i < 2 || i + 3 > nr ? 1 : nr / 4) {
		reorder(self, i, "dropped");
		reorder(self, i, "repeated");
		reorder(self, i, "swapped");
	}
	/* Without its end section a stream is only cut. */
	cut_at(self, self->parsed.section[nr - 1].offset);
}

/* Sections that are right in all but the stream that they belong to. */
TEST_F(stream, foreign_section)
{
	struct vfm_buf other = { 0 };
	struct vfm_stream parsed;
	struct vfm_device *src;
	size_t i;

	src = make(variant->type, STATE_SIZE);
	vfm_save(src, &other, NULL);
	vfm_destroy(src);
	vfm_stream_parse(&parsed, &other);
	ASSERT_EQ(self->parsed.nr, parsed.nr);
	ASSERT_NE(self->parsed.header->stream_id, parsed.header->stream_id);
	for (i = 0; i < parsed.nr; i += i + 3 > parsed.nr ? 1 : parsed.nr / 4) {
		ASSERT_EQ(self->parsed.section[i].length,
			  parsed.section[i].length);
		vfm_buf_copy(&self->bad, &self->good);
		memcpy(self->bad.data + parsed.section[i].offset,
		       parsed.section[i].header, parsed.section[i].length);
		refused(self, EPROTO, "foreign section", i);
	}
	vfm_stream_free(&parsed);
	vfm_buf_free(&other);
}

TEST_F(stream, other_device)
{
	struct vfm_device *dst;

	VFM_REQUIRE_TYPE(variant->other);
	dst = make(variant->other, STATE_SIZE);
	ASSERT_EQ(-EMEDIUMTYPE, __vfm_restore(dst, self->good.data,
					      self->good.len, NULL));
	vfm_destroy(dst);
	dst = make(variant->type, STATE_SIZE + 4096);
	ASSERT_EQ(-EMEDIUMTYPE, __vfm_restore(dst, self->good.data,
					      self->good.len, NULL));
	vfm_destroy(dst);
}

/* Found at the earliest point: a wrong header is not read past. */
TEST_F(stream, refused_early)
{
	const struct vfm_stream *s = &self->parsed;
	size_t done;
	int fd;

	vfm_buf_copy(&self->bad, &self->good);
	self->bad.data[3] ^= 4;
	fd = vfm_enter(self->dev, VFM_RESUMING);
	ASSERT_EQ(-EILSEQ, __vfm_feed(fd, self->bad.data, self->bad.len, NULL,
				      &done));
	ASSERT_GE(65536, done);
	vfm_set_state_err(self->dev, VFM_STOP, EILSEQ);
	close(fd);

	/* Bad length: refused before any of the payload is waited for. */
	vfm_reset(self->dev);
	vfm_buf_copy(&self->bad, &self->good);
	self->bad.data[s->section[1].offset + 8] ^= 1;
	fd = vfm_enter(self->dev, VFM_RESUMING);
	vfm_feed(fd, self->bad.data, s->section[1].offset, NULL);
	__vfm_feed(fd, self->bad.data + s->section[1].offset,
		   sizeof(struct vfio_mig_section_header), NULL, NULL);
	VFM_WAIT(vfm_poll(fd, POLLOUT, 0) & POLLERR);
	ASSERT_EQ(-EBADMSG, vfm_write(fd, "", 1));
	close(fd);
}

TEST_HARNESS_MAIN
