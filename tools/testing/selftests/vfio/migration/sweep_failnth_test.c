// SPDX-License-Identifier: GPL-2.0-only
/*
 * B1 to B11 when memory is short and user memory is bad: of each call on an open
 * device, every allocation and every copy from or to user space fails once, as
 * iommufd_fail_nth does it. The call says so, or does without; nothing is lost or left
 * behind, and the device works. What makes and opens devices is in sweep_life_test.
 */
#include <fcntl.h>
#include <liburing.h>
#include <sys/eventfd.h>
#include <sys/ioctl.h>
#include <sys/mman.h>
#include <sys/uio.h>

#include <linux/pci_regs.h>

#include <libvfio_migration.h>

#include "migsim_regs.h"

#define LIMIT		3000
#define CHUNK		10000
#define IOVA		0x100000
#define DEBUGFS		"/sys/kernel/debug/vfio-migration"

FIXTURE(failnth) {
	struct vfm_device *dev, *other;
	struct vfm_buf good;		/* a stream that @other can load */
	struct vfm_buf got;
	u64 hash;			/* of @dev */
	int fd;				/* of its session, or -1 */
	int event;
	int pipe[2];
	struct io_uring ring;
	unsigned int points;
};

FIXTURE_VARIANT(failnth) {
	const char *type;
};

FIXTURE_VARIANT_ADD(failnth, full) { .type = MIGSIM_FULL };
FIXTURE_VARIANT_ADD(failnth, basic) { .type = MIGSIM_BASIC };

static struct vfm_device *device(const char *type, u64 seed)
{
	struct vfm_device *dev = vfm_create(type);

	vfm_attr_set(dev, "state_size", VFM_SMALL_STATE);
	vfm_attr_set(dev, "window", 65536);
	vfm_attr_set(dev, "drain", 1);
	vfm_attr_set(dev, "stop_copy_back", 1);
	vfm_attr_set(dev, "seed", seed);
	vfm_open(dev);
	return dev;
}

FIXTURE_SETUP(failnth)
{
	VFM_REQUIRE_TYPE(variant->type);
	VFM_REQUIRE_FAILNTH();
	self->fd = -1;
	self->dev = device(variant->type, 7);
	self->other = device(variant->type, 8);
	self->event = eventfd(0, EFD_NONBLOCK | EFD_CLOEXEC);
	ASSERT_LE(0, self->event);
	ASSERT_EQ(0, pipe2(self->pipe, O_CLOEXEC));
	vfm_save(self->dev, &self->good, NULL);
	self->hash = vfm_state_hash(self->dev);
	/* Faults of this process' own memory are not what is looked for. */
	ASSERT_EQ(0, mlockall(MCL_CURRENT | MCL_FUTURE));
}

FIXTURE_TEARDOWN(failnth)
{
	vfm_count("fail_nth_points", self->points);
	if (!self->dev)
		return;
	EXPECT_LT(0, self->points);
	vfm_buf_free(&self->good);
	vfm_buf_free(&self->got);
	close(self->pipe[0]);
	close(self->pipe[1]);
	close(self->event);
	vfm_destroy(self->dev);
	vfm_destroy(self->other);
}

#define SWEEP	FIXTURE_DATA(failnth)

static unsigned int nr_fds(void)
{
	unsigned int n = 0;
	int fd;

	for (fd = 0; fd < 256; fd++)
		n += fcntl(fd, F_GETFD) >= 0;
	return n;
}

static bool short_of_memory(int err)
{
	return err == -ENOMEM || err == -EFAULT;
}

/* Does what @run does until nothing of it is left to fail. */
static void sweep(SWEEP *self, const char *name, void (*prepare)(SWEEP *self),
		  int (*run)(SWEEP *self), void (*check)(SWEEP *self, int ret))
{
	unsigned int nth, fds;
	bool failed;
	int ret;

	for (nth = 1;; nth++) {
		VFIO_ASSERT_LT(nth, LIMIT, "%s does not end", name);
		prepare(self);
		fds = nr_fds();
		vfm_failnth_arm(nth);
		ret = run(self);
		failed = vfm_failnth_disarm();
		VFIO_ASSERT_TRUE(!ret || (failed && short_of_memory(ret)),
				 "%s, %u: %s", name, nth, strerror(-ret));
		if (check)
			check(self, ret);
		VFIO_ASSERT_EQ(nr_fds(), fds, "%s, %u", name, nth);
		if (!failed)
			break;
		self->points++;
	}
}

