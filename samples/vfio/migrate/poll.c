// SPDX-License-Identifier: GPL-2.0-only
/*
 * The engine without io_uring. How a data fd is read or written depends on
 * what it can do, which is found out at its first request:
 *
 *  - it can poll: O_NONBLOCK, and poll() when it has nothing;
 *  - it cannot, but takes RWF_NOWAIT: asked again after a moment;
 *  - neither: it only blocks, so a thread of its own does it (copies).
 *
 * The threads are workers like those of the devices, but for the copies' own
 * pool, which is started when the first such fd turns up.
 */
#include <errno.h>
#include <fcntl.h>
#include <poll.h>
#include <stdlib.h>
#include <string.h>
#include <sys/epoll.h>
#include <sys/uio.h>
#include <unistd.h>

#include "migrate.h"

#define RETRY_NS	NSEC_PER_MSEC

enum how { HOW_POLL, HOW_NOWAIT, HOW_THREAD };

/* One end of a stream: the source's is read, the destination's written. */
struct side {
	struct job job;		/* first, for a copy's worker finds it by that */
	int fd;			/* what is known about is this fd's */
	enum how how;
	bool wanted;		/* a request is under way */
	bool copying;		/* in a thread */
	bool armed;		/* it had nothing: wait until it is ready */
	bool woken;		/* poll() said so */
	uint64_t not_before_ns;
	void *mem;
	size_t len;
	ssize_t res;
};

struct poller {
	struct side *sides;	/* two a pair: read, write */
	struct pollfd *fds;	/* one a side, and the two pools' eventfds */
	struct pool copies;
	bool copies_started;
};

static struct poller *poller_of(struct migration *m)
{
	return m->engine.priv;
}

static bool writes(const struct migration *m, const struct side *side)
{
	const struct poller *p = m->engine.priv;

	return (side - p->sides) & 1;
}

/* epoll, unlike poll(), tells whether a file can poll at all. */
static bool can_poll(int fd)
{
	struct epoll_event ev = { .events = EPOLLIN };
	int ep = epoll_create1(EPOLL_CLOEXEC);
	bool can;

	if (ep < 0)
		return false;
	can = !epoll_ctl(ep, EPOLL_CTL_ADD, fd, &ev);
	close(ep);
	return can;
}

static void get_to_know(struct side *side, int fd)
{
	int flags = fcntl(fd, F_GETFL);

	side->fd = fd;
	side->armed = false;
	side->how = HOW_NOWAIT;
	if (can_poll(fd) && flags >= 0 &&
	    !fcntl(fd, F_SETFL, flags | O_NONBLOCK))
		side->how = HOW_POLL;
}

static bool want(struct side *side, int fd, void *mem, size_t len)
{
	if (side->fd != fd)
		get_to_know(side, fd);
	side->mem = mem;
	side->len = len;
	side->wanted = true;
	return true;
}

static bool poll_read(struct migration *m, unsigned int i)
{
	struct stream *s = &m->pairs[i].stream;

	return want(&poller_of(m)->sides[2 * i], s->from, stream_tail(s)->mem,
		    m->opt->chunk);
}

static bool poll_write(struct migration *m, unsigned int i)
{
	struct stream *s = &m->pairs[i].stream;
	struct buffer *b = stream_head(s);

	return want(&poller_of(m)->sides[2 * i + 1], s->to, b->mem + b->off,
		    b->len - b->off);
}

static ssize_t transfer(const struct side *side, bool write, int flags)
{
	struct iovec iov = { .iov_base = side->mem, .iov_len = side->len };
	ssize_t n;

	if (write)
		n = pwritev2(side->fd, &iov, 1, -1, flags);
	else
		n = preadv2(side->fd, &iov, 1, -1, flags);
	return n < 0 ? -errno : n;
}

static int copy_job(struct job *job)
{
	struct side *side = (struct side *)job;

	side->res = transfer(side, job->worker & 1, 0);
	return 0;
}

static int start_copies(struct migration *m)
{
	struct poller *p = poller_of(m);

	if (p->copies_started)
		return 0;
	p->copies_started = true;
	return pool_start(&p->copies, 2 * m->nr, &m->fail);
}

static ssize_t begin_copy(struct migration *m, struct side *side)
{
	struct poller *p = poller_of(m);
	int ret = start_copies(m);

	if (ret)
		return ret;
	side->job = (struct job) {
		.fn = copy_job,
		.worker = side - p->sides,
	};
	side->copying = true;
	pool_post(&p->copies, side->job.worker, &side->job);
	return -EINPROGRESS;
}

static ssize_t end_copy(struct migration *m, struct side *side)
{
	if (!pool_done(&poller_of(m)->copies, &side->job))
		return -EINPROGRESS;
	side->copying = false;
	return side->res;
}

