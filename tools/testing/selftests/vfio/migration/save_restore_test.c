// SPDX-License-Identifier: GPL-2.0-only
/*
 * What comes out at the other end is what went in: B2, B3, B6 (a window smaller
 * than the state), B7, B9, B10, C2, C4. Equal means an equal state_hash and, read
 * through the BARs, equal device memory and registers.
 */
#include <libvfio_migration.h>

#include "migsim_regs.h"

FIXTURE(save_restore) {
	struct vfm_device *src;
	struct vfm_device *dst;
	struct vfm_buf stream;
	struct vfm_rng rng;
};

FIXTURE_VARIANT(save_restore) {
	const char *type;
};

FIXTURE_VARIANT_ADD(save_restore, full) { .type = MIGSIM_FULL };
FIXTURE_VARIANT_ADD(save_restore, snapshot) { .type = MIGSIM_SNAPSHOT };
FIXTURE_VARIANT_ADD(save_restore, precopy) { .type = MIGSIM_PRECOPY };
FIXTURE_VARIANT_ADD(save_restore, basic) { .type = MIGSIM_BASIC };

FIXTURE_SETUP(save_restore)
{
	VFM_REQUIRE_TYPE(variant->type);
	self->rng = vfm_rng(0);
	self->src = vfm_create(variant->type);
	self->dst = vfm_create(variant->type);
}

FIXTURE_TEARDOWN(save_restore)
{
	vfm_buf_free(&self->stream);
	vfm_destroy(self->src);
	vfm_destroy(self->dst);
}

static void both(FIXTURE_DATA(save_restore) *self, const char *name,
		 u64 val)
{
	vfm_attr_set(self->src, name, val);
	vfm_attr_set(self->dst, name, val);
}

/* Pages all over the memory, so that both patterned and written ones travel. */
static void scribble(struct vfm_device *dev, struct vfm_rng *rng, u64 size)
{
	u8 data[300];
	size_t i, n;
	u64 at;

	for (i = 0; i < 16 && size; i++) {
		n = 1 + vfm_random_below(rng, sizeof(data));
		at = vfm_random_below(rng, size - n + 1);
		while (n--)
			data[n] = vfm_random(rng);
		n = 1 + vfm_random_below(rng, sizeof(data));
		if (at + n > size)
			n = size - at;
		vfm_bar_write(dev, MIGSIM_BAR_MEM, at, data, n);
	}
}

static void check_equal_memory(struct vfm_device *a, struct vfm_device *b,
			       u64 size)
{
	u8 *one = vfm_zalloc(1 << 16), *two = vfm_zalloc(1 << 16);
	u64 at;
	size_t n;

	for (at = 0; at < size; at += n) {
		n = size - at < 1 << 16 ? size - at : 1 << 16;
		vfm_bar_read(a, MIGSIM_BAR_MEM, at, one, n);
		vfm_bar_read(b, MIGSIM_BAR_MEM, at, two, n);
		VFIO_ASSERT_FALSE(memcmp(one, two, n),
				  "memory differs near %#llx",
				  (unsigned long long)at);
	}
	free(one);
	free(two);
}

static u64 reg(struct vfm_device *dev, unsigned int off)
{
	u64 val;

	vfm_bar_read(dev, MIGSIM_BAR_REGS, off, &val, sizeof(val));
	return val;
}

/* Both stopped. */
static void check_equal(FIXTURE_DATA(save_restore) *self, u64 size)
{
	unsigned int off;

	VFIO_ASSERT_EQ(vfm_state_hash(self->src), vfm_state_hash(self->dst));
	check_equal_memory(self->src, self->dst, size);
	for (off = MIGSIM_REG_STATE_SIZE; off <= MIGSIM_REG_TICKS; off += 8)
		VFIO_ASSERT_EQ(reg(self->src, off), reg(self->dst, off));
	for (off = 0x40; off < 0x80; off += 8)
		VFIO_ASSERT_EQ(reg(self->src, off), reg(self->dst, off));
}

static void migrate_and_check(FIXTURE_DATA(save_restore) *self, u64 size)
{
	self->stream.len = 0;
	vfm_save(self->src, &self->stream, &self->rng);
	vfm_restore(self->dst, &self->stream, &self->rng);
	check_equal(self, size);
}

