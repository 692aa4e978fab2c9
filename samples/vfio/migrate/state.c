// SPDX-License-Identifier: GPL-2.0-only
/*
 * The migration features of one device. These calls block for as long as the
 * device takes; outside of the opening they are made by its worker only.
 */
#include <errno.h>
#include <stdio.h>
#include <string.h>
#include <sys/ioctl.h>
#include <unistd.h>

#include <linux/vfio_migration.h>

#include "migrate.h"

#define FEATURE_WORDS 32

/* A struct vfio_device_feature with room for the largest payload. */
union feature {
	struct vfio_device_feature head;
	uint64_t words[FEATURE_WORDS];
};

static const char * const state_names[] = {
	[VFIO_DEVICE_STATE_ERROR] = "ERROR",
	[VFIO_DEVICE_STATE_STOP] = "STOP",
	[VFIO_DEVICE_STATE_RUNNING] = "RUNNING",
	[VFIO_DEVICE_STATE_STOP_COPY] = "STOP_COPY",
	[VFIO_DEVICE_STATE_RESUMING] = "RESUMING",
	[VFIO_DEVICE_STATE_RUNNING_P2P] = "RUNNING_P2P",
	[VFIO_DEVICE_STATE_PRE_COPY] = "PRE_COPY",
	[VFIO_DEVICE_STATE_PRE_COPY_P2P] = "PRE_COPY_P2P",
};

const char *state_name(uint32_t state)
{
	if (state == STATE_UNKNOWN)
		return "an unknown state";
	return state < ARRAY_SIZE(state_names) ? state_names[state] : "?";
}

bool has_p2p(const struct device *dev)
{
	return dev->caps & VFIO_MIGRATION_P2P;
}

bool has_precopy(const struct device *dev)
{
	return dev->caps & VFIO_MIGRATION_PRE_COPY;
}

/*
 * Being stopped and continued, or looked at by a debugger, ends a call that
 * sleeps as a signal does. Only SET_STATE is to be ended, by our own signal.
 */
static int feature(struct device *dev, uint32_t flags, union feature *f,
		   size_t payload)
{
	bool set = flags & VFIO_DEVICE_FEATURE_SET;

	do {
		if (set && dev->give_up)
			return -EINTR;
		f->head.argsz = sizeof(f->head) + payload;
		f->head.flags = flags;
		if (ioctl(dev->fd, VFIO_DEVICE_FEATURE, f) >= 0)
			return 0;
	} while (errno == EINTR);
	return -errno;
}

int device_get_state(struct device *dev, uint32_t *state)
{
	struct vfio_device_feature_mig_state *mig;
	union feature f = { 0 };
	int ret;

	mig = (void *)f.head.data;
	ret = feature(dev, VFIO_DEVICE_FEATURE_GET |
		      VFIO_DEVICE_FEATURE_MIG_DEVICE_STATE, &f, sizeof(*mig));
	if (!ret)
		*state = mig->device_state;
	return ret;
}

void device_ask_state(struct device *dev)
{
	if (device_get_state(dev, &dev->state))
		dev->state = STATE_UNKNOWN;
}

/* What the device can do and where it is. */
int device_query(struct device *dev, struct failure *fail)
{
	struct vfio_device_feature_migration *mig;
	union feature f = { 0 };
	int ret;

	mig = (void *)f.head.data;
	ret = feature(dev, VFIO_DEVICE_FEATURE_GET |
		      VFIO_DEVICE_FEATURE_MIGRATION, &f, sizeof(*mig));
	if (ret)
		return fail_at(fail, dev->name, -ret, "GET MIGRATION",
			       "%s (its driver cannot migrate it)",
			       strerror(-ret));
	dev->caps = mig->flags;
	ret = device_get_state(dev, &dev->state);
	if (ret)
		return fail_at(fail, dev->name, -ret, "GET MIG_DEVICE_STATE",
			       "%s", strerror(-ret));
	dev->found = dev->state;
	return 0;
}

static const char *set_state_hint(const struct device *dev, int err)
{
	switch (err) {
	case EINTR:
		return signals_caught() ? "stopped by a signal; " : "given up; ";
	case EMFILE:
	case ENFILE:
		return "no file descriptor left: raise ulimit -n; ";
	case ENOMEM:
		return "raise the memory limit; ";
	case ENODATA:
		return "the data ended early; ";
	case ECANCELED:
		return dev->reset_to_end ? "reset to end it; " :
					   "something else has reset it; ";
	case EBADMSG:
		return "the data are damaged; ";
	case EMEDIUMTYPE:
		return "the data are those of a device of another type or size; ";
	default:
		return "";
	}
}

