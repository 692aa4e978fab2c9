// SPDX-License-Identifier: GPL-2.0-only
/*
 * splice(2) on the data fd: the same bytes and errnos as read and write (B2, B3), pages
 * that stay what they were whoever goes away (B5), nobody hung on the pipe's mutex.
 */
#include <fcntl.h>
#include <netinet/in.h>
#include <signal.h>
#include <sys/socket.h>
#include <sys/syscall.h>
#include <sys/uio.h>
#include <sys/wait.h>

#include <libvfio_migration.h>

FIXTURE(splice) {
	struct vfm_device *dev;
	struct vfm_buf stream;
	struct vfm_buf got;
	int pipe[2];
	char page[4096];
};

FIXTURE_VARIANT(splice) {
	const char *type;
};

FIXTURE_VARIANT_ADD(splice, full) { .type = MIGSIM_FULL };
FIXTURE_VARIANT_ADD(splice, snapshot) { .type = MIGSIM_SNAPSHOT };
FIXTURE_VARIANT_ADD(splice, precopy) { .type = MIGSIM_PRECOPY };
FIXTURE_VARIANT_ADD(splice, basic) { .type = MIGSIM_BASIC };

#define MARK		"written"
#define MARKED_PAGES	8

/* Written pages are donated, the others are not. */
static void mark(struct vfm_device *dev, const char *text)
{
	int i;

	for (i = 0; i < MARKED_PAGES; i++)
		vfm_bar_write(dev, MIGSIM_BAR_MEM, i * 2 * 4096 + 8, text,
			      strlen(text));
}

static void configure(struct vfm_device *dev, const char *name, u64 val)
{
	vfm_close(dev);
	vfm_attr_set(dev, name, val);
	vfm_open(dev);
}

FIXTURE_SETUP(splice)
{
	VFM_REQUIRE_TYPE(variant->type);
	self->dev = vfm_create(variant->type);
	vfm_attr_set(self->dev, "state_size", 64 * 4096);
	vfm_open(self->dev);
	ASSERT_EQ(0, pipe(self->pipe));
	signal(SIGPIPE, SIG_IGN);
}

FIXTURE_TEARDOWN(splice)
{
	close(self->pipe[0]);
	close(self->pipe[1]);
	vfm_buf_free(&self->stream);
	vfm_buf_free(&self->got);
	vfm_destroy(self->dev);
}

static ssize_t do_splice(int in, int out, size_t len, unsigned int flags)
{
	ssize_t n = splice(in, NULL, out, NULL, len, flags);

	return n < 0 ? -errno : n;
}

/* Out of the session into the pipe, and out of the pipe into @buf. */
static int drain_by_pipe(int fd, int pipe[2], struct vfm_buf *buf, size_t step)
{
	ssize_t n, done;

	while ((n = do_splice(fd, pipe[1], step, 0)) > 0)
		for (; n; n -= done, buf->len += done) {
			done = read(pipe[0], vfm_buf_room(buf, n), n);
			if (done <= 0)
				return -EIO;
		}
	return n;
}

static int feed_by_pipe(int fd, int pipe[2], const struct vfm_buf *buf,
			size_t step)
{
	size_t off, n;
	ssize_t done;

	for (off = 0; off < buf->len; off += n) {
		n = buf->len - off < step ? buf->len - off : step;
		if (write(pipe[1], (char *)buf->data + off, n) != (ssize_t)n)
			return -EIO;
		for (done = 0; done < (ssize_t)n;) {
			ssize_t ret = do_splice(pipe[0], fd, n - done, 0);

			if (ret <= 0)
				return ret;
			done += ret;
		}
	}
	return 0;
}

static void read_all(int fd, struct vfm_buf *buf, size_t len)
{
	while (buf->len < len) {
		ssize_t n = vfm_read(fd, vfm_buf_room(buf, 4096), 4096);

		VFIO_ASSERT_LT(0, n, "%s", strerror(-n));
		buf->len += n;
	}
}

