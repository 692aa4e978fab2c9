// SPDX-License-Identifier: GPL-2.0-only
/*
 * B9, all of it: a whole stream, with every bit flipped in turn, cut at every
 * byte, longer, and with its sections in any other order. Each is refused with the
 * errno and the reason of its class, and the byte where it begins; the first error
 * stays; and a reset leaves nothing of it.
 *
 * The stream is small, so that all this can be tried. Under User Mode Linux it is.
 * An emulated machine takes too long over it: there, all bits of all headers are
 * flipped and, of the others, as many as VFM_SEED chooses.
 */
#include <libvfio_migration.h>

#define STATE_SIZE	4096
#define NR_SAMPLES	1000

FIXTURE(sweep) {
	struct vfm_trial t;
};

FIXTURE_SETUP(sweep)
{
	VFM_REQUIRE_TYPE(MIGSIM_FULL);
	vfm_trial_init(&self->t, MIGSIM_FULL, STATE_SIZE);
	vfm_set_state_nofd(self->t.dev, VFM_STOP);
}

FIXTURE_TEARDOWN(sweep)
{
	vfm_trial_exit(&self->t);
}

/* What is to be said of t->bad. */
struct verdict {
	int err;
	u64 offset;
	char reason[64];
};

/* The next write, the SET and LAST_ERROR report what the first write did. */
static void check_sticks(struct vfm_device *dev, int fd,
			 const struct verdict *v)
{
	/* What only the SET can know. */
	if (v->err == ENODATA) {
		vfm_set_state_err(dev, VFM_STOP, v->err);
		return;
	}
	VFIO_ASSERT_TRUE(vfm_poll(fd, 0, vfm_deadline_ms()) & POLLERR);
	VFIO_ASSERT_EQ(vfm_write(fd, "", 1), -v->err);
	vfm_assert_last_error(dev, v->err, VFM_RESUMING, VFM_RESUMING,
			      VFM_RESUMING, v->offset, v->reason);
	vfm_set_state_err(dev, VFM_STOP, v->err);
}

/* From STOP to STOP, with t->bad in between. */
static void refused(struct vfm_trial *t, const struct verdict *v)
{
	int fd = vfm_set_state(t->dev, VFM_RESUMING);
	int ret = __vfm_feed(fd, t->bad.data, t->bad.len, NULL, NULL);

	VFIO_ASSERT_TRUE(!ret || ret == -v->err, "%s, not %s: %s",
			 strerror(-ret), strerror(v->err), v->reason);
	check_sticks(t->dev, fd, v);
	vfm_assert_last_error(t->dev, v->err, VFM_RESUMING, VFM_STOP, VFM_ERROR,
			      v->offset, v->reason);
	close(fd);
	vfm_trial_clean(t);
}

/* The section that byte @at is in, which is not in the stream header. */
static size_t section_of(const struct vfm_stream *s, size_t at)
{
	size_t i = s->nr - 1;

	while (at < s->section[i].offset)
		i--;
	return i;
}

static struct verdict of_flip(const struct vfm_trial *t, size_t at)
{
	const struct vfm_section *s;
	struct verdict v = { .err = EBADMSG };
	size_t i;

	if (at < sizeof(t->parsed.header->magic)) {
		v.err = EILSEQ;
		strcpy(v.reason, "not a migration stream");
		return v;
	}
	if (at < sizeof(*t->parsed.header)) {
		strcpy(v.reason, "checksum of the stream header");
		return v;
	}
	i = section_of(&t->parsed, at);
	s = &t->parsed.section[i];
	v.offset = s->offset;
	snprintf_assert(v.reason, sizeof(v.reason), "checksum of %ssection %zu",
			at < s->offset + sizeof(*s->header) ?
			"the header of " : "", i);
	return v;
}

static void flip(struct vfm_trial *t, size_t bit)
{
	const struct verdict v = of_flip(t, bit / 8);

	t->bad.data[bit / 8] ^= 1 << bit % 8;
	refused(t, &v);
	t->bad.data[bit / 8] ^= 1 << bit % 8;
}

static bool everything_is_fast(void)
{
	char line[256];
	bool uml = false;
	FILE *file;

	file = fopen("/proc/cpuinfo", "r");
	while (file && fgets(line, sizeof(line), file))
		uml |= !!strstr(line, "User Mode Linux");
	if (file)
		fclose(file);
	return uml;
}

/* All bits from @from up to @to. */
static void flip_all(struct vfm_trial *t, size_t from, size_t to)
{
	size_t bit;

	vfm_buf_copy(&t->bad, &t->good);
	for (bit = 8 * from; bit < 8 * to; bit++)
		flip(t, bit);
}

TEST_F(sweep, stream_header)
{
	flip_all(&self->t, 0, sizeof(struct vfio_mig_stream_header));
}

TEST_F(sweep, section_headers)
{
	const struct vfm_stream *s = &self->t.parsed;
	size_t i;

	for (i = 0; i < s->nr; i++)
		flip_all(&self->t, s->section[i].offset, s->section[i].offset +
			 sizeof(struct vfio_mig_section_header));
}

static void flip_payload(struct vfm_trial *t, size_t i)
{
	const struct vfm_section *s = &t->parsed.section[i];

	flip_all(t, s->offset + sizeof(*s->header), s->offset + s->length);
}