TEST_F(save_restore, sizes)
{
	static const u64 sizes[] = {
		0, 4096, 3 * 4096, 65536, 65536 + 4096, 17 * 4096,
		(1 << 20) - 4096, 1 << 20, 37 * 4096 * 3,
	};
	static const u64 windows[] = { 65536, 1 << 20 };
	size_t i, j;

	for (i = 0; i < ARRAY_SIZE(sizes); i++) {
		for (j = 0; j < ARRAY_SIZE(windows); j++) {
			both(self, "state_size", sizes[i]);
			both(self, "window", windows[j]);
			vfm_attr_set(self->src, "seed", 2 * i);
			vfm_attr_set(self->dst, "seed", 2 * i + 1);
			vfm_open(self->src);
			vfm_open(self->dst);
			scribble(self->src, &self->rng, sizes[i]);
			migrate_and_check(self, sizes[i]);
			vfm_reset(self->src);
			vfm_reset(self->dst);
			vfm_close(self->src);
			vfm_close(self->dst);
		}
	}
}

/* Sender's and receiver's windows have nothing to do with each other. */
TEST_F(save_restore, windows_differ)
{
	static const u64 windows[][2] = {
		{ 65536, 4 << 20 }, { 4 << 20, 65536 }, { 69632, 65536 },
		{ 1 << 30, 65536 },
	};
	const u64 size = 2 << 20;
	size_t i;

	both(self, "state_size", size);
	for (i = 0; i < ARRAY_SIZE(windows); i++) {
		vfm_attr_set(self->src, "window", windows[i][0]);
		vfm_attr_set(self->dst, "window", windows[i][1]);
		vfm_open(self->src);
		vfm_open(self->dst);
		scribble(self->src, &self->rng, size);
		migrate_and_check(self, size);
		vfm_close(self->src);
		vfm_close(self->dst);
	}
}

/* The destination has a past, which must not shine through. */
TEST_F(save_restore, over_other_content)
{
	const u64 size = 1 << 20;
	int i;

	both(self, "state_size", size);
	vfm_attr_set(self->dst, "seed", 77);
	vfm_open(self->src);
	vfm_open(self->dst);
	scribble(self->src, &self->rng, size);
	for (i = 0; i < 3; i++) {
		scribble(self->dst, &self->rng, size);
		migrate_and_check(self, size);
		vfm_set_state_nofd(self->dst, VFM_RUNNING);
	}
}

TEST_F(save_restore, registers)
{
	u64 val;
	int i;

	both(self, "state_size", VFM_SMALL_STATE);
	vfm_attr_set(self->src, "seed", 0xfeedface);
	vfm_open(self->src);
	vfm_open(self->dst);
	ASSERT_EQ(MIGSIM_MAGIC, (u32)reg(self->src, MIGSIM_REG_MAGIC));
	ASSERT_EQ(VFM_SMALL_STATE, reg(self->src, MIGSIM_REG_STATE_SIZE));
	ASSERT_EQ(0xfeedface, reg(self->src, MIGSIM_REG_SEED));
	for (i = 0; i < 8; i++) {
		val = vfm_random(&self->rng);
		vfm_bar_write(self->src, MIGSIM_BAR_REGS, 0x40 + 8 * i, &val,
			      sizeof(val));
		ASSERT_EQ(val, reg(self->src, 0x40 + 8 * i));
	}
	migrate_and_check(self, VFM_SMALL_STATE);
	ASSERT_EQ(0xfeedface, reg(self->dst, MIGSIM_REG_SEED));

	/* Reset gives the configured seed back, and forgets the rest. */
	vfm_reset(self->dst);
	ASSERT_NE(0xfeedface, reg(self->dst, MIGSIM_REG_SEED));
	ASSERT_EQ(0, reg(self->dst, 0x40));
}

/* A VMM compares it: what is read-only must not differ between both sides. */
TEST_F(save_restore, config_space)
{
	u8 one[256], two[256];

	both(self, "state_size", 1 << 20);
	vfm_attr_set(self->src, "seed", 5);
	vfm_open(self->src);
	vfm_open(self->dst);
	vfm_config_read(self->src, 0, one, sizeof(one));
	vfm_config_read(self->dst, 0, two, sizeof(two));
	ASSERT_FALSE(memcmp(one, two, sizeof(one)));
	ASSERT_NE(0xffff, one[0] | one[1] << 8);
	/* It answers in STOP too. */
	vfm_set_state_nofd(self->src, VFM_STOP);
	vfm_config_read(self->src, 0, two, sizeof(two));
	ASSERT_FALSE(memcmp(one, two, sizeof(one)));
}

