// SPDX-License-Identifier: GPL-2.0-only
/* Steps on data fds, which may be of any session, over or not, or drain fds. */
#include <fcntl.h>
#include <sys/ioctl.h>
#include <sys/uio.h>
#include <unistd.h>

#include <libvfio/damage.h>
#include <libvfio/fuzz.h>
#include <libvfio/migsim.h>

/* A page that is not there. */
#define VFM_NOWHERE	((void *)4096)

static u8 scratch[1 << 17];

/* Signals may come at any time. */
static short fuzz_poll(int fd, short events, int timeout_ms)
{
	struct pollfd pfd = { .fd = fd, .events = events };

	return poll(&pfd, 1, timeout_ms) > 0 ? pfd.revents : 0;
}

static void fuzz_read(struct vfm_fuzz *fuzz)
{
	size_t len = vfm_random_segment(&fuzz->rng, sizeof(scratch));

	vfm_read(vfm_fuzz_fd(fuzz), scratch, len);
}

/* All that there is, so that the end comes. */
static void fuzz_read_on(struct vfm_fuzz *fuzz)
{
	int fd = vfm_fuzz_fd(fuzz), i;

	for (i = 0; i < 40; i++) {
		if (vfm_read(fd, scratch, sizeof(scratch)) > 0)
			continue;
		if (!(fuzz_poll(fd, POLLIN, 1) & POLLIN))
			break;
	}
}

static void fuzz_readv(struct vfm_fuzz *fuzz)
{
	size_t n = vfm_random_segment(&fuzz->rng, sizeof(scratch) / 2);
	struct iovec iov[3] = {
		{ scratch, n },
		{ vfm_fuzz_seldom(fuzz, 2) ? VFM_NOWHERE : scratch + n, n },
		{ scratch, vfm_random_below(&fuzz->rng, 100) },
	};
	static const int flags[] = { 0, RWF_NOWAIT, 0x80, -1 };

	preadv2(vfm_fuzz_fd(fuzz), iov, vfm_random_below(&fuzz->rng, 4), -1,
		flags[vfm_random_below(&fuzz->rng, ARRAY_SIZE(flags))]);
}

static void fuzz_positioned(struct vfm_fuzz *fuzz)
{
	int fd = vfm_fuzz_fd(fuzz);

	if (pread(fd, scratch, 100, vfm_random(&fuzz->rng)) >= 0 ||
	    pwrite(fd, scratch, 100, vfm_random(&fuzz->rng)) >= 0 ||
	    lseek(fd, vfm_random(&fuzz->rng), vfm_random_below(&fuzz->rng, 6)) >= 0)
		VFIO_ASSERT_LT(fd, 0, "a data fd has a position");
}

static struct vfm_trial *fuzz_trial(struct vfm_fuzz *fuzz)
{
	return &fuzz->trial[vfm_random_below(&fuzz->rng, VFM_FUZZ_TYPES)];
}

/* Some kind of damage that has a name, or a field of any section. */
static void fuzz_damage(struct vfm_fuzz *fuzz, struct vfm_trial *t)
{
	const struct vfm_damage *d;
	struct vfio_mig_section_header *h;
	unsigned int n = 0;
	size_t at;

	vfm_for_each_damage(d)
		n++;
	if (vfm_fuzz_seldom(fuzz, 2)) {
		vfm_damages[vfm_random_below(&fuzz->rng, n)].make(t);
		return;
	}
	h = vfm_trial_section(t, vfm_random_below(&fuzz->rng, t->parsed.nr));
	at = vfm_random_below(&fuzz->rng, sizeof(*h) + h->length);
	((u8 *)h)[at] ^= 1 << vfm_random_below(&fuzz->rng, 8);
	if (at >= sizeof(*h))
		vfm_section_seal(h);
	else if (at < offsetof(struct vfio_mig_section_header, sum))
		vfm_section_seal_header(h);
}

/* As far as it goes; what a write does not take at once it may take later. */
static void fuzz_feed(int fd, const u8 *data, size_t len)
{
	unsigned int stalls = 0;
	ssize_t n;

	while (len && stalls < 20) {
		n = vfm_write(fd, data, len < 65536 ? len : 65536);
		if (n > 0) {
			data += n;
			len -= n;
		} else if (n == -EAGAIN && fuzz_poll(fd, POLLOUT, 1) == POLLOUT) {
			stalls++;
		} else {
			break;
		}
	}
}

