// SPDX-License-Identifier: GPL-2.0-only
/*
 * read_vs_mainline, save_restore_vs_mainline, v1_region: against the comparison
 * module, which migrates as mainline's drivers do
 *
 * The client is the same on both sides: one thread, blocking reads and writes of
 * 1 MiB. Destinations are in RESUMING before the clock starts, as a VMM has them.
 */
#include <sys/ioctl.h>
#include <unistd.h>

#include "bench.h"

/* What was struct vfio_device_migration_info until 5.18. */
struct v1_info {
	__u32 device_state;
	__u32 reserved;
	__u64 pending_bytes;
	__u64 data_offset;
	__u64 data_size;
};

#define V1_SAVING	2
#define V1_REGION	VFIO_PCI_NUM_REGIONS

struct side {
	struct vfm_device *from;
	struct vfm_device *to;
	int to_fd;
};

struct context {
	struct side ours;
	struct side other;
	void *buffer;
	uint64_t v1;
	bool checked[2];
};

static void save(struct side *side, void *buffer, struct sample *sample)
{
	uint64_t bytes;
	int fd;

	sample_begin(sample);
	fd = vfm_set_state(side->from, VFM_STOP_COPY);
	bytes = read_all(fd, buffer, BUFFER_SIZE);
	sample_end(sample, STATE_SIZE);
	VFIO_ASSERT_GE(bytes, STATE_SIZE);
	close(fd);
	vfm_set_state_nofd(side->from, VFM_RUNNING);
}

static void save_ours(void *context, struct sample *sample)
{
	struct context *c = context;

	save(&c->ours, c->buffer, sample);
}

static void save_other(void *context, struct sample *sample)
{
	struct context *c = context;

	save(&c->other, c->buffer, sample);
}

static void write_all(int fd, const uint8_t *buffer, size_t len)
{
	ssize_t n;

	for (; len; len -= n, buffer += n) {
		n = write(fd, buffer, len);
		VFIO_ASSERT_GT(n, 0, "write: %s", strerror(errno));
	}
}

static void copy_stream(int from, int to, void *buffer)
{
	ssize_t n;

	while ((n = read(from, buffer, BUFFER_SIZE)) > 0)
		write_all(to, buffer, n);
	VFIO_ASSERT_EQ(n, 0, "read: %s", strerror(errno));
}

/* The two devices have the same memory. Once, as it takes time. */
static void check(struct side *side, bool *checked)
{
	if (*checked)
		return;
	VFIO_ASSERT_EQ(device_sum(side->from, STATE_SIZE),
		       device_sum(side->to, STATE_SIZE));
	*checked = true;
}

static void move(struct side *side, void *buffer, struct sample *sample,
		 bool *checked)
{
	int to = vfm_set_state(side->to, VFM_RESUMING), from;

	sample_begin(sample);
	from = vfm_set_state(side->from, VFM_STOP_COPY);
	copy_stream(from, to, buffer);
	vfm_set_state_nofd(side->to, VFM_STOP);
	sample_end(sample, STATE_SIZE);
	check(side, checked);
	close(from);
	close(to);
	vfm_set_state_nofd(side->from, VFM_RUNNING);
}

static void move_ours(void *context, struct sample *sample)
{
	struct context *c = context;

	move(&c->ours, c->buffer, sample, &c->checked[0]);
}

static void move_other(void *context, struct sample *sample)
{
	struct context *c = context;

	move(&c->other, c->buffer, sample, &c->checked[1]);
}

static uint64_t v1_get(struct context *c, size_t offset)
{
	uint64_t value;

	VFIO_ASSERT_EQ(pread(c->other.from->fd, &value, sizeof(value),
			     c->v1 + offset), (ssize_t)sizeof(value));
	return value;
}

static void v1_set(struct context *c, uint32_t state)
{
	VFIO_ASSERT_EQ(pwrite(c->other.from->fd, &state, sizeof(state), c->v1),
		       (ssize_t)sizeof(state), "%s", strerror(errno));
}

