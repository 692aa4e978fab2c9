// SPDX-License-Identifier: GPL-2.0-only
/* Steps that the conformance tests are made of. */
#include <unistd.h>

#include <libvfio/judge.h>
#include <libvfio/rule.h>
#include <libvfio/thread.h>

const u32 vfm_session_states[4] = {
	VFM_STOP_COPY, VFM_PRE_COPY, VFM_PRE_COPY_P2P, VFM_RESUMING,
};

/* The one way to ERROR that a client has, which a device need not take. */
static bool enter_error(struct vfm_device *dev)
{
	int fd = vfm_set_state(dev, VFM_RESUMING), none = -1;

	VFIO_ASSERT_NE(__vfm_set_state(dev, VFM_STOP, &none), 0,
		       VFM_RULE(RULE_CHECK));
	close(fd);
	return vfm_get_state(dev) == VFM_ERROR;
}

bool vfm_judge_enter(struct vfm_device *dev, u32 state, int *fd)
{
	*fd = -1;
	vfm_reset(dev);
	VFIO_ASSERT_EQ(vfm_get_state(dev), VFM_RUNNING, VFM_RULE(RULE_RESET));
	if (state == VFM_ERROR)
		return enter_error(dev);
	*fd = vfm_set_state(dev, state);
	VFIO_ASSERT_EQ(vfm_get_state(dev), state, VFM_RULE(RULE_SYNC));
	VFIO_ASSERT_EQ(*fd >= 0, vfm_has_session(state), VFM_RULE(RULE_FD));
	return true;
}

void vfm_judge_save(struct vfm_device *dev, struct vfm_buf *buf,
		    struct vfm_rng *rng)
{
	int fd = vfm_set_state(dev, VFM_STOP_COPY);

	VFIO_ASSERT_LE(0, fd, VFM_RULE(RULE_FD));
	vfm_drain(fd, buf, rng);
	VFIO_ASSERT_LT(0, buf->len, VFM_RULE(RULE_STREAM));
	vfm_set_state_nofd(dev, VFM_STOP);
	close(fd);
}

int vfm_judge_restore(struct vfm_device *dev, const void *data, size_t len,
		      struct vfm_rng *rng, int *written)
{
	int fd, none = -1, ret;

	vfm_reset(dev);
	fd = vfm_set_state(dev, VFM_RESUMING);
	VFIO_ASSERT_LE(0, fd, VFM_RULE(RULE_FD));
	*written = __vfm_feed(fd, data, len, rng, NULL);
	ret = __vfm_set_state(dev, VFM_STOP, &none);
	close(fd);
	return ret;
}

void vfm_judge_accepts(struct vfm_device *dev, const struct vfm_buf *buf,
		       struct vfm_rng *rng)
{
	int written, ret;

	ret = vfm_judge_restore(dev, buf->data, buf->len, rng, &written);
	VFIO_ASSERT_EQ(written, 0, VFM_RULE(RULE_STREAM) ": write: %s",
		       strerror(-written));
	VFIO_ASSERT_EQ(ret, 0, VFM_RULE(RULE_STREAM) ": SET STOP: %s",
		       strerror(-ret));
	VFIO_ASSERT_EQ(vfm_get_state(dev), VFM_STOP, VFM_RULE(RULE_SYNC));
}

unsigned int vfm_judge_rounds(const struct vfm_buf *stream, unsigned int n)
{
	const size_t len = stream->len < 1 << 20 ? 1 << 20 : stream->len;

	n = ((u64)n << 20) / len;
	return n < 2 ? 2 : n;
}

void vfm_judge_works(struct vfm_device *dev)
{
	struct vfm_buf buf = { 0 };

	vfm_reset(dev);
	VFIO_ASSERT_EQ(vfm_get_state(dev), VFM_RUNNING, VFM_RULE(RULE_RESET));
	vfm_judge_save(dev, &buf, NULL);
	vfm_judge_accepts(dev, &buf, NULL);
	vfm_set_state_nofd(dev, VFM_RUNNING);
	vfm_buf_free(&buf);
}

ssize_t vfm_judge_read(int fd, void *buf, size_t len)
{
	struct vfm_io io = { fd, buf, len };
	struct vfm_thread t;

	vfm_thread_start(&t, vfm_thread_read, &io);
	return vfm_thread_join(&t);
}

ssize_t vfm_judge_write(int fd, const void *buf, size_t len)
{
	struct vfm_io io = { fd, (void *)buf, len };
	struct vfm_thread t;

	vfm_thread_start(&t, vfm_thread_write, &io);
	return vfm_thread_join(&t);
}

void vfm_judge_over(int fd, bool saves)
{
	struct vfio_precopy_info info = { 0 };
	char c = 0;

	if (saves)
		VFIO_ASSERT_LE(vfm_judge_read(fd, &c, 1), 0, VFM_RULE(RULE_ENDS));
	else
		VFIO_ASSERT_LT(vfm_judge_write(fd, &c, 1), 0, VFM_RULE(RULE_ENDS));
	VFIO_ASSERT_NE(vfm_poll(fd, saves ? POLLIN : POLLOUT, vfm_deadline_ms()), 0,
		       VFM_RULE(RULE_ENDS) ", and poll() says so");
	VFIO_ASSERT_LT(__vfm_precopy_info(fd, &info), 0, VFM_RULE(RULE_ENDS));
}