struct splice_args {
	int in;
	int out;
	size_t len;
	unsigned int flags;
};

static long thread_splice(void *arg)
{
	struct splice_args *args = arg;

	return do_splice(args->in, args->out, args->len, args->flags);
}

TEST_F(splice, both_ways)
{
	static const size_t steps[] = { 1, 100, 4096, 5000, 65536 };
	u64 want;
	size_t i;
	int fd;

	for (i = 0; i < ARRAY_SIZE(steps); i++) {
		mark(self->dev, MARK);
		fd = vfm_enter(self->dev, VFM_STOP_COPY);
		want = vfm_state_hash(self->dev);
		self->stream.len = 0;
		/* Some by read, in between. */
		self->stream.len += vfm_read(fd, vfm_buf_room(&self->stream,
							      777), 777);
		ASSERT_EQ(0, drain_by_pipe(fd, self->pipe, &self->stream,
					   i ? steps[i] : 4095));
		ASSERT_EQ(0, do_splice(fd, self->pipe[1], 4096, 0));
		ASSERT_EQ(POLLIN, vfm_poll(fd, POLLIN, 0));
		close(fd);

		vfm_reset(self->dev);
		fd = vfm_enter(self->dev, VFM_RESUMING);
		if (steps[i] == 1)
			self->stream.len = 300;
		ASSERT_EQ(0, feed_by_pipe(fd, self->pipe, &self->stream,
					  steps[i]));
		if (steps[i] == 1) {
			vfm_reset(self->dev);
			close(fd);
			continue;
		}
		vfm_set_state_nofd(self->dev, VFM_STOP);
		close(fd);
		ASSERT_EQ(want, vfm_state_hash(self->dev));
		vfm_reset(self->dev);
	}
}

TEST_F(splice, directions_and_offsets)
{
	loff_t off = 0;
	int fd;

	fd = vfm_enter(self->dev, VFM_STOP_COPY);
	ASSERT_EQ(-EBADF, do_splice(self->pipe[0], fd, 4096, 0));
	ASSERT_EQ(-1, splice(fd, &off, self->pipe[1], NULL, 4096, 0));
	ASSERT_EQ(EINVAL, errno);
	ASSERT_EQ(0, do_splice(fd, self->pipe[1], 0, 0));
	close(fd);
	vfm_reset(self->dev);
	fd = vfm_enter(self->dev, VFM_RESUMING);
	ASSERT_EQ(-EBADF, do_splice(fd, self->pipe[1], 4096, 0));
	ASSERT_EQ(-1, splice(self->pipe[0], NULL, fd, &off, 4096, 0));
	ASSERT_EQ(EINVAL, errno);
	/* Refused data is refused here, too, and for good. */
	ASSERT_EQ(9, write(self->pipe[1], "VFIONEVER", 9));
	ASSERT_EQ(-EILSEQ, do_splice(self->pipe[0], fd, 9, 0));
	ASSERT_EQ(-EILSEQ, do_splice(self->pipe[0], fd, 9, 0));
	close(fd);
}