/*
 * The device's own words, if it is on the migration core and they are about this
 * error: its arc, the reason, where in the stream.
 */
bool device_reason(struct device *dev, int err, char *buf, size_t size)
{
	struct vfio_device_feature_migx_last_error *last;
	union feature f = { 0 };
	char at[40] = "";

	last = (void *)f.head.data;
	if (feature(dev, VFIO_DEVICE_FEATURE_GET |
		    VFIO_DEVICE_FEATURE_MIGX_LAST_ERROR, &f, sizeof(*last)) ||
	    last->error != (uint32_t)err)
		return false;
	if (last->offset != VFIO_MIGX_NO_OFFSET)
		snprintf(at, sizeof(at), " at byte %llu",
			 (unsigned long long)last->offset);
	snprintf(buf, size, "%s%s%s: %.*s%s", state_name(last->from),
		 last->to == last->from ? "" : " -> ",
		 last->to == last->from ? "" : state_name(last->to),
		 (int)sizeof(last->reason) - 1, (const char *)last->reason, at);
	return true;
}

static int set_state_failed(struct device *dev, uint32_t target, int err,
			    struct failure *fail)
{
	uint32_t from = dev->state;
	char step[64], now[40] = "its state is unknown", reason[256];

	snprintf(step, sizeof(step), "SET_STATE %s -> %s", state_name(from),
		 state_name(target));
	device_ask_state(dev);
	/* no transition that fails leads there, but for one that asks for it */
	if ((err == ECANCELED && !dev->give_up) || (dev->state == VFIO_DEVICE_STATE_RUNNING &&
				 from != dev->state && target != dev->state))
		dev->was_reset = true;
	if (dev->state != STATE_UNKNOWN)
		snprintf(now, sizeof(now), "it is in %s",
			 state_name(dev->state));
	if (!device_reason(dev, err, reason, sizeof(reason)))
		snprintf(reason, sizeof(reason), "the kernel log may tell more");
	return fail_at(fail, dev->name, err, step, "%s (%s%s, %s)",
		       strerror(err), set_state_hint(dev, err), reason, now);
}

int device_set_state(struct device *dev, uint32_t target, struct failure *fail)
{
	struct vfio_device_feature_mig_state *mig;
	union feature f = { 0 };
	int ret;

	mig = (void *)f.head.data;
	mig->device_state = target;
	mig->data_fd = -1;
	dev->touched = true;
	ret = feature(dev, VFIO_DEVICE_FEATURE_SET |
		      VFIO_DEVICE_FEATURE_MIG_DEVICE_STATE, &f, sizeof(*mig));
	if (ret)
		return set_state_failed(dev, target, -ret, fail);
	dev->state = target;
	if (mig->data_fd >= 0) {
		device_close_data(dev);
		dev->data_fd = mig->data_fd;
	}
	return 0;
}

/* Any thread may call it, to end what another waits for in a call. */
int device_reset_raw(const struct device *dev)
{
	while (ioctl(dev->fd, VFIO_DEVICE_RESET) < 0) {
		if (errno != EINTR)
			return -errno;
	}
	return 0;
}

int device_reset(struct device *dev, struct failure *fail)
{
	int err = -device_reset_raw(dev);

	if (err) {
		device_ask_state(dev);
		return fail_at(fail, dev->name, err, "RESET", "%s (it is in %s)",
			       strerror(err), state_name(dev->state));
	}
	if (device_get_state(dev, &dev->state))
		dev->state = VFIO_DEVICE_STATE_RUNNING;
	return 0;
}

/* How many bytes a source would have if it were stopped now. */
int device_data_size(struct device *dev, uint64_t *size)
{
	struct vfio_device_feature_mig_data_size *data;
	union feature f = { 0 };
	int ret;

	data = (void *)f.head.data;
	ret = feature(dev, VFIO_DEVICE_FEATURE_GET |
		      VFIO_DEVICE_FEATURE_MIG_DATA_SIZE, &f, sizeof(*data));
	if (!ret)
		*size = data->stop_copy_length;
	return ret;
}

/* How many bytes a source in PRE_COPY expects to have. */
int precopy_rest(int data_fd, uint64_t *rest)
{
	struct vfio_precopy_info info = { .argsz = sizeof(info) };

	while (ioctl(data_fd, VFIO_MIG_GET_PRECOPY_INFO, &info) < 0) {
		if (errno != EINTR)
			return -errno;
	}
	*rest = info.initial_bytes + info.dirty_bytes;
	if (*rest < info.initial_bytes)
		*rest = UINT64_MAX;
	return 0;
}
