// SPDX-License-Identifier: GPL-2.0-only
/*
 * migsim: faults on demand
 *
 * /sys/kernel/debug/migsim/UUID/faults takes one rule a line,
 *
 *	site arg nth count errno
 *
 * meaning: from the nth time on that the site is passed with that argument, and
 * then count times (0: for ever), something goes wrong. The first rule that fires
 * hides the passage from those after it. Sites:
 *
 *	arc_fail FROM->TO	the arc fails with errno, nothing changed
 *	arc_broken FROM->TO	the arc fails with errno, the device is unusable
 *	arc_stall FROM->TO	the arc sleeps until "release" is written
 *
 * "clear" removes all rules and releases. Reading shows each rule and how often
 * it fired.
 */
#include <linux/debugfs.h>
#include <linux/kstrtox.h>
#include <linux/module.h>
#include <linux/seq_file.h>
#include <linux/slab.h>
#include <linux/string.h>
#include <linux/uaccess.h>

#include "migsim.h"

#define MIGSIM_MAX_RULES	256
#define MIGSIM_MAX_LINES	4096

enum migsim_site {
	MIGSIM_ARC_FAIL,
	MIGSIM_ARC_BROKEN,
	MIGSIM_ARC_STALL,
	MIGSIM_NR_SITES,
};

static const char * const migsim_site_names[MIGSIM_NR_SITES] = {
	[MIGSIM_ARC_FAIL] = "arc_fail",
	[MIGSIM_ARC_BROKEN] = "arc_broken",
	[MIGSIM_ARC_STALL] = "arc_stall",
};

/**
 * struct migsim_fault - a rule
 * @node: in &migsim_faults.rules
 * @site: what goes wrong
 * @from: arc
 * @to: arc
 * @nth: first time that it fires
 * @count: how often it fires, 0 for ever
 * @err: positive errno
 * @seen: how often the arc was passed
 * @fired: how often it fired
 */
struct migsim_fault {
	struct list_head node;
	enum migsim_site site;
	enum vfio_device_mig_state from;
	enum vfio_device_mig_state to;
	unsigned int nth;
	unsigned int count;
	unsigned int err;
	unsigned int seen;
	unsigned int fired;
};

static struct dentry *migsim_debugfs;

static int migsim_parse_state(const char *name, enum vfio_device_mig_state *ret)
{
	unsigned int state;

	for (state = 0; state <= VFIO_DEVICE_STATE_PRE_COPY_P2P; state++) {
		if (strcmp(name, vfio_mig_state_name(state)))
			continue;
		*ret = state;
		return 0;
	}

	return -EINVAL;
}

static int migsim_parse_arc(char *arg, struct migsim_fault *fault)
{
	char *to = strstr(arg, "->");

	if (!to)
		return -EINVAL;
	*to = '\0';

	return migsim_parse_state(arg, &fault->from) ?:
	       migsim_parse_state(to + 2, &fault->to);
}

static int migsim_parse_rule(char *line, struct migsim_fault *fault)
{
	char *word[5];
	unsigned int i;
	int site;

	for (i = 0; i < ARRAY_SIZE(word); i++) {
		word[i] = strsep(&line, " ");
		if (!word[i])
			return -EINVAL;
	}
	site = match_string(migsim_site_names, MIGSIM_NR_SITES, word[0]);
	if (line || site < 0 || migsim_parse_arc(word[1], fault) ||
	    kstrtouint(word[2], 0, &fault->nth) ||
	    kstrtouint(word[3], 0, &fault->count) ||
	    kstrtouint(word[4], 0, &fault->err))
		return -EINVAL;
	fault->site = site;
	if (!fault->nth || fault->err > MAX_ERRNO)
		return -EINVAL;
	/* A stall fails with what ended it. */
	if (site == MIGSIM_ARC_STALL)
		return fault->err ? -EINVAL : 0;

	return fault->err ? 0 : -EINVAL;
}

static int migsim_add_rule(struct migsim_dev *sim, char *line)
{
	struct migsim_faults *faults = &sim->faults;
	struct migsim_fault *fault;
	int ret;

	fault = kzalloc(sizeof(*fault), GFP_KERNEL);
	if (!fault)
		return -ENOMEM;
	ret = migsim_parse_rule(line, fault);
	if (ret) {
		kfree(fault);
		return ret;
	}
	mutex_lock(&faults->lock);
	if (list_count_nodes(&faults->rules) < MIGSIM_MAX_RULES)
		list_add_tail(&fault->node, &faults->rules);
	else
		ret = -ENOSPC;
	mutex_unlock(&faults->lock);
	if (ret)
		kfree(fault);

	return ret;
}

static void migsim_release(struct migsim_dev *sim)
{
	mutex_lock(&sim->faults.lock);
	WRITE_ONCE(sim->faults.released, sim->faults.released + 1);
	mutex_unlock(&sim->faults.lock);
	vfio_mig_kick(sim->mig);
}

static void migsim_clear(struct migsim_dev *sim)
{
	struct migsim_fault *fault, *next;

	mutex_lock(&sim->faults.lock);
	list_for_each_entry_safe(fault, next, &sim->faults.rules, node) {
		list_del(&fault->node);
		kfree(fault);
	}
	mutex_unlock(&sim->faults.lock);
	migsim_release(sim);
}

