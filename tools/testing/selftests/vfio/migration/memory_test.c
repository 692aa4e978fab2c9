// SPDX-License-Identifier: GPL-2.0-only
/*
 * B6: a session holds its window, whatever the size of the state, and the reader's
 * memory cgroup pays for it.
 */
#include <fcntl.h>
#include <sched.h>
#include <signal.h>
#include <sys/mman.h>
#include <sys/syscall.h>

#include <libvfio_migration.h>

#define WINDOW		(4UL << 20)
#define LIMIT		(8UL << 20)
#define STATE		(1UL << 30)

FIXTURE(memory) {
	struct vfm_device *dev;
	char cgroup[128];
};

FIXTURE_SETUP(memory)
{
	VFM_REQUIRE_TYPE(MIGSIM_BASIC);
	if (!vfm_cgroup_make(self->cgroup, sizeof(self->cgroup)))
		SKIP(return, "no cgroup2 with the memory controller");
	self->dev = vfm_create(MIGSIM_BASIC);
}

FIXTURE_TEARDOWN(memory)
{
	vfm_destroy(self->dev);
	vfm_cgroup_remove(self->cgroup);
}

static u64 mem_available(void)
{
	char line[256];
	u64 kib = 0;
	FILE *file = fopen("/proc/meminfo", "r");

	while (fgets(line, sizeof(line), file))
		if (sscanf(line, "MemAvailable: %lu", &kib) == 1)
			break;
	fclose(file);
	VFIO_ASSERT_NE(kib, 0);
	return kib << 10;
}

struct account {
	u64 kernel;
	u64 available;
};

static struct account account(FIXTURE_DATA(memory) *self)
{
	return (struct account) {
		.kernel = vfm_cgroup_read(self->cgroup, "memory.stat", "kernel"),
		.available = mem_available(),
	};
}

/* The reader stands still, and so after a while does the device. */
static void check_paused(FIXTURE_DATA(memory) *self, int fd,
			 const struct account *before, const char *where)
{
	const u64 least = WINDOW / 2 - 2 * 65536;
	struct account now;
	u64 held;

	/* The device goes on when half of the window was read, not before. */
	VFM_WAIT(vfm_fionread(fd) > least);
	/* It may still be about to stop. */
	do {
		held = vfm_session_holds(fd);
		now = account(self);
	} while (held != vfm_session_holds(fd));
	printf("# at %s: queued %zu held %lu kernel %lu (before %lu) available %+ld\n",
	       where, vfm_fionread(fd), held, now.kernel, before->kernel,
	       (long)(now.available - before->available));

	VFIO_ASSERT_GE(held, least);
	VFIO_ASSERT_LT(held, LIMIT);
	VFIO_ASSERT_GT(now.kernel - before->kernel, least);
	VFIO_ASSERT_LT(now.kernel, LIMIT);
	/* The cgroup and the session speak of the same pages. */
	VFIO_ASSERT_LT(labs((long)(now.kernel - before->kernel - held)),
		       1L << 20);
	/* All others on the machine are noise in this, a state would not be. */
	VFIO_ASSERT_LT((long)(before->available - now.available - held),
		       32L << 20);
}

static void read_exactly(int fd, char *buf, size_t len, u64 bytes)
{
	while (bytes) {
		ssize_t n = vfm_read(fd, buf, bytes < len ? bytes : len);

		VFIO_ASSERT_GT(n, 0, "%s", strerror(-n));
		bytes -= n;
	}
}

TEST_F(memory, bounded)
{
	const size_t len = 1 << 20;
	struct account before;
	char *buf;
	int fd;

	ASSERT_EQ(0, vfm_cgroup_write(self->cgroup, "cgroup.procs", "0"));
	buf = mmap(NULL, len, PROT_READ | PROT_WRITE,
		   MAP_PRIVATE | MAP_ANONYMOUS | MAP_POPULATE, -1, 0);
	ASSERT_NE(MAP_FAILED, buf);
	vfm_attr_set(self->dev, "state_size", STATE);
	vfm_open(self->dev);
	before = account(self);
	fd = vfm_set_state(self->dev, VFM_STOP_COPY);
	check_paused(self, fd, &before, "0 %");
	read_exactly(fd, buf, len, STATE / 2);
	check_paused(self, fd, &before, "50 %");
	read_exactly(fd, buf, len, STATE / 100 * 49);
	check_paused(self, fd, &before, "99 %");

	/* The memory goes with the session, not with its fd. */
	vfm_set_state_nofd(self->dev, VFM_STOP);
	VFM_WAIT(!vfm_session_holds(fd));
	VFM_WAIT(account(self).kernel < before.kernel + (1 << 20));
	close(fd);
	munmap(buf, len);
}

