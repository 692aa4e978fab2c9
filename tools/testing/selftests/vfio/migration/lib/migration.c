// SPDX-License-Identifier: GPL-2.0-only
/* The migration protocol: features, states, data fds. */
#include <fcntl.h>
#include <sys/ioctl.h>
#include <sys/uio.h>
#include <unistd.h>

#include <libvfio/migration.h>
#include <libvfio/thread.h>

#define VFM_SEGMENT	65536

const char *vfm_state_name(u32 state)
{
	static const char * const names[VFM_NR_STATES] = {
		[VFM_ERROR] = "ERROR",
		[VFM_STOP] = "STOP",
		[VFM_RUNNING] = "RUNNING",
		[VFM_STOP_COPY] = "STOP_COPY",
		[VFM_RESUMING] = "RESUMING",
		[VFM_RUNNING_P2P] = "RUNNING_P2P",
		[VFM_PRE_COPY] = "PRE_COPY",
		[VFM_PRE_COPY_P2P] = "PRE_COPY_P2P",
	};

	return state < VFM_NR_STATES ? names[state] : "a state out of range";
}

int __vfm_feature_argsz(int fd, u32 flags, void *data, size_t len,
			u32 argsz)
{
	size_t size = sizeof(struct vfio_device_feature) + len;
	struct vfio_device_feature *feature = vfm_zalloc(size);
	int ret;

	feature->argsz = argsz;
	feature->flags = flags;
	memcpy(feature->data, data, len);
	ret = ioctl(fd, VFIO_DEVICE_FEATURE, feature) ? -errno : 0;
	memcpy(data, feature->data, len);
	free(feature);
	return ret;
}

int __vfm_feature(int fd, u32 flags, void *data, size_t len)
{
	return __vfm_feature_argsz(fd, flags, data, len,
				   sizeof(struct vfio_device_feature) + len);
}

int __vfm_get_state(struct vfm_device *dev, u32 *state)
{
	struct vfio_device_feature_mig_state mig = { 0 };
	int ret;

	ret = __vfm_feature(dev->fd, VFIO_DEVICE_FEATURE_GET |
			    VFIO_DEVICE_FEATURE_MIG_DEVICE_STATE, &mig,
			    sizeof(mig));
	if (!ret)
		VFIO_ASSERT_EQ(mig.data_fd, -1, "GET gave a data fd");
	*state = mig.device_state;
	return ret;
}

int __vfm_set_state(struct vfm_device *dev, u32 state, int *data_fd)
{
	struct vfio_device_feature_mig_state mig = {
		.device_state = state,
		.data_fd = -1,
	};
	int ret;

	ret = __vfm_feature(dev->fd, VFIO_DEVICE_FEATURE_SET |
			    VFIO_DEVICE_FEATURE_MIG_DEVICE_STATE, &mig,
			    sizeof(mig));
	*data_fd = mig.data_fd;
	return ret;
}

int __vfm_migration_flags(struct vfm_device *dev, u64 *flags)
{
	struct vfio_device_feature_migration mig = { 0 };
	int ret;

	ret = __vfm_feature(dev->fd, VFIO_DEVICE_FEATURE_GET |
			    VFIO_DEVICE_FEATURE_MIGRATION, &mig, sizeof(mig));
	*flags = mig.flags;
	return ret;
}

int __vfm_data_size(struct vfm_device *dev, u64 *size)
{
	struct vfio_device_feature_mig_data_size mig = { 0 };
	int ret;

	ret = __vfm_feature(dev->fd, VFIO_DEVICE_FEATURE_GET |
			    VFIO_DEVICE_FEATURE_MIG_DATA_SIZE, &mig,
			    sizeof(mig));
	*size = mig.stop_copy_length;
	return ret;
}

int __vfm_precopy_info(int data_fd, struct vfio_precopy_info *info)
{
	if (!info->argsz)
		info->argsz = sizeof(*info);
	return ioctl(data_fd, VFIO_MIG_GET_PRECOPY_INFO, info) ? -errno : 0;
}

int __vfm_reset(struct vfm_device *dev)
{
	return ioctl(dev->fd, VFIO_DEVICE_RESET) ? -errno : 0;
}

bool vfm_supports(struct vfm_device *dev, u32 state)
{
	switch (state) {
	case VFM_RUNNING_P2P:
		return dev->flags & VFIO_MIGRATION_P2P;
	case VFM_PRE_COPY:
		return dev->flags & VFIO_MIGRATION_PRE_COPY;
	case VFM_PRE_COPY_P2P:
		return (dev->flags & VFIO_MIGRATION_P2P) &&
		       (dev->flags & VFIO_MIGRATION_PRE_COPY);
	default:
		return state < VFM_NR_STATES;
	}
}

int vfm_enter(struct vfm_device *dev, u32 state)
{
	int fd;

	vfm_assert_state(dev, VFM_RUNNING);
	if (state == VFM_ERROR) {
		fd = vfm_set_state(dev, VFM_RESUMING);
		vfm_set_state_err(dev, VFM_STOP, ENODATA);
		close(fd);
		fd = -1;
	} else {
		fd = vfm_set_state(dev, state);
	}
	vfm_assert_state(dev, state);
	VFIO_ASSERT_EQ(fd >= 0, vfm_has_session(state), "data fd %d in %s", fd,
		       vfm_state_name(state));
	return fd;
}

ssize_t vfm_read(int fd, void *buf, size_t len)
{
	ssize_t ret = read(fd, buf, len);

	return ret < 0 ? -errno : ret;
}