static void end_session(SWEEP *self)
{
	if (self->fd >= 0)
		close(self->fd);
	self->fd = -1;
	self->got.len = 0;
}

static void in_running(SWEEP *self)
{
	end_session(self);
	vfm_reset(self->dev);
}

static void in_stop_copy(SWEEP *self)
{
	in_running(self);
	self->fd = vfm_enter(self->dev, VFM_STOP_COPY);
}

static void in_pre_copy(SWEEP *self)
{
	in_running(self);
	self->fd = vfm_enter(self->dev, VFM_PRE_COPY);
}

static void in_resuming(SWEEP *self)
{
	in_running(self);
	self->fd = vfm_enter(self->dev, VFM_RESUMING);
}

/* Questions and settings: there is nothing to see but that they are answered. */

static int probe(SWEEP *self)
{
	return __vfm_ext(self->dev, VFIO_DEVICE_FEATURE_PROBE |
			 VFIO_DEVICE_FEATURE_GET,
			 VFIO_DEVICE_FEATURE_MIGRATION, NULL, 0);
}

static int get_state(SWEEP *self)
{
	u32 state;

	return __vfm_get_state(self->dev, &state);
}

static int get_flags(SWEEP *self)
{
	u64 flags;

	return __vfm_migration_flags(self->dev, &flags);
}

static int get_data_size(SWEEP *self)
{
	u64 size;

	return __vfm_data_size(self->dev, &size);
}

static int get_path(SWEEP *self)
{
	struct vfio_device_feature_migx_path path;

	return __vfm_query_path(self->dev, VFM_RUNNING, VFM_STOP, &path);
}

static int get_last_error(SWEEP *self)
{
	struct vfio_device_feature_migx_last_error error;

	return __vfm_last_error(self->dev, &error);
}

static int allow_copy_back(SWEEP *self)
{
	return __vfm_allow_copy_back(self->dev);
}

static int ask_reinit(SWEEP *self)
{
	return __vfm_ask_reinit(self->dev);
}

static int drain(SWEEP *self)
{
	int fd, ret = __vfm_begin_drain(self->dev, &fd);

	if (!ret)
		close(fd);
	return ret;
}

static int reset(SWEEP *self)
{
	return __vfm_reset(self->dev);
}

static int precopy_info(SWEEP *self)
{
	struct vfio_precopy_info info = { 0 };

	return __vfm_precopy_info(self->fd, &info);
}

static int fionread(SWEEP *self)
{
	int n;

	return ioctl(self->fd, FIONREAD, &n) ? -errno : 0;
}

static int poll_session(SWEEP *self)
{
	struct pollfd pfd = { .fd = self->fd, .events = POLLIN };

	return poll(&pfd, 1, -1) < 0 ? -errno : 0;
}

static int fdinfo(SWEEP *self)
{
	char path[64], text[1024];
	ssize_t n;
	int fd;

	snprintf_assert(path, sizeof(path), "/proc/self/fdinfo/%d", self->fd);
	fd = open(path, O_RDONLY | O_CLOEXEC);
	/* procfs does not say that it has no memory for an inode. */
	if (fd < 0)
		return errno == ENOENT ? -ENOMEM : -errno;
	n = read(fd, text, sizeof(text));
	n = n < 0 ? -errno : 0;
	close(fd);
	return n;
}

static int region_info(SWEEP *self)
{
	struct vfio_region_info info = {
		.argsz = sizeof(info),
		.index = VFIO_PCI_BAR2_REGION_INDEX,
	};

	return ioctl(self->dev->fd, VFIO_DEVICE_GET_REGION_INFO, &info) ? -errno : 0;
}

static int device_info(SWEEP *self)
{
	struct vfio_device_info info = { .argsz = sizeof(info) };

	return ioctl(self->dev->fd, VFIO_DEVICE_GET_INFO, &info) ? -errno : 0;
}

static int irq_info(SWEEP *self)
{
	struct vfio_irq_info info = {
		.argsz = sizeof(info),
		.index = VFIO_PCI_MSI_IRQ_INDEX,
	};

	return ioctl(self->dev->fd, VFIO_DEVICE_GET_IRQ_INFO, &info) ? -errno : 0;
}

