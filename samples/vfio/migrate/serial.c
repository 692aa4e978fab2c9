// SPDX-License-Identifier: GPL-2.0-only
/*
 * The comparison: what QEMU does without multifd. One thread reads at most a
 * chunk from a source with a blocking read, writes it to the destination, and
 * goes on to the next device; in the switch it brings one device to
 * STOP_COPY and reads that to its end before it turns to the next.
 */
#include <errno.h>
#include <time.h>
#include <unistd.h>

#include "migrate.h"

static bool stop_wanted(const struct job *job)
{
	return signals_caught() || job->dev->give_up;
}

/* For who wants to know what a copy waits for; -1: for nothing. */
static void note_at(struct migration *m, int at)
{
	m->serial_at = at;
	m->serial_ns = now_ns();
}

static int interrupted(struct device *dev, const char *step,
		       struct failure *fail)
{
	return fail_at(fail, dev->name, EINTR, step, "stopped by a signal");
}

static int write_all(struct job *job, struct pair *p, size_t len)
{
	struct failure *fail = &job->fail;
	struct stream *s = &p->stream;
	size_t off = 0;
	ssize_t n;

	while (off < len) {
		note_at(job->m, 2 * (p - job->m->pairs) + 1);
		if (stop_wanted(job))
			return interrupted(&p->dst, "write", fail);
		n = write(s->to, s->buf[0].mem + off, len - off);
		if (n > 0)
			off += n;
		else if (!n || (errno != EINTR && errno != EAGAIN))
			return write_failed(p, n ? errno : EIO, fail);
	}
	return 0;
}

/* One read and its write. Returns 1 at the (temporary) end. */
static int copy_chunk(struct job *job, struct pair *p)
{
	struct stream *s = &p->stream;
	ssize_t n;

	s->round_ns = now_ns();		/* the others' turns are not its own */
	note_at(job->m, 2 * (p - job->m->pairs));
	do {
		if (stop_wanted(job))
			return interrupted(&p->src, "read", &job->fail);
		n = read(s->from, s->buf[0].mem, job->m->opt->chunk);
	} while (n < 0 && (errno == EINTR || errno == EAGAIN));
	if (n > 0) {
		if (write_all(job, p, n))
			return -job->fail.err;
		stream_got(job->m, s, n);
		return 0;
	}
	if (!n || (errno == ENOMSG && !s->stopped))
		return 1;
	return read_failed(p, errno, true, &job->fail);
}

/* One turn of all devices; returns how many had something, or -errno. */
static int precopy_turn(struct job *job)
{
	struct migration *m = job->m;
	struct stream *s;
	unsigned int i;
	int ret, busy = 0;

	for (i = 0; i < m->nr; i++) {
		s = &m->pairs[i].stream;
		if (s->iterates && s->mode == STREAM_IDLE)
			stream_check(m, s);
		if (s->mode != STREAM_ITERATE)
			continue;
		ret = copy_chunk(job, &m->pairs[i]);
		if (ret < 0)
			return ret;
		if (ret)
			stream_paused(m, s);
		else
			busy++;
	}
	return busy;
}

int serial_precopy_job(struct job *job)
{
	struct timespec pause = { .tv_nsec = 10 * NSEC_PER_MSEC };
	int ret;

	while (!streams_converged(job->m)) {
		ret = precopy_turn(job);
		if (ret < 0)
			return ret;
		note_at(job->m, -1);
		if (!ret)
			nanosleep(&pause, NULL);
	}
	return 0;
}

/* A device's share of the switch: STOP_COPY and all that it then has. */
int serial_drain_job(struct job *job)
{
	struct stream *s = &job->pair->stream;
	int ret;

	note_at(job->m, -1);
	ret = device_set_state(job->dev, VFIO_DEVICE_STATE_STOP_COPY,
			       &job->fail);
	if (ret)
		return ret;
	s->from = job->dev->data_fd;
	stream_stop_copy(s);
	s->read_is_final = true;
	do {
		ret = copy_chunk(job, job->pair);
	} while (!ret);
	if (ret < 0)
		return ret;
	s->mode = STREAM_END;
	s->drained_ns = now_ns();
	return 0;
}