/* Pages that the device gives count as those that it fills, in any order. */
TEST_F(memory, donated_bounded)
{
	const u64 pages = (32 << 20) >> 12;
	char page[4096];
	ssize_t n;
	u64 i;
	int fd;

	vfm_attr_set(self->dev, "state_size", pages << 12);
	vfm_open(self->dev);
	for (i = pages / 4; i < pages; i++)
		if (i >= pages / 2 || i % 2)
			vfm_bar_write(self->dev, MIGSIM_BAR_MEM, i << 12, "x", 1);
	fd = vfm_set_state(self->dev, VFM_STOP_COPY);
	do {
		ASSERT_GE(WINDOW + 65536, vfm_session_holds(fd));
		n = vfm_read(fd, page, sizeof(page));
		ASSERT_LE(0, n);
	} while (n);
	close(fd);
}

#define PREPARED	(8UL << 20)

/* Memory that it takes to have all of a written state in the window. */
static u64 cost_of_window(FIXTURE_DATA(memory) *self, bool donate)
{
	u64 before, after, pos;
	int fd;

	vfm_close(self->dev);
	vfm_attr_set(self->dev, "donate", donate);
	vfm_open(self->dev);
	for (pos = 0; pos < PREPARED; pos += 4096)
		vfm_bar_write(self->dev, MIGSIM_BAR_MEM, pos, "x", 1);
	before = account(self).kernel;
	fd = vfm_set_state(self->dev, VFM_STOP_COPY);
	VFM_WAIT(vfm_fionread(fd) > PREPARED);
	after = account(self).kernel;
	printf("# donate %d: %lu, then %lu\n", donate, before, after);
	vfm_reset(self->dev);
	VFM_WAIT(!vfm_session_holds(fd));
	close(fd);
	return after - before;
}

/* What a device donates it has already: the state is in memory once, not twice. */
TEST_F(memory, donated_once)
{
	ASSERT_EQ(0, vfm_cgroup_write(self->cgroup, "cgroup.procs", "0"));
	vfm_attr_set(self->dev, "state_size", PREPARED);
	vfm_attr_set(self->dev, "window", 2 * PREPARED);
	ASSERT_GT(PREPARED / 2, cost_of_window(self, true));
	ASSERT_LT(PREPARED / 2, cost_of_window(self, false));
}

/* The same on the way in: what is not loaded yet is bounded by the window. */
TEST_F(memory, resuming_bounded)
{
	struct account before;
	struct vfm_buf big = { 0 };
	size_t done;
	int fd;

	ASSERT_EQ(0, vfm_cgroup_write(self->cgroup, "cgroup.procs", "0"));
	vfm_attr_set(self->dev, "state_size", 64 << 20);
	vfm_open(self->dev);
	vfm_save(self->dev, &big, NULL);
	vfm_reset(self->dev);
	before = account(self);
	fd = vfm_set_state(self->dev, VFM_RESUMING);
	for (done = 0; done < big.len;) {
		ssize_t n = vfm_write(fd, big.data + done, big.len - done <
				      (8 << 20) ? big.len - done : 8 << 20);

		ASSERT_LT(0, n);
		done += n;
		ASSERT_GT(LIMIT, vfm_session_holds(fd));
		ASSERT_GT(before.kernel + LIMIT, account(self).kernel);
	}
	vfm_set_state_nofd(self->dev, VFM_STOP);
	close(fd);
	vfm_buf_free(&big);
}