/* A log that did not start is off, and one that cannot report goes on. */
static int log_dma(SWEEP *self)
{
	struct vfio_device_feature_dma_logging_range range = { .length = 1 << 20 };
	struct vfio_device_feature_dma_logging_control control = {
		.page_size = 4096,
		.num_ranges = 1,
		.ranges = (uintptr_t)&range,
	};
	u64 bitmap[4] = { 0 };
	struct vfio_device_feature_dma_logging_report report = {
		.length = 1 << 20,
		.page_size = 4096,
		.bitmap = (uintptr_t)bitmap,
	};
	int ret, err;

	ret = __vfm_ext(self->dev, VFIO_DEVICE_FEATURE_SET,
			VFIO_DEVICE_FEATURE_DMA_LOGGING_START, &control,
			sizeof(control));
	if (ret)
		return ret;
	ret = __vfm_ext(self->dev, VFIO_DEVICE_FEATURE_GET,
			VFIO_DEVICE_FEATURE_DMA_LOGGING_REPORT, &report,
			sizeof(report));
	do {
		err = __vfm_ext(self->dev, VFIO_DEVICE_FEATURE_SET,
				VFIO_DEVICE_FEATURE_DMA_LOGGING_STOP, NULL, 0);
		ret = ret ? ret : err;
	} while (short_of_memory(err));
	return ret;
}

static bool logs_dma(SWEEP *self)
{
	return !__vfm_ext(self->dev, VFIO_DEVICE_FEATURE_PROBE |
			  VFIO_DEVICE_FEATURE_SET,
			  VFIO_DEVICE_FEATURE_DMA_LOGGING_START, NULL, 0);
}

static int set_eventfd(SWEEP *self, u32 index, u32 action)
{
	struct {
		struct vfio_irq_set set;
		int32_t event;
	} request = {
		.set = {
			.argsz = sizeof(request),
			.flags = VFIO_IRQ_SET_DATA_EVENTFD | action,
			.index = index,
			.count = 1,
		},
		.event = self->event,
	};

	return ioctl(self->dev->fd, VFIO_DEVICE_SET_IRQS, &request) ? -errno : 0;
}

static int set_irqs(SWEEP *self)
{
	return set_eventfd(self, VFIO_PCI_MSI_IRQ_INDEX, VFIO_IRQ_SET_ACTION_TRIGGER);
}

static int bar_access(SWEEP *self)
{
	u64 value[64] = { 1 };
	ssize_t ret;

	ret = __vfm_bar_write(self->dev, MIGSIM_BAR_MEM, 4096, value, sizeof(value));
	if (ret >= 0)
		ret = __vfm_bar_read(self->dev, MIGSIM_BAR_MEM, 0, value,
				     sizeof(value));
	return ret < 0 ? ret : 0;
}

static int config_read(SWEEP *self)
{
	u8 config[64];
	ssize_t n = pread(self->dev->fd, config, sizeof(config),
			  self->dev->config.offset);

	return n < 0 ? -errno : 0;
}

static int config_write(SWEEP *self)
{
	u16 command = PCI_COMMAND_MEMORY;
	ssize_t n = pwrite(self->dev->fd, &command, sizeof(command),
			   self->dev->config.offset + PCI_COMMAND);

	return n < 0 ? -errno : 0;
}

static int attributes(SWEEP *self)
{
	char text[64];

	return __vfm_attr_read(self->dev, "mig_state", text, sizeof(text));
}

/* As procfs, debugfs has no errno for an inode that it got no memory for. */
static int look(SWEEP *self, const char *name)
{
	char path[256], text[1024];
	ssize_t n;
	int fd;

	snprintf_assert(path, sizeof(path), DEBUGFS "/%s/%s", self->dev->uuid, name);
	fd = open(path, O_RDONLY | O_CLOEXEC);
	if (fd < 0)
		return -errno;
	n = read(fd, text, sizeof(text));
	n = n < 0 ? -errno : 0;
	close(fd);
	return n;
}

static int look_at_state(SWEEP *self)
{
	return look(self, "state");
}

static int look_at_session(SWEEP *self)
{
	return look(self, "session");
}

static int look_at_arcs(SWEEP *self)
{
	return look(self, "arcs");
}