/* -EINPROGRESS if it has not come to an end yet. */
static ssize_t attempt(struct migration *m, struct side *side)
{
	bool write = writes(m, side);
	ssize_t n;

	if (side->copying)
		return end_copy(m, side);
	if (side->how == HOW_THREAD)
		return begin_copy(m, side);
	n = transfer(side, write, side->how == HOW_NOWAIT ? RWF_NOWAIT : 0);
	if (n == -EOPNOTSUPP && side->how == HOW_NOWAIT) {
		side->how = HOW_THREAD;
		return begin_copy(m, side);
	}
	if (n != -EAGAIN)
		return n;
	/* One that poll() calls ready and that has nothing must not spin. */
	side->armed = side->how == HOW_POLL && !side->woken;
	if (!side->armed)
		side->not_before_ns = now_ns() + RETRY_NS;
	side->woken = false;
	return -EINPROGRESS;
}

static void end_request(struct migration *m, struct side *side, ssize_t n)
{
	unsigned int i = side - poller_of(m)->sides;

	side->wanted = false;
	side->armed = false;
	side->woken = false;
	if (i & 1)
		engine_write_done(m, i / 2, n);
	else
		engine_read_done(m, i / 2, n);
}

/* Whatever can go on does. Returns how many requests have ended. */
static unsigned int attempt_all(struct migration *m)
{
	struct poller *p = poller_of(m);
	struct side *side;
	unsigned int nr = 0;
	ssize_t n;

	for (side = p->sides; side < p->sides + 2 * m->nr; side++) {
		if (!side->wanted || side->armed ||
		    (!side->copying && now_ns() < side->not_before_ns))
			continue;
		n = attempt(m, side);
		if (n == -EINPROGRESS)
			continue;
		end_request(m, side, n);
		nr++;
	}
	return nr;
}

/* Returns how long to wait at most; poll() passes over an fd of -1. */
static uint64_t fill_fds(struct migration *m)
{
	struct poller *p = poller_of(m);
	uint64_t ns = ENGINE_TICK_NS;
	unsigned int i;

	for (i = 0; i < 2 * m->nr; i++) {
		const struct side *side = &p->sides[i];

		p->fds[i].fd = side->armed ? side->fd : -1;
		p->fds[i].events = i & 1 ? POLLOUT : POLLIN;
		if (side->wanted && !side->armed && !side->copying)
			ns = RETRY_NS;
	}
	p->fds[i++] = (struct pollfd) { m->pool.done_fd, POLLIN, 0 };
	p->fds[i++] = (struct pollfd) {
		p->copies_started ? p->copies.done_fd : -1, POLLIN, 0
	};
	return ns;
}

static void drain_eventfd(const struct pollfd *fd)
{
	uint64_t count;

	while (fd->revents & POLLIN &&
	       read(fd->fd, &count, sizeof(count)) < 0 && errno == EINTR)
		;
}

static void poll_wait(struct migration *m, const sigset_t *mask)
{
	struct poller *p = poller_of(m);
	unsigned int i, ended = attempt_all(m);
	struct timespec ts = { .tv_nsec = fill_fds(m) };

	if (ended)
		ts.tv_nsec = 0;
	if (ppoll(p->fds, 2 * m->nr + 2, &ts, mask) <= 0)
		return;
	for (i = 0; i < 2 * m->nr; i++) {
		if (p->fds[i].fd >= 0 && p->fds[i].revents) {
			p->sides[i].armed = false;
			p->sides[i].woken = true;
		}
	}
	drain_eventfd(&p->fds[i]);
	drain_eventfd(&p->fds[i + 1]);
}

/* A thread's copy ends as such, if it can be woken. */
static void poll_cancel(struct migration *m)
{
	struct poller *p = poller_of(m);
	struct side *side;

	for (side = p->sides; side < p->sides + 2 * m->nr; side++) {
		if (side->wanted && !side->copying)
			end_request(m, side, -ECANCELED);
	}
	if (p->copies_started)
		pool_interrupt(&p->copies);
}

static int poll_open(struct migration *m)
{
	struct poller *p = xcalloc(1, sizeof(*p));
	unsigned int i;

	p->sides = xcalloc(2 * m->nr, sizeof(*p->sides));
	p->fds = xcalloc(2 * m->nr + 2, sizeof(*p->fds));
	for (i = 0; i < 2 * m->nr; i++)
		p->sides[i].fd = -1;
	m->engine.priv = p;
	return 0;
}

static void poll_close(struct migration *m)
{
	struct poller *p = poller_of(m);

	pool_stop(&p->copies);
	free(p->fds);
	free(p->sides);
	free(p);
	m->engine.priv = NULL;
}

const struct engine_ops engine_poll = {
	.open = poll_open,
	.close = poll_close,
	.read = poll_read,
	.write = poll_write,
	.wait = poll_wait,
	.cancel = poll_cancel,
};