TEST_F(splice, nonblock)
{
	int fd;

	/* Nothing comes: neither flag waits. */
	configure(self->dev, "save_latency_us", MIGSIM_FOREVER_US);
	fd = vfm_enter(self->dev, VFM_STOP_COPY);
	ASSERT_EQ(-EAGAIN, do_splice(fd, self->pipe[1], 4096,
				     SPLICE_F_NONBLOCK));
	vfm_nonblock(fd, true);
	ASSERT_EQ(-EAGAIN, do_splice(fd, self->pipe[1], 4096, 0));
	ASSERT_EQ(0, vfm_poll(fd, POLLIN, 0));
	close(fd);
	configure(self->dev, "save_latency_us", 0);

	/* A full pipe is the pipe's business: the data stay. */
	fd = vfm_enter(self->dev, VFM_STOP_COPY);
	do {
		ASSERT_EQ(POLLIN, vfm_poll(fd, POLLIN, vfm_deadline_ms()));
	} while (do_splice(fd, self->pipe[1], 1 << 20, SPLICE_F_NONBLOCK) > 0);
	ASSERT_EQ(POLLIN, vfm_poll(fd, POLLIN, 0));
	ASSERT_EQ(-EAGAIN, do_splice(fd, self->pipe[1], 4096,
				     SPLICE_F_NONBLOCK));
	close(fd);

	/* An empty pipe with a writer, and one without. */
	close(self->pipe[0]);
	close(self->pipe[1]);
	ASSERT_EQ(0, pipe(self->pipe));
	vfm_reset(self->dev);
	fd = vfm_enter(self->dev, VFM_RESUMING);
	ASSERT_EQ(-EAGAIN, do_splice(self->pipe[0], fd, 4096,
				     SPLICE_F_NONBLOCK));
	close(self->pipe[1]);
	ASSERT_EQ(0, do_splice(self->pipe[0], fd, 4096, SPLICE_F_NONBLOCK));
	ASSERT_EQ(0, do_splice(self->pipe[0], fd, 4096, 0));
	close(fd);
	self->pipe[1] = dup(0);
}

/* The loader does not take any: room ends, and comes back. */
TEST_F(splice, full_session)
{
	struct vfm_thread filler;
	struct splice_args args;
	ssize_t n, total = 0;
	int fd;

	vfm_close(self->dev);
	vfm_attr_set(self->dev, "state_size", 1 << 20);
	vfm_attr_set(self->dev, "window", 65536);
	vfm_open(self->dev);
	vfm_save(self->dev, &self->stream, NULL);
	vfm_reset(self->dev);
	/* A section of 16 KiB takes a quarter of an hour. */
	configure(self->dev, "bandwidth", 16);
	fd = vfm_enter(self->dev, VFM_RESUMING);
	do {
		ASSERT_EQ(4096, write(self->pipe[1], (char *)self->stream.data +
				      total, 4096));
		for (n = 0; n < 4096;) {
			ssize_t ret = do_splice(self->pipe[0], fd, 4096 - n,
						SPLICE_F_NONBLOCK);

			if (ret == -EAGAIN)
				break;
			ASSERT_LT(0, ret);
			n += ret;
		}
		total += n;
		ASSERT_GT(1 << 20, total);
	} while (n == 4096);
	ASSERT_LT(32768, total);
	ASSERT_EQ(0, vfm_poll(fd, POLLOUT, 0));

	/* A blocked writer keeps nobody from the pipe, and a reset wakes it. */
	args = (struct splice_args) { self->pipe[0], fd, 4096, 0 };
	vfm_thread_start(&filler, thread_splice, &args);
	vfm_assert_blocked(&filler);
	ASSERT_EQ(1, write(self->pipe[1], "x", 1));
	ASSERT_EQ(1, read(self->pipe[0], self->page, 1));
	vfm_reset(self->dev);
	ASSERT_EQ(-ENODEV, vfm_thread_join(&filler));
	close(fd);
}

/* Data come while the pipe is full: who waited for them waits for room now. */
static void start_waiter(FIXTURE_DATA(splice) *self, struct vfm_thread *thread,
			 struct splice_args *args)
{
	VFIO_ASSERT_EQ(__vfm_fault_write(self->dev, "save_stall CONFIG 1 1 0"), 0);
	args->in = vfm_enter(self->dev, VFM_STOP_COPY);
	vfm_thread_start(thread, thread_splice, args);
	vfm_assert_blocked(thread);
	VFIO_ASSERT_EQ(write(self->pipe[1], "x", 1), 1);
	VFIO_ASSERT_EQ(vfm_poll(self->pipe[1], POLLOUT, 0), 0);
	VFIO_ASSERT_EQ(vfm_poll(args->in, POLLIN, 0), 0);
	VFM_WAIT(vfm_rule_fired(self->dev, "save_stall") == 1);
	vfm_fault_release(self->dev);
	VFIO_ASSERT_EQ(vfm_poll(args->in, POLLIN, vfm_deadline_ms()), POLLIN);
	vfm_assert_blocked(thread);
}

