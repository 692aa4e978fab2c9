// SPDX-License-Identifier: GPL-2.0-only
/*
 * B1 to B11 when memory is short and user memory is bad: questions to an open device,
 * its settings, interrupts and DMA, of which every allocation and every copy fails once.
 * What moves a state is in sweep_failnth_move_test, what makes and opens devices in
 * sweep_life_test.
 */
#include <fcntl.h>
#include <sys/ioctl.h>
#include <sys/mman.h>

#include <linux/pci_regs.h>

#include <libvfio_migration.h>

#include "migsim_regs.h"

#define IOVA		0x100000
#define DEBUGFS		"/sys/kernel/debug/vfio-migration"

FIXTURE(failnth) {
	struct vfm_sweep sweep;
};

FIXTURE_VARIANT(failnth) {
	const char *type;
};

FIXTURE_VARIANT_ADD(failnth, full) { .type = MIGSIM_FULL };
FIXTURE_VARIANT_ADD(failnth, basic) { .type = MIGSIM_BASIC };

FIXTURE_SETUP(failnth)
{
	VFM_REQUIRE_TYPE(variant->type);
	VFM_REQUIRE_FAILNTH();
	vfm_sweep_init(&self->sweep, variant->type);
}

FIXTURE_TEARDOWN(failnth)
{
	vfm_sweep_exit(&self->sweep);
}

/* Questions and settings: there is nothing to see but that they are answered. */

static int probe(struct vfm_sweep *s)
{
	return __vfm_ext(s->dev, VFIO_DEVICE_FEATURE_PROBE |
			 VFIO_DEVICE_FEATURE_GET,
			 VFIO_DEVICE_FEATURE_MIGRATION, NULL, 0);
}

static int get_state(struct vfm_sweep *s)
{
	u32 state;

	return __vfm_get_state(s->dev, &state);
}

static int get_flags(struct vfm_sweep *s)
{
	u64 flags;

	return __vfm_migration_flags(s->dev, &flags);
}

static int get_data_size(struct vfm_sweep *s)
{
	u64 size;

	return __vfm_data_size(s->dev, &size);
}

static int get_path(struct vfm_sweep *s)
{
	struct vfio_device_feature_migx_path path;

	return __vfm_query_path(s->dev, VFM_RUNNING, VFM_STOP, &path);
}

static int get_last_error(struct vfm_sweep *s)
{
	struct vfio_device_feature_migx_last_error error;

	return __vfm_last_error(s->dev, &error);
}

static int allow_copy_back(struct vfm_sweep *s)
{
	return __vfm_allow_copy_back(s->dev);
}

static int ask_reinit(struct vfm_sweep *s)
{
	return __vfm_ask_reinit(s->dev);
}

static int drain(struct vfm_sweep *s)
{
	int fd, ret = __vfm_begin_drain(s->dev, &fd);

	if (!ret)
		close(fd);
	return ret;
}

static int reset(struct vfm_sweep *s)
{
	return __vfm_reset(s->dev);
}

static int precopy_info(struct vfm_sweep *s)
{
	struct vfio_precopy_info info = { 0 };

	return __vfm_precopy_info(s->fd, &info);
}

static int fionread(struct vfm_sweep *s)
{
	int n;

	return ioctl(s->fd, FIONREAD, &n) ? -errno : 0;
}

static int poll_session(struct vfm_sweep *s)
{
	struct pollfd pfd = { .fd = s->fd, .events = POLLIN };

	return poll(&pfd, 1, -1) < 0 ? -errno : 0;
}

static int fdinfo(struct vfm_sweep *s)
{
	char path[64], text[1024];
	ssize_t n;
	int fd;

	snprintf_assert(path, sizeof(path), "/proc/self/fdinfo/%d", s->fd);
	fd = open(path, O_RDONLY | O_CLOEXEC);
	/* procfs does not say that it has no memory for an inode. */
	if (fd < 0)
		return errno == ENOENT ? -ENOMEM : -errno;
	n = read(fd, text, sizeof(text));
	n = n < 0 ? -errno : 0;
	close(fd);
	return n;
}

static int region_info(struct vfm_sweep *s)
{
	struct vfio_region_info info = {
		.argsz = sizeof(info),
		.index = VFIO_PCI_BAR2_REGION_INDEX,
	};

	return ioctl(s->dev->fd, VFIO_DEVICE_GET_REGION_INFO, &info) ? -errno : 0;
}