static void tighten(FIXTURE_DATA(memory) *self, u64 room)
{
	char text[32];

	snprintf_assert(text, sizeof(text), "%lu",
			vfm_cgroup_read(self->cgroup, "memory.current", NULL) +
			room);
	VFIO_ASSERT_EQ(vfm_cgroup_write(self->cgroup, "memory.max", text), 0);
}

/* In a child that shares our fds: its memory is all there before it begins. */
static void limited_child(FIXTURE_DATA(memory) *self, u32 state,
			  const int pipes[2][2])
{
	int fd, ret;
	char c = 0;

	ret = vfm_cgroup_write(self->cgroup, "cgroup.procs", "0");
	if (!ret && mlockall(MCL_CURRENT))
		ret = -errno;
	if (write(pipes[0][1], &c, 1) != 1 || read(pipes[1][0], &c, 1) != 1)
		ret = -EPIPE;
	if (!ret)
		ret = __vfm_set_state(self->dev, state, &fd);
	syscall(SYS_exit_group, -ret);
}

/*
 * SET_STATE by a process that may use @room bytes of memory more than it has. It
 * is gone when this returns: what comes later needs memory of its own, and a
 * process in a cgroup that is full would be killed for it.
 */
static int set_state_limited(FIXTURE_DATA(memory) *self, u32 state,
			     u64 room, int *data_fd)
{
	int pipes[2][2], status, ret, fd;
	pid_t pid;
	char c;

	VFIO_ASSERT_EQ(pipe(pipes[0]) | pipe(pipes[1]), 0);
	pid = syscall(SYS_clone, CLONE_FILES | SIGCHLD, NULL, NULL, NULL, NULL);
	if (!pid)
		limited_child(self, state, pipes);
	VFIO_ASSERT_EQ(read(pipes[0][0], &c, 1), 1);
	tighten(self, room);

	/* The number that the data fd is going to have. */
	fd = open("/dev/null", O_RDONLY);
	close(fd);
	VFIO_ASSERT_EQ(write(pipes[1][1], &c, 1), 1);
	VFIO_ASSERT_EQ(waitpid(pid, &status, 0), pid);
	VFIO_ASSERT_TRUE(WIFEXITED(status), "killed by %d", WTERMSIG(status));
	for (ret = 0; ret < 4; ret++)
		close(pipes[ret / 2][ret % 2]);
	ret = -WEXITSTATUS(status);
	/* What the child had is free now. */
	tighten(self, room);
	*data_fd = ret || fcntl(fd, F_GETFD) < 0 ? -1 : fd;
	return ret;
}

static void loosen(FIXTURE_DATA(memory) *self)
{
	VFIO_ASSERT_EQ(vfm_cgroup_write(self->cgroup, "memory.max", "max"), 0);
	VFIO_ASSERT_EQ(vfm_cgroup_read(self->cgroup, "memory.events", "oom_kill"),
		       0);
}

/*
 * A window that does not fit is as far filled as there is memory. The reader gives it
 * back, so nothing has failed, there is no splat, and the kernel kills no one.
 */
TEST_F(memory, too_small_for_window_to_save)
{
	struct vfm_buf got = { 0 };
	int fd;

	/* More than the process has: what it leaves behind can be used. */
	vfm_attr_set(self->dev, "window", 16 << 20);
	vfm_attr_set(self->dev, "state_size", 64 << 20);
	vfm_open(self->dev);
	ASSERT_EQ(0, set_state_limited(self, VFM_STOP_COPY, 1 << 20, &fd));
	ASSERT_LE(0, fd);
	VFM_WAIT(vfm_cgroup_read(self->cgroup, "memory.events", "max"));
	VFM_WAIT(vfm_fionread(fd));
	vfm_drain(fd, &got, NULL);
	ASSERT_EQ(0, vfm_session_error(fd));
	ASSERT_LT(64 << 20, got.len);
	close(fd);
	loosen(self);
	vfm_reset(self->dev);
	vfm_restore(self->dev, &got, NULL);
	vfm_buf_free(&got);
}

