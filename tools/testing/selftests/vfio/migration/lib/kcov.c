// SPDX-License-Identifier: GPL-2.0-only
#include <errno.h>
#include <fcntl.h>
#include <sys/ioctl.h>
#include <sys/mman.h>
#include <sys/mount.h>
#include <unistd.h>

#include <libvfio/assert.h>
#include <libvfio/kcov.h>

/* From <linux/kcov.h>, which old headers lack. */
#define VFM_KCOV_INIT_TRACE	_IOR('c', 1, unsigned long)
#define VFM_KCOV_ENABLE		_IO('c', 100)
#define VFM_KCOV_DISABLE	_IO('c', 101)
#define VFM_KCOV_TRACE_PC	0

#define VFM_KCOV_WORDS		(1UL << 18)

static int vfm_kcov_open(void)
{
	static const char path[] = "/sys/kernel/debug/kcov";

	if (access("/sys/kernel/debug/tracing", F_OK) && access(path, F_OK))
		mount("debugfs", "/sys/kernel/debug", "debugfs", 0, NULL);
	return open(path, O_RDWR | O_CLOEXEC);
}

bool vfm_kcov_init(struct vfm_kcov *kcov)
{
	memset(kcov, 0, sizeof(*kcov));
	kcov->fd = vfm_kcov_open();
	if (kcov->fd < 0)
		return false;
	VFIO_ASSERT_EQ(ioctl(kcov->fd, VFM_KCOV_INIT_TRACE, VFM_KCOV_WORDS), 0);
	kcov->cover = mmap(NULL, VFM_KCOV_WORDS * sizeof(long),
			   PROT_READ | PROT_WRITE, MAP_SHARED, kcov->fd, 0);
	VFIO_ASSERT_NE(kcov->cover, MAP_FAILED);
	return true;
}

void vfm_kcov_start(struct vfm_kcov *kcov)
{
	if (kcov->fd < 0)
		return;
	VFIO_ASSERT_EQ(ioctl(kcov->fd, VFM_KCOV_ENABLE, VFM_KCOV_TRACE_PC), 0);
	__atomic_store_n(&kcov->cover[0], 0, __ATOMIC_RELAXED);
}

/* A full table forgets nothing, it only learns no more. */
static bool vfm_kcov_add(struct vfm_kcov *kcov, u64 pc)
{
	u32 i = (pc * 0x9e3779b97f4a7c15ULL) >> 48;

	for (; kcov->seen[i % VFM_KCOV_SEEN]; i++)
		if (kcov->seen[i % VFM_KCOV_SEEN] == pc)
			return false;
	if (kcov->nr_seen >= VFM_KCOV_SEEN / 4 * 3)
		return false;
	kcov->seen[i % VFM_KCOV_SEEN] = pc;
	kcov->nr_seen++;
	return true;
}

unsigned int vfm_kcov_merge(struct vfm_kcov *kcov, const unsigned long *pcs,
			    size_t nr)
{
	unsigned int new = 0;
	size_t i;

	for (i = 0; i < nr; i++)
		new += vfm_kcov_add(kcov, pcs[i]);
	return new;
}

unsigned int vfm_kcov_stop(struct vfm_kcov *kcov)
{
	size_t nr;

	if (kcov->fd < 0)
		return 0;
	nr = __atomic_load_n(&kcov->cover[0], __ATOMIC_RELAXED);
	VFIO_ASSERT_EQ(ioctl(kcov->fd, VFM_KCOV_DISABLE, 0), 0);
	VFIO_ASSERT_LT(nr, VFM_KCOV_WORDS);
	return vfm_kcov_merge(kcov, kcov->cover + 1, nr);
}

void vfm_kcov_exit(struct vfm_kcov *kcov)
{
	if (kcov->fd < 0)
		return;
	munmap(kcov->cover, VFM_KCOV_WORDS * sizeof(long));
	close(kcov->fd);
	kcov->fd = -1;
}
