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
 * hides the passage from those after it. fault_sites lists the sites. What they pass
 * is an arc, FROM->TO, in which from or to may be *, as it begins or as it has the
 * device stop; a section of the stream, CONFIG, MEMORY or REGS, as it is saved or loaded;
 * the snapshot, before the first data after that; or a step of the DMA engine. What is
 * always the same is -. A site that does not fail with an errno has 0 in its place.
 *
 * What stalls does so until "release" is written. "clear" removes all rules and
 * releases. Reading shows each rule and how often it fired.
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

/* What passes a site. */
enum migsim_passage_kind {
	MIGSIM_PASS_ARC,
	MIGSIM_PASS_STOP,
	MIGSIM_PASS_SNAPSHOT,
	MIGSIM_PASS_SAVE,
	MIGSIM_PASS_LOAD,
	MIGSIM_PASS_DMA,
};

enum migsim_site {
	MIGSIM_ARC_FAIL,
	MIGSIM_ARC_BROKEN,
	MIGSIM_ARC_STALL,
	MIGSIM_ARC_RESET,
	MIGSIM_STOP_FAIL,
	MIGSIM_SNAPSHOT_FAIL,
	MIGSIM_SNAPSHOT_STALL,
	MIGSIM_SAVE_FAIL,
	MIGSIM_SAVE_STALL,
	MIGSIM_SAVE_SHORT,
	MIGSIM_SAVE_FLIP,
	MIGSIM_SAVE_RESET,
	MIGSIM_LOAD_FAIL,
	MIGSIM_LOAD_STALL,
	MIGSIM_LOAD_RESET,
	MIGSIM_DMA_FAIL,
	MIGSIM_NR_SITES,
};

/**
 * struct migsim_site_info - what there is to know of a site
 * @name: in rules
 * @kind: what passes it
 * @has_errno: it fails with the rule's errno
 * @what: for people
 */
struct migsim_site_info {
	const char *name;
	enum migsim_passage_kind kind;
	bool has_errno;
	const char *what;
};

static const struct migsim_site_info migsim_sites[MIGSIM_NR_SITES] = {
	[MIGSIM_ARC_FAIL] = { "arc_fail", MIGSIM_PASS_ARC, true,
		"fails, nothing changed" },
	[MIGSIM_ARC_BROKEN] = { "arc_broken", MIGSIM_PASS_ARC, true,
		"fails, the device is unusable until reset" },
	[MIGSIM_ARC_STALL] = { "arc_stall", MIGSIM_PASS_ARC, false,
		"takes until release" },
	[MIGSIM_ARC_RESET] = { "arc_reset", MIGSIM_PASS_ARC, false,
		"a reset comes meanwhile" },
	[MIGSIM_STOP_FAIL] = { "stop_fail", MIGSIM_PASS_STOP, true,
		"stands still already, but does not stop: it goes on" },
	[MIGSIM_SNAPSHOT_FAIL] = { "snapshot_fail", MIGSIM_PASS_SNAPSHOT, true,
		"the session fails, after the arc (12: or tries again)" },
	[MIGSIM_SNAPSHOT_STALL] = { "snapshot_stall", MIGSIM_PASS_SNAPSHOT, false,
		"no data after the arc until release" },
	[MIGSIM_SAVE_FAIL] = { "save_fail", MIGSIM_PASS_SAVE, true,
		"the session fails (12: or tries again)" },
	[MIGSIM_SAVE_STALL] = { "save_stall", MIGSIM_PASS_SAVE, false,
		"no data until release" },
	[MIGSIM_SAVE_SHORT] = { "save_short", MIGSIM_PASS_SAVE, false,
		"a page, or the end of the registers, is left out" },
	[MIGSIM_SAVE_FLIP] = { "save_flip", MIGSIM_PASS_SAVE, false,
		"a bit is wrong in each page, before checksums see it" },
	[MIGSIM_SAVE_RESET] = { "save_reset", MIGSIM_PASS_SAVE, false,
		"a reset comes meanwhile" },
	[MIGSIM_LOAD_FAIL] = { "load_fail", MIGSIM_PASS_LOAD, true,
		"the session fails" },
	[MIGSIM_LOAD_STALL] = { "load_stall", MIGSIM_PASS_LOAD, false,
		"nothing is taken until release" },
	[MIGSIM_LOAD_RESET] = { "load_reset", MIGSIM_PASS_LOAD, false,
		"a reset comes meanwhile" },
	[MIGSIM_DMA_FAIL] = { "dma_fail", MIGSIM_PASS_DMA, true,
		"the command fails" },
};

static const char * const migsim_section_names[MIGSIM_NR_SECTIONS] = {
	[MIGSIM_SECTION_CONFIG] = "CONFIG",
	[MIGSIM_SECTION_MEMORY] = "MEMORY",
	[MIGSIM_SECTION_REGS] = "REGS",
};