static int look_at_error(SWEEP *self)
{
	return look(self, "last_error");
}

static int fault_rule(SWEEP *self)
{
	return __vfm_fault_write(self->dev, "arc_fail STOP->ERROR 1 1 5");
}

TEST_F_TIMEOUT(failnth, questions, 600)
{
	sweep(self, "PROBE", in_running, probe, NULL);
	sweep(self, "GET", in_running, get_state, NULL);
	sweep(self, "MIGRATION", in_running, get_flags, NULL);
	sweep(self, "DATA_SIZE", in_running, get_data_size, NULL);
	sweep(self, "PATH", in_running, get_path, NULL);
	sweep(self, "LAST_ERROR", in_running, get_last_error, NULL);
	sweep(self, "DRAIN", in_running, drain, NULL);
	vfm_reopen(self->dev);
	sweep(self, "RESET", in_stop_copy, reset, NULL);
	if (vfm_supports(self->dev, VFM_PRE_COPY)) {
		sweep(self, "PRECOPY_INFO", in_pre_copy, precopy_info, NULL);
		sweep(self, "COPY_BACK", in_running, allow_copy_back, NULL);
		sweep(self, "INFOv2", in_running, ask_reinit, NULL);
	}
	sweep(self, "FIONREAD", in_stop_copy, fionread, NULL);
	sweep(self, "poll", in_stop_copy, poll_session, NULL);
	sweep(self, "fdinfo", in_stop_copy, fdinfo, NULL);
	sweep(self, "INFO", in_running, device_info, NULL);
	sweep(self, "REGION_INFO", in_running, region_info, NULL);
	sweep(self, "IRQ_INFO", in_running, irq_info, NULL);
	if (logs_dma(self))
		sweep(self, "DMA_LOGGING", in_running, log_dma, NULL);
	sweep(self, "SET_IRQS", in_running, set_irqs, NULL);
	sweep(self, "BAR", in_running, bar_access, NULL);
	sweep(self, "config", in_running, config_read, NULL);
	sweep(self, "config_write", in_running, config_write, NULL);
	sweep(self, "attribute", in_running, attributes, NULL);
	if (vfm_have_faults(self->dev)) {
		sweep(self, "state", in_running, look_at_state, NULL);
		sweep(self, "session", in_stop_copy, look_at_session, NULL);
		sweep(self, "arcs", in_running, look_at_arcs, NULL);
		sweep(self, "last_error", in_running, look_at_error, NULL);
		sweep(self, "rule", in_running, fault_rule, NULL);
		vfm_fault_clear(self->dev);
	}
	end_session(self);
	vfm_move_all(self->dev, self->other);
}

/* INTx by itself, which is in use as long as the device is open. */
static void with_intx(SWEEP *self)
{
	end_session(self);
	vfm_reopen(self->dev);
	VFIO_ASSERT_EQ(set_eventfd(self, VFIO_PCI_INTX_IRQ_INDEX,
				   VFIO_IRQ_SET_ACTION_TRIGGER), 0);
}

static int unmask_by_eventfd(SWEEP *self)
{
	return set_eventfd(self, VFIO_PCI_INTX_IRQ_INDEX, VFIO_IRQ_SET_ACTION_UNMASK);
}

/* It is the kernel that runs into the page: who has none there is killed. */
static int map_memory(SWEEP *self)
{
	u8 *at = mmap(NULL, 4096, PROT_READ | PROT_WRITE, MAP_SHARED, self->dev->fd,
		      self->dev->bar[MIGSIM_BAR_MEM].offset);
	int ret;
	u8 c;

	if (at == MAP_FAILED)
		return -errno;
	ret = vfm_write(self->pipe[1], at, 1);
	if (ret > 0)
		ret = vfm_read(self->pipe[0], &c, 1);
	if (munmap(at, 4096))
		VFIO_ASSERT_EQ(munmap(at, 4096), 0);
	return ret < 0 ? ret : 0;
}

static void empty_pipe(SWEEP *self)
{
	u8 chunk[CHUNK];

	while (poll(&(struct pollfd) { .fd = self->pipe[0], .events = POLLIN }, 1, 0) > 0)
		vfm_read(self->pipe[0], chunk, sizeof(chunk));
}

static void check_mapped(SWEEP *self, int ret)
{
	empty_pipe(self);
}

