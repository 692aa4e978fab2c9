// SPDX-License-Identifier: GPL-2.0-only
/*
 * VFIO migration core: what a device has been doing, for people (B11)
 *
 * One folder for each device, documented in
 * Documentation/ABI/testing/debugfs-vfio-migration. Nothing here waits for a
 * transition: a device that hangs in an arc is what these files are read for.
 */
#include <linux/debugfs.h>
#include <linux/log2.h>
#include <linux/math64.h>
#include <linux/seq_file.h>

#include "session.h"

static struct dentry *vfio_mig_debugfs_root;

/**
 * vfio_mig_count_arc - note how long an arc took
 * @mig: device; state_mutex is held
 * @from: where it began
 * @to: where it led
 * @us: microseconds
 */
void vfio_mig_count_arc(struct vfio_mig *mig, unsigned int from,
			unsigned int to, u64 us)
{
	struct vfio_mig_arc_times *times = &mig->arc_times[from][to];
	unsigned int bucket = us ? ilog2(us) + 1 : 0;

	lockdep_assert_held(&mig->state_mutex);
	spin_lock(&mig->stats_lock);
	times->count++;
	times->total_us += us;
	times->max_us = max(times->max_us, us);
	times->buckets[min(bucket, VFIO_MIG_ARC_BUCKETS - 1)]++;
	spin_unlock(&mig->stats_lock);
}

static int state_show(struct seq_file *m, void *unused)
{
	struct vfio_mig *mig = m->private;

	seq_printf(m, "%s\n", vfio_mig_state_name(vfio_mig_state(mig)));

	return 0;
}
DEFINE_SHOW_ATTRIBUTE(state);

static struct vfio_mig_session *vfio_mig_current_session(struct vfio_mig *mig)
{
	struct vfio_mig_session *session;

	spin_lock_irq(&mig->reset_lock);
	session = mig->session;
	if (session)
		kref_get(&session->ref);
	spin_unlock_irq(&mig->reset_lock);

	return session;
}

static void vfio_mig_show_session(struct seq_file *m,
				  struct vfio_mig_session *session)
{
	struct vfio_mig_session_counts counts;

	vfio_mig_session_count(session, &counts);
	seq_printf(m, "direction:\t%s\n",
		   session->saving ? "saving" : "resuming");
	seq_printf(m, "ended:\t\t%d\n", vfio_mig_ended(session));
	seq_printf(m, "window:\t\t%zu\n", session->window);
	seq_printf(m, "held:\t\t%lu\n", counts.held);
	seq_printf(m, "queued:\t\t%zu\n", counts.queued);
	seq_printf(m, "bytes:\t\t%llu\n", counts.bytes);
	seq_printf(m, "sections:\t%llu\n", counts.sections);
	seq_printf(m, "worker_stalls:\t%lu\n", counts.worker_stalls);
	seq_printf(m, "client_stalls:\t%lu\n", counts.client_stalls);
	seq_printf(m, "error:\t\t%d\n", -counts.error);
}

static int session_show(struct seq_file *m, void *unused)
{
	struct vfio_mig *mig = m->private;
	struct vfio_mig_session *session;
	unsigned long saving, resuming, resets;

	spin_lock(&mig->stats_lock);
	saving = mig->nr_sessions[true];
	resuming = mig->nr_sessions[false];
	spin_unlock(&mig->stats_lock);
	resets = READ_ONCE(mig->reset_count);

	seq_printf(m, "saved:\t\t%lu\n", saving);
	seq_printf(m, "resumed:\t%lu\n", resuming);
	seq_printf(m, "resets:\t\t%lu\n", resets);
	session = vfio_mig_current_session(mig);
	if (!session)
		return 0;
	vfio_mig_show_session(m, session);
	vfio_mig_session_put(session);

	return 0;
}
DEFINE_SHOW_ATTRIBUTE(session);

static void vfio_mig_show_arc(struct seq_file *m, unsigned int from,
			      unsigned int to,
			      const struct vfio_mig_arc_times *times)
{
	unsigned int i;

	seq_printf(m, "%s %s count=%llu mean_us=%llu max_us=%llu",
		   vfio_mig_state_name(from), vfio_mig_state_name(to),
		   times->count, div64_u64(times->total_us, times->count),
		   times->max_us);
	for (i = 0; i < VFIO_MIG_ARC_BUCKETS; i++)
		if (times->buckets[i])
			seq_printf(m, " <%lu:%u", BIT(i), times->buckets[i]);
	seq_putc(m, '\n');
}

static int arcs_show(struct seq_file *m, void *unused)
{
	struct vfio_mig *mig = m->private;
	struct vfio_mig_arc_times times;
	unsigned int from, to;

	for (from = 0; from < VFIO_MIG_NR_STATES; from++) {
		for (to = 0; to < VFIO_MIG_NR_STATES; to++) {
			spin_lock(&mig->stats_lock);
			times = mig->arc_times[from][to];
			spin_unlock(&mig->stats_lock);
			if (times.count)
				vfio_mig_show_arc(m, from, to, &times);
		}
	}

	return 0;
}
DEFINE_SHOW_ATTRIBUTE(arcs);

static int last_error_show(struct seq_file *m, void *unused)
{
	struct vfio_mig *mig = m->private;
	struct vfio_mig_error error;

	vfio_mig_last_error(mig, &error);
	seq_printf(m, "count:\t%llu\n", error.count);
	if (!error.err)
		return 0;
	seq_printf(m, "error:\t%d\n", -error.err);
	seq_printf(m, "from:\t%s\n", vfio_mig_state_name(error.from));
	seq_printf(m, "to:\t%s\n", vfio_mig_state_name(error.to));
	seq_printf(m, "state:\t%s\n", vfio_mig_state_name(vfio_mig_state(mig)));
	if (error.reason.offset != VFIO_MIGX_NO_OFFSET)
		seq_printf(m, "offset:\t%llu\n", error.reason.offset);
	seq_printf(m, "reason:\t%s\n", error.reason.text);

	return 0;
}
DEFINE_SHOW_ATTRIBUTE(last_error);

/**
 * vfio_mig_debugfs_add - make a device's folder
 * @mig: new device
 */
void vfio_mig_debugfs_add(struct vfio_mig *mig)
{
	struct dentry *dir;

	dir = debugfs_create_dir(mig->name, vfio_mig_debugfs_root);
	mig->debugfs = dir;
	debugfs_create_file("state", 0400, dir, mig, &state_fops);
	debugfs_create_file("session", 0400, dir, mig, &session_fops);
	debugfs_create_file("arcs", 0400, dir, mig, &arcs_fops);
	debugfs_create_file("last_error", 0400, dir, mig, &last_error_fops);
}

/**
 * vfio_mig_debugfs_remove - undo vfio_mig_debugfs_add()
 * @mig: device that goes away. Waits for those who read
 */
void vfio_mig_debugfs_remove(struct vfio_mig *mig)
{
	debugfs_remove(mig->debugfs);
}

/**
 * vfio_mig_debugfs_init - the module begins
 */
void vfio_mig_debugfs_init(void)
{
	vfio_mig_debugfs_root = debugfs_create_dir("vfio-migration", NULL);
}

/**
 * vfio_mig_debugfs_exit - the module goes away
 */
void vfio_mig_debugfs_exit(void)
{
	debugfs_remove(vfio_mig_debugfs_root);
}
