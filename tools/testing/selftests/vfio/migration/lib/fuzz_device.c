// SPDX-License-Identifier: GPL-2.0-only
/* Steps on devices: features, states, resets, regions, interrupts, configuration. */
#include <sys/eventfd.h>
#include <sys/ioctl.h>
#include <sys/mman.h>
#include <unistd.h>

#include <libvfio/ext.h>
#include <libvfio/fuzz.h>
#include <libvfio/migsim.h>

#include "migsim_regs.h"

#define VFM_NOWHERE	((void *)4096)

void vfm_fuzz_set_state(struct vfm_fuzz *fuzz)
{
	u32 state = vfm_fuzz_seldom(fuzz, 16) ? vfm_random(&fuzz->rng) :
					       vfm_random_below(&fuzz->rng, 8);
	int fd = -1;

	if (!__vfm_set_state(vfm_fuzz_device(fuzz), state, &fd) && fd >= 0)
		vfm_fuzz_keep(fuzz, fd);
}

static const u64 features[] = {
	VFIO_DEVICE_FEATURE_MIGRATION,
	VFIO_DEVICE_FEATURE_MIG_DEVICE_STATE,
	VFIO_DEVICE_FEATURE_MIG_DATA_SIZE,
	VFIO_DEVICE_FEATURE_MIG_PRECOPY_INFOv2,
	VFIO_DEVICE_FEATURE_MIGX_PATH,
	VFIO_DEVICE_FEATURE_MIGX_DRAIN,
	VFIO_DEVICE_FEATURE_MIGX_COPY_BACK,
	VFIO_DEVICE_FEATURE_MIGX_LAST_ERROR,
	VFIO_DEVICE_FEATURE_DMA_LOGGING_START,
	VFIO_DEVICE_FEATURE_DMA_LOGGING_STOP,
	VFIO_DEVICE_FEATURE_DMA_LOGGING_REPORT,
	VFIO_DEVICE_FEATURE_PCI_VF_TOKEN,
	0xffff,
};

union fuzz_feature {
	struct vfio_device_feature feature;
	u64 words[96];
};

/* Fds that the kernel has given are in what it has written. */
static void fuzz_keep_answer(struct vfm_fuzz *fuzz, const union fuzz_feature *arg)
{
	const struct vfio_device_feature_migx_drain *drain =
		(const void *)arg->feature.data;
	const struct vfio_device_feature_mig_state *mig =
		(const void *)arg->feature.data;

	if (!(arg->feature.flags & VFIO_DEVICE_FEATURE_SET) ||
	    arg->feature.flags & VFIO_DEVICE_FEATURE_PROBE)
		return;
	switch (arg->feature.flags & VFIO_DEVICE_FEATURE_MASK) {
	case VFIO_DEVICE_FEATURE_MIG_DEVICE_STATE:
		if (mig->data_fd >= 0)
			vfm_fuzz_keep(fuzz, mig->data_fd);
		break;
	case VFIO_DEVICE_FEATURE_MIGX_DRAIN:
		vfm_fuzz_keep(fuzz, drain->fd);
		break;
	}
}

/* Zeros, garbage, or zeros with a little garbage: what is reserved has to be 0. */
static void fuzz_contents(struct vfm_fuzz *fuzz, u64 *words, size_t nr)
{
	switch (vfm_random_below(&fuzz->rng, 3)) {
	case 0:
		vfm_fuzz_fill(fuzz, words, nr * sizeof(*words));
		break;
	case 1:
		words[vfm_random_below(&fuzz->rng, 3)] =
			vfm_random_below(&fuzz->rng, 9);
		words[vfm_random_below(&fuzz->rng, nr)] =
			vfm_random(&fuzz->rng) >> vfm_random_below(&fuzz->rng, 64);
		break;
	}
}