static void with_command(SWEEP *self)
{
	in_running(self);
	vfm_command_write(self->dev, PCI_COMMAND_MEMORY | PCI_COMMAND_MASTER);
	vfm_reg_write(self->dev, MIGSIM_REG_DMA_IOVA, IOVA);
	vfm_reg_write(self->dev, MIGSIM_REG_DMA_OFFSET, 0);
	vfm_reg_write(self->dev, MIGSIM_REG_DMA_LENGTH, 4096);
}

static int start_dma(SWEEP *self)
{
	u64 command = MIGSIM_DMA_READ;
	ssize_t n = __vfm_bar_write(self->dev, MIGSIM_BAR_REGS, MIGSIM_REG_DMA_COMMAND,
				    &command, sizeof(command));

	return n < 0 ? n : 0;
}

/* The engine's own thread does the rest. */
static void check_dma(SWEEP *self, int ret)
{
	vfm_dma_wait(self->dev);
	VFIO_ASSERT_EQ(vfm_reg_read(self->dev, MIGSIM_REG_DMA_DONE), !ret);
}

TEST_F_TIMEOUT(failnth, hardware, 600)
{
	void *memory = mmap(NULL, 4096, PROT_READ | PROT_WRITE,
			    MAP_PRIVATE | MAP_ANONYMOUS, -1, 0);

	ASSERT_NE(MAP_FAILED, memory);
	sweep(self, "UNMASK", with_intx, unmask_by_eventfd, NULL);
	vfm_reopen(self->dev);
	if (self->dev->bar[MIGSIM_BAR_MEM].flags & VFIO_REGION_INFO_FLAG_MMAP)
		sweep(self, "mmap", in_running, map_memory, check_mapped);
	vfm_dma_map(self->dev, IOVA, memory, 4096);
	sweep(self, "DMA", with_command, start_dma, check_dma);
	vfm_reopen(self->dev);
	vfm_move_all(self->dev, self->other);
}

/* What can only be done to a device that nobody has open. */
static void closed(SWEEP *self)
{
	vfm_close(self->dev);
}

static int store(SWEEP *self)
{
	return __vfm_attr_write(self->dev, "state_size", "16384");
}

static int join(SWEEP *self)
{
	return __vfm_attr_write(self->dev, "peer", self->other->uuid);
}

static int leave(SWEEP *self)
{
	return __vfm_attr_write(self->dev, "peer", "\n");
}

static int show_peer(SWEEP *self)
{
	char text[64];

	return __vfm_attr_read(self->dev, "peer", text, sizeof(text));
}

static int show_hash(SWEEP *self)
{
	char text[64];

	return __vfm_attr_read(self->dev, "state_hash", text, sizeof(text));
}

TEST_F_TIMEOUT(failnth, attributes, 600)
{
	sweep(self, "state_size", closed, store, NULL);
	sweep(self, "peer", closed, join, NULL);
	sweep(self, "peer is", closed, show_peer, NULL);
	sweep(self, "no peer", closed, leave, NULL);
	sweep(self, "state_hash", closed, show_hash, NULL);
	vfm_open(self->dev);
	vfm_move_all(self->dev, self->other);
}

/*
 * Data: what failed is done once more, and what arrives has to be all of it; unless it
 * was the session that failed, which it then says for ever.
 */
static bool again(SWEEP *self, int err)
{
	return short_of_memory(err) && !vfm_session_error(self->fd);
}

typedef ssize_t take_t(SWEEP *self, void *buf, size_t len);
typedef ssize_t give_t(SWEEP *self, const void *buf, size_t len);

static int take_all(SWEEP *self, take_t *take)
{
	u8 chunk[CHUNK];
	ssize_t n;

	do {
		n = take(self, chunk, sizeof(chunk));
		if (n > 0)
			vfm_buf_append(&self->got, chunk, n);
	} while (n > 0 || again(self, n));
	return n;
}

static ssize_t take_by_read(SWEEP *self, void *buf, size_t len)
{
	return vfm_read(self->fd, buf, len);
}

static int read_all(SWEEP *self)
{
	return take_all(self, take_by_read);
}

/* More than there is room for without an allocation. */
#define NR_PARTS	20