ssize_t vfm_read_nowait(int fd, void *buf, size_t len)
{
	struct iovec iov = { .iov_base = buf, .iov_len = len };
	ssize_t ret = preadv2(fd, &iov, 1, -1, RWF_NOWAIT);

	return ret < 0 ? -errno : ret;
}

ssize_t vfm_write(int fd, const void *buf, size_t len)
{
	ssize_t ret = write(fd, buf, len);

	return ret < 0 ? -errno : ret;
}

short vfm_poll(int fd, short events, int timeout_ms)
{
	struct pollfd pfd = { .fd = fd, .events = events };
	int ret = poll(&pfd, 1, timeout_ms);

	VFIO_ASSERT_GE(ret, 0, "poll: %s", strerror(errno));
	return ret ? pfd.revents : 0;
}

unsigned int vfm_nr_fds(void)
{
	unsigned int fd, n = 0;

	for (fd = 0; fd < 256; fd++)
		n += fcntl(fd, F_GETFD) >= 0;
	return n;
}

void vfm_nonblock(int fd, bool on)
{
	int flags = fcntl(fd, F_GETFL);

	VFIO_ASSERT_GE(flags, 0);
	flags = on ? flags | O_NONBLOCK : flags & ~O_NONBLOCK;
	VFIO_ASSERT_EQ(fcntl(fd, F_SETFL, flags), 0);
}

size_t vfm_fionread(int fd)
{
	int n = -1;

	VFIO_ASSERT_EQ(ioctl(fd, FIONREAD, &n), 0, "FIONREAD: %s",
		       strerror(errno));
	VFIO_ASSERT_GE(n, 0);
	return n;
}

static u64 fdinfo(int fd, const char *key)
{
	u64 number = UINT64_MAX;
	char path[64], line[256];
	FILE *file;

	snprintf_assert(path, sizeof(path), "/proc/self/fdinfo/%d", fd);
	file = fopen(path, "r");
	VFIO_ASSERT_TRUE(file, "%s: %s", path, strerror(errno));
	while (fgets(line, sizeof(line), file))
		if (!strncmp(line, key, strlen(key)))
			number = strtoull(line + strlen(key), NULL, 10);
	fclose(file);
	VFIO_ASSERT_NE(number, UINT64_MAX, "no %s in %s", key, path);
	return number;
}

u64 vfm_session_holds(int fd)
{
	return fdinfo(fd, "vfio-mig-held:");
}

u64 vfm_session_bytes(int fd)
{
	return fdinfo(fd, "vfio-mig-bytes:");
}

int vfm_session_error(int fd)
{
	return fdinfo(fd, "vfio-mig-error:");
}

void vfm_buf_free(struct vfm_buf *buf)
{
	free(buf->data);
	*buf = (struct vfm_buf) { 0 };
}

void *vfm_buf_room(struct vfm_buf *buf, size_t len)
{
	size_t size = buf->size ? buf->size : VFM_SEGMENT;

	while (size - buf->len < len)
		size *= 2;
	if (size != buf->size) {
		buf->data = realloc(buf->data, size);
		if (!buf->data)
			VFIO_FAIL("out of memory (%zu bytes)", size);
		buf->size = size;
	}
	return buf->data + buf->len;
}

static size_t vfm_segment(struct vfm_rng *rng)
{
	return rng ? vfm_random_segment(rng, 1 << 20) : VFM_SEGMENT;
}

int __vfm_drain(int fd, struct vfm_buf *buf, struct vfm_rng *rng)
{
	for (;;) {
		size_t len = vfm_segment(rng);
		ssize_t n = vfm_read(fd, vfm_buf_room(buf, len), len);

		if (n <= 0)
			return n;
		VFIO_ASSERT_LE((size_t)n, len);
		buf->len += n;
	}
}

int __vfm_feed(int fd, const void *data, size_t len, struct vfm_rng *rng,
	       size_t *done)
{
	size_t pos = 0;
	ssize_t n = 0;

	while (pos < len) {
		size_t seg = vfm_segment(rng);

		if (seg > len - pos)
			seg = len - pos;
		n = vfm_write(fd, (const char *)data + pos, seg);
		if (n < 0)
			break;
		VFIO_ASSERT_TRUE(n > 0 && (size_t)n <= seg, "write of %zu: %zd",
				 seg, n);
		pos += n;
	}
	if (done)
		*done = pos;
	return n < 0 ? n : 0;
}

void vfm_save(struct vfm_device *dev, struct vfm_buf *buf, struct vfm_rng *rng)
{
	int fd = vfm_set_state(dev, VFM_STOP_COPY);

	VFIO_ASSERT_GE(fd, 0);
	vfm_drain(fd, buf, rng);
	vfm_set_state_nofd(dev, VFM_STOP);
	close(fd);
}

int __vfm_restore(struct vfm_device *dev, const void *data, size_t len,
		  struct vfm_rng *rng)
{
	int fd = vfm_set_state(dev, VFM_RESUMING);
	int none = -1, err, ret;

	VFIO_ASSERT_GE(fd, 0);
	err = __vfm_feed(fd, data, len, rng, NULL);
	ret = __vfm_set_state(dev, VFM_STOP, &none);
	close(fd);
	/* What a write refused can not be let through by the final check. */
	if (err)
		VFIO_ASSERT_EQ(ret, err, "write: %s, then leaving RESUMING: %s",
			       strerror(-err), strerror(-ret));
	vfm_assert_state(dev, ret ? VFM_ERROR : VFM_STOP);
	return ret;
}