TEST_F(splice, waits_for_room)
{
	struct splice_args args = { -1, self->pipe[1], 4096, 0 };
	struct vfm_thread thread;

	VFM_REQUIRE_FAULTS(self->dev);
	/* So that a byte is enough to fill it. */
	ASSERT_EQ(4096, fcntl(self->pipe[1], F_SETPIPE_SZ, 4096));

	start_waiter(self, &thread, &args);
	ASSERT_EQ(1, read(self->pipe[0], self->page, 2));
	ASSERT_LT(0, vfm_thread_join(&thread));
	ASSERT_LT(8, read(self->pipe[0], self->page, 4096));
	ASSERT_FALSE(memcmp(self->page, "VFIOMIG", 7));
	close(args.in);
	vfm_reset(self->dev);
	vfm_fault_clear(self->dev);

	start_waiter(self, &thread, &args);
	vfm_reset(self->dev);
	ASSERT_EQ(-ENODEV, vfm_thread_join(&thread));
	ASSERT_EQ(1, read(self->pipe[0], self->page, 2));
	ASSERT_FALSE(memcmp(self->page, "x", 1));
	close(args.in);
}

/* Who waits holds nobody up, and a reset ends the wait, whatever it is for. */
TEST_F(splice, blocked)
{
	struct vfm_thread thread;
	struct splice_args args;
	int fd;

	configure(self->dev, "save_latency_us", MIGSIM_FOREVER_US);
	fd = vfm_enter(self->dev, VFM_STOP_COPY);
	args = (struct splice_args) { fd, self->pipe[1], 4096, 0 };

	ASSERT_EQ(3, write(self->pipe[1], "abc", 3));
	vfm_thread_start(&thread, thread_splice, &args);
	vfm_assert_blocked(&thread);
	ASSERT_EQ(3, write(self->pipe[1], "def", 3));
	ASSERT_EQ(6, read(self->pipe[0], self->page, 6));
	ASSERT_FALSE(memcmp(self->page, "abcdef", 6));
	vfm_assert_blocked(&thread);
	vfm_thread_signal(&thread);
	ASSERT_EQ(-EINTR, vfm_thread_join(&thread));

	vfm_thread_start(&thread, thread_splice, &args);
	vfm_assert_blocked(&thread);
	vfm_reset(self->dev);
	ASSERT_EQ(-ENODEV, vfm_thread_join(&thread));
	close(fd);

	/* For bytes in the pipe. */
	fd = vfm_enter(self->dev, VFM_RESUMING);
	args = (struct splice_args) { self->pipe[0], fd, 4096, 0 };
	vfm_thread_start(&thread, thread_splice, &args);
	vfm_assert_blocked(&thread);
	vfm_reset(self->dev);
	ASSERT_EQ(-ENODEV, vfm_thread_join(&thread));
	close(fd);

	/* Until they come. */
	fd = vfm_enter(self->dev, VFM_RESUMING);
	args.out = fd;
	vfm_thread_start(&thread, thread_splice, &args);
	vfm_assert_blocked(&thread);
	ASSERT_EQ(4, write(self->pipe[1], "VFIO", 4));
	ASSERT_EQ(4, vfm_thread_join(&thread));
	close(fd);
}

TEST_F(splice, no_reader)
{
	int fd = vfm_enter(self->dev, VFM_STOP_COPY);

	ASSERT_EQ(POLLIN, vfm_poll(fd, POLLIN, vfm_deadline_ms()));
	close(self->pipe[0]);
	ASSERT_EQ(-EPIPE, do_splice(fd, self->pipe[1], 4096, 0));
	self->pipe[0] = dup(0);
	vfm_drain(fd, &self->got, NULL);
	ASSERT_LT(64 * 4096, self->got.len);
	close(fd);
}