static void divide(struct iovec *iov, void *buf, size_t len)
{
	unsigned int i;

	for (i = 0; i < NR_PARTS; i++)
		iov[i] = (struct iovec) { buf + len * i / NR_PARTS,
			len * (i + 1) / NR_PARTS - len * i / NR_PARTS };
}

static ssize_t take_by_readv(SWEEP *self, void *buf, size_t len)
{
	struct iovec iov[NR_PARTS];
	ssize_t n;

	divide(iov, buf, len);
	n = readv(self->fd, iov, NR_PARTS);
	return n < 0 ? -errno : n;
}

static int readv_all(SWEEP *self)
{
	return take_all(self, take_by_readv);
}

/*
 * A request that there is no memory for is not even taken, one that may not wait for
 * want of it is called off.
 */
static ssize_t run_ring(SWEEP *self)
{
	struct io_uring_cqe *cqe;
	ssize_t ret;

	do {
		ret = io_uring_submit_and_wait(&self->ring, 1);
	} while (io_uring_sq_ready(&self->ring) && (ret == -EAGAIN || ret == -ENOMEM));
	while (io_uring_wait_cqe(&self->ring, &cqe))
		;
	ret = cqe->res;
	io_uring_cqe_seen(&self->ring, cqe);
	return ret == -ECANCELED || ret == -EAGAIN ? -ENOMEM : ret;
}

static ssize_t take_by_ring(SWEEP *self, void *buf, size_t len)
{
	io_uring_prep_read(io_uring_get_sqe(&self->ring), self->fd, buf, len, -1);
	return run_ring(self);
}

static int ring_read_all(SWEEP *self)
{
	return take_all(self, take_by_ring);
}

static int splice_all(SWEEP *self)
{
	u8 chunk[CHUNK];
	ssize_t n, got;

	for (;;) {
		n = splice(self->fd, NULL, self->pipe[1], NULL, CHUNK, 0);
		if (n < 0)
			n = -errno;
		if (!n || (n < 0 && !again(self, n)))
			return n;
		while (n > 0) {
			got = vfm_read(self->pipe[0], chunk, n);
			if (got > 0)
				vfm_buf_append(&self->got, chunk, got);
			n -= got > 0 ? got : 0;
		}
	}
}

static void check_saved(SWEEP *self, int ret)
{
	if (ret)
		return;
	vfm_reset(self->other);
	vfm_restore(self->other, &self->got, NULL);
	VFIO_ASSERT_EQ(vfm_state_hash(self->other), self->hash);
}

static int give_all(SWEEP *self, give_t *give)
{
	size_t pos = 0;
	ssize_t n;

	while (pos < self->good.len) {
		n = give(self, self->good.data + pos, pos + CHUNK < self->good.len ?
			 CHUNK : self->good.len - pos);
		if (n < 0 && !again(self, n))
			return n;
		pos += n < 0 ? 0 : n;
	}
	return 0;
}

static ssize_t give_by_write(SWEEP *self, const void *buf, size_t len)
{
	return vfm_write(self->fd, buf, len);
}

static int write_all(SWEEP *self)
{
	return give_all(self, give_by_write);
}

static ssize_t give_by_writev(SWEEP *self, const void *buf, size_t len)
{
	struct iovec iov[NR_PARTS];
	ssize_t n;

	divide(iov, (void *)buf, len);
	n = writev(self->fd, iov, NR_PARTS);
	return n < 0 ? -errno : n;
}

static int writev_all(SWEEP *self)
{
	return give_all(self, give_by_writev);
}

static ssize_t give_by_ring(SWEEP *self, const void *buf, size_t len)
{
	io_uring_prep_write(io_uring_get_sqe(&self->ring), self->fd, buf, len, -1);
	return run_ring(self);
}

static int ring_write_all(SWEEP *self)
{
	return give_all(self, give_by_ring);
}

static int splice_in_all(SWEEP *self)
{
	size_t pos = 0, queued = 0, left;
	ssize_t n;

	while (pos < self->good.len || queued) {
		left = self->good.len - pos;
		if (left && !queued) {
			n = vfm_write(self->pipe[1], self->good.data + pos,
				      left < CHUNK ? left : CHUNK);
			pos += n > 0 ? n : 0;
			queued += n > 0 ? n : 0;
		}
		n = splice(self->pipe[0], NULL, self->fd, NULL, queued, 0);
		if (n < 0)
			n = -errno;
		if (n < 0 && !again(self, n))
			return n;
		queued -= n < 0 ? 0 : n;
	}
	return 0;
}

