// SPDX-License-Identifier: GPL-2.0-only
/*
 * One io_uring request that reads for as long as there is something
 * (IORING_OP_READ_MULTISHOT), into 64 provided buffers of 4 KiB. It is armed once, so
 * an end of file that is not told is waited for without end: the permanent one, and
 * the temporary one of PRE_COPY. The worker and the reader race for each of them, in
 * many rounds.
 */
#include <liburing.h>

#include <libvfio_migration.h>

/* Of 6.7; the headers of Debian 12's liburing do not have it. */
#define OP_READ_MULTISHOT	49

#define NR_BUFFERS	64
#define BUFFER_SIZE	4096
#define BUFFER_GROUP	1
/* Of either variant; of a machine that is emulated, so many times fewer. */
#define ROUNDS		5000
#define EMULATED	20
/* Of one PRE_COPY. */
#define PASSES		50

/* In pages: less, and more, than there are buffers; more than a window. */
static const unsigned int sizes[] = { 0, 1, 15, 40, 80 };

FIXTURE(mshot) {
	struct io_uring ring;
	struct io_uring_buf_ring *buffers;
	u8 *memory;
	u64 spent;		/* bits of buffers that were not given back */
	struct vfm_device *dev[ARRAY_SIZE(sizes)];
	struct vfm_buf got;
	struct vfm_rng rng;
};

FIXTURE_VARIANT(mshot) {
	bool greedy;		/* buffers are given back when none is left */
};

FIXTURE_VARIANT_ADD(mshot, enough) { .greedy = false };
FIXTURE_VARIANT_ADD(mshot, runs_out) { .greedy = true };

static bool supported(struct io_uring *ring)
{
	struct io_uring_probe *probe = io_uring_get_probe_ring(ring);
	bool yes;

	VFIO_ASSERT_TRUE(probe);
	yes = io_uring_opcode_supported(probe, OP_READ_MULTISHOT);
	io_uring_free_probe(probe);
	return yes;
}

static void give_back(FIXTURE_DATA(mshot) *self, unsigned int i)
{
	io_uring_buf_ring_add(self->buffers, self->memory + i * BUFFER_SIZE,
			      BUFFER_SIZE, i,
			      io_uring_buf_ring_mask(NR_BUFFERS), 0);
	io_uring_buf_ring_advance(self->buffers, 1);
	self->spent &= ~(1ULL << i);
}

static void give_back_all(FIXTURE_DATA(mshot) *self)
{
	unsigned int i;

	for (i = 0; i < NR_BUFFERS; i++)
		if (self->spent >> i & 1)
			give_back(self, i);
}

static void *map_anonymous(size_t len)
{
	void *p = mmap(NULL, len, PROT_READ | PROT_WRITE,
		       MAP_PRIVATE | MAP_ANONYMOUS, -1, 0);

	VFIO_ASSERT_NE((long)p, (long)MAP_FAILED);
	return p;
}

static void provide_buffers(FIXTURE_DATA(mshot) *self)
{
	struct io_uring_buf_reg reg = {
		.ring_entries = NR_BUFFERS,
		.bgid = BUFFER_GROUP,
	};
	int ret;

	self->memory = map_anonymous(NR_BUFFERS * BUFFER_SIZE);
	self->buffers = map_anonymous(NR_BUFFERS * sizeof(struct io_uring_buf));
	reg.ring_addr = (uintptr_t)self->buffers;
	ret = io_uring_register_buf_ring(&self->ring, &reg, 0);
	VFIO_ASSERT_EQ(ret, 0, "%s", strerror(-ret));
	io_uring_buf_ring_init(self->buffers);
	self->spent = ~0ULL;
	give_back_all(self);
}

FIXTURE_SETUP(mshot)
{
	unsigned int i;
	int ret;

	VFM_REQUIRE_TYPE(MIGSIM_FULL);
	ret = io_uring_queue_init(NR_BUFFERS, &self->ring, 0);
	if (ret == -ENOSYS || ret == -EPERM)
		SKIP(return, "no io_uring: %s", strerror(-ret));
	ASSERT_EQ(0, ret);
	if (!supported(&self->ring))
		SKIP(return, "no IORING_OP_READ_MULTISHOT");
	provide_buffers(self);
	self->rng = vfm_rng(variant->greedy);
	for (i = 0; i < ARRAY_SIZE(sizes); i++) {
		self->dev[i] = vfm_create(MIGSIM_FULL);
		vfm_attr_set(self->dev[i], "state_size", sizes[i] * 4096);
		vfm_attr_set(self->dev[i], "window", 65536);
		vfm_open(self->dev[i]);
	}
}

FIXTURE_TEARDOWN(mshot)
{
	unsigned int i;

	io_uring_queue_exit(&self->ring);
	vfm_buf_free(&self->got);
	for (i = 0; i < ARRAY_SIZE(sizes); i++)
		vfm_destroy(self->dev[i]);
}

static void arm(FIXTURE_DATA(mshot) *self, int fd)
{
	struct io_uring_sqe *sqe = io_uring_get_sqe(&self->ring);

	VFIO_ASSERT_TRUE(sqe);
	io_uring_prep_rw(OP_READ_MULTISHOT, sqe, fd, NULL, 0, -1);
	sqe->flags |= IOSQE_BUFFER_SELECT;
	sqe->buf_group = BUFFER_GROUP;
	VFIO_ASSERT_EQ(io_uring_submit(&self->ring), 1);
}