TEST_F(splice, temporary_end)
{
	int fd;

	if (!vfm_supports(self->dev, VFM_PRE_COPY))
		return;
	fd = vfm_enter(self->dev, VFM_PRE_COPY);
	ASSERT_EQ(-ENOMSG, drain_by_pipe(fd, self->pipe, &self->got, 65536));
	ASSERT_EQ(-ENOMSG, do_splice(fd, self->pipe[1], 1, SPLICE_F_NONBLOCK));
	mark(self->dev, MARK);
	ASSERT_EQ(POLLIN, vfm_poll(fd, POLLIN, vfm_deadline_ms()));
	ASSERT_LT(0, do_splice(fd, self->pipe[1], 4096, 0));
	close(fd);
}

/* Nor are pages that a pipe holds filled again with what comes after them. */
TEST_F(splice, kept_while_it_goes_on)
{
	ssize_t n = 0, got, done;
	int fd;

	configure(self->dev, "state_size", 16 << 20);
	fd = vfm_enter(self->dev, VFM_STOP_COPY);
	/* Headers alone may come first. */
	while (n <= 4096) {
		got = do_splice(fd, self->pipe[1], 1 << 20, 0);
		ASSERT_LT(0, got);
		n += got;
	}
	vfm_buf_room(&self->got, n);
	self->got.len = n;
	vfm_drain(fd, &self->got, NULL);
	close(fd);
	for (done = 0; done < n; done += got) {
		got = read(self->pipe[0], self->got.data + done, n - done);
		ASSERT_LT(0, got);
	}
	vfm_reset(self->dev);
	vfm_restore(self->dev, &self->got, NULL);
}

/* What of the stream is in a pipe when the device goes on and rewrites it. */
TEST_F(splice, copy_on_write)
{
	ssize_t n, total = 0;
	int i, fd;

	mark(self->dev, MARK);
	fd = vfm_enter(self->dev, VFM_STOP_COPY);
	vfm_drain(fd, &self->stream, NULL);
	close(fd);
	/* Saved again, so that nothing differs but the stream's id. */
	vfm_set_state_nofd(self->dev, VFM_STOP);
	fd = vfm_set_state(self->dev, VFM_STOP_COPY);
	ASSERT_LT(0, fcntl(self->pipe[1], F_SETPIPE_SZ, 1 << 20));
	while ((n = do_splice(fd, self->pipe[1], 1 << 20, 0)) > 0)
		total += n;
	ASSERT_EQ(0, n);
	ASSERT_EQ(self->stream.len, total);
	/* Nor do they count against the window any more. */
	ASSERT_EQ(0, vfm_session_holds(fd));

	vfm_set_state_nofd(self->dev, VFM_RUNNING);
	mark(self->dev, "SPOILED");
	for (i = 0; i < 64; i++)
		vfm_bar_write(self->dev, MIGSIM_BAR_MEM, i * 4096 + 64,
			      "SPOILED", 7);
	close(fd);

	read_all(self->pipe[0], &self->got, self->stream.len);
	ASSERT_EQ(NULL, memmem(self->got.data, self->got.len, "SPOILED", 7));
	ASSERT_NE(NULL, memmem(self->got.data, self->got.len, MARK, strlen(MARK)));
	vfm_reset(self->dev);
	vfm_restore(self->dev, &self->got, NULL);
}

