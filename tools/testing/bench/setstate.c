// SPDX-License-Identifier: GPL-2.0-only
/* setstate_vs_noop: what a transition costs, beside the ioctl that carries it. */
#include "bench.h"

#define LOOPS	1000

static void there_and_back(void *context, struct sample *sample)
{
	struct vfm_device *dev = context;
	unsigned int i;

	sample_begin(sample);
	for (i = 0; i < LOOPS; i++) {
		vfm_set_state_nofd(dev, VFM_RUNNING_P2P);
		vfm_set_state_nofd(dev, VFM_RUNNING);
	}
	sample_end(sample, LOOPS);
}

static void two_gets(void *context, struct sample *sample)
{
	struct vfm_device *dev = context;
	unsigned int i;

	sample_begin(sample);
	for (i = 0; i < LOOPS; i++) {
		vfm_get_state(dev);
		vfm_get_state(dev);
	}
	sample_end(sample, LOOPS);
}

static const struct figure figure = {
	.key = "setstate_vs_noop",
	.ours = "SET RUNNING_P2P and SET RUNNING, without any latency of the device",
	.other = "two GETs of the state",
	.not_for = "the time of a real transition, which is the hardware's; in User Mode Linux most of both is the system call",
};

void bench_setstate_vs_noop(void)
{
	struct outcome outcome;
	struct vfm_device *dev;

	dev = device_new(MIGSIM_SNAPSHOT, 4096, 4 * MIB);
	measure(&outcome, UNIT_US, there_and_back, two_gets, dev);
	report(&figure, &outcome, NULL);
	device_free(dev);
}