static u32 fuzz_argsz(struct vfm_fuzz *fuzz)
{
	static const u64 sizes[] = { 8, 16, 24, 32, 56, 168, 0, 4096, 4104, ~0U };

	return vfm_fuzz_seldom(fuzz, 3) ?
	       vfm_random_below(&fuzz->rng, sizeof(union fuzz_feature)) :
	       vfm_fuzz_pick(fuzz, sizes, ARRAY_SIZE(sizes));
}

static void fuzz_feature(struct vfm_fuzz *fuzz)
{
	struct vfm_device *dev = vfm_fuzz_device(fuzz);
	union fuzz_feature arg = { 0 };

	fuzz_contents(fuzz, arg.words + 1, ARRAY_SIZE(arg.words) - 1);
	arg.feature.argsz = fuzz_argsz(fuzz);
	arg.feature.flags = vfm_fuzz_pick(fuzz, features, ARRAY_SIZE(features)) |
			    vfm_random_below(&fuzz->rng, 8) << 16;
	if (vfm_fuzz_seldom(fuzz, 16))
		arg.feature.flags = vfm_random(&fuzz->rng);
	if (vfm_fuzz_seldom(fuzz, 32))
		ioctl(dev->fd, VFIO_DEVICE_FEATURE, VFM_NOWHERE);
	if (!ioctl(dev->fd, VFIO_DEVICE_FEATURE, &arg))
		fuzz_keep_answer(fuzz, &arg);
}

/* What is well formed goes further. */
static void fuzz_extension(struct vfm_fuzz *fuzz)
{
	struct vfio_device_feature_migx_last_error error;
	struct vfio_device_feature_migx_path path;
	struct vfm_device *dev = vfm_fuzz_device(fuzz);
	int fd;

	switch (vfm_random_below(&fuzz->rng, 5)) {
	case 0:
		__vfm_query_path(dev, vfm_random_below(&fuzz->rng, 9),
				 vfm_random_below(&fuzz->rng, 9), &path);
		break;
	case 1:
		if (!__vfm_begin_drain(dev, &fd))
			vfm_fuzz_keep(fuzz, fd);
		break;
	case 2:
		__vfm_allow_copy_back(dev);
		break;
	case 3:
		__vfm_ask_reinit(dev);
		break;
	case 4:
		__vfm_last_error(dev, &error);
		break;
	}
}

static void fuzz_reset(struct vfm_fuzz *fuzz)
{
	__vfm_reset(vfm_fuzz_device(fuzz));
}

static void fuzz_irqs(struct vfm_fuzz *fuzz)
{
	struct {
		struct vfio_irq_set set;
		int32_t data[8];
	} arg = { 0 };
	int fd = eventfd(0, EFD_CLOEXEC | EFD_NONBLOCK);

	arg.set.argsz = vfm_fuzz_seldom(fuzz, 4) ? vfm_random(&fuzz->rng) :
						   sizeof(arg);
	arg.set.flags = 1U << vfm_random_below(&fuzz->rng, 3) |
			8U << vfm_random_below(&fuzz->rng, 3);
	if (vfm_fuzz_seldom(fuzz, 8))
		arg.set.flags = vfm_random(&fuzz->rng);
	arg.set.index = vfm_random_below(&fuzz->rng, 6);
	arg.set.start = vfm_random_below(&fuzz->rng, 2);
	arg.set.count = vfm_fuzz_seldom(fuzz, 8) ? vfm_random(&fuzz->rng) :
						   vfm_random_below(&fuzz->rng, 3);
	arg.data[0] = vfm_fuzz_seldom(fuzz, 4) ? -1 : fd;
	arg.data[1] = fd;
	ioctl(vfm_fuzz_device(fuzz)->fd, VFIO_DEVICE_SET_IRQS, &arg);
	close(fd);
}

