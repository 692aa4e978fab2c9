// SPDX-License-Identifier: GPL-2.0-only
/*
 * B9: streams that somebody made on purpose, well formed and with good checksums,
 * and still wrong. Each is refused with the errno of its class.
 */
#include <endian.h>

#include <libvfio_migration.h>

#define STATE_SIZE	(40 * 4096)	/* several sections of any size */

FIXTURE(forged) {
	struct vfm_trial t;
};

FIXTURE_VARIANT(forged) {
	const char *type;
};

FIXTURE_VARIANT_ADD(forged, full) {
	.type = MIGSIM_FULL,
};

FIXTURE_VARIANT_ADD(forged, basic) {
	.type = MIGSIM_BASIC,
};

FIXTURE_SETUP(forged)
{
	VFM_REQUIRE_TYPE(variant->type);
	vfm_trial_init(&self->t, variant->type, STATE_SIZE);
	ASSERT_LT(4, self->t.parsed.nr);
}

FIXTURE_TEARDOWN(forged)
{
	vfm_trial_exit(&self->t);
}

/* Each class of damage has its errno. */
TEST_F(forged, every_kind)
{
	const struct vfm_damage *d;
	struct vfm_trial *t = &self->t;

	vfm_for_each_damage(d) {
		d->make(t);
		vfm_trial_refused(t, d->err, d->name, 0);
	}
}

/* What is optional may be ignored, so it is. */
TEST_F(forged, optional_feature)
{
	struct vfio_mig_stream_header *h;
	struct vfm_trial *t = &self->t;

	h = vfm_trial_header(t);
	h->features_optional = htole64(1ULL << 40);
	vfm_header_seal(h);
	vfm_restore(t->dev, &t->bad, NULL);
}

/* A section that nobody knows is skipped if it says that it may be. */
TEST_F(forged, optional_section)
{
	struct vfm_trial *t = &self->t;
	struct {
		struct vfio_mig_section_header header;
		u8 payload[333];
	} extra = { 0 };
	const size_t last = t->parsed.nr - 1;
	struct vfio_mig_section_header *h;
	struct vfio_mig_section_end *end;

	vfm_trial_cut(t, t->parsed.section[last].offset);
	extra.header.type = htole32(0x1234567);
	extra.header.flags = htole32(VFIO_MIG_SECTION_OPTIONAL);
	extra.header.length = htole32(sizeof(extra.payload));
	extra.header.sequence = htole64(last);
	extra.header.stream_id = t->parsed.header->stream_id;
	vfm_section_seal(&extra.header);
	vfm_buf_append(&t->bad, &extra, sizeof(extra.header) +
		       sizeof(extra.payload));
	vfm_trial_append(t, last);
	h = (void *)(t->bad.data + t->bad.len - t->parsed.section[last].length);
	end = (void *)(h + 1);
	h->sequence = htole64(last + 1);
	end->sections = htole64(last + 1);
	end->bytes = htole64(le64toh(end->bytes) + sizeof(extra.payload));
	vfm_section_seal(h);
	vfm_restore(t->dev, &t->bad, NULL);
}

/* The type of migsim's sections of pages, whose object is the first one's index. */
#define MIGSIM_MEMORY	1

static void forge_object(struct vfm_trial *t, size_t i, u64 object)
{
	struct vfio_mig_section_header *h = vfm_trial_section(t, i);

	h->object = htole64(object);
	vfm_section_seal(h);
}

/* Beyond the memory: all of the section, its last page, or after an overflow. */
static void forge_memory(struct vfm_trial *t, size_t i)
{
	const u64 length = le32toh(t->parsed.section[i].header->length);
	const u64 last = (STATE_SIZE - length) / 4096;
	const u64 objects[] = {
		last + 1, STATE_SIZE / 4096, STATE_SIZE / 4096 + 1,
		1ULL << 52, 0xffffffff00000000ULL, ~0ULL,
	};
	size_t n;

	for (n = 0; n < ARRAY_SIZE(objects); n++) {
		forge_object(t, i, objects[n]);
		vfm_trial_refused(t, EINVAL, "object of section", i);
	}
}

/*
 * Content that only the driver can judge: the pages that it does not have. For its
 * other sections the object means nothing, so any will do.
 */
TEST_F(forged, driver_refuses)
{
	struct vfm_trial *t = &self->t;
	size_t i, memory = 0;

	for (i = 0; i < t->parsed.nr - 1; i++) {
		if (le32toh(t->parsed.section[i].header->type) == MIGSIM_MEMORY) {
			forge_memory(t, i);
			memory++;
			continue;
		}
		forge_object(t, i, ~0ULL);
		vfm_restore(t->dev, &t->bad, NULL);
		vfm_reset(t->dev);
	}
	ASSERT_LT(2, memory);
}

/* Complete, and still no state: the driver gets nothing, and has to notice. */
TEST_F(forged, nothing_in_it)
{
	struct vfm_trial *t = &self->t;
	struct vfio_mig_section_header *h;
	struct vfio_mig_section_end *end;

	vfm_trial_cut(t, t->parsed.section[0].offset);
	vfm_trial_append(t, t->parsed.nr - 1);
	h = (void *)(t->bad.data + t->parsed.section[0].offset);
	end = (void *)(h + 1);
	h->sequence = 0;
	end->sections = 0;
	end->bytes = 0;
	h->payload_sum = htole64(vfm_xxh64(end, sizeof(*end)));
	vfm_section_seal(h);
	ASSERT_EQ(-EINVAL, __vfm_restore(t->dev, t->bad.data, t->bad.len, NULL));
	vfm_assert_state(t->dev, VFM_ERROR);
}

/* Sections without payload are not for nothing: the window counts them (B6). */
TEST_F(forged, empty_sections)
{
	struct vfm_trial *t = &self->t;
	const size_t first = t->parsed.section[1].offset;
	struct vfio_mig_section_header h = {
		.type = htole32(1),
		.stream_id = t->parsed.header->stream_id,
	};
	const u64 many = 1000;
	u64 i;
	int fd;

	vfm_close(t->dev);
	vfm_attr_set(t->dev, "bandwidth", 1);
	vfm_open(t->dev);
	vfm_trial_cut(t, first);
	for (i = 1; i <= many; i++) {
		h.sequence = htole64(i);
		h.payload_sum = htole64(vfm_xxh64("", 0));
		vfm_section_seal(&h);
		vfm_buf_append(&t->bad, &h, sizeof(h));
	}
	fd = vfm_set_state(t->dev, VFM_RESUMING);
	vfm_nonblock(fd, true);
	i = 0;
	while (i < t->bad.len) {
		ssize_t n = vfm_write(fd, t->bad.data + i, t->bad.len - i);

		if (n == -EAGAIN)
			break;
		ASSERT_LT(0, n);
		i += n;
	}
	ASSERT_LT(i, t->bad.len);
	ASSERT_GE(65536 + 65536, vfm_session_holds(fd));
	ASSERT_LT(0, vfm_session_holds(fd));
	vfm_reset(t->dev);
	close(fd);
}

TEST_HARNESS_MAIN
