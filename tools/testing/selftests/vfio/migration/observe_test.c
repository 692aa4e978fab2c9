// SPDX-License-Identifier: GPL-2.0-only
/*
 * B11: what a device has been doing can be seen, in debugfs and by tracepoints, and
 * agrees with what was done. Documentation/ABI/testing/debugfs-vfio-migration.
 */
#include <dirent.h>
#include <fcntl.h>
#include <sys/stat.h>

#include <libvfio_migration.h>

#define DEBUGFS		"/sys/kernel/debug/vfio-migration"
#define TRACEFS		"/sys/kernel/tracing/instances/vfio_mig_observe"

FIXTURE(observe) {
	struct vfm_device *dev;
	struct vfm_buf stream;
	char name[64];
	char text[65536];
};

static void must_write(const char *path, const char *text)
{
	int fd = open(path, O_WRONLY | O_TRUNC);

	VFIO_ASSERT_LE(0, fd, "%s: %s", path, strerror(errno));
	VFIO_ASSERT_EQ(write(fd, text, strlen(text)), (ssize_t)strlen(text));
	close(fd);
}

static void must_read(const char *path, char *text, size_t size)
{
	int fd = open(path, O_RDONLY);
	size_t len = 0;
	ssize_t n;

	VFIO_ASSERT_LE(0, fd, "%s: %s", path, strerror(errno));
	while ((n = read(fd, text + len, size - 1 - len)) > 0)
		len += n;
	VFIO_ASSERT_EQ(n, 0);
	text[len] = 0;
	close(fd);
}

/* The one folder that was not there before the device was. */
FIXTURE_SETUP(observe)
{
	char before[64] = "";
	struct dirent *entry;
	DIR *dir;

	VFM_REQUIRE_TYPE(MIGSIM_FULL);
	dir = opendir(DEBUGFS);
	if (!dir)
		SKIP(return, "no %s: is debugfs mounted?", DEBUGFS);
	while ((entry = readdir(dir)))
		if (entry->d_name[0] != '.')
			snprintf_assert(before, sizeof(before), "%.60s",
					entry->d_name);
	ASSERT_STREQ("", before);
	self->dev = vfm_create(MIGSIM_FULL);
	vfm_attr_set(self->dev, "state_size", 65536);
	rewinddir(dir);
	while ((entry = readdir(dir)))
		if (entry->d_name[0] != '.')
			snprintf_assert(self->name, sizeof(self->name), "%.60s",
					entry->d_name);
	closedir(dir);
	ASSERT_STRNE("", self->name);
}

FIXTURE_TEARDOWN(observe)
{
	struct stat st;
	char path[256];

	vfm_buf_free(&self->stream);
	if (!self->dev)
		return;
	vfm_destroy(self->dev);
	snprintf_assert(path, sizeof(path), DEBUGFS "/%s", self->name);
	ASSERT_EQ(-1, stat(path, &st));
}

static const char *show(FIXTURE_DATA(observe) *self, const char *file)
{
	char path[256];

	snprintf_assert(path, sizeof(path), DEBUGFS "/%s/%s", self->name, file);
	must_read(path, self->text, sizeof(self->text));
	return self->text;
}

/* The number behind "name:", or -1. */
static long long value(FIXTURE_DATA(observe) *self, const char *file,
		       const char *name)
{
	const char *line = strstr(show(self, file), name);

	return line ? atoll(line + strlen(name) + 1) : -1;
}

TEST_F(observe, state)
{
	u32 state;

	ASSERT_STREQ("STOP\n", show(self, "state"));
	vfm_open(self->dev);
	for (state = 0; state < VFM_NR_STATES; state++) {
		char want[32];

		if (!vfm_supports(self->dev, state))
			continue;
		close(vfm_enter(self->dev, state));
		snprintf_assert(want, sizeof(want), "%s\n",
				vfm_state_name(state));
		ASSERT_STREQ(want, show(self, "state"));
		vfm_reset(self->dev);
	}
}