static struct io_uring_cqe next_completion(FIXTURE_DATA(mshot) *self)
{
	struct __kernel_timespec ts = { .tv_sec = vfm_deadline_ms() / 1000 };
	struct io_uring_cqe *cqe, copy;
	int ret;

	ret = io_uring_wait_cqe_timeout(&self->ring, &cqe, &ts);
	VFIO_ASSERT_EQ(ret, 0, "the end is not told, after %zu bytes: %s",
		       self->got.len, strerror(-ret));
	memcpy(&copy, cqe, sizeof(copy));
	io_uring_cqe_seen(&self->ring, cqe);
	return copy;
}

static void take(FIXTURE_DATA(mshot) *self, const struct io_uring_cqe *cqe,
		 bool greedy)
{
	unsigned int i = cqe->flags >> IORING_CQE_BUFFER_SHIFT;

	VFIO_ASSERT_TRUE(cqe->flags & IORING_CQE_F_BUFFER);
	VFIO_ASSERT_LT(i, NR_BUFFERS);
	VFIO_ASSERT_FALSE(self->spent >> i & 1);
	vfm_buf_append(&self->got, self->memory + i * BUFFER_SIZE, cqe->res);
	self->spent |= 1ULL << i;
	if (!greedy)
		give_back(self, i);
}

/* What is armed reads on, to whatever end. */
static int read_on(FIXTURE_DATA(mshot) *self, int fd, bool greedy)
{
	struct io_uring_cqe cqe;

	for (;;) {
		cqe = next_completion(self);
		if (cqe.res > 0)
			take(self, &cqe, greedy);
		else if (cqe.res != -ENOBUFS)
			break;
		else
			give_back_all(self);
		if (!(cqe.flags & IORING_CQE_F_MORE))
			arm(self, fd);
	}
	VFIO_ASSERT_FALSE(cqe.flags & IORING_CQE_F_MORE);
	return cqe.res;
}

static struct vfm_device *any_device(FIXTURE_DATA(mshot) *self)
{
	return self->dev[vfm_random_below(&self->rng, ARRAY_SIZE(sizes))];
}

/* All there is; now and then with a look at what it is. */
static void assert_whole(FIXTURE_DATA(mshot) *self, int fd)
{
	struct vfm_stream stream;

	VFIO_ASSERT_EQ(self->got.len, vfm_session_bytes(fd));
	if (vfm_random_below(&self->rng, 16))
		return;
	vfm_stream_parse(&stream, &self->got);
	vfm_stream_free(&stream);
}

static unsigned int number_of_rounds(void)
{
	const char *kind = getenv("VM_KIND");
	bool emulated = kind && !strcmp(kind, "qemu");

	return vfm_rounds(emulated ? ROUNDS / EMULATED : ROUNDS);
}

TEST_F(mshot, end_of_file)
{
	unsigned int i, rounds = number_of_rounds();

	for (i = 0; i < rounds; i++) {
		struct vfm_device *dev = any_device(self);
		int fd;

		self->got.len = 0;
		fd = vfm_set_state(dev, VFM_STOP_COPY);
		arm(self, fd);
		ASSERT_EQ(0, read_on(self, fd, variant->greedy));
		assert_whole(self, fd);
		vfm_set_state_nofd(dev, VFM_STOP);
		close(fd);
	}
	vfm_count("mshot_ends", rounds);
}

/* Read to the temporary end, which every one of @n writes puts off. */
static unsigned int temporary_ends(FIXTURE_DATA(mshot) *self,
				   struct vfm_device *dev, int fd, bool greedy,
				   unsigned int n)
{
	u64 size = vfm_attr_get(dev, "state_size"), page, i;
	size_t before;

	for (i = 0; i <= n; i++) {
		before = self->got.len;
		arm(self, fd);
		VFIO_ASSERT_EQ(read_on(self, fd, greedy), -ENOMSG);
		VFIO_ASSERT_EQ(vfm_fionread(fd), 0);
		VFIO_ASSERT_EQ(self->got.len, vfm_session_bytes(fd));
		if (size)
			VFIO_ASSERT_LT(before, self->got.len);
		if (!size || i == n)
			break;
		page = vfm_random_below(&self->rng, size / 4096);
		vfm_bar_write(dev, MIGSIM_BAR_MEM, page * 4096, &i, sizeof(i));
	}
	return i;
}

TEST_F(mshot, temporary_end)
{
	unsigned int rounds = number_of_rounds(), done = 0;

	while (done < rounds) {
		struct vfm_device *dev = any_device(self);
		int fd;

		self->got.len = 0;
		vfm_set_state_nofd(dev, VFM_RUNNING);
		fd = vfm_set_state(dev, VFM_PRE_COPY);
		done += temporary_ends(self, dev, fd, variant->greedy, PASSES) + 1;
		/* Armed, it may be told of either end. */
		arm(self, fd);
		vfm_set_state_nofd(dev, VFM_STOP_COPY);
		if (read_on(self, fd, variant->greedy)) {
			arm(self, fd);
			ASSERT_EQ(0, read_on(self, fd, variant->greedy));
		}
		assert_whole(self, fd);
		vfm_set_state_nofd(dev, VFM_STOP);
		close(fd);
	}
	vfm_count("mshot_temporary_ends", done);
}

TEST_HARNESS_MAIN