/* vmsplice()d memory that is changed after it was accepted: no harm is done. */
TEST_F(splice, changed_behind)
{
	size_t off, n;
	u64 want;
	char *mem;
	int fd;

	mark(self->dev, MARK);
	fd = vfm_enter(self->dev, VFM_STOP_COPY);
	vfm_drain(fd, &self->stream, NULL);
	want = vfm_state_hash(self->dev);
	close(fd);
	vfm_reset(self->dev);

	mem = mmap(NULL, 65536, PROT_READ | PROT_WRITE,
		   MAP_PRIVATE | MAP_ANONYMOUS, -1, 0);
	ASSERT_NE(MAP_FAILED, mem);
	fd = vfm_enter(self->dev, VFM_RESUMING);
	for (off = 0; off < self->stream.len; off += n) {
		struct iovec iov;
		size_t done;

		n = self->stream.len - off;
		n = n < 32768 ? n : 32768;
		memcpy(mem, (char *)self->stream.data + off, n);
		iov = (struct iovec) { mem, n };
		ASSERT_EQ(n, vmsplice(self->pipe[1], &iov, 1, 0));
		for (done = 0; done < n;) {
			ssize_t ret = do_splice(self->pipe[0], fd, n - done, 0);

			ASSERT_LT(0, ret);
			done += ret;
		}
		memset(mem, 0xff, n);
	}
	vfm_set_state_nofd(self->dev, VFM_STOP);
	ASSERT_EQ(want, vfm_state_hash(self->dev));
	close(fd);
	munmap(mem, 65536);
}

static int module_cmd(const char *cmd)
{
	int status = system(cmd);

	return WIFEXITED(status) ? WEXITSTATUS(status) : -1;
}

static int unload(const char *name)
{
	return syscall(SYS_delete_module, name, O_NONBLOCK) ? -errno : 0;
}

static int load(const char *name, const char *file)
{
	const char *dir = getenv("VM_MODULES");
	char cmd[512];

	if (dir)
		snprintf_assert(cmd, sizeof(cmd), "insmod '%s/%s.ko'", dir,
				file);
	else
		snprintf_assert(cmd, sizeof(cmd), "modprobe %s", name);
	return module_cmd(cmd);
}

static void unload_all(void)
{
	VFIO_ASSERT_EQ(unload("migsim"), 0);
	VFIO_ASSERT_EQ(unload("vfio_migration"), 0);
}

static void assert_in_use(void)
{
	VFIO_ASSERT_LT(unload("migsim"), 0);
	VFIO_ASSERT_LT(unload("vfio_migration"), 0);
}

static void load_all(void)
{
	VFIO_ASSERT_EQ(load("vfio_migration", "vfio-migration"), 0);
	VFIO_ASSERT_EQ(load("migsim", "migsim"), 0);
}

/* The session, its fd, the device and the modules, in that order. */
static void everything_goes(FIXTURE_DATA(splice) *self, int fd)
{
	assert_in_use();
	vfm_reset(self->dev);
	close(fd);
	VFIO_ASSERT_LT(unload("vfio_migration"), 0);
	vfm_destroy(self->dev);
	self->dev = NULL;
	unload_all();
}

/* And comes back, to a device like the one that was. */
static void everything_returns(FIXTURE_DATA(splice) *self, const char *type)
{
	load_all();
	self->dev = vfm_create(type);
	vfm_attr_set(self->dev, "state_size", 64 * 4096);
	vfm_open(self->dev);
}

/* The pipe survives the session, the fd, the device and the modules. */
TEST_F(splice, outlives_everything)
{
	ssize_t n, total = 0;
	int fd;

	mark(self->dev, MARK);
	fd = vfm_enter(self->dev, VFM_STOP_COPY);
	ASSERT_LT(0, fcntl(self->pipe[1], F_SETPIPE_SZ, 1 << 20));
	while ((n = do_splice(fd, self->pipe[1], 1 << 20, 0)) > 0)
		total += n;
	ASSERT_EQ(0, n);
	everything_goes(self, fd);
	read_all(self->pipe[0], &self->got, total);
	ASSERT_NE(NULL, memmem(self->got.data, self->got.len, MARK, strlen(MARK)));
	everything_returns(self, variant->type);
	vfm_restore(self->dev, &self->got, NULL);
}