static int device_info(struct vfm_sweep *s)
{
	struct vfio_device_info info = { .argsz = sizeof(info) };

	return ioctl(s->dev->fd, VFIO_DEVICE_GET_INFO, &info) ? -errno : 0;
}

static int irq_info(struct vfm_sweep *s)
{
	struct vfio_irq_info info = {
		.argsz = sizeof(info),
		.index = VFIO_PCI_MSI_IRQ_INDEX,
	};

	return ioctl(s->dev->fd, VFIO_DEVICE_GET_IRQ_INFO, &info) ? -errno : 0;
}

/* A log that did not start is off, and one that cannot report goes on. */
static int log_dma(struct vfm_sweep *s)
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

	ret = __vfm_ext(s->dev, VFIO_DEVICE_FEATURE_SET,
			VFIO_DEVICE_FEATURE_DMA_LOGGING_START, &control,
			sizeof(control));
	if (ret)
		return ret;
	ret = __vfm_ext(s->dev, VFIO_DEVICE_FEATURE_GET,
			VFIO_DEVICE_FEATURE_DMA_LOGGING_REPORT, &report,
			sizeof(report));
	do {
		err = __vfm_ext(s->dev, VFIO_DEVICE_FEATURE_SET,
				VFIO_DEVICE_FEATURE_DMA_LOGGING_STOP, NULL, 0);
		ret = ret ? ret : err;
	} while (vfm_short_of_memory(err));
	return ret;
}

static bool logs_dma(struct vfm_sweep *s)
{
	return !__vfm_ext(s->dev, VFIO_DEVICE_FEATURE_PROBE |
			  VFIO_DEVICE_FEATURE_SET,
			  VFIO_DEVICE_FEATURE_DMA_LOGGING_START, NULL, 0);
}

static int set_eventfd(struct vfm_sweep *s, u32 index, u32 action)
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
		.event = s->event,
	};

	return ioctl(s->dev->fd, VFIO_DEVICE_SET_IRQS, &request) ? -errno : 0;
}

static int set_irqs(struct vfm_sweep *s)
{
	return set_eventfd(s, VFIO_PCI_MSI_IRQ_INDEX, VFIO_IRQ_SET_ACTION_TRIGGER);
}

static int bar_access(struct vfm_sweep *s)
{
	u64 value[64] = { 1 };
	ssize_t ret;

	ret = __vfm_bar_write(s->dev, MIGSIM_BAR_MEM, 4096, value, sizeof(value));
	if (ret >= 0)
		ret = __vfm_bar_read(s->dev, MIGSIM_BAR_MEM, 0, value,
				     sizeof(value));
	return ret < 0 ? ret : 0;
}

static int config_read(struct vfm_sweep *s)
{
	u8 config[64];
	ssize_t n = pread(s->dev->fd, config, sizeof(config),
			  s->dev->config.offset);

	return n < 0 ? -errno : 0;
}

static int config_write(struct vfm_sweep *s)
{
	u16 command = PCI_COMMAND_MEMORY;
	ssize_t n = pwrite(s->dev->fd, &command, sizeof(command),
			   s->dev->config.offset + PCI_COMMAND);

	return n < 0 ? -errno : 0;
}

static int attributes(struct vfm_sweep *s)
{
	char text[64];

	return __vfm_attr_read(s->dev, "mig_state", text, sizeof(text));
}

/* As procfs, debugfs has no errno for an inode that it got no memory for. */
static int look(struct vfm_sweep *s, const char *name)
{
	char path[256], text[1024];
	ssize_t n;
	int fd;

	snprintf_assert(path, sizeof(path), DEBUGFS "/%s/%s", s->dev->uuid, name);
	fd = open(path, O_RDONLY | O_CLOEXEC);
	if (fd < 0)
		return -errno;
	n = read(fd, text, sizeof(text));
	n = n < 0 ? -errno : 0;
	close(fd);
	return n;
}

static int look_at_state(struct vfm_sweep *s)
{
	return look(s, "state");
}

static int look_at_session(struct vfm_sweep *s)
{
	return look(s, "session");
}

static int look_at_arcs(struct vfm_sweep *s)
{
	return look(s, "arcs");
}

