// SPDX-License-Identifier: GPL-2.0-only
/*
 * B9: streams that somebody made on purpose, well formed and with good checksums,
 * and still wrong. Each is refused with the errno of its class.
 */
#include <endian.h>

#include <libvfio_migration.h>

#define STATE_SIZE	(40 * 4096)	/* several sections of any size */

FIXTURE(forged) {
	struct vfm_device *dev;
	struct vfm_buf good;
	struct vfm_buf bad;
	struct vfm_stream parsed;
	struct vfm_rng rng;
	u64 fresh;
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

static struct vfm_device *make(const char *type, u64 size)
{
	struct vfm_device *dev = vfm_create(type);

	vfm_attr_set(dev, "state_size", size);
	vfm_attr_set(dev, "window", 65536);
	vfm_open(dev);
	return dev;
}

FIXTURE_SETUP(forged)
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

FIXTURE_TEARDOWN(forged)
{
	vfm_stream_free(&self->parsed);
	vfm_buf_free(&self->bad);
	vfm_buf_free(&self->good);
	vfm_destroy(self->dev);
}

/* Nothing of a refused stream is left after a reset. */
static void refused(FIXTURE_DATA(forged) *self, int err, const char *what,
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

static struct vfio_mig_stream_header *forge_header(FIXTURE_DATA(forged) *self)
{
	vfm_buf_copy(&self->bad, &self->good);
	return (void *)self->bad.data;
}

static struct vfio_mig_section_header *forge_section(FIXTURE_DATA(forged) *self,
						      size_t i)
{
	vfm_buf_copy(&self->bad, &self->good);
	return (void *)(self->bad.data + self->parsed.section[i].offset);
}

/* Well formed, with good checksums, and still wrong. */
TEST_F(forged, stream_header)
{
	struct vfio_mig_stream_header *h;

	h = forge_header(self);
	h->version = htole32(VFIO_MIG_STREAM_VERSION + 1);
	vfm_header_seal(h);
	refused(self, EPROTONOSUPPORT, "newer format", 0);

	h = forge_header(self);
	h->features = htole64(1ULL << 40);
	vfm_header_seal(h);
	refused(self, EPROTONOSUPPORT, "unknown mandatory feature", 0);

	h = forge_header(self);
	h->id[0] ^= 0x20;
	vfm_header_seal(h);
	refused(self, EMEDIUMTYPE, "other device type", 0);

	h = forge_header(self);
	h->id[31] = 'x';
	vfm_header_seal(h);
	refused(self, EMEDIUMTYPE, "longer device type", 0);

	h = forge_header(self);
	h->size = htole64(le64toh(h->size) + 4096);
	vfm_header_seal(h);
	refused(self, EMEDIUMTYPE, "other size", 0);

	h = forge_header(self);
	h->device_version = htole32(le32toh(h->device_version) + 1000);
	vfm_header_seal(h);
	refused(self, ESTALE, "device version", 0);

	/* What is optional may be ignored, so it is. */
	h = forge_header(self);
	h->features_optional = htole64(1ULL << 40);
	vfm_header_seal(h);
	vfm_restore(self->dev, &self->bad, NULL);
	vfm_reset(self->dev);
}

TEST_F(forged, header_reserved)
{
	struct vfio_mig_stream_header *h;
	int ret;

	/* Covered by the checksum and zero; what the errno is, nobody says. */
	h = forge_header(self);
	h->reserved = htole32(1);
	vfm_header_seal(h);
	ret = __vfm_restore(self->dev, self->bad.data, self->bad.len, NULL);
	ASSERT_GT(0, ret);
	vfm_reset(self->dev);

	h = forge_header(self);
	h->padding[31] = 1;
	vfm_header_seal(h);
	ret = __vfm_restore(self->dev, self->bad.data, self->bad.len, NULL);
	ASSERT_GT(0, ret);
	vfm_reset(self->dev);

	h = forge_header(self);
	h->length = htole32(256);
	vfm_header_seal(h);
	ret = __vfm_restore(self->dev, self->bad.data, self->bad.len, NULL);
	ASSERT_GT(0, ret);
	vfm_reset(self->dev);
}

TEST_F(forged, section)
{
	const size_t mid = self->parsed.nr / 2, last = self->parsed.nr - 1;
	struct vfio_mig_section_header *h;
	struct vfio_mig_section_end *end;

	h = forge_section(self, mid);
	h->type = htole32(0x7fffffff);
	vfm_section_seal(h);
	refused(self, EPROTONOSUPPORT, "unknown mandatory section", mid);

	h = forge_section(self, mid);
	h->type = htole32(VFIO_MIG_SECTION_CORE | 77);
	vfm_section_seal(h);
	refused(self, EPROTONOSUPPORT, "unknown core section", mid);

	h = forge_section(self, mid);
	h->length = htole32(VFIO_MIG_SECTION_MAX + 1);
	h->sum = htole64(vfm_xxh64(h, sizeof(*h) - 8));
	refused(self, EMSGSIZE, "section too long", mid);

	h = forge_section(self, mid);
	h->length = htole32(0xffffffff);
	h->sum = htole64(vfm_xxh64(h, sizeof(*h) - 8));
	refused(self, EMSGSIZE, "section much too long", mid);

	h = forge_section(self, mid);
	h->sequence = htole64(le64toh(h->sequence) + 1);
	vfm_section_seal(h);
	refused(self, EPROTO, "sequence", mid);

	h = forge_section(self, mid);
	h->stream_id ^= htole64(1);
	vfm_section_seal(h);
	refused(self, EPROTO, "stream id", mid);

	h = forge_section(self, last);
	end = (void *)(h + 1);
	end->sections = htole64(le64toh(end->sections) + 1);
	vfm_section_seal(h);
	refused(self, EPROTO, "total of sections", last);

	h = forge_section(self, last);
	end = (void *)(h + 1);
	end->bytes = htole64(le64toh(end->bytes) - 1);
	vfm_section_seal(h);
	refused(self, EPROTO, "total of bytes", last);
}

static void append_section(FIXTURE_DATA(forged) *self, size_t i)
{
	vfm_buf_append(&self->bad, self->good.data +
		       self->parsed.section[i].offset,
		       self->parsed.section[i].length);
}

/* A section that nobody knows is skipped if it says that it may be. */
TEST_F(forged, optional_section)
{
	struct {
		struct vfio_mig_section_header header;
		u8 payload[333];
	} extra = { 0 };
	const size_t last = self->parsed.nr - 1;
	struct vfio_mig_section_header *h;
	struct vfio_mig_section_end *end;

	self->bad.len = 0;
	vfm_buf_append(&self->bad, self->good.data,
		       self->parsed.section[last].offset);
	extra.header.type = htole32(0x1234567);
	extra.header.flags = htole32(VFIO_MIG_SECTION_OPTIONAL);
	extra.header.length = htole32(sizeof(extra.payload));
	extra.header.sequence = htole64(last);
	extra.header.stream_id = self->parsed.header->stream_id;
	vfm_section_seal(&extra.header);
	vfm_buf_append(&self->bad, &extra, sizeof(extra.header) +
		       sizeof(extra.payload));
	append_section(self, last);
	h = (void *)(self->bad.data + self->bad.len -
		     self->parsed.section[last].length);
	end = (void *)(h + 1);
	h->sequence = htole64(last + 1);
	end->sections = htole64(last + 1);
	end->bytes = htole64(le64toh(end->bytes) + sizeof(extra.payload));
	vfm_section_seal(h);
	vfm_restore(self->dev, &self->bad, NULL);
}

/* Content that only the driver can judge: the objects it does not have. */
TEST_F(forged, driver_refuses)
{
	struct vfio_mig_section_header *h;
	size_t i;
	int ret;

	for (i = 0; i < self->parsed.nr - 1; i++) {
		h = forge_section(self, i);
		h->object = htole64(0xffffffff00000000ULL);
		vfm_section_seal(h);
		ret = __vfm_restore(self->dev, self->bad.data, self->bad.len,
				    NULL);
		ASSERT_TRUE(!ret || ret == -EINVAL || ret == -EIO)
			TH_LOG("section %zu: %d", i, ret);
		vfm_reset(self->dev);
	}
}

/* Sections without payload are not for nothing: the window counts them (B6). */
TEST_F(forged, empty_sections)
{
	const size_t first = self->parsed.section[1].offset;
	struct vfio_mig_section_header h = {
		.type = htole32(1),
		.stream_id = self->parsed.header->stream_id,
	};
	const u64 many = 1000;
	u64 i;
	int fd;

	vfm_close(self->dev);
	vfm_attr_set(self->dev, "bandwidth", 1);
	vfm_open(self->dev);
	vfm_buf_append(&self->bad, self->good.data, first);
	for (i = 1; i <= many; i++) {
		h.sequence = htole64(i);
		h.payload_sum = htole64(vfm_xxh64("", 0));
		vfm_section_seal(&h);
		vfm_buf_append(&self->bad, &h, sizeof(h));
	}
	fd = vfm_set_state(self->dev, VFM_RESUMING);
	vfm_nonblock(fd, true);
	i = 0;
	while (i < self->bad.len) {
		ssize_t n = vfm_write(fd, self->bad.data + i, self->bad.len - i);

		if (n == -EAGAIN)
			break;
		ASSERT_LT(0, n);
		i += n;
	}
	ASSERT_LT(i, self->bad.len);
	ASSERT_GE(65536 + 65536, vfm_session_holds(fd));
	ASSERT_LT(0, vfm_session_holds(fd));
	vfm_reset(self->dev);
	close(fd);
}

TEST_HARNESS_MAIN