static void check_loaded(SWEEP *self, int ret)
{
	/* What a failed session did not take. */
	empty_pipe(self);
	if (ret) {
		vfm_set_state_err(self->dev, VFM_STOP, -ret);
		vfm_assert_state(self->dev, VFM_ERROR);
		return;
	}
	vfm_set_state_nofd(self->dev, VFM_STOP);
	VFIO_ASSERT_EQ(vfm_state_hash(self->dev), self->hash);
}

TEST_F_TIMEOUT(failnth, transfers, 600)
{
	sweep(self, "read", in_stop_copy, read_all, check_saved);
	sweep(self, "splice_read", in_stop_copy, splice_all, check_saved);
	sweep(self, "readv", in_stop_copy, readv_all, check_saved);
	sweep(self, "write", in_resuming, write_all, check_loaded);
	sweep(self, "writev", in_resuming, writev_all, check_loaded);
	sweep(self, "splice_write", in_resuming, splice_in_all, check_loaded);
	end_session(self);
}

TEST_F_TIMEOUT(failnth, ring, 600)
{
	ASSERT_EQ(0, io_uring_queue_init(4, &self->ring, 0));
	sweep(self, "IORING_OP_READ", in_stop_copy, ring_read_all, check_saved);
	sweep(self, "IORING_OP_WRITE", in_resuming, ring_write_all, check_loaded);
	end_session(self);
	io_uring_queue_exit(&self->ring);
}

/*
 * A transition ends where it began or, with a session gone, in one of its steps. Or at
 * its end, if it is vfio.ko that fails, to say so: it undoes nothing but a session.
 */
static bool ends_well(const struct vfm_path *path, unsigned int i, int ret)
{
	return !i || vfm_path_ends_session(path, i) ||
	       (ret == -EFAULT && i == path->arcs &&
		!vfm_arc_opens(path->state[i - 1], path->state[i]));
}

static void check_states(SWEEP *self, const struct vfm_path *path, int ret)
{
	u32 state = vfm_get_state(self->dev);
	unsigned int i;

	if (!ret) {
		VFIO_ASSERT_EQ(state, path->state[path->arcs]);
		return;
	}
	for (i = 0; i <= path->arcs; i++)
		if (path->state[i] == state && ends_well(path, i, ret))
			return;
	VFIO_FAIL("from %s to %s, and it is in %s", vfm_state_name(path->state[0]),
		  vfm_state_name(path->state[path->arcs]), vfm_state_name(state));
}

static void sweep_transition(SWEEP *self, const struct vfm_path *path)
{
	const u32 from = path->state[0], to = path->state[path->arcs];
	unsigned int nth, fds;
	bool failed = true;
	int fd, ret;

	for (nth = 1; failed; nth++) {
		VFIO_ASSERT_LT(nth, LIMIT);
		in_running(self);
		self->fd = vfm_enter(self->dev, from);
		if (from == VFM_RESUMING)
			vfm_feed(self->fd, self->good.data, self->good.len, NULL);
		fds = nr_fds();
		vfm_failnth_arm(nth);
		ret = __vfm_set_state(self->dev, to, &fd);
		failed = vfm_failnth_disarm();
		VFIO_ASSERT_TRUE(!ret || (failed && short_of_memory(ret)),
				 "from %s to %s, %u: %s", vfm_state_name(from),
				 vfm_state_name(to), nth, strerror(-ret));
		check_states(self, path, ret);
		if (!ret && fd >= 0)
			close(fd);
		VFIO_ASSERT_EQ(nr_fds(), fds);
		self->points += failed;
	}
}

TEST_F_TIMEOUT(failnth, transitions, 600)
{
	struct vfm_path path;
	u32 from, to;

	for (from = 0; from < VFM_NR_STATES; from++) {
		for (to = 0; to < VFM_NR_STATES; to++) {
			path = vfm_find_path(self->dev->flags, from, to);
			if (from != to && path.arcs)
				sweep_transition(self, &path);
		}
	}
	in_running(self);
	vfm_reset(self->other);
	vfm_move_all(self->dev, self->other);
}

TEST_HARNESS_MAIN