TEST_F(observe, session)
{
	int fd;

	vfm_open(self->dev);
	ASSERT_EQ(NULL, strstr(show(self, "session"), "direction"));
	fd = vfm_enter(self->dev, VFM_STOP_COPY);
	ASSERT_EQ(POLLIN, vfm_poll(fd, POLLIN, vfm_deadline_ms()));
	VFM_WAIT(value(self, "session", "sections") == 3);
	ASSERT_NE(NULL, strstr(show(self, "session"), "direction:\tsaving\n"));
	ASSERT_EQ(1, value(self, "session", "saved"));
	ASSERT_EQ(0, value(self, "session", "resumed"));
	ASSERT_EQ(4 << 20, value(self, "session", "window"));
	ASSERT_EQ(vfm_fionread(fd), value(self, "session", "queued"));
	ASSERT_EQ(vfm_session_holds(fd), value(self, "session", "held"));
	ASSERT_EQ(0, value(self, "session", "error"));
	vfm_drain(fd, &self->stream, NULL);
	ASSERT_EQ(self->stream.len, value(self, "session", "bytes"));
	ASSERT_EQ(0, value(self, "session", "queued"));
	close(fd);
	ASSERT_EQ(1, value(self, "session", "ended"));
	vfm_reset(self->dev);
	ASSERT_EQ(NULL, strstr(show(self, "session"), "direction"));
	ASSERT_EQ(1, value(self, "session", "resets"));

	/* Stalls, of both kinds. */
	vfm_close(self->dev);
	vfm_attr_set(self->dev, "state_size", 1 << 20);
	vfm_attr_set(self->dev, "window", 65536);
	vfm_open(self->dev);
	fd = vfm_enter(self->dev, VFM_STOP_COPY);
	VFM_WAIT(value(self, "session", "worker_stalls") > 0);
	close(fd);
	vfm_reset(self->dev);
	fd = vfm_enter(self->dev, VFM_RESUMING);
	vfm_feed(fd, self->stream.data, 10, NULL);
	ASSERT_NE(NULL, strstr(show(self, "session"), "direction:\tresuming\n"));
	ASSERT_EQ(10, value(self, "session", "bytes"));
	ASSERT_EQ(1, value(self, "session", "resumed"));
	close(fd);
}

TEST_F(observe, arcs)
{
	long long us, below;
	const char *line;

	vfm_open(self->dev);
	ASSERT_STREQ("", show(self, "arcs"));
	vfm_save(self->dev, &self->stream, NULL);
	vfm_set_state_nofd(self->dev, VFM_STOP);
	vfm_set_state_nofd(self->dev, VFM_RUNNING);
	vfm_set_state_nofd(self->dev, VFM_STOP);
	ASSERT_NE(NULL, strstr(show(self, "arcs"),
			       "RUNNING RUNNING_P2P count=2 "));
	ASSERT_NE(NULL, strstr(show(self, "arcs"), "STOP STOP_COPY count=1 "));
	ASSERT_NE(NULL, strstr(show(self, "arcs"), "STOP_COPY STOP count=1 "));
	ASSERT_EQ(NULL, strstr(show(self, "arcs"), "RESUMING"));
	/* One that fails was tried, too. */
	vfm_fault_arc(self->dev, "arc_fail", VFM_STOP, VFM_STOP_COPY, 1, 1, EIO);
	vfm_set_state_err(self->dev, VFM_STOP_COPY, EIO);
	ASSERT_NE(NULL, strstr(show(self, "arcs"), "STOP STOP_COPY count=2 "));

	/* A latency is found in the bucket that it belongs to. */
	vfm_close(self->dev);
	vfm_attr_set(self->dev, "load_latency_us", 300000);
	vfm_open(self->dev);
	vfm_restore(self->dev, &self->stream, NULL);
	ASSERT_NE(NULL, strstr(show(self, "arcs"), "RESUMING STOP count=1 "));
	line = strstr(self->text, "RESUMING STOP");
	us = atoll(strstr(line, "max_us=") + 7);
	below = atoll(strchr(line, '<') + 1);
	ASSERT_LE(300000, us);
	ASSERT_LE(below / 2, us);
	ASSERT_GT(below, us);
	ASSERT_EQ(1, atoll(strchr(strchr(line, '<'), ':') + 1));
}