static int look_at_error(struct vfm_sweep *s)
{
	return look(s, "last_error");
}

static int fault_rule(struct vfm_sweep *s)
{
	return __vfm_fault_write(s->dev, "arc_fail STOP->RESUMING 1000000 1 5");
}

TEST_F_TIMEOUT(failnth, questions, 600)
{
	struct vfm_sweep *s = &self->sweep;

	vfm_sweep(s, "PROBE", vfm_sweep_in_running, probe, NULL);
	vfm_sweep(s, "GET", vfm_sweep_in_running, get_state, NULL);
	vfm_sweep(s, "MIGRATION", vfm_sweep_in_running, get_flags, NULL);
	vfm_sweep(s, "DATA_SIZE", vfm_sweep_in_running, get_data_size, NULL);
	vfm_sweep(s, "PATH", vfm_sweep_in_running, get_path, NULL);
	vfm_sweep(s, "LAST_ERROR", vfm_sweep_in_running, get_last_error, NULL);
	vfm_sweep(s, "DRAIN", vfm_sweep_in_running, drain, NULL);
	vfm_reopen(s->dev);
	vfm_sweep(s, "RESET", vfm_sweep_in_stop_copy, reset, NULL);
	if (vfm_supports(s->dev, VFM_PRE_COPY)) {
		vfm_sweep(s, "PRECOPY_INFO", vfm_sweep_in_pre_copy, precopy_info, NULL);
		vfm_sweep(s, "COPY_BACK", vfm_sweep_in_running, allow_copy_back, NULL);
		vfm_sweep(s, "INFOv2", vfm_sweep_in_running, ask_reinit, NULL);
	}
	vfm_sweep(s, "FIONREAD", vfm_sweep_in_stop_copy, fionread, NULL);
	vfm_sweep(s, "poll", vfm_sweep_in_stop_copy, poll_session, NULL);
	vfm_sweep(s, "fdinfo", vfm_sweep_in_stop_copy, fdinfo, NULL);
	vfm_sweep(s, "INFO", vfm_sweep_in_running, device_info, NULL);
	vfm_sweep(s, "REGION_INFO", vfm_sweep_in_running, region_info, NULL);
	vfm_sweep(s, "IRQ_INFO", vfm_sweep_in_running, irq_info, NULL);
	if (logs_dma(s))
		vfm_sweep(s, "DMA_LOGGING", vfm_sweep_in_running, log_dma, NULL);
	vfm_sweep(s, "SET_IRQS", vfm_sweep_in_running, set_irqs, NULL);
	vfm_sweep(s, "BAR", vfm_sweep_in_running, bar_access, NULL);
	vfm_sweep(s, "config", vfm_sweep_in_running, config_read, NULL);
	vfm_sweep(s, "config_write", vfm_sweep_in_running, config_write, NULL);
	vfm_sweep(s, "attribute", vfm_sweep_in_running, attributes, NULL);
	if (vfm_have_faults(s->dev)) {
		vfm_sweep(s, "state", vfm_sweep_in_running, look_at_state, NULL);
		vfm_sweep(s, "session", vfm_sweep_in_stop_copy, look_at_session, NULL);
		vfm_sweep(s, "arcs", vfm_sweep_in_running, look_at_arcs, NULL);
		vfm_sweep(s, "last_error", vfm_sweep_in_running, look_at_error, NULL);
		vfm_sweep(s, "rule", vfm_sweep_in_running, fault_rule, NULL);
		vfm_fault_clear(s->dev);
	}
	vfm_sweep_end_session(s);
	vfm_move_all(s->dev, s->other);
}

/* INTx by itself, which is in use as long as the device is open. */
static void with_intx(struct vfm_sweep *s)
{
	vfm_sweep_end_session(s);
	vfm_reopen(s->dev);
	VFIO_ASSERT_EQ(set_eventfd(s, VFIO_PCI_INTX_IRQ_INDEX,
				   VFIO_IRQ_SET_ACTION_TRIGGER), 0);
}

static int unmask_by_eventfd(struct vfm_sweep *s)
{
	return set_eventfd(s, VFIO_PCI_INTX_IRQ_INDEX, VFIO_IRQ_SET_ACTION_UNMASK);
}