/* A stopped device answers, and drops what is written to it. */
TEST_F(save_restore, stopped_device_keeps_still)
{
	static const u32 states[] = { VFM_STOP, VFM_STOP_COPY };
	u64 before, val = 0x5555;
	size_t i;
	int fd;

	both(self, "state_size", VFM_SMALL_STATE);
	vfm_open(self->src);
	for (i = 0; i < ARRAY_SIZE(states); i++) {
		vfm_reset(self->src);
		fd = vfm_enter(self->src, states[i]);
		before = vfm_state_hash(self->src);
		vfm_bar_write(self->src, MIGSIM_BAR_MEM, 8, &val, sizeof(val));
		vfm_bar_write(self->src, MIGSIM_BAR_REGS, 0x40, &val,
			      sizeof(val));
		ASSERT_EQ(before, vfm_state_hash(self->src));
		ASSERT_NE(val, reg(self->src, 0x40));
		if (fd >= 0)
			close(fd);
	}
}

/*
 * Bounded by count and not by time: the workload wrote while the device was read,
 * which TICKS shows, and so pages were sent again.
 */
TEST_F(save_restore, workload)
{
	const u64 size = 1 << 20;
	const bool precopy = !strcmp(variant->type, MIGSIM_FULL) ||
			     !strcmp(variant->type, MIGSIM_PRECOPY);
	u64 ticks;
	int fd, i;

	both(self, "state_size", size);
	vfm_attr_set(self->src, "dirty_rate", 16 << 20);
	vfm_open(self->src);
	vfm_open(self->dst);
	VFM_WAIT(reg(self->src, MIGSIM_REG_TICKS) > 0);

	if (precopy) {
		fd = vfm_set_state(self->src, VFM_PRE_COPY);
		for (i = 0; i < 3; i++) {
			ticks = reg(self->src, MIGSIM_REG_TICKS);
			VFM_WAIT(reg(self->src, MIGSIM_REG_TICKS) > ticks);
			ASSERT_EQ(POLLIN, vfm_poll(fd, POLLIN,
						   vfm_deadline_ms()));
			ASSERT_LT(0, vfm_read(fd, vfm_buf_room(&self->stream,
							       1), 1));
			self->stream.len++;
		}
		if (vfm_supports(self->src, VFM_PRE_COPY_P2P))
			vfm_set_state_nofd(self->src, VFM_PRE_COPY_P2P);
		vfm_set_state_nofd(self->src, VFM_STOP_COPY);
	} else {
		fd = vfm_set_state(self->src, VFM_STOP_COPY);
	}
	ticks = reg(self->src, MIGSIM_REG_TICKS);
	vfm_drain(fd, &self->stream, &self->rng);
	ASSERT_EQ(ticks, reg(self->src, MIGSIM_REG_TICKS));
	close(fd);
	vfm_set_state_nofd(self->src, VFM_STOP);
	vfm_restore(self->dst, &self->stream, &self->rng);
	check_equal(self, size);

	/* Down there it goes on: the workload is the destination's now. */
	vfm_close(self->dst);
	vfm_attr_set(self->dst, "dirty_rate", 16 << 20);
	vfm_open(self->dst);
	VFM_WAIT(reg(self->dst, MIGSIM_REG_TICKS) > ticks);
}

/* Rounds of writing and reading: only what changed comes again. */
TEST_F(save_restore, precopy_rounds)
{
	const u64 size = 1 << 20;
	u64 round, val;
	size_t before;
	int fd, i;

	both(self, "state_size", size);
	vfm_open(self->src);
	vfm_open(self->dst);
	if (!vfm_supports(self->src, VFM_PRE_COPY))
		return;
	fd = vfm_set_state(self->src, VFM_PRE_COPY);
	vfm_drain_err(fd, &self->stream, &self->rng, ENOMSG);
	ASSERT_LE(size, self->stream.len);
	for (round = 0; round < 8; round++) {
		before = self->stream.len;
		for (i = 0; i < 5; i++) {
			val = vfm_random(&self->rng);
			vfm_bar_write(self->src, MIGSIM_BAR_MEM,
				      4096 * vfm_random_below(&self->rng, 256),
				      &val, sizeof(val));
		}
		if (round & 1)
			vfm_bar_write(self->src, MIGSIM_BAR_REGS, 0x48, &val,
				      sizeof(val));
		vfm_drain_err(fd, &self->stream, &self->rng, ENOMSG);
		ASSERT_LT(before, self->stream.len);
		ASSERT_GT(before + 8 * 4096, self->stream.len);
	}
	before = self->stream.len;
	vfm_bar_write(self->src, MIGSIM_BAR_MEM, 4096, "last", 4);
	vfm_set_state_nofd(self->src, VFM_STOP_COPY);
	vfm_drain(fd, &self->stream, &self->rng);
	ASSERT_GT(before + 6 * 4096, self->stream.len);
	close(fd);
	vfm_set_state_nofd(self->src, VFM_STOP);
	vfm_restore(self->dst, &self->stream, &self->rng);
	check_equal(self, size);
}

