// SPDX-License-Identifier: GPL-2.0-only
#include <fcntl.h>
#include <poll.h>
#include <sys/eventfd.h>
#include <sys/mman.h>
#include <unistd.h>

#include <libvfio/assert.h>
#include <libvfio/count.h>
#include <libvfio/failnth.h>
#include <libvfio/migration.h>
#include <libvfio/migsim.h>
#include <libvfio/sweep.h>

/* More than that there is in no call. */
#define SWEEP_LIMIT	3000

static struct vfm_device *sweep_device(const char *type, u64 seed)
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

void vfm_sweep_init(struct vfm_sweep *s, const char *type)
{
	s->fd = -1;
	s->dev = sweep_device(type, 7);
	s->other = sweep_device(type, 8);
	s->event = eventfd(0, EFD_NONBLOCK | EFD_CLOEXEC);
	VFIO_ASSERT_GE(s->event, 0);
	VFIO_ASSERT_EQ(pipe2(s->pipe, O_CLOEXEC), 0);
	vfm_save(s->dev, &s->good, NULL);
	s->hash = vfm_state_hash(s->dev);
	VFIO_ASSERT_EQ(mlockall(MCL_CURRENT | MCL_FUTURE), 0);
}

void vfm_sweep_exit(struct vfm_sweep *s)
{
	vfm_count("fail_nth_points", s->points);
	if (!s->dev)
		return;
	vfm_buf_free(&s->good);
	vfm_buf_free(&s->got);
	close(s->pipe[0]);
	close(s->pipe[1]);
	close(s->event);
	vfm_destroy(s->dev);
	vfm_destroy(s->other);
	VFIO_ASSERT_GT(s->points, 0, "nothing has failed");
}

bool vfm_short_of_memory(int err)
{
	return err == -ENOMEM || err == -EFAULT;
}

void vfm_sweep(struct vfm_sweep *s, const char *name,
	       void (*prepare)(struct vfm_sweep *s),
	       int (*run)(struct vfm_sweep *s),
	       void (*check)(struct vfm_sweep *s, int ret))
{
	unsigned int nth, fds;
	bool failed;
	int ret;

	for (nth = 1;; nth++) {
		VFIO_ASSERT_LT(nth, SWEEP_LIMIT, "%s does not end", name);
		prepare(s);
		fds = vfm_nr_fds();
		vfm_failnth_arm(nth);
		ret = run(s);
		failed = vfm_failnth_disarm();
		VFIO_ASSERT_TRUE(!ret || (failed && vfm_short_of_memory(ret)),
				 "%s, %u: %s", name, nth, strerror(-ret));
		if (check)
			check(s, ret);
		VFIO_ASSERT_EQ(vfm_nr_fds(), fds, "%s, %u", name, nth);
		if (!failed)
			break;
		s->points++;
	}
}

void vfm_sweep_end_session(struct vfm_sweep *s)
{
	if (s->fd >= 0)
		close(s->fd);
	s->fd = -1;
	s->got.len = 0;
}

void vfm_sweep_in_running(struct vfm_sweep *s)
{
	vfm_sweep_end_session(s);
	vfm_reset(s->dev);
}

void vfm_sweep_in_stop_copy(struct vfm_sweep *s)
{
	vfm_sweep_in_running(s);
	s->fd = vfm_enter(s->dev, VFM_STOP_COPY);
}

void vfm_sweep_in_pre_copy(struct vfm_sweep *s)
{
	vfm_sweep_in_running(s);
	s->fd = vfm_enter(s->dev, VFM_PRE_COPY);
}

void vfm_sweep_in_resuming(struct vfm_sweep *s)
{
	vfm_sweep_in_running(s);
	s->fd = vfm_enter(s->dev, VFM_RESUMING);
}

void vfm_sweep_empty_pipe(struct vfm_sweep *s)
{
	u8 chunk[4096];

	while (poll(&(struct pollfd) { .fd = s->pipe[0], .events = POLLIN }, 1, 0) > 0)
		vfm_read(s->pipe[0], chunk, sizeof(chunk));
}
