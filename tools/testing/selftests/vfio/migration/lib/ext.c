// SPDX-License-Identifier: GPL-2.0-only
#include <sys/ioctl.h>
#include <sys/mman.h>

#include <libvfio/ext.h>

#define HEADER	sizeof(struct vfio_device_feature)
#define PAGE	4096

int __vfm_ext(struct vfm_device *dev, u32 op, u32 index, void *data, size_t len)
{
	char none;

	return __vfm_feature(dev->fd, op | index, data ? data : &none, len);
}

int __vfm_ext_longer(struct vfm_device *dev, u32 op, u32 index, void *data,
		     size_t len)
{
	u8 longer[1024] = { 0 };
	int ret;

	if (len)
		memcpy(longer, data, len);
	ret = __vfm_feature(dev->fd, op | index, longer, sizeof(longer));
	if (len)
		memcpy(data, longer, len);
	return ret;
}

static void check_ops(struct vfm_device *dev, u32 op, u32 index, void *data,
		      size_t len)
{
	const u32 both = VFIO_DEVICE_FEATURE_GET | VFIO_DEVICE_FEATURE_SET;
	const u32 probe = VFIO_DEVICE_FEATURE_PROBE;

	vfm_ext_err(dev, both & ~op, index, data, len, EINVAL);
	vfm_ext_err(dev, both, index, data, len, EINVAL);
	vfm_ext_err(dev, 0, index, data, len, EINVAL);
	vfm_ext_err(dev, probe | (both & ~op), index, data, len, EINVAL);
	vfm_ext_err(dev, probe | both, index, data, len, EINVAL);
	vfm_ext(dev, probe | op, index, data, len);
	vfm_ext(dev, probe, index, data, len);
	/* A probe looks at no data. */
	vfm_ext(dev, probe | op, index, NULL, 0);
}

static void check_lengths(struct vfm_device *dev, u32 op, u32 index,
			  const void *data, size_t len)
{
	u8 longer[256] = { 0 };
	size_t i;

	if (len)
		memcpy(longer, data, len);
	for (i = 0; i < len; i++)
		VFIO_ASSERT_EQ(__vfm_ext(dev, op, index, longer, i), -EINVAL,
			       "%zu bytes", i);
	for (i = len; i < sizeof(longer); i++) {
		longer[i] = 1;
		VFIO_ASSERT_EQ(__vfm_ext(dev, op, index, longer, i + 1), -E2BIG,
			       "byte %zu", i);
		vfm_ext_err(dev, op, index, longer, sizeof(longer), E2BIG);
		longer[i] = 0;
	}
}

/* The structure, but for its last byte, at the end of the caller's memory. */
static void check_memory(struct vfm_device *dev, u32 op, u32 index,
			 const void *data, size_t len)
{
	u8 *page = mmap(NULL, 2 * PAGE, PROT_READ | PROT_WRITE,
			MAP_PRIVATE | MAP_ANONYMOUS, -1, 0);
	struct vfio_device_feature *feature;

	VFIO_ASSERT_NE(page, MAP_FAILED);
	VFIO_ASSERT_EQ(munmap(page + PAGE, PAGE), 0);
	feature = (void *)(page + PAGE - HEADER - len + 1);
	feature->argsz = HEADER + len;
	feature->flags = op | index;
	memcpy(feature->data, data, len - 1);
	VFIO_ASSERT_EQ(ioctl(dev->fd, VFIO_DEVICE_FEATURE, feature), -1);
	VFIO_ASSERT_EQ(errno, EFAULT);

	/* It can be read, but not answered. */
	feature = (void *)page;
	feature->argsz = HEADER + len;
	feature->flags = op | index;
	memcpy(feature->data, data, len);
	VFIO_ASSERT_EQ(mprotect(page, PAGE, PROT_READ), 0);
	VFIO_ASSERT_EQ(ioctl(dev->fd, VFIO_DEVICE_FEATURE, feature), -1);
	VFIO_ASSERT_EQ(errno, EFAULT);
	VFIO_ASSERT_EQ(munmap(page, PAGE), 0);
}

void vfm_check_refusals(struct vfm_device *dev, u32 op, u32 index,
			const void *data, size_t len)
{
	u8 copy[256] = { 0 };

	VFIO_ASSERT_LT(len, sizeof(copy));
	if (len)
		memcpy(copy, data, len);
	check_ops(dev, op, index, copy, len);
	check_lengths(dev, op, index, data, len);
	if (len)
		check_memory(dev, op, index, data, len);
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