/* Both ends of a connection by which nothing was received yet. */
static void connect_tcp(int sock[2])
{
	struct sockaddr_in addr = {
		.sin_family = AF_INET,
		.sin_addr.s_addr = htonl(INADDR_LOOPBACK),
	};
	socklen_t len = sizeof(addr);
	int server = socket(AF_INET, SOCK_STREAM, 0);

	VFIO_ASSERT_EQ(bind(server, (void *)&addr, len), 0, "%s", strerror(errno));
	VFIO_ASSERT_EQ(listen(server, 1), 0);
	VFIO_ASSERT_EQ(getsockname(server, (void *)&addr, &len), 0);
	sock[1] = socket(AF_INET, SOCK_STREAM, 0);
	VFIO_ASSERT_EQ(connect(sock[1], (void *)&addr, len), 0, "%s",
		       strerror(errno));
	sock[0] = accept(server, NULL, NULL);
	VFIO_ASSERT_LE(0, sock[0]);
	close(server);
}

/* Nobody receives, so all of it has to have its place in the socket. */
static size_t splice_into_socket(FIXTURE_DATA(splice) *self, int fd, int sock)
{
	const int room = 4 << 20;
	ssize_t n, done;
	size_t total = 0;

	VFIO_ASSERT_EQ(setsockopt(sock, SOL_SOCKET, SO_SNDBUFFORCE, &room,
				  sizeof(room)), 0, "%s", strerror(errno));
	vfm_nonblock(sock, true);
	while ((n = do_splice(fd, self->pipe[1], 65536, 0)) > 0)
		for (total += n; n; n -= done) {
			done = do_splice(self->pipe[0], sock, n, 0);
			VFIO_ASSERT_LT(0, done, "%s", strerror(-done));
		}
	VFIO_ASSERT_EQ(n, 0);
	return total;
}

static void outlive_in_socket(FIXTURE_DATA(splice) *self, const char *type,
			      const int sock[2])
{
	size_t total;
	u64 want;
	int fd;

	mark(self->dev, MARK);
	fd = vfm_enter(self->dev, VFM_STOP_COPY);
	want = vfm_state_hash(self->dev);
	total = splice_into_socket(self, fd, sock[1]);
	VFIO_ASSERT_EQ(vfm_session_holds(fd), 0);
	everything_goes(self, fd);
	read_all(sock[0], &self->got, total);
	everything_returns(self, type);
	vfm_restore(self->dev, &self->got, NULL);
	VFIO_ASSERT_EQ(vfm_state_hash(self->dev), want);
	close(sock[0]);
	close(sock[1]);
}

/* What went on from the pipe to a socket survives there as well. */
TEST_F(splice, outlives_in_socket)
{
	int sock[2];

	ASSERT_EQ(0, socketpair(AF_UNIX, SOCK_STREAM, 0, sock));
	outlive_in_socket(self, variant->type, sock);
}

TEST_F(splice, outlives_in_tcp)
{
	int sock[2];

	connect_tcp(sock);
	outlive_in_socket(self, variant->type, sock);
}

#define FULL_WINDOW	65536
#define FULL_PIPE	(4 * FULL_WINDOW)

/* Until the pipe takes no more, while there is more. Returns what it took. */
static size_t fill_pipe(int fd, int pipe)
{
	size_t total = 0;
	ssize_t n;

	do {
		VFIO_ASSERT_EQ(vfm_poll(fd, POLLIN, vfm_deadline_ms()), POLLIN);
		n = do_splice(fd, pipe, 1 << 20, SPLICE_F_NONBLOCK);
		total += n > 0 ? n : 0;
		/* What the pipe has does not count against the window. */
		VFIO_ASSERT_LE(vfm_session_holds(fd), FULL_WINDOW);
	} while (n > 0);
	VFIO_ASSERT_EQ(n, -EAGAIN);
	VFIO_ASSERT_EQ(vfm_poll(pipe, POLLOUT, 0), 0);
	return total;
}