static void fuzz_write_stream(struct vfm_fuzz *fuzz)
{
	struct vfm_trial *t = fuzz_trial(fuzz);
	int fd = vfm_fuzz_fd(fuzz);

	if (vfm_fuzz_seldom(fuzz, 2)) {
		fuzz_feed(fd, t->good.data, t->good.len);
		return;
	}
	fuzz_damage(fuzz, t);
	fuzz_feed(fd, t->bad.data, t->bad.len);
}

static void fuzz_write(struct vfm_fuzz *fuzz)
{
	struct vfm_trial *t = fuzz_trial(fuzz);
	size_t at = vfm_fuzz_seldom(fuzz, 2) ? 0 :
		    vfm_random_below(&fuzz->rng, t->good.len);
	int fd = vfm_fuzz_fd(fuzz);

	if (vfm_fuzz_seldom(fuzz, 8))
		vfm_write(fd, VFM_NOWHERE, 100);
	else
		vfm_write(fd, t->good.data + at,
			  vfm_random_segment(&fuzz->rng, t->good.len - at));
}

static void fuzz_ask(struct vfm_fuzz *fuzz)
{
	struct vfio_precopy_info info;
	int fd = vfm_fuzz_fd(fuzz);

	vfm_fuzz_fill(fuzz, &info, sizeof(info));
	if (!vfm_fuzz_seldom(fuzz, 3))
		info.argsz = sizeof(info);
	ioctl(fd, VFIO_MIG_GET_PRECOPY_INFO,
	      vfm_fuzz_seldom(fuzz, 8) ? VFM_NOWHERE : &info);
	ioctl(fd, FIONREAD, vfm_fuzz_seldom(fuzz, 8) ? VFM_NOWHERE : scratch);
	fuzz_poll(fd, vfm_random(&fuzz->rng), 0);
}

static void fuzz_ioctl(struct vfm_fuzz *fuzz)
{
	unsigned int cmd = _IOC(vfm_random_below(&fuzz->rng, 4),
				vfm_fuzz_seldom(fuzz, 2) ? VFIO_TYPE :
				vfm_random(&fuzz->rng) & 0xff,
				vfm_random(&fuzz->rng) & 0xff,
				vfm_random_below(&fuzz->rng, 64));

	vfm_fuzz_fill(fuzz, scratch, 64);
	ioctl(vfm_fuzz_fd(fuzz), cmd, scratch);
}

static void fuzz_splice(struct vfm_fuzz *fuzz)
{
	size_t len = vfm_random_segment(&fuzz->rng, sizeof(scratch) / 2);
	int fd = vfm_fuzz_fd(fuzz);

	splice(fd, NULL, fuzz->pipe[1], NULL, len, SPLICE_F_NONBLOCK);
	if (vfm_fuzz_seldom(fuzz, 2))
		splice(fuzz->pipe[0], NULL, vfm_fuzz_fd(fuzz), NULL, len,
		       SPLICE_F_NONBLOCK);
	if (vfm_fuzz_seldom(fuzz, 2))
		vfm_read(fuzz->pipe[0], scratch, sizeof(scratch));
}

static void fuzz_close(struct vfm_fuzz *fuzz)
{
	int *slot = &fuzz->fd[vfm_random_below(&fuzz->rng, VFM_FUZZ_FDS)];
	int fd = vfm_fuzz_fd(fuzz), more;

	if (vfm_fuzz_seldom(fuzz, 2)) {
		if (*slot >= 0)
			close(*slot);
		*slot = -1;
		return;
	}
	more = fcntl(fd, F_DUPFD_CLOEXEC, 3);
	if (more >= 0)
		vfm_fuzz_keep(fuzz, more);
}

static void fuzz_fdinfo(struct vfm_fuzz *fuzz)
{
	char path[64];
	int fd;

	snprintf_assert(path, sizeof(path), "/proc/self/fdinfo/%d",
			vfm_fuzz_fd(fuzz));
	fd = open(path, O_RDONLY | O_CLOEXEC);
	if (fd < 0)
		return;
	vfm_read(fd, scratch, 1024);
	close(fd);
}

/* Those that bring a session on its way more often. */
void (*const vfm_fuzz_data_steps[])(struct vfm_fuzz *fuzz) = {
	fuzz_read, fuzz_read_on, fuzz_read_on, fuzz_readv, fuzz_positioned,
	fuzz_write, fuzz_write_stream, fuzz_write_stream, fuzz_write_stream,
	fuzz_ask, fuzz_ask, fuzz_ioctl, fuzz_splice, fuzz_close, fuzz_fdinfo,
};

const size_t vfm_fuzz_nr_data_steps = ARRAY_SIZE(vfm_fuzz_data_steps);
