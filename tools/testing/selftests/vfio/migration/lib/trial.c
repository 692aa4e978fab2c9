// SPDX-License-Identifier: GPL-2.0-only
/* What all tests of refused streams begin with. */
#include <libvfio/count.h>
#include <libvfio/migsim.h>
#include <libvfio/trial.h>

struct vfm_device *vfm_trial_device(const char *type, u64 size)
{
	struct vfm_device *dev = vfm_create(type);

	vfm_attr_set(dev, "state_size", size);
	vfm_attr_set(dev, "window", 65536);
	vfm_open(dev);
	return dev;
}

void vfm_trial_init(struct vfm_trial *t, const char *type, u64 size)
{
	struct vfm_device *src = vfm_trial_device(type, size);

	t->rng = vfm_rng(0);
	vfm_bar_write(src, MIGSIM_BAR_MEM, size < 5015 ? 100 : 5000,
		      "from the source", 15);
	vfm_save(src, &t->good, NULL);
	vfm_destroy(src);
	vfm_stream_parse(&t->parsed, &t->good);

	t->dev = vfm_trial_device(type, size);
	vfm_set_state_nofd(t->dev, VFM_STOP);
	t->fresh = vfm_state_hash(t->dev);
	vfm_reset(t->dev);
}

void vfm_trial_exit(struct vfm_trial *t)
{
	if (t->refused)
		vfm_count("stream_mutations", t->refused);
	vfm_stream_free(&t->parsed);
	vfm_buf_free(&t->bad);
	vfm_buf_free(&t->good);
	vfm_destroy(t->dev);
}

void vfm_trial_clean(struct vfm_trial *t)
{
	vfm_reset(t->dev);
	vfm_set_state_nofd(t->dev, VFM_STOP);
	VFIO_ASSERT_EQ(vfm_state_hash(t->dev), t->fresh);
	t->refused++;
}

void vfm_trial_refused(struct vfm_trial *t, int err, const char *what,
		       size_t where)
{
	int ret;

	vfm_assert_state(t->dev, VFM_RUNNING);
	ret = __vfm_restore(t->dev, t->bad.data, t->bad.len, NULL);
	VFIO_ASSERT_EQ(ret, -err, "%s at %zu: %s", what, where,
		       ret ? strerror(-ret) : "accepted");
	vfm_trial_clean(t);
	vfm_reset(t->dev);
}

void vfm_trial_cut(struct vfm_trial *t, size_t len)
{
	t->bad.len = 0;
	vfm_buf_append(&t->bad, t->good.data, len);
}

void vfm_trial_append(struct vfm_trial *t, size_t i)
{
	const struct vfm_section *s = &t->parsed.section[i];

	VFIO_ASSERT_LT(i, t->parsed.nr);
	vfm_buf_append(&t->bad, t->good.data + s->offset, s->length);
}

/* All sections from @i on. */
static void append_rest(struct vfm_trial *t, size_t i)
{
	for (; i < t->parsed.nr; i++)
		vfm_trial_append(t, i);
}

void vfm_trial_drop(struct vfm_trial *t, size_t i)
{
	vfm_trial_cut(t, t->parsed.section[i].offset);
	append_rest(t, i + 1);
}

void vfm_trial_repeat(struct vfm_trial *t, size_t i)
{
	vfm_trial_cut(t, t->parsed.section[i].offset);
	vfm_trial_append(t, i);
	append_rest(t, i);
}

void vfm_trial_swap(struct vfm_trial *t, size_t i)
{
	vfm_trial_cut(t, t->parsed.section[i].offset);
	vfm_trial_append(t, i + 1);
	vfm_trial_append(t, i);
	append_rest(t, i + 2);
}

struct vfio_mig_stream_header *vfm_trial_header(struct vfm_trial *t)
{
	vfm_buf_copy(&t->bad, &t->good);
	return (void *)t->bad.data;
}

struct vfio_mig_section_header *vfm_trial_section(struct vfm_trial *t, size_t i)
{
	vfm_buf_copy(&t->bad, &t->good);
	return (void *)(t->bad.data + t->parsed.section[i].offset);
}