/* Instead of a state: any. */
#define MIGSIM_ANY_STATE	(VFIO_DEVICE_STATE_PRE_COPY_P2P + 1)

/**
 * struct migsim_passage - what a rule is about, or what passes now
 * @kind: tells which of the others mean something
 * @from: of an arc
 * @to: of an arc
 * @section: of a session
 */
struct migsim_passage {
	enum migsim_passage_kind kind;
	unsigned int from;
	unsigned int to;
	enum migsim_section section;
};

/**
 * struct migsim_fault - a rule
 * @node: in &migsim_faults.rules
 * @site: what goes wrong
 * @about: when
 * @nth: first time that it fires
 * @count: how often it fires, 0 for ever
 * @err: positive errno, or 0
 * @seen: how often the site was passed
 * @fired: how often it fired
 */
struct migsim_fault {
	struct list_head node;
	enum migsim_site site;
	struct migsim_passage about;
	unsigned int nth;
	unsigned int count;
	unsigned int err;
	unsigned int seen;
	unsigned int fired;
};

static struct dentry *migsim_debugfs;

static bool migsim_has_arc(enum migsim_passage_kind kind)
{
	return kind == MIGSIM_PASS_ARC || kind == MIGSIM_PASS_STOP;
}

static bool migsim_has_section(enum migsim_passage_kind kind)
{
	return kind == MIGSIM_PASS_SAVE || kind == MIGSIM_PASS_LOAD;
}

static bool migsim_same_state(unsigned int rule, unsigned int state)
{
	return rule == MIGSIM_ANY_STATE || rule == state;
}

static int migsim_parse_state(const char *name, unsigned int *ret)
{
	unsigned int state;

	if (!strcmp(name, "*")) {
		*ret = MIGSIM_ANY_STATE;
		return 0;
	}
	for (state = 0; state <= VFIO_DEVICE_STATE_PRE_COPY_P2P; state++) {
		if (strcmp(name, vfio_mig_state_name(state)))
			continue;
		*ret = state;
		return 0;
	}

	return -EINVAL;
}

static int migsim_parse_arc(char *arg, struct migsim_passage *about)
{
	char *to = strstr(arg, "->");

	if (!to)
		return -EINVAL;
	*to = '\0';

	return migsim_parse_state(arg, &about->from) ?:
	       migsim_parse_state(to + 2, &about->to);
}

static int migsim_parse_arg(char *arg, struct migsim_passage *about)
{
	int section;

	if (migsim_has_arc(about->kind))
		return migsim_parse_arc(arg, about);
	if (!migsim_has_section(about->kind))
		return strcmp(arg, "-") ? -EINVAL : 0;
	section = match_string(migsim_section_names, MIGSIM_NR_SECTIONS, arg);
	about->section = section;

	return section < 0 ? -EINVAL : 0;
}

static int migsim_parse_site(const char *name, enum migsim_site *ret)
{
	unsigned int site;

	for (site = 0; site < MIGSIM_NR_SITES; site++) {
		if (strcmp(name, migsim_sites[site].name))
			continue;
		*ret = site;
		return 0;
	}

	return -EINVAL;
}

/* Of data, the core lets no other errno come out. */
static bool migsim_errno_fits(const struct migsim_fault *fault)
{
	const struct migsim_site_info *site = &migsim_sites[fault->site];

	if (!site->has_errno || !fault->err)
		return !site->has_errno && !fault->err;
	if (migsim_has_section(site->kind) || site->kind == MIGSIM_PASS_SNAPSHOT)
		return fault->err == EINVAL || fault->err == EIO ||
		       fault->err == ENOMEM;

	return fault->err <= MAX_ERRNO;
}

static int migsim_parse_numbers(char * const *word, struct migsim_fault *fault)
{
	unsigned int *number[] = { &fault->nth, &fault->count, &fault->err };
	unsigned int i;

	for (i = 0; i < ARRAY_SIZE(number); i++)
		if (kstrtouint(word[i], migsim_base(word[i]), number[i]))
			return -EINVAL;

	return fault->nth && migsim_errno_fits(fault) ? 0 : -EINVAL;
}

/* A rule that no passage would ever be about, whatever the device does. */
static bool migsim_can_pass(struct migsim_dev *sim,
			    const struct migsim_passage *about)
{
	unsigned int from, to;

	if (!migsim_has_arc(about->kind))
		return true;
	for (from = 0; from < MIGSIM_ANY_STATE; from++)
		for (to = 0; to < MIGSIM_ANY_STATE; to++)
			if (migsim_same_state(about->from, from) &&
			    migsim_same_state(about->to, to) &&
			    vfio_mig_is_arc(sim->mig, from, to))
				return true;

	return false;
}

