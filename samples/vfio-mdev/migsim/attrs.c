// SPDX-License-Identifier: GPL-2.0-only
/*
 * migsim: attributes of an instance, in the folder migsim/ of the mdev
 *
 * One value each, so that mdevctl can keep them. What the device is can only be
 * changed while nobody has it open.
 */
#include <linux/bits.h>
#include <linux/device.h>
#include <linux/kstrtox.h>
#include <linux/mm.h>
#include <linux/string.h>
#include <linux/sysfs.h>

#include "migsim.h"

/**
 * struct migsim_attr - a number in struct migsim_config
 * @attr: in sysfs
 * @offset: in struct migsim_config
 * @min: smallest value
 * @max: largest value
 * @multiple: what it must be a multiple of
 */
struct migsim_attr {
	struct device_attribute attr;
	size_t offset;
	u64 min;
	u64 max;
	u64 multiple;
};

static u64 *migsim_attr_value(struct migsim_dev *sim,
			      struct device_attribute *attr)
{
	struct migsim_attr *number = container_of(attr, struct migsim_attr,
						  attr);

	return (void *)&sim->config + number->offset;
}

static ssize_t migsim_attr_show(struct device *dev,
				struct device_attribute *attr, char *buf)
{
	struct migsim_dev *sim = dev_get_drvdata(dev);
	u64 value;

	mutex_lock(&sim->config_lock);
	value = *migsim_attr_value(sim, attr);
	mutex_unlock(&sim->config_lock);

	return sysfs_emit(buf, "%llu\n", value);
}

/* What a new configuration does to a closed device: as after power on. */
static int migsim_attr_set(struct migsim_dev *sim, u64 *member, u64 value)
{
	lockdep_assert_held(&sim->config_lock);
	if (sim->open)
		return -EBUSY;
	*member = value;
	if (member == &sim->config.state_size || member == &sim->config.seed)
		migsim_clear_state(sim);
	if (member == &sim->config.token_count)
		migsim_ring_reset(sim);

	return 0;
}

static ssize_t migsim_attr_store(struct device *dev,
				 struct device_attribute *attr,
				 const char *buf, size_t count)
{
	struct migsim_attr *number = container_of(attr, struct migsim_attr,
						  attr);
	struct migsim_dev *sim = dev_get_drvdata(dev);
	u64 value;
	int ret;

	ret = kstrtou64(buf, migsim_base(buf), &value);
	if (ret)
		return ret;
	if (value < number->min || value > number->max ||
	    value & (number->multiple - 1))
		return -EINVAL;
	mutex_lock(&sim->config_lock);
	ret = migsim_attr_set(sim, migsim_attr_value(sim, attr), value);
	mutex_unlock(&sim->config_lock);

	return ret ?: count;
}

#define MIGSIM_AT(_name)	offsetof(struct migsim_config, _name)

#define MIGSIM_ATTR(_name, _offset, _min, _max, _multiple)		\
static struct migsim_attr migsim_attr_##_name = {			\
	.attr = __ATTR(_name, 0644, migsim_attr_show, migsim_attr_store), \
	.offset = (_offset),						\
	.min = (_min), .max = (_max), .multiple = (_multiple),		\
}

/* Long enough for any test, short enough for all arithmetic. */
#define MIGSIM_LATENCY_MAX	(3600ULL * USEC_PER_SEC)
#define MIGSIM_RATE_MAX		BIT_ULL(32)
#define MIGSIM_TOKEN_RATE_MAX	BIT_ULL(20)

MIGSIM_ATTR(state_size, MIGSIM_AT(state_size), 0, MIGSIM_STATE_MAX, PAGE_SIZE);
MIGSIM_ATTR(seed, MIGSIM_AT(seed), 0, U64_MAX, 1);
MIGSIM_ATTR(window, MIGSIM_AT(window), SZ_64K, SZ_1G, 1);
MIGSIM_ATTR(save_latency_us, MIGSIM_AT(save_latency_us), 0, MIGSIM_LATENCY_MAX, 1);
MIGSIM_ATTR(stop_latency_us, MIGSIM_AT(stop_latency_us), 0, MIGSIM_LATENCY_MAX, 1);
MIGSIM_ATTR(p2p_latency_us, MIGSIM_AT(p2p_latency_us), 0, MIGSIM_LATENCY_MAX, 1);
MIGSIM_ATTR(load_latency_us, MIGSIM_AT(load_latency_us), 0, MIGSIM_LATENCY_MAX, 1);
MIGSIM_ATTR(bandwidth, MIGSIM_AT(bandwidth), 0, MIGSIM_RATE_MAX, 1);
MIGSIM_ATTR(dirty_rate, MIGSIM_AT(dirty_rate), 0, MIGSIM_RATE_MAX, 1);
MIGSIM_ATTR(token_count, MIGSIM_AT(token_count), 0, MIGSIM_RATE_MAX, 1);
MIGSIM_ATTR(token_rate, MIGSIM_AT(token_rate), 0, MIGSIM_TOKEN_RATE_MAX, 1);
MIGSIM_ATTR(verify, MIGSIM_AT(verify), 0, 1, 1);
MIGSIM_ATTR(donate, MIGSIM_AT(donate), 0, 1, 1);
MIGSIM_ATTR(drain, MIGSIM_AT(drain), 0, 1, 1);
MIGSIM_ATTR(stop_copy_back, MIGSIM_AT(stop_copy_back), 0, 1, 1);
MIGSIM_ATTR(poll, MIGSIM_AT(poll), 0, 1, 1);
MIGSIM_ATTR(nowait, MIGSIM_AT(nowait), 0, 1, 1);

