// SPDX-License-Identifier: GPL-2.0-only
#include <libvfio/ext.h>

int __vfm_ext(struct vfm_device *dev, u32 op, u32 index, void *data, size_t len)
{
	char none;

	return __vfm_feature(dev->fd, op | index, data ? data : &none, len);
}

int __vfm_query_path(struct vfm_device *dev, u32 from, u32 to,
		     struct vfio_device_feature_migx_path *path)
{
	*path = (struct vfio_device_feature_migx_path) {
		.from = from,
		.to = to,
	};
	return __vfm_ext(dev, VFIO_DEVICE_FEATURE_GET,
			 VFIO_DEVICE_FEATURE_MIGX_PATH, path, sizeof(*path));
}

int __vfm_begin_drain(struct vfm_device *dev, int *fd)
{
	struct vfio_device_feature_migx_drain drain = { 0 };
	int ret;

	ret = __vfm_ext(dev, VFIO_DEVICE_FEATURE_SET,
			VFIO_DEVICE_FEATURE_MIGX_DRAIN, &drain, sizeof(drain));
	*fd = ret ? -1 : drain.fd;
	return ret;
}

int __vfm_allow_copy_back(struct vfm_device *dev)
{
	return __vfm_ext(dev, VFIO_DEVICE_FEATURE_SET,
			 VFIO_DEVICE_FEATURE_MIGX_COPY_BACK, NULL, 0);
}

int __vfm_ask_reinit(struct vfm_device *dev)
{
	return __vfm_ext(dev, VFIO_DEVICE_FEATURE_SET,
			 VFIO_DEVICE_FEATURE_MIG_PRECOPY_INFOv2, NULL, 0);
}

int __vfm_last_error(struct vfm_device *dev,
		     struct vfio_device_feature_migx_last_error *error)
{
	memset(error, 0, sizeof(*error));
	return __vfm_ext(dev, VFIO_DEVICE_FEATURE_GET,
			 VFIO_DEVICE_FEATURE_MIGX_LAST_ERROR, error,
			 sizeof(*error));
}

struct vfio_device_feature_migx_last_error
vfm_last_error(struct vfm_device *dev)
{
	struct vfio_device_feature_migx_last_error error;
	int ret = __vfm_last_error(dev, &error);

	VFIO_ASSERT_EQ(ret, 0, "LAST_ERROR: %s", strerror(-ret));
	VFIO_ASSERT_TRUE(memchr(error.reason, 0, sizeof(error.reason)));
	return error;
}

void vfm_assert_last_error(struct vfm_device *dev, int error, u32 from, u32 to,
			   u32 state, u64 offset, const char *reason)
{
	struct vfio_device_feature_migx_last_error e = vfm_last_error(dev);
	const char *text = (const char *)e.reason;

	VFIO_ASSERT_EQ(e.error, error, "%s", text);
	VFIO_ASSERT_EQ(e.from, from, "%s", text);
	VFIO_ASSERT_EQ(e.to, to, "%s", text);
	VFIO_ASSERT_EQ(e.state, state, "%s", text);
	VFIO_ASSERT_EQ(e.offset, offset, "%s", text);
	VFIO_ASSERT_TRUE(text[0], "no reason for errno %d", error);
	if (reason)
		VFIO_ASSERT_TRUE(strstr(text, reason),
				 "the reason is '%s', not '%s'", text, reason);
}
