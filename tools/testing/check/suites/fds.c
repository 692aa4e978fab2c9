// SPDX-License-Identifier: GPL-2.0-only
/*
 * A preload that lets other people's tests run on data fds: pipe(), socketpair() and
 * eventfd() give the data fd of a saving migsim device as the end that is read. What a
 * test writes to the other end is thrown away; it makes the device have data:
 *
 *  SUITE_FDS=idle	the device is in PRE_COPY and has said all. Each write changes a
 *			page of it. Read by read(), it gives as much as was asked for
 *			and has nothing more then, as a pipe from which all was read.
 *  SUITE_FDS=stalled	the device is in STOP_COPY and stalls before its first byte.
 *			The first write releases it, and everything comes, and the end.
 *
 * A write returns when all that watch the fd have been told.
 */
#include <errno.h>
#include <pthread.h>
#include <sys/epoll.h>
#include <sys/eventfd.h>
#include <sys/socket.h>
#include <sys/syscall.h>

#include <libvfio/migsim.h>
#include <libvfio/thread.h>

#define MAX_PAIRS	256
#define PAGES		256
#define STATE_SIZE	(PAGES * 4096)
/* With more than this unread, the device would not go on in PRE_COPY. */
#define UNREAD_MAX	(256 << 10)

struct pair {
	int in;			/* data fd; what the test reads */
	int out;		/* what it writes to, perhaps the same */
	int watch;		/* epoll of our own, see post_idle() */
	struct vfm_device *dev;
	pthread_mutex_t lock;	/* one write at a time */
	unsigned long writes;
};

static struct pair pairs[MAX_PAIRS];

static bool idle_mode(void)
{
	const char *mode = getenv("SUITE_FDS");

	VFIO_ASSERT_TRUE(mode, "SUITE_FDS is not set");
	return !strcmp(mode, "idle");
}

static struct pair *find_pair(int fd)
{
	int i;

	for (i = 0; i < MAX_PAIRS && fd >= 0; i++)
		if (pairs[i].dev && (pairs[i].in == fd || pairs[i].out == fd))
			return &pairs[i];
	return NULL;
}

/* All that there is, to the temporary end. */
static size_t drain(struct pair *p)
{
	char scratch[65536];
	size_t total = 0;
	ssize_t n;

	for (;;) {
		n = syscall(SYS_read, p->in, scratch, sizeof(scratch));
		if (n > 0)
			total += n;
		else if (n < 0 && errno == ENOMSG)
			return total;
		else
			VFIO_ASSERT_TRUE(n < 0 && errno == EAGAIN, "%s",
					 strerror(errno));
	}
}

/*
 * The first that watches the fd is the last that is woken: when it has been, all
 * others have been.
 */
static void watch(struct pair *p)
{
	struct epoll_event event = { .events = EPOLLIN | EPOLLET };

	p->watch = epoll_create1(EPOLL_CLOEXEC);
	VFIO_ASSERT_LE(0, p->watch);
	VFIO_ASSERT_EQ(epoll_ctl(p->watch, EPOLL_CTL_ADD, p->in, &event), 0);
}

static void start_idle(struct pair *p)
{
	vfm_open(p->dev);
	p->in = vfm_set_state(p->dev, VFM_PRE_COPY);
	vfm_nonblock(p->in, true);
	drain(p);
	vfm_nonblock(p->in, false);
	watch(p);
}

/* What io_uring has for this task interrupts it. */
static int wait_watch(struct pair *p, int timeout_ms)
{
	struct epoll_event event;
	int n;

	do {
		n = epoll_wait(p->watch, &event, 1, timeout_ms);
	} while (n < 0 && errno == EINTR);
	return n;
}

static void post_idle(struct pair *p)
{
	u64 page = p->writes++ % PAGES;

	if (vfm_fionread(p->in) > UNREAD_MAX)
		drain(p);
	wait_watch(p, 0);
	vfm_bar_write(p->dev, MIGSIM_BAR_MEM, page * 4096, &p->writes,
		      sizeof(p->writes));
	VFIO_ASSERT_EQ(wait_watch(p, vfm_deadline_ms()), 1, "no event of data");
}

static void start_stalled(struct pair *p)
{
	vfm_open(p->dev);
	VFIO_ASSERT_EQ(__vfm_fault_write(p->dev, "save_stall CONFIG 1 1 0"), 0);
	p->in = vfm_set_state(p->dev, VFM_STOP_COPY);
}

static void post_stalled(struct pair *p)
{
	if (p->writes++)
		return;
	VFM_WAIT(vfm_rule_fired(p->dev, "save_stall") == 1);
	vfm_fault_release(p->dev);
	VFIO_ASSERT_EQ(vfm_poll(p->in, POLLIN, vfm_deadline_ms()), POLLIN);
}

static struct pair *new_pair(bool one_fd)
{
	struct pair *p = pairs;

	while (p < pairs + MAX_PAIRS && p->dev)
		p++;
	VFIO_ASSERT_LT(p - pairs, MAX_PAIRS);
	*p = (struct pair) { .watch = -1, .lock = PTHREAD_MUTEX_INITIALIZER };
	p->dev = vfm_create(MIGSIM_FULL);
	vfm_attr_set(p->dev, "state_size", STATE_SIZE);
	if (idle_mode())
		start_idle(p);
	else
		start_stalled(p);
	p->out = one_fd ? p->in : syscall(SYS_eventfd2, 0, EFD_CLOEXEC);
	VFIO_ASSERT_LE(0, p->out);
	return p;
}

static void post(struct pair *p)
{
	pthread_mutex_lock(&p->lock);
	if (idle_mode())
		post_idle(p);
	else
		post_stalled(p);
	pthread_mutex_unlock(&p->lock);
}

static int two_fds(int fds[2])
{
	struct pair *p = new_pair(false);

	fds[0] = p->in;
	fds[1] = p->out;
	return 0;
}

int pipe(int fds[2])
{
	return two_fds(fds);
}

int socketpair(int domain, int type, int protocol, int fds[2])
{
	return two_fds(fds);
}

int eventfd(unsigned int value, int flags)
{
	struct pair *p = new_pair(true);

	if (flags & EFD_NONBLOCK)
		vfm_nonblock(p->in, true);
	if (value)
		post(p);
	return p->in;
}

ssize_t write(int fd, const void *buf, size_t len)
{
	struct pair *p = find_pair(fd);

	if (!p)
		return syscall(SYS_write, fd, buf, len);
	post(p);
	return len;
}

ssize_t read(int fd, void *buf, size_t len)
{
	struct pair *p = find_pair(fd);
	char scratch[65536];
	ssize_t n;

	if (!p || !idle_mode())
		return syscall(SYS_read, fd, buf, len);
	/* At once, or what is left would be an event. */
	n = syscall(SYS_read, fd, scratch, sizeof(scratch));
	if (n <= 0)
		return n;
	n = n < (ssize_t)len ? n : (ssize_t)len;
	memcpy(buf, scratch, n);
	drain(p);
	return n;
}

int close(int fd)
{
	struct pair *p = find_pair(fd);
	int ret = syscall(SYS_close, fd);

	if (p && fd == p->in) {
		syscall(SYS_close, p->watch);
		vfm_destroy(p->dev);
		p->dev = NULL;
		p->in = -1;
	}
	return ret;
}