static uint64_t v1_read(struct context *c)
{
	uint64_t bytes = 0, offset, size;

	while (v1_get(c, offsetof(struct v1_info, pending_bytes))) {
		offset = v1_get(c, offsetof(struct v1_info, data_offset));
		size = v1_get(c, offsetof(struct v1_info, data_size));
		VFIO_ASSERT_LE(size, BUFFER_SIZE);
		VFIO_ASSERT_EQ(pread(c->other.from->fd, c->buffer, size,
				     c->v1 + offset), (ssize_t)size);
		bytes += size;
	}
	return bytes;
}

static void save_v1(void *context, struct sample *sample)
{
	struct context *c = context;
	uint64_t bytes;

	sample_begin(sample);
	v1_set(c, V1_SAVING);
	bytes = v1_read(c);
	sample_end(sample, STATE_SIZE);
	VFIO_ASSERT_EQ(bytes, STATE_SIZE);
	v1_set(c, 0);
}

static const struct figure read_figure = {
	.key = "read_vs_mainline",
	.ours = "read() with the default window, from SET_STATE(STOP_COPY) to the end of the stream, with checksums",
	.other = "the comparison module: snapshot into an image inside SET_STATE, then read() of it",
	.not_for = "a real driver's speed: behind mainline's drivers is hardware, this is memory on both sides",
};

static const struct figure move_figure = {
	.key = "save_restore_vs_mainline",
	.ours = "from SET_STATE(STOP_COPY) of the source to the return of SET_STATE(STOP) of the destination; one thread, read and write of 1 MiB",
	.other = "the same with two devices of the comparison module, which neither frame nor check",
	.not_for = "machines with one CPU: half of the gain is that saving, copying and loading overlap",
	.goal = 1.2,
};

static const struct figure v1_figure = {
	.key = "v1_region",
	.ours = "read() with the default window, from SET_STATE(STOP_COPY) to the end of the stream, with checksums",
	.other = "the migration region that Linux had before 5.18, of the comparison module, with a window of 1 MiB read by pread()",
	.not_for = "a judgement of old drivers: some had their window mapped into user space, this is the way without",
};

static void context_init(struct context *c, bool to)
{
	memset(c, 0, sizeof(*c));
	c->buffer = buffer_new(BUFFER_SIZE);
	c->ours.from = device_new(MIGSIM_SNAPSHOT, STATE_SIZE, 4 * MIB);
	c->other.from = device_classic(STATE_SIZE);
	if (!to)
		return;
	c->ours.to = device_new(MIGSIM_SNAPSHOT, STATE_SIZE, 4 * MIB);
	c->other.to = device_classic(STATE_SIZE);
	/* Their content must not be right by chance. */
	device_fill(c->ours.to, STATE_SIZE, 1);
	device_fill(c->other.to, STATE_SIZE, 1);
}

static void context_free(struct context *c)
{
	device_free(c->ours.from);
	device_free(c->other.from);
	if (c->ours.to)
		device_free(c->ours.to);
	if (c->other.to)
		device_free(c->other.to);
}

void bench_read_vs_mainline(void)
{
	struct context c;

	context_init(&c, false);
	report_donate(&read_figure, c.ours.from, save_ours, save_other, &c);
	context_free(&c);
}

void bench_save_restore_vs_mainline(void)
{
	struct context c;

	context_init(&c, true);
	report_donate(&move_figure, c.ours.from, move_ours, move_other, &c);
	context_free(&c);
}

void bench_v1_region(void)
{
	struct vfio_region_info info = {
		.argsz = sizeof(info),
		.index = V1_REGION,
	};
	struct context c;

	context_init(&c, false);
	VFIO_ASSERT_EQ(ioctl(c.other.from->fd, VFIO_DEVICE_GET_REGION_INFO,
			     &info), 0);
	c.v1 = info.offset;
	report_donate(&v1_figure, c.ours.from, save_ours, save_v1, &c);
	context_free(&c);
}