/* What is in the pipe, which keeps it. */
static void look_into(const int pipe[2], struct vfm_buf *buf, size_t len)
{
	int other[2];

	VFIO_ASSERT_EQ(pipe2(other, 0), 0);
	VFIO_ASSERT_EQ(fcntl(other[1], F_SETPIPE_SZ, FULL_PIPE), FULL_PIPE);
	VFIO_ASSERT_EQ(tee(pipe[0], other[1], len, 0), len);
	read_all(other[0], buf, len);
	close(other[0]);
	close(other[1]);
}

static void next_step(int sock)
{
	char c = 0;

	VFIO_ASSERT_EQ(write(sock, &c, 1), 1);
}

static void await_step(int sock)
{
	char c;

	VFIO_ASSERT_EQ(read(sock, &c, 1), 1);
}

/* Another process, which has the full pipe and the data fd, and nothing else. */
static void hold_pipe(FIXTURE_DATA(splice) *self, int fd, int sock)
{
	close(self->dev->fd);
	close(self->dev->group);
	close(self->dev->container);
	next_step(sock);
	await_step(sock);
	close(fd);
	next_step(sock);
	await_step(sock);
	read_all(self->pipe[0], &self->got, self->stream.len);
	_exit(memcmp(self->got.data, self->stream.data, self->stream.len) != 0);
}

static pid_t start_holder(FIXTURE_DATA(splice) *self, int fd, int *sock)
{
	int pair[2];
	pid_t pid;

	VFIO_ASSERT_EQ(socketpair(AF_UNIX, SOCK_STREAM, 0, pair), 0);
	pid = fork();
	VFIO_ASSERT_LE(0, pid);
	if (!pid) {
		close(pair[0]);
		hold_pipe(self, fd, pair[1]);
	}
	close(pair[1]);
	close(fd);
	close(self->pipe[0]);
	close(self->pipe[1]);
	VFIO_ASSERT_EQ(pipe(self->pipe), 0);
	*sock = pair[0];
	await_step(*sock);
	return pid;
}

static long remove_device(void *dev)
{
	return __vfm_remove(dev);
}

/* Reset, and removed while it is open. */
static void lose_device(FIXTURE_DATA(splice) *self)
{
	struct vfm_thread remover;

	assert_in_use();
	vfm_reset(self->dev);
	assert_in_use();
	vfm_thread_start(&remover, remove_device, self->dev);
	vfm_assert_blocked(&remover);
	assert_in_use();
	vfm_close(self->dev);
	VFIO_ASSERT_EQ(vfm_thread_join(&remover), 0);
	vfm_destroy(self->dev);
	self->dev = NULL;
}

/* A process holds a pipe that can take no more, and everything else goes. */
TEST_F(splice, full_pipe)
{
	int fd, sock, status;
	size_t total;
	pid_t pid;

	vfm_close(self->dev);
	vfm_attr_set(self->dev, "state_size", 4 << 20);
	vfm_attr_set(self->dev, "window", FULL_WINDOW);
	vfm_open(self->dev);
	mark(self->dev, MARK);
	fd = vfm_enter(self->dev, VFM_STOP_COPY);
	ASSERT_EQ(FULL_PIPE, fcntl(self->pipe[1], F_SETPIPE_SZ, FULL_PIPE));
	total = fill_pipe(fd, self->pipe[1]);
	ASSERT_LT(FULL_WINDOW, total);
	look_into(self->pipe, &self->stream, total);
	ASSERT_NE(NULL, memmem(self->stream.data, total, MARK, strlen(MARK)));

	pid = start_holder(self, fd, &sock);
	lose_device(self);
	/* The data fd is the core's. */
	ASSERT_GT(0, unload("vfio_migration"));
	next_step(sock);
	await_step(sock);
	unload_all();
	next_step(sock);
	ASSERT_EQ(pid, waitpid(pid, &status, 0));
	close(sock);
	load_all();
	ASSERT_TRUE(WIFEXITED(status));
	ASSERT_EQ(0, WEXITSTATUS(status));
}

TEST_HARNESS_MAIN