static void fuzz_info(struct vfm_fuzz *fuzz)
{
	static const u64 ask[] = {
		VFIO_DEVICE_GET_INFO, VFIO_DEVICE_GET_REGION_INFO,
		VFIO_DEVICE_GET_IRQ_INFO, VFIO_DEVICE_GET_PCI_HOT_RESET_INFO,
		VFIO_DEVICE_IOEVENTFD, VFIO_DEVICE_QUERY_GFX_PLANE,
	};
	u32 arg[64] = { 0 };
	u64 cmd = vfm_fuzz_pick(fuzz, ask, ARRAY_SIZE(ask));

	vfm_fuzz_fill(fuzz, arg, sizeof(arg));
	arg[0] = vfm_fuzz_seldom(fuzz, 3) ? vfm_random(&fuzz->rng) :
					    vfm_random_below(&fuzz->rng, 128);
	arg[2] = vfm_random_below(&fuzz->rng, 10);
	/* The kernel may write argsz bytes, which is more than there are. */
	if (arg[0] > sizeof(arg))
		ioctl(vfm_fuzz_device(fuzz)->fd, cmd, VFM_NOWHERE);
	else
		ioctl(vfm_fuzz_device(fuzz)->fd, cmd, arg);
}

static void fuzz_region(struct vfm_fuzz *fuzz)
{
	struct vfm_device *dev = vfm_fuzz_device(fuzz);
	const struct vfio_region_info *region =
		vfm_fuzz_seldom(fuzz, 3) ? &dev->config :
		&dev->bar[vfm_fuzz_seldom(fuzz, 2) ? MIGSIM_BAR_MEM :
						     MIGSIM_BAR_REGS];
	u64 at = vfm_fuzz_seldom(fuzz, 8) ? vfm_random(&fuzz->rng) :
		 region->offset + vfm_random_below(&fuzz->rng, region->size + 16);
	size_t len = 1 + vfm_random_below(&fuzz->rng, 64);
	u8 data[64];

	vfm_fuzz_fill(fuzz, data, sizeof(data));
	if (vfm_fuzz_seldom(fuzz, 2)) {
		at &= ~7ULL;
		len = 8;
	}
	if (vfm_fuzz_seldom(fuzz, 2))
		pwrite(dev->fd, data, len, at);
	else
		pread(dev->fd, data, len, at);
}

/* Registers by name, small numbers: DMA, interrupts, a new first pass. */
static void fuzz_register(struct vfm_fuzz *fuzz)
{
	static const u64 regs[] = {
		MIGSIM_REG_RECONFIG, MIGSIM_REG_INT_STATUS,
		MIGSIM_REG_INT_ENABLE, MIGSIM_REG_INT_RAISE,
		MIGSIM_REG_SCRATCH, MIGSIM_REG_DMA_IOVA, MIGSIM_REG_DMA_OFFSET,
		MIGSIM_REG_DMA_LENGTH, MIGSIM_REG_DMA_COMMAND,
		MIGSIM_REG_DMA_COMMAND,
	};
	u64 value = vfm_random_below(&fuzz->rng, 5000) >>
		    vfm_random_below(&fuzz->rng, 13);

	__vfm_bar_write(vfm_fuzz_device(fuzz), MIGSIM_BAR_REGS,
			vfm_fuzz_pick(fuzz, regs, ARRAY_SIZE(regs)), &value,
			sizeof(value));
}

static void fuzz_mmap(struct vfm_fuzz *fuzz)
{
	struct vfm_device *dev = vfm_fuzz_device(fuzz);
	size_t len = 4096 * (1 + vfm_random_below(&fuzz->rng, 8));
	void *p = mmap(NULL, len, vfm_random_below(&fuzz->rng, 4),
		       vfm_fuzz_seldom(fuzz, 3) ? MAP_PRIVATE : MAP_SHARED,
		       dev->fd, (dev->bar[MIGSIM_BAR_MEM].offset & ~4095ULL) +
				4096 * vfm_random_below(&fuzz->rng, 8));

	if (p != MAP_FAILED)
		munmap(p, len);
}

struct fuzz_attr {
	const char *name;
	u64 max;
};