TEST_F(observe, last_error)
{
	vfm_open(self->dev);
	ASSERT_STREQ("count:\t0\n", show(self, "last_error"));
	vfm_set_state_err(self->dev, VFM_ERROR, EINVAL);
	ASSERT_EQ(1, value(self, "last_error", "count"));
	ASSERT_EQ(EINVAL, value(self, "last_error", "error"));
	ASSERT_NE(NULL, strstr(show(self, "last_error"), "from:\tRUNNING\n"));
	ASSERT_NE(NULL, strstr(self->text, "to:\tERROR\n"));
	ASSERT_EQ(NULL, strstr(self->text, "offset"));
	vfm_reopen(self->dev);
	ASSERT_STREQ("count:\t0\n", show(self, "last_error"));
}

/* The kernel's log from here on. */
static int log_begin(void)
{
	int fd = open("/dev/kmsg", O_RDONLY | O_NONBLOCK);

	VFIO_ASSERT_LE(0, fd, "/dev/kmsg: %s", strerror(errno));
	VFIO_ASSERT_LE(0, lseek(fd, 0, SEEK_END));
	return fd;
}

/* Appends what there is to @log. */
static void log_read(int fd, struct vfm_buf *log)
{
	ssize_t n;

	/* A line a read; EPIPE is for lines that were overwritten. */
	while ((n = vfm_read(fd, vfm_buf_room(log, 8192), 8191)) > 0 || n == -EPIPE)
		log->len += n > 0 ? n : 0;
	VFIO_ASSERT_EQ(n, -EAGAIN);
	*(char *)vfm_buf_room(log, 1) = 0;
}

static unsigned int log_lines(const struct vfm_buf *log, const char *what)
{
	const char *at = (char *)log->data;
	unsigned int lines = 0;

	for (; (at = strstr(at, what)); at += strlen(what))
		lines++;
	return lines;
}

/* Once: an arc that fails, after two that a signal and a reset ended. */
static void fail_arcs(FIXTURE_DATA(observe) *self)
{
	vfm_fault_clear(self->dev);
	vfm_fault_arc(self->dev, "arc_stall", VFM_STOP, VFM_STOP_COPY, 1, 1, 0);
	vfm_fault_arc(self->dev, "arc_reset", VFM_STOP, VFM_STOP_COPY, 1, 1, 0);
	vfm_fault_arc(self->dev, "arc_fail", VFM_STOP, VFM_STOP_COPY, 1, 1, EIO);
	vfm_set_state_nofd(self->dev, VFM_STOP);
	VFIO_ASSERT_EQ(__vfm_set_state_signalled(self->dev, VFM_STOP_COPY), -EINTR);
	vfm_set_state_err(self->dev, VFM_STOP_COPY, ECANCELED);
	vfm_set_state_nofd(self->dev, VFM_STOP);
	vfm_set_state_err(self->dev, VFM_STOP_COPY, EIO);
}

/* Others may have used up how much is told of at a time, so again and again. */
TEST_F(observe, log)
{
	struct vfm_buf log = { 0 };
	char want[256];
	int fd;

	vfm_open(self->dev);
	VFM_REQUIRE_FAULTS(self->dev);
	fd = log_begin();
	fail_arcs(self);
	snprintf_assert(want, sizeof(want),
			";vfio-migration: %s: STOP to STOP_COPY: %s (-%d)\n",
			self->name, (char *)vfm_last_error(self->dev).reason, EIO);
	VFM_WAIT((fail_arcs(self), log_read(fd, &log),
		  log_lines(&log, want) >= 3));
	snprintf_assert(want, sizeof(want), ";vfio-migration: %s: ", self->name);
	/* Nothing else, which is no news for an administrator. */
	ASSERT_EQ(log_lines(&log, want), log_lines(&log, " (-5)\n"));
	close(fd);
	vfm_buf_free(&log);
}

#define MANY	1000

/* Anybody can be refused at will: that must not fill the log. */
TEST_F(observe, log_bounded)
{
	struct vfm_buf log = { 0 };
	char want[128];
	int i, fd;

	vfm_open(self->dev);
	fd = log_begin();
	for (i = 0; i < MANY; i++) {
		vfm_set_state_err(self->dev, VFM_ERROR, EINVAL);
		log_read(fd, &log);
	}
	ASSERT_EQ(MANY, value(self, "last_error", "count"));
	snprintf_assert(want, sizeof(want), ";vfio-migration: %s: RUNNING to ERROR",
			self->name);
	printf("# %u lines for %u refusals\n", log_lines(&log, want), MANY);
	ASSERT_GT(MANY, log_lines(&log, want));
	close(fd);
	vfm_buf_free(&log);
}

