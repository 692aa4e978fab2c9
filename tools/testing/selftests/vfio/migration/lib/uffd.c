// SPDX-License-Identifier: GPL-2.0-only
#include <fcntl.h>
#include <linux/userfaultfd.h>
#include <poll.h>
#include <sys/ioctl.h>
#include <sys/mman.h>
#include <sys/syscall.h>
#include <unistd.h>

#include <libvfio/thread.h>
#include <libvfio/uffd.h>

bool vfm_uffd_init(struct vfm_uffd *uffd)
{
	struct uffdio_api api = { .api = UFFD_API };
	struct uffdio_register reg = { .mode = UFFDIO_REGISTER_MODE_MISSING };

	uffd->fd = syscall(SYS_userfaultfd, O_CLOEXEC | O_NONBLOCK);
	if (uffd->fd < 0)
		return false;
	VFIO_ASSERT_EQ(ioctl(uffd->fd, UFFDIO_API, &api), 0);
	uffd->page = mmap(NULL, 4096, PROT_READ | PROT_WRITE,
			  MAP_PRIVATE | MAP_ANONYMOUS, -1, 0);
	VFIO_ASSERT_TRUE(uffd->page != MAP_FAILED);
	reg.range.start = (uintptr_t)uffd->page;
	reg.range.len = 4096;
	VFIO_ASSERT_EQ(ioctl(uffd->fd, UFFDIO_REGISTER, &reg), 0);
	return true;
}

void vfm_uffd_wait(struct vfm_uffd *uffd)
{
	struct pollfd pfd = { .fd = uffd->fd, .events = POLLIN };
	struct uffd_msg msg;

	VFIO_ASSERT_EQ(poll(&pfd, 1, vfm_deadline_ms()), 1,
		       "nobody touched the page");
	VFIO_ASSERT_EQ(read(uffd->fd, &msg, sizeof(msg)), sizeof(msg));
	VFIO_ASSERT_EQ(msg.event, UFFD_EVENT_PAGEFAULT);
}

void vfm_uffd_release(struct vfm_uffd *uffd, const void *content)
{
	struct uffdio_copy copy = {
		.dst = (uintptr_t)uffd->page,
		.src = (uintptr_t)content,
		.len = 4096,
	};

	VFIO_ASSERT_EQ(ioctl(uffd->fd, UFFDIO_COPY, &copy), 0);
}

void vfm_uffd_exit(struct vfm_uffd *uffd)
{
	close(uffd->fd);
	munmap(uffd->page, 4096);
}