static int migsim_faults_line(struct migsim_dev *sim, char *line)
{
	if (!*line)
		return 0;
	if (!strcmp(line, "release"))
		migsim_release(sim);
	else if (!strcmp(line, "clear"))
		migsim_clear(sim);
	else
		return migsim_add_rule(sim, line);

	return 0;
}

static ssize_t migsim_faults_write(struct file *file, const char __user *buf,
				   size_t count, loff_t *ppos)
{
	struct migsim_dev *sim =
		((struct seq_file *)file->private_data)->private;
	char *lines, *rest, *line;
	int ret = 0;

	if (count > MIGSIM_MAX_LINES)
		return -E2BIG;
	lines = memdup_user_nul(buf, count);
	if (IS_ERR(lines))
		return PTR_ERR(lines);
	rest = lines;
	while (!ret && (line = strsep(&rest, "\n")))
		ret = migsim_faults_line(sim, line);
	kfree(lines);

	return ret ?: count;
}

static int migsim_faults_show(struct seq_file *m, void *unused)
{
	struct migsim_dev *sim = m->private;
	struct migsim_fault *fault;

	mutex_lock(&sim->faults.lock);
	list_for_each_entry(fault, &sim->faults.rules, node)
		seq_printf(m, "%s %s->%s %u %u %u fired %u\n",
			   migsim_site_names[fault->site],
			   vfio_mig_state_name(fault->from),
			   vfio_mig_state_name(fault->to), fault->nth,
			   fault->count, fault->err, fault->fired);
	mutex_unlock(&sim->faults.lock);

	return 0;
}

static int migsim_faults_open(struct inode *inode, struct file *file)
{
	return single_open(file, migsim_faults_show, inode->i_private);
}

static const struct file_operations migsim_faults_fops = {
	.owner = THIS_MODULE,
	.open = migsim_faults_open,
	.read = seq_read,
	.write = migsim_faults_write,
	.llseek = seq_lseek,
	.release = single_release,
};

static bool migsim_fault_fires(struct migsim_fault *fault,
			       enum vfio_device_mig_state from,
			       enum vfio_device_mig_state to)
{
	if (fault->from != from || fault->to != to)
		return false;
	if (++fault->seen < fault->nth ||
	    (fault->count && fault->fired == fault->count))
		return false;
	fault->fired++;

	return true;
}

/* Return: whether a rule fires; then *fault is a copy of it. */
static bool migsim_fault_match(struct migsim_dev *sim,
			       enum vfio_device_mig_state from,
			       enum vfio_device_mig_state to,
			       struct migsim_fault *ret, unsigned long *released)
{
	struct migsim_fault *fault;
	bool fires = false;

	mutex_lock(&sim->faults.lock);
	*released = sim->faults.released;
	list_for_each_entry(fault, &sim->faults.rules, node) {
		fires = migsim_fault_fires(fault, from, to);
		if (fires) {
			*ret = *fault;
			break;
		}
	}
	mutex_unlock(&sim->faults.lock);

	return fires;
}

/**
 * migsim_fault_arc - what is to go wrong with an arc
 * @sim: device
 * @from: where the arc starts
 * @to: where it leads
 *
 * Context: in the arc, before anything else.
 * Return: 0 if the arc goes on, or its errno.
 */
int migsim_fault_arc(struct migsim_dev *sim, enum vfio_device_mig_state from,
		     enum vfio_device_mig_state to)
{
	unsigned long *now = &sim->faults.released;
	struct migsim_fault fault;
	unsigned long released;

	if (!migsim_fault_match(sim, from, to, &fault, &released))
		return 0;
	switch (fault.site) {
	case MIGSIM_ARC_STALL:
		return vfio_mig_wait_event(sim->mig,
					   READ_ONCE(*now) != released);
	case MIGSIM_ARC_BROKEN:
		return vfio_mig_broken(sim->mig, -(int)fault.err,
				       "arc_broken rule, to %s",
				       vfio_mig_state_name(to));
	default:
		return vfio_mig_fail(sim->mig, -(int)fault.err,
				     "arc_fail rule, to %s",
				     vfio_mig_state_name(to));
	}
}

/**
 * migsim_fault_init - a device without rules
 * @sim: registered device
 * @name: of its folder
 */
void migsim_fault_init(struct migsim_dev *sim, const char *name)
{
	sim->faults.dir = debugfs_create_dir(name, migsim_debugfs);
	debugfs_create_file("faults", 0600, sim->faults.dir, sim,
			    &migsim_faults_fops);
}

/**
 * migsim_fault_free - the device goes away
 * @sim: unregistered device
 */
void migsim_fault_free(struct migsim_dev *sim)
{
	debugfs_remove_recursive(sim->faults.dir);
	migsim_clear(sim);
}

/**
 * migsim_fault_module_init - the folder for all devices
 */
void migsim_fault_module_init(void)
{
	migsim_debugfs = debugfs_create_dir("migsim", NULL);
}

/**
 * migsim_fault_module_exit - remove it
 */
void migsim_fault_module_exit(void)
{
	debugfs_remove_recursive(migsim_debugfs);
}