static void flip_samples(struct vfm_trial *t)
{
	const struct vfm_stream *s = &t->parsed;
	size_t n, bit;

	vfm_buf_copy(&t->bad, &t->good);
	for (n = 0; n < NR_SAMPLES; n++) {
		const struct vfm_section *in;

		do {
			bit = vfm_random_below(&t->rng, 8 * t->good.len);
			in = &s->section[section_of(s, bit / 8)];
		} while (bit / 8 < in->offset + sizeof(*in->header));
		flip(t, bit);
	}
}

TEST_F(sweep, payloads)
{
	struct vfm_trial *t = &self->t;
	size_t i;

	if (!everything_is_fast()) {
		TH_LOG("%u bits of payloads, since this is not User Mode Linux",
		       NR_SAMPLES);
		flip_samples(t);
		return;
	}
	TH_LOG("all bits of payloads");
	for (i = 0; i < t->parsed.nr; i++)
		flip_payload(t, i);
}

TEST_F(sweep, cut)
{
	struct verdict v = { .err = ENODATA, .reason = "ends before" };
	struct vfm_trial *t = &self->t;

	for (v.offset = 0; v.offset < t->good.len; v.offset++) {
		vfm_trial_cut(t, v.offset);
		refused(t, &v);
	}
}

TEST_F(sweep, appended)
{
	static const size_t lengths[] = { 1, 4096 };
	struct vfm_trial *t = &self->t;
	struct verdict v = {
		.err = E2BIG,
		.offset = t->good.len,
		.reason = "after the end",
	};
	u8 more[4096];
	size_t i;

	for (i = 0; i < sizeof(more); i++)
		more[i] = vfm_random(&t->rng);
	for (i = 0; i < ARRAY_SIZE(lengths); i++) {
		vfm_buf_copy(&t->bad, &t->good);
		vfm_buf_append(&t->bad, more, lengths[i]);
		refused(t, &v);
	}
}

/*
 * t->bad of sections of the good stream, in the order of @order, that is ended by
 * t->parsed.nr. What is wrong is the first that is not the next one.
 */
static struct verdict arrange(struct vfm_trial *t, const size_t *order)
{
	struct verdict v = { 0 };
	size_t i;

	vfm_trial_cut(t, sizeof(struct vfio_mig_stream_header));
	for (i = 0; order[i] < t->parsed.nr; i++) {
		if (!v.err && order[i] != i) {
			v.err = i < t->parsed.nr ? EPROTO : E2BIG;
			v.offset = t->bad.len;
			snprintf_assert(v.reason, sizeof(v.reason),
					v.err == E2BIG ? "after the end" :
					"section %zu where %zu is due",
					order[i], i);
		}
		vfm_trial_append(t, order[i]);
	}
	if (!v.err && i < t->parsed.nr) {
		v.err = ENODATA;
		v.offset = t->bad.len;
		strcpy(v.reason, "ends before");
	}
	return v;
}

#define MAX_ORDER	5

/*
 * All orders of up to one section more than there are, with any left out and any
 * repeated: swapped, repeated and dropped are among them. One is the good stream.
 */
TEST_F(sweep, sections)
{
	struct vfm_trial *t = &self->t;
	const size_t nr = t->parsed.nr;
	size_t order[MAX_ORDER + 1] = { 0 }, n, i, good = 0;
	struct verdict v;

	ASSERT_EQ(MAX_ORDER, nr + 1);
	for (n = 0; n <= MAX_ORDER; n++) {
		memset(order, 0, sizeof(order));
		order[n] = nr;
		do {
			v = arrange(t, order);
			if (v.err)
				refused(t, &v);
			else
				good++;
			for (i = 0; i < n && ++order[i] == nr; i++)
				order[i] = 0;
		} while (i < n);
	}
	ASSERT_EQ(1, good);
}

/* Each section in turn from another stream of the same device, in its place. */
TEST_F(sweep, foreign)
{
	struct verdict v = { .err = EPROTO, .reason = "of another stream" };
	struct vfm_trial *t = &self->t;
	struct vfm_buf other = { 0 };
	struct vfm_stream parsed;
	struct vfm_device *src;
	size_t i;

	src = vfm_trial_device(MIGSIM_FULL, STATE_SIZE);
	vfm_save(src, &other, NULL);
	vfm_destroy(src);
	vfm_stream_parse(&parsed, &other);
	ASSERT_EQ(t->parsed.nr, parsed.nr);
	for (i = 0; i < parsed.nr; i++) {
		vfm_trial_cut(t, t->parsed.section[i].offset);
		vfm_buf_append(&t->bad, parsed.section[i].header,
			       parsed.section[i].length);
		v.offset = t->parsed.section[i].offset;
		refused(t, &v);
	}
	/* The other stream itself, and this one: nothing else was wrong. */
	vfm_restore(t->dev, &other, NULL);
	vfm_restore(t->dev, &t->good, NULL);
	vfm_stream_free(&parsed);
	vfm_buf_free(&other);
}

/* Every other kind of damage. */
TEST_F(sweep, kinds)
{
	struct vfm_trial *t = &self->t;
	const struct vfm_damage *d;
	struct verdict v;

	vfm_for_each_damage(d) {
		v.err = d->err;
		v.offset = d->make(t);
		snprintf_assert(v.reason, sizeof(v.reason), "%s", d->reason);
		refused(t, &v);
	}
}

TEST_HARNESS_MAIN