static int migsim_parse_rule(char *line, struct migsim_fault *fault)
{
	char *word[5];
	unsigned int i;

	for (i = 0; i < ARRAY_SIZE(word); i++) {
		word[i] = strsep(&line, " ");
		if (!word[i])
			return -EINVAL;
	}
	if (line || migsim_parse_site(word[0], &fault->site))
		return -EINVAL;
	fault->about.kind = migsim_sites[fault->site].kind;

	return migsim_parse_arg(word[1], &fault->about) ?:
	       migsim_parse_numbers(word + 2, fault);
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
	if (!ret && !migsim_can_pass(sim, &fault->about))
		ret = -EINVAL;
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

static const char *migsim_fault_state(unsigned int state)
{
	return state == MIGSIM_ANY_STATE ? "*" : vfio_mig_state_name(state);
}

static void migsim_fault_show(struct seq_file *m,
			      const struct migsim_fault *fault)
{
	seq_printf(m, "%s ", migsim_sites[fault->site].name);
	if (migsim_has_arc(fault->about.kind))
		seq_printf(m, "%s->%s", migsim_fault_state(fault->about.from),
			   migsim_fault_state(fault->about.to));
	else if (migsim_has_section(fault->about.kind))
		seq_puts(m, migsim_section_names[fault->about.section]);
	else
		seq_putc(m, '-');
	seq_printf(m, " %u %u %u fired %u\n", fault->nth, fault->count,
		   fault->err, fault->fired);
}

static int migsim_faults_show(struct seq_file *m, void *unused)
{
	struct migsim_dev *sim = m->private;
	struct migsim_fault *fault;

	mutex_lock(&sim->faults.lock);
	list_for_each_entry(fault, &sim->faults.rules, node)
		migsim_fault_show(m, fault);
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

static int fault_sites_show(struct seq_file *m, void *unused)
{
	static const char * const arg[] = {
		[MIGSIM_PASS_ARC] = "FROM->TO",
		[MIGSIM_PASS_STOP] = "FROM->TO",
		[MIGSIM_PASS_SNAPSHOT] = "-",
		[MIGSIM_PASS_SAVE] = "SECTION",
		[MIGSIM_PASS_LOAD] = "SECTION",
		[MIGSIM_PASS_DMA] = "-",
	};
	const struct migsim_site_info *site;

	for (site = migsim_sites; site < migsim_sites + MIGSIM_NR_SITES; site++)
		seq_printf(m, "%s %s nth count %s\t# %s\n", site->name,
			   arg[site->kind], site->has_errno ? "errno" : "0",
			   site->what);

	return 0;
}
DEFINE_SHOW_ATTRIBUTE(fault_sites);

static bool migsim_fault_about(const struct migsim_passage *rule,
			       const struct migsim_passage *now)
{
	if (rule->kind != now->kind)
		return false;
	if (migsim_has_arc(now->kind))
		return migsim_same_state(rule->from, now->from) &&
		       migsim_same_state(rule->to, now->to);

	return !migsim_has_section(now->kind) || rule->section == now->section;
}

static bool migsim_fault_fires(struct migsim_fault *fault,
			       const struct migsim_passage *now)
{
	if (!migsim_fault_about(&fault->about, now))
		return false;
	if (++fault->seen < fault->nth ||
	    (fault->count && fault->fired == fault->count))
		return false;
	fault->fired++;

	return true;
}

/* Return: whether a rule fires; then *ret is a copy of it. */
static bool migsim_fault_match(struct migsim_dev *sim,
			       const struct migsim_passage *now,
			       struct migsim_fault *ret, unsigned long *released)
{
	struct migsim_fault *fault;
	bool fires = false;

	mutex_lock(&sim->faults.lock);
	*released = sim->faults.released;
	list_for_each_entry(fault, &sim->faults.rules, node) {
		fires = migsim_fault_fires(fault, now);
		if (fires) {
			*ret = *fault;
			break;
		}
	}
	mutex_unlock(&sim->faults.lock);

	return fires;
}

/* As a reset by the bus: whoever holds the device carries it out. */
static void migsim_fault_reset(struct migsim_dev *sim)
{
	vfio_mig_reset_prepare(sim->mig);
	vfio_mig_reset_done(sim->mig);
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
	const struct migsim_passage now = {
		.kind = MIGSIM_PASS_ARC, .from = from, .to = to,
	};
	unsigned long *count = &sim->faults.released;
	struct migsim_fault fault;
	unsigned long released;

	if (!migsim_fault_match(sim, &now, &fault, &released))
		return 0;
	switch (fault.site) {
	case MIGSIM_ARC_STALL:
		return vfio_mig_wait_event(sim->mig,
					   READ_ONCE(*count) != released);
	case MIGSIM_ARC_RESET:
		migsim_fault_reset(sim);
		return -ECANCELED;
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
 * migsim_fault_stop - is the device not to stop
 * @sim: device
 * @from: where the arc starts
 * @to: where it leads
 *
 * Context: in an arc that has done what may take time, and has changed no state.
 * Return: 0 if it stops, or the errno of the arc.
 */
int migsim_fault_stop(struct migsim_dev *sim, enum vfio_device_mig_state from,
		      enum vfio_device_mig_state to)
{
	const struct migsim_passage now = {
		.kind = MIGSIM_PASS_STOP, .from = from, .to = to,
	};
	struct migsim_fault fault;
	unsigned long released;

	if (!migsim_fault_match(sim, &now, &fault, &released))
		return 0;

	return vfio_mig_fail(sim->mig, -(int)fault.err, "stop_fail rule");
}

/* Return: whether a rule still has the session wait. */
static bool migsim_fault_stalls(struct migsim_dev *sim)
{
	struct migsim_stream *stream = &sim->stream;

	if (stream->stalled &&
	    READ_ONCE(sim->faults.released) != stream->released)
		stream->stalled = false;

	return stream->stalled;
}

static int migsim_fault_data(struct migsim_dev *sim,
			     const struct migsim_fault *fault,
			     unsigned long released)
{
	switch (fault->site) {
	case MIGSIM_SNAPSHOT_STALL:
	case MIGSIM_SAVE_STALL:
	case MIGSIM_LOAD_STALL:
		sim->stream.stalled = true;
		sim->stream.released = released;
		return VFIO_MIG_IDLE;
	case MIGSIM_SAVE_RESET:
	case MIGSIM_LOAD_RESET:
		migsim_fault_reset(sim);
		return VFIO_MIG_IDLE;
	case MIGSIM_SAVE_SHORT:
		sim->stream.spoil = MIGSIM_SPOIL_SHORT;
		return 0;
	case MIGSIM_SAVE_FLIP:
		sim->stream.spoil = MIGSIM_SPOIL_FLIP;
		return 0;
	default:
		return vfio_mig_fail(sim->mig, -(int)fault->err, "%s rule",
				     migsim_sites[fault->site].name);
	}
}

static int migsim_fault_section(struct migsim_dev *sim,
				const struct migsim_passage *now)
{
	struct migsim_fault fault;
	unsigned long released;

	if (migsim_fault_stalls(sim))
		return VFIO_MIG_IDLE;
	sim->stream.spoil = MIGSIM_SPOIL_NONE;
	if (!migsim_fault_match(sim, now, &fault, &released))
		return 0;

	return migsim_fault_data(sim, &fault, released);
}

/**
 * migsim_fault_snapshot - what is to go wrong with the snapshot
 * @sim: device
 *
 * Return: 0 to go on, VFIO_MIG_IDLE or an errno for save() to return.
 */
int migsim_fault_snapshot(struct migsim_dev *sim)
{
	const struct migsim_passage now = { .kind = MIGSIM_PASS_SNAPSHOT };

	return migsim_fault_section(sim, &now);
}

/**
 * migsim_fault_save - what is to go wrong with a section that is saved
 * @sim: device
 * @type: the section
 *
 * Return: 0 to go on, VFIO_MIG_IDLE or an errno for save() to return.
 */
int migsim_fault_save(struct migsim_dev *sim, enum migsim_section type)
{
	const struct migsim_passage now = {
		.kind = MIGSIM_PASS_SAVE, .section = type,
	};

	return migsim_fault_section(sim, &now);
}

/**
 * migsim_fault_load - what is to go wrong with a section that is loaded
 * @sim: device
 * @type: the section
 *
 * Return: 0 to go on, VFIO_MIG_IDLE or an errno for load() to return.
 */
int migsim_fault_load(struct migsim_dev *sim, enum migsim_section type)
{
	const struct migsim_passage now = {
		.kind = MIGSIM_PASS_LOAD, .section = type,
	};

	return migsim_fault_section(sim, &now);
}

/**
 * migsim_fault_dma - what is to go wrong with a step of the DMA engine
 * @sim: device
 *
 * Return: 0 to go on, or a negative errno.
 */
int migsim_fault_dma(struct migsim_dev *sim)
{
	const struct migsim_passage now = { .kind = MIGSIM_PASS_DMA };
	struct migsim_fault fault;
	unsigned long released;

	return migsim_fault_match(sim, &now, &fault, &released) ?
	       -(int)fault.err : 0;
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
	debugfs_create_file("fault_sites", 0400, sim->faults.dir, sim,
			    &fault_sites_fops);
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