/* A trace that only this test sees. */
static void trace_begin(void)
{
	if (mkdir(TRACEFS, 0700))
		VFIO_ASSERT_EQ(errno, EEXIST);
	must_write(TRACEFS "/trace", "");
	must_write(TRACEFS "/events/vfio_migration/enable", "1");
}

static const char *trace_end(FIXTURE_DATA(observe) *self)
{
	must_write(TRACEFS "/events/vfio_migration/enable", "0");
	must_read(TRACEFS "/trace", self->text, sizeof(self->text));
	rmdir(TRACEFS);
	return self->text;
}

TEST_F(observe, trace)
{
	char want[256];
	int fd;

	if (access("/sys/kernel/tracing/instances", W_OK))
		SKIP(return, "no tracefs with instances");
	vfm_open(self->dev);
	vfm_save(self->dev, &self->stream, NULL);
	vfm_reset(self->dev);

	trace_begin();
	fd = vfm_enter(self->dev, VFM_RESUMING);
	ASSERT_EQ(7, vfm_write(fd, "VFIOMIG", 7));
	ASSERT_EQ(-EILSEQ, vfm_write(fd, "!", 1));
	vfm_set_state_err(self->dev, VFM_STOP, EILSEQ);
	vfm_reset(self->dev);
	close(fd);
	trace_end(self);

	snprintf_assert(want, sizeof(want),
			"vfio_mig_arc: device=%s from=STOP to=RESUMING ret=0 us=",
			self->name);
	ASSERT_NE(NULL, strstr(self->text, want));
	snprintf_assert(want, sizeof(want),
			"vfio_mig_arc: device=%s from=RESUMING to=STOP ret=-%d us=",
			self->name, EILSEQ);
	ASSERT_NE(NULL, strstr(self->text, want));
	snprintf_assert(want, sizeof(want),
			"vfio_mig_session: device=%s direction=resuming event=opened bytes=0\n",
			self->name);
	ASSERT_NE(NULL, strstr(self->text, want));
	ASSERT_NE(NULL, strstr(self->text,
			       "direction=resuming event=ended bytes=8\n"));
	ASSERT_NE(NULL, strstr(self->text,
			       "direction=resuming event=closed bytes=8\n"));
	snprintf_assert(want, sizeof(want),
			"vfio_mig_error: device=%s err=-%d from=RESUMING to=RESUMING offset=0 reason=\"not a migration stream\"\n",
			self->name, EILSEQ);
	ASSERT_NE(NULL, strstr(self->text, want));
	snprintf_assert(want, sizeof(want),
			"vfio_mig_reset: device=%s in=ERROR event=asked for\n",
			self->name);
	ASSERT_NE(NULL, strstr(self->text, want));
	snprintf_assert(want, sizeof(want),
			"vfio_mig_reset: device=%s in=RUNNING event=done\n",
			self->name);
	ASSERT_NE(NULL, strstr(self->text, want));
}

TEST_F(observe, trace_of_stalls)
{
	char page[16];
	int fd;

	if (access("/sys/kernel/tracing/instances", W_OK))
		SKIP(return, "no tracefs with instances");
	vfm_attr_set(self->dev, "save_latency_us", MIGSIM_FOREVER_US);
	vfm_open(self->dev);
	fd = vfm_enter(self->dev, VFM_STOP_COPY);
	vfm_nonblock(fd, true);
	trace_begin();
	ASSERT_EQ(-EAGAIN, vfm_read(fd, page, sizeof(page)));
	ASSERT_NE(NULL, strstr(trace_end(self), "vfio_mig_stall: "));
	ASSERT_NE(NULL, strstr(self->text,
			       "direction=saving event=no data bytes=0\n"));
	ASSERT_EQ(1, value(self, "session", "client_stalls"));
	close(fd);
}

TEST_HARNESS_MAIN