/* It is the kernel that runs into the page: who has none there is killed. */
static int map_memory(struct vfm_sweep *s)
{
	u8 *at = mmap(NULL, 4096, PROT_READ | PROT_WRITE, MAP_SHARED, s->dev->fd,
		      s->dev->bar[MIGSIM_BAR_MEM].offset);
	int ret;
	u8 c;

	if (at == MAP_FAILED)
		return -errno;
	ret = vfm_write(s->pipe[1], at, 1);
	if (ret > 0)
		ret = vfm_read(s->pipe[0], &c, 1);
	if (munmap(at, 4096))
		VFIO_ASSERT_EQ(munmap(at, 4096), 0);
	return ret < 0 ? ret : 0;
}

static void check_mapped(struct vfm_sweep *s, int ret)
{
	vfm_sweep_empty_pipe(s);
}

static void with_command(struct vfm_sweep *s)
{
	vfm_sweep_in_running(s);
	vfm_command_write(s->dev, PCI_COMMAND_MEMORY | PCI_COMMAND_MASTER);
	vfm_reg_write(s->dev, MIGSIM_REG_DMA_IOVA, IOVA);
	vfm_reg_write(s->dev, MIGSIM_REG_DMA_OFFSET, 0);
	vfm_reg_write(s->dev, MIGSIM_REG_DMA_LENGTH, 4096);
}

static int start_dma(struct vfm_sweep *s)
{
	u64 command = MIGSIM_DMA_READ;
	ssize_t n = __vfm_bar_write(s->dev, MIGSIM_BAR_REGS, MIGSIM_REG_DMA_COMMAND,
				    &command, sizeof(command));

	return n < 0 ? n : 0;
}

/* The engine's own thread does the rest. */
static void check_dma(struct vfm_sweep *s, int ret)
{
	vfm_dma_wait(s->dev);
	VFIO_ASSERT_EQ(vfm_reg_read(s->dev, MIGSIM_REG_DMA_DONE), !ret);
}

TEST_F_TIMEOUT(failnth, hardware, 600)
{
	struct vfm_sweep *s = &self->sweep;
	void *memory = mmap(NULL, 4096, PROT_READ | PROT_WRITE,
			    MAP_PRIVATE | MAP_ANONYMOUS, -1, 0);

	ASSERT_NE(MAP_FAILED, memory);
	vfm_sweep(s, "UNMASK", with_intx, unmask_by_eventfd, NULL);
	vfm_reopen(s->dev);
	if (s->dev->bar[MIGSIM_BAR_MEM].flags & VFIO_REGION_INFO_FLAG_MMAP)
		vfm_sweep(s, "mmap", vfm_sweep_in_running, map_memory, check_mapped);
	vfm_dma_map(s->dev, IOVA, memory, 4096);
	vfm_sweep(s, "DMA", with_command, start_dma, check_dma);
	vfm_reopen(s->dev);
	vfm_move_all(s->dev, s->other);
}

/* What can only be done to a device that nobody has open. */
static void closed(struct vfm_sweep *s)
{
	vfm_close(s->dev);
}

static int store(struct vfm_sweep *s)
{
	return __vfm_attr_write(s->dev, "state_size", "16384");
}

static int join(struct vfm_sweep *s)
{
	return __vfm_attr_write(s->dev, "peer", s->other->uuid);
}

static int leave(struct vfm_sweep *s)
{
	return __vfm_attr_write(s->dev, "peer", "\n");
}

static int show_peer(struct vfm_sweep *s)
{
	char text[64];

	return __vfm_attr_read(s->dev, "peer", text, sizeof(text));
}

static int show_hash(struct vfm_sweep *s)
{
	char text[64];

	return __vfm_attr_read(s->dev, "state_hash", text, sizeof(text));
}

TEST_F_TIMEOUT(failnth, attributes, 600)
{
	struct vfm_sweep *s = &self->sweep;

	vfm_sweep(s, "state_size", closed, store, NULL);
	vfm_sweep(s, "peer", closed, join, NULL);
	vfm_sweep(s, "peer is", closed, show_peer, NULL);
	vfm_sweep(s, "no peer", closed, leave, NULL);
	vfm_sweep(s, "state_hash", closed, show_hash, NULL);
	vfm_open(s->dev);
	vfm_move_all(s->dev, s->other);
}

TEST_HARNESS_MAIN