/* The receiver as well: a writer waits for what is loaded, as poll says. */
TEST_F(memory, too_small_for_window_to_load)
{
	struct vfm_buf got = { 0 };
	size_t fed = 0;
	ssize_t n;
	int fd;

	vfm_attr_set(self->dev, "window", 16 << 20);
	vfm_attr_set(self->dev, "state_size", 64 << 20);
	vfm_open(self->dev);
	VFM_REQUIRE_FAULTS(self->dev);
	vfm_save(self->dev, &got, NULL);
	vfm_reset(self->dev);
	ASSERT_EQ(0, __vfm_fault_write(self->dev, "load_stall CONFIG 1 1 0"));
	ASSERT_EQ(0, set_state_limited(self, VFM_RESUMING, 1 << 20, &fd));
	vfm_nonblock(fd, true);
	while ((n = vfm_write(fd, got.data + fed, got.len - fed)) > 0)
		fed += n;
	ASSERT_EQ(-EAGAIN, n);
	ASSERT_LT(0, vfm_cgroup_read(self->cgroup, "memory.events", "max"));
	ASSERT_GT(8 << 20, fed);
	ASSERT_EQ(0, vfm_poll(fd, POLLOUT, 0));
	vfm_fault_release(self->dev);
	ASSERT_EQ(POLLOUT, vfm_poll(fd, POLLOUT, vfm_deadline_ms()));
	vfm_nonblock(fd, false);
	vfm_feed(fd, got.data + fed, got.len - fed, NULL);
	vfm_set_state_nofd(self->dev, VFM_STOP);
	ASSERT_EQ(0, vfm_session_error(fd));
	close(fd);
	loosen(self);
	vfm_buf_free(&got);
}

/* Not even the session's own structures fit: then SET_STATE says so. */
TEST_F(memory, too_small_for_window)
{
	int fd;

	vfm_attr_set(self->dev, "window", 1 << 30);
	vfm_attr_set(self->dev, "state_size", 4096);
	vfm_open(self->dev);
	ASSERT_EQ(-ENOMEM, set_state_limited(self, VFM_STOP_COPY, 512 << 10,
					     &fd));
	vfm_assert_state(self->dev, VFM_RUNNING);
	loosen(self);
	fd = vfm_set_state(self->dev, VFM_STOP_COPY);
	ASSERT_LE(0, fd);
	close(fd);
}

#define MAPPED		(4UL << 20)
#define PMD_SPAN	(2UL << 20)

/* Its page tables, which come with a kill, are there before the limit. */
static void limited_writer(FIXTURE_DATA(memory) *self, volatile char *memory)
{
	size_t i;

	for (i = 0; i < MAPPED; i += PMD_SPAN)
		(void)memory[i];
	if (vfm_cgroup_write(self->cgroup, "cgroup.procs", "0") ||
	    mlockall(MCL_CURRENT))
		_exit(1);
	tighten(self, 1 << 20);
	for (i = 0; i < MAPPED; i += 4096)
		memory[i] = 1;
	_exit(2);
}

/* A page of a mapping that cannot be had is a SIGBUS, and not tried for ever. */
TEST_F(memory, too_small_for_mapping)
{
	char *memory;
	int status;
	pid_t pid;

	vfm_attr_set(self->dev, "state_size", MAPPED);
	vfm_open(self->dev);
	if (!(self->dev->bar[MIGSIM_BAR_MEM].flags & VFIO_REGION_INFO_FLAG_MMAP))
		SKIP(return, "the memory is not for mapping here");
	memory = mmap(NULL, MAPPED, PROT_READ | PROT_WRITE, MAP_SHARED,
		      self->dev->fd, self->dev->bar[MIGSIM_BAR_MEM].offset);
	ASSERT_NE(MAP_FAILED, memory);
	pid = fork();
	if (!pid)
		limited_writer(self, memory);
	ASSERT_EQ(pid, waitpid(pid, &status, 0));
	ASSERT_TRUE(WIFSIGNALED(status));
	ASSERT_EQ(SIGBUS, WTERMSIG(status));
	loosen(self);
	memory[MAPPED - 1] = 1;
	munmap(memory, MAPPED);
}

TEST_HARNESS_MAIN