static ssize_t mig_state_show(struct device *dev,
			      struct device_attribute *attr, char *buf)
{
	struct migsim_dev *sim = dev_get_drvdata(dev);

	return sysfs_emit(buf, "%s\n",
			  vfio_mig_state_name(vfio_mig_state(sim->mig)));
}
static DEVICE_ATTR_RO(mig_state);

/* Not for everybody: a state that is being moved waits for whoever reads this. */
static ssize_t state_hash_show(struct device *dev,
			       struct device_attribute *attr, char *buf)
{
	struct migsim_dev *sim = dev_get_drvdata(dev);
	bool running;
	u64 hash = 0;

	mutex_lock(&sim->memory_lock);
	running = sim->memory.running;
	if (!running)
		hash = migsim_state_hash(sim);
	mutex_unlock(&sim->memory_lock);

	return running ? -EBUSY : sysfs_emit(buf, "%016llx\n", hash);
}
static DEVICE_ATTR_ADMIN_RO(state_hash);

static ssize_t peer_show(struct device *dev, struct device_attribute *attr,
			 char *buf)
{
	char name[64];

	migsim_ring_peer(dev_get_drvdata(dev), name, sizeof(name));

	return sysfs_emit(buf, "%s\n", name);
}

static ssize_t peer_store(struct device *dev, struct device_attribute *attr,
			  const char *buf, size_t count)
{
	struct migsim_dev *sim = dev_get_drvdata(dev);
	char name[64];
	int ret = -EBUSY;

	if (count >= sizeof(name))
		return -EINVAL;
	strscpy(name, buf, sizeof(name));
	mutex_lock(&sim->config_lock);
	if (!sim->open)
		ret = migsim_ring_join(sim, strim(name));
	mutex_unlock(&sim->config_lock);

	return ret ?: count;
}
static DEVICE_ATTR_RW(peer);

#define MIGSIM_RING_ATTR(_name, _member)				\
static ssize_t _name##_show(struct device *dev,				\
			    struct device_attribute *attr, char *buf)	\
{									\
	struct migsim_ring_state state;					\
									\
	migsim_ring_get(dev_get_drvdata(dev), &state);			\
									\
	return sysfs_emit(buf, "%llu\n", state._member);		\
}									\
static DEVICE_ATTR_RO(_name)

MIGSIM_RING_ATTR(tokens, tokens);
MIGSIM_RING_ATTR(tokens_lost, lost);
MIGSIM_RING_ATTR(position, position);

static struct attribute *migsim_attrs[] = {
	&migsim_attr_state_size.attr.attr,
	&migsim_attr_seed.attr.attr,
	&migsim_attr_window.attr.attr,
	&migsim_attr_save_latency_us.attr.attr,
	&migsim_attr_stop_latency_us.attr.attr,
	&migsim_attr_p2p_latency_us.attr.attr,
	&migsim_attr_load_latency_us.attr.attr,
	&migsim_attr_bandwidth.attr.attr,
	&migsim_attr_dirty_rate.attr.attr,
	&migsim_attr_token_count.attr.attr,
	&migsim_attr_token_rate.attr.attr,
	&migsim_attr_verify.attr.attr,
	&migsim_attr_donate.attr.attr,
	&migsim_attr_drain.attr.attr,
	&migsim_attr_stop_copy_back.attr.attr,
	&migsim_attr_poll.attr.attr,
	&migsim_attr_nowait.attr.attr,
	&dev_attr_peer.attr,
	&dev_attr_position.attr,
	&dev_attr_tokens.attr,
	&dev_attr_tokens_lost.attr,
	&dev_attr_mig_state.attr,
	&dev_attr_state_hash.attr,
	NULL
};

static const struct attribute_group migsim_attr_group = {
	.name = "migsim",
	.attrs = migsim_attrs,
};

const struct attribute_group *migsim_attr_groups[] = {
	&migsim_attr_group,
	NULL
};