/* No value makes a sequence take long. */
static const struct fuzz_attr attrs[] = {
	{ "window", 1 << 18 }, { "save_latency_us", 500 },
	{ "stop_latency_us", 500 }, { "p2p_latency_us", 500 },
	{ "load_latency_us", 500 }, { "bandwidth", 1 << 30 },
	{ "dirty_rate", 1 << 22 }, { "token_count", 16 },
	{ "token_rate", 1000 }, { "verify", 2 }, { "donate", 2 },
	{ "drain", 2 }, { "stop_copy_back", 2 }, { "poll", 2 },
	{ "nowait", 2 }, { "seed", 1000 }, { "state_size", 16 },
};

/* Most are refused, as the device is open or the number is none. */
static void fuzz_attr(struct vfm_fuzz *fuzz, struct vfm_device *dev)
{
	const struct fuzz_attr *attr =
		&attrs[vfm_random_below(&fuzz->rng, ARRAY_SIZE(attrs))];
	u64 value = vfm_random_below(&fuzz->rng, attr->max + 1);
	char text[32];

	if (!strcmp(attr->name, "state_size"))
		value *= 4096;
	snprintf_assert(text, sizeof(text), "%llu", (unsigned long long)value);
	if (vfm_fuzz_seldom(fuzz, 8))
		vfm_fuzz_fill(fuzz, text, 3);
	__vfm_attr_write(dev, attr->name, text);
}

static void fuzz_configure(struct vfm_fuzz *fuzz)
{
	struct vfm_device *dev = vfm_fuzz_device(fuzz);
	unsigned int n = vfm_random_below(&fuzz->rng, 4);

	if (vfm_fuzz_seldom(fuzz, 2)) {
		fuzz_attr(fuzz, dev);
		return;
	}
	vfm_close(dev);
	while (n--)
		fuzz_attr(fuzz, dev);
	vfm_open(dev);
}

static const char *const passages[] = {
	"CONFIG", "MEMORY", "REGS", "*->*", "RUNNING->STOP", "STOP->STOP_COPY",
	"STOP->RESUMING", "RESUMING->STOP", "*->RUNNING", "-", "x",
};

static const char *const sites[] = {
	"arc_fail", "arc_broken", "arc_stall", "arc_reset", "stop_fail",
	"snapshot_fail", "snapshot_stall", "save_fail", "save_stall",
	"save_short", "save_flip", "save_reset", "load_fail", "load_stall",
	"load_reset", "dma_fail", "y",
};

static void fuzz_fault(struct vfm_fuzz *fuzz)
{
	struct vfm_device *dev = vfm_fuzz_device(fuzz);
	char line[128];

	switch (vfm_random_below(&fuzz->rng, 4)) {
	case 0:
		__vfm_fault_write(dev, "clear");
		return;
	case 1:
		__vfm_fault_write(dev, "release");
		return;
	}
	snprintf_assert(line, sizeof(line), "%s %s %u %u %d",
			sites[vfm_random_below(&fuzz->rng, ARRAY_SIZE(sites))],
			passages[vfm_random_below(&fuzz->rng, ARRAY_SIZE(passages))],
			1 + (u32)vfm_random_below(&fuzz->rng, 3),
			1 + (u32)vfm_random_below(&fuzz->rng, 2),
			vfm_fuzz_seldom(fuzz, 3) ? 0 :
			(int)vfm_random_below(&fuzz->rng, 40));
	__vfm_fault_write(dev, line);
}

void (*const vfm_fuzz_device_steps[])(struct vfm_fuzz *fuzz) = {
	fuzz_feature, fuzz_feature, fuzz_feature, fuzz_extension, fuzz_extension,
	fuzz_reset, fuzz_irqs, fuzz_info, fuzz_region, fuzz_register,
	fuzz_register, fuzz_mmap, fuzz_configure, fuzz_fault, fuzz_fault,
};

const size_t vfm_fuzz_nr_device_steps = ARRAY_SIZE(vfm_fuzz_device_steps);