/* All but what names the stream itself. */
static void check_same_sections(struct vfm_buf *a, struct vfm_buf *b)
{
	struct vfm_stream one, two;
	size_t i;

	vfm_stream_parse(&one, a);
	vfm_stream_parse(&two, b);
	VFIO_ASSERT_EQ(one.nr, two.nr);
	for (i = 0; i < one.nr; i++) {
		const struct vfm_section *s = &one.section[i];
		const struct vfm_section *t = &two.section[i];

		VFIO_ASSERT_EQ(s->length, t->length);
		VFIO_ASSERT_EQ(s->header->type, t->header->type);
		VFIO_ASSERT_EQ(s->header->object, t->header->object);
		VFIO_ASSERT_FALSE(memcmp(s->payload, t->payload, s->length -
					 sizeof(*s->header)));
	}
	vfm_stream_free(&one);
	vfm_stream_free(&two);
}

/* What went into a device can be taken out again without having run: B10. */
TEST_F(save_restore, chain)
{
	const u64 size = 300 * 1024;
	struct vfm_buf again = { 0 };
	u64 hash;

	both(self, "state_size", size);
	vfm_open(self->src);
	vfm_open(self->dst);
	scribble(self->src, &self->rng, size);
	migrate_and_check(self, size);
	hash = vfm_state_hash(self->dst);

	vfm_save(self->dst, &again, &self->rng);
	check_same_sections(&self->stream, &again);
	ASSERT_EQ(hash, vfm_state_hash(self->dst));
	vfm_reset(self->src);
	vfm_restore(self->src, &again, &self->rng);
	check_equal(self, size);
	vfm_buf_free(&again);
}

/* Saving is no act upon the device: it can go on, and be saved again. */
TEST_F(save_restore, cancelled)
{
	const u64 size = 300 * 1024;
	u64 hash;
	int fd;

	both(self, "state_size", size);
	vfm_open(self->src);
	vfm_open(self->dst);
	scribble(self->src, &self->rng, size);
	fd = vfm_set_state(self->src, VFM_STOP_COPY);
	hash = vfm_state_hash(self->src);
	ASSERT_LT(0, vfm_read(fd, vfm_buf_room(&self->stream, 1000), 1000));
	vfm_set_state_nofd(self->src, VFM_RUNNING);
	close(fd);
	vfm_set_state_nofd(self->src, VFM_STOP);
	ASSERT_EQ(hash, vfm_state_hash(self->src));
	vfm_set_state_nofd(self->src, VFM_RUNNING);
	migrate_and_check(self, size);
	ASSERT_EQ(hash, vfm_state_hash(self->dst));
}

/* The changed byte that everything else here relies on being noticed. */
TEST_F(save_restore, hash_notices)
{
	u64 hash, other;
	u8 c;

	both(self, "state_size", VFM_SMALL_STATE);
	vfm_open(self->src);
	vfm_set_state_nofd(self->src, VFM_STOP);
	hash = vfm_state_hash(self->src);
	vfm_set_state_nofd(self->src, VFM_RUNNING);
	vfm_bar_read(self->src, MIGSIM_BAR_MEM, 5000, &c, 1);
	c ^= 0x10;
	vfm_bar_write(self->src, MIGSIM_BAR_MEM, 5000, &c, 1);
	vfm_set_state_nofd(self->src, VFM_STOP);
	other = vfm_state_hash(self->src);
	ASSERT_NE(hash, other);
	vfm_set_state_nofd(self->src, VFM_RUNNING);
	c ^= 0x10;
	vfm_bar_write(self->src, MIGSIM_BAR_MEM, 5000, &c, 1);
	vfm_set_state_nofd(self->src, VFM_STOP);
	/* Order-free and by content: the same memory is the same hash. */
	ASSERT_EQ(hash, vfm_state_hash(self->src));
}

TEST_HARNESS_MAIN
