// SPDX-License-Identifier: GPL-2.0-only
/*
 * B6: a session holds its window, whatever the size of the state, and the reader's
 * memory cgroup pays for it.
 */
#include <fcntl.h>
#include <sys/mount.h>
#include <sys/stat.h>

#include <libvfio_migration.h>

#define CGROUPS		"/sys/fs/cgroup"
#define WINDOW		(4UL << 20)
#define LIMIT		(8UL << 20)
#define STATE		(1UL << 30)

FIXTURE(memory) {
	struct vfm_device *dev;
	char cgroup[128];
};

static int cgroup_write(const char *folder, const char *name, const char *text)
{
	char path[256];
	int fd, ret;

	snprintf_assert(path, sizeof(path), "%s/%s", folder, name);
	fd = open(path, O_WRONLY);
	if (fd < 0)
		return -errno;
	ret = write(fd, text, strlen(text)) < 0 ? -errno : 0;
	close(fd);
	return ret;
}

/* A number in a file of the cgroup, after @key or as all of it. */
static uint64_t cgroup_read(const char *folder, const char *name,
			    const char *key)
{
	char path[256], line[256];
	uint64_t val = UINT64_MAX;
	FILE *file;

	snprintf_assert(path, sizeof(path), "%s/%s", folder, name);
	file = fopen(path, "r");
	VFIO_ASSERT_TRUE(file, "%s: %s", path, strerror(errno));
	while (fgets(line, sizeof(line), file)) {
		size_t len = key ? strlen(key) : 0;

		if (key && (strncmp(line, key, len) || line[len] != ' '))
			continue;
		val = strtoull(line + len, NULL, 10);
		break;
	}
	fclose(file);
	VFIO_ASSERT_NE(val, UINT64_MAX, "no %s in %s", key, path);
	return val;
}

/* A cgroup of our own with this process in it, or false. */
static bool cgroup_enter(FIXTURE_DATA(memory) *self)
{
	if (access(CGROUPS "/cgroup.controllers", F_OK))
		mount("cgroup2", CGROUPS, "cgroup2", 0, NULL);
	if (cgroup_write(CGROUPS, "cgroup.subtree_control", "+memory"))
		return false;
	snprintf_assert(self->cgroup, sizeof(self->cgroup), CGROUPS "/vfm-%d",
			getpid());
	if (mkdir(self->cgroup, 0700))
		return false;
	return !cgroup_write(self->cgroup, "cgroup.procs", "0");
}

FIXTURE_SETUP(memory)
{
	VFM_REQUIRE_TYPE(MIGSIM_BASIC);
	if (!cgroup_enter(self))
		SKIP(return, "no cgroup2 with the memory controller");
	self->dev = vfm_create(MIGSIM_BASIC);
}

FIXTURE_TEARDOWN(memory)
{
	vfm_destroy(self->dev);
	cgroup_write(CGROUPS, "cgroup.procs", "0");
	rmdir(self->cgroup);
}

static uint64_t mem_available(void)
{
	char line[256];
	uint64_t kib = 0;
	FILE *file = fopen("/proc/meminfo", "r");

	while (fgets(line, sizeof(line), file))
		if (sscanf(line, "MemAvailable: %lu", &kib) == 1)
			break;
	fclose(file);
	VFIO_ASSERT_NE(kib, 0);
	return kib << 10;
}

/* What the session itself says. */
static uint64_t fdinfo(int fd, const char *key)
{
	char path[64], line[256];
	uint64_t val = UINT64_MAX;
	FILE *file;

	snprintf_assert(path, sizeof(path), "/proc/self/fdinfo/%d", fd);
	file = fopen(path, "r");
	VFIO_ASSERT_TRUE(file);
	while (fgets(line, sizeof(line), file))
		if (!strncmp(line, key, strlen(key)))
			val = strtoull(line + strlen(key), NULL, 10);
	fclose(file);
	VFIO_ASSERT_NE(val, UINT64_MAX, "no %s in fdinfo", key);
	return val;
}

struct account {
	uint64_t kernel;
	uint64_t available;
};

static struct account account(FIXTURE_DATA(memory) *self)
{
	return (struct account) {
		.kernel = cgroup_read(self->cgroup, "memory.stat", "kernel"),
		.available = mem_available(),
	};
}

/* The reader stands still, and so after a while does the device. */
static void check_paused(FIXTURE_DATA(memory) *self, int fd,
			 const struct account *before, const char *where)
{
	struct account now;
	uint64_t held;

	VFM_WAIT(vfm_fionread(fd) > WINDOW - 2 * 65536);
	now = account(self);
	held = fdinfo(fd, "vfio-mig-held:");
	printf("# at %s: queued %zu held %lu kernel %lu (before %lu) available %+ld\n",
	       where, vfm_fionread(fd), held, now.kernel, before->kernel,
	       (long)(now.available - before->available));

	VFIO_ASSERT_GE(held, WINDOW / 2);
	VFIO_ASSERT_LT(held, LIMIT);
	VFIO_ASSERT_GT(now.kernel - before->kernel, WINDOW / 2);
	VFIO_ASSERT_LT(now.kernel, LIMIT);
	/* The cgroup and the session speak of the same pages. */
	VFIO_ASSERT_LT(labs((long)(now.kernel - before->kernel - held)),
		       1L << 20);
	/* All others on the machine are noise in this, a state would not be. */
	VFIO_ASSERT_LT((long)(before->available - now.available), 128L << 20);
}

static void read_exactly(int fd, char *buf, size_t len, uint64_t bytes)
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
	VFM_WAIT(account(self).kernel < before.kernel + (1 << 20));
	ASSERT_EQ(0, fdinfo(fd, "vfio-mig-held:"));
	close(fd);
	munmap(buf, len);
}

/* The same on the way in: what is not loaded yet is bounded by the window. */
TEST_F(memory, resuming_bounded)
{
	struct account before;
	struct vfm_buf big = { 0 };
	size_t done;
	int fd;

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
		ASSERT_GT(LIMIT, fdinfo(fd, "vfio-mig-held:"));
		ASSERT_GT(LIMIT, account(self).kernel - before.kernel);
	}
	vfm_set_state_nofd(self->dev, VFM_STOP);
	close(fd);
	vfm_buf_free(&big);
}

/* Tight from now on; our own pages are there already. */
static void tighten(FIXTURE_DATA(memory) *self, uint64_t room)
{
	char text[32];

	VFIO_ASSERT_EQ(mlockall(MCL_CURRENT | MCL_FUTURE), 0);
	snprintf_assert(text, sizeof(text), "%lu",
			cgroup_read(self->cgroup, "memory.current", NULL) +
			room);
	VFIO_ASSERT_EQ(cgroup_write(self->cgroup, "memory.max", text), 0);
}

static void loosen(FIXTURE_DATA(memory) *self)
{
	VFIO_ASSERT_EQ(cgroup_write(self->cgroup, "memory.max", "max"), 0);
	munlockall();
}

/* Too little memory is the caller's ENOMEM, no splat, and nobody is killed. */
TEST_F(memory, too_small_saving)
{
	static char buf[65536];
	struct vfm_buf got = { 0 };
	int fd = -1, ret;
	ssize_t n;

	memset(buf, 1, sizeof(buf));
	vfm_attr_set(self->dev, "state_size", 64 << 20);
	vfm_open(self->dev);
	tighten(self, 1 << 20);
	ret = __vfm_set_state(self->dev, VFM_STOP_COPY, &fd);
	if (!ret) {
		/* It fills what there is, and then says so, for good. */
		VFM_WAIT(vfm_poll(fd, POLLIN, 0) & POLLERR);
		while ((n = vfm_read(fd, buf, sizeof(buf))) > 0)
			;
		ASSERT_EQ(-ENOMEM, n);
		ASSERT_EQ(-ENOMEM, vfm_read(fd, buf, sizeof(buf)));
		vfm_set_state_nofd(self->dev, VFM_STOP);
		close(fd);
	} else {
		ASSERT_EQ(-ENOMEM, ret);
		vfm_assert_state(self->dev, VFM_RUNNING);
	}
	loosen(self);
	ASSERT_EQ(0, cgroup_read(self->cgroup, "memory.events", "oom_kill"));
	vfm_save(self->dev, &got, NULL);
	ASSERT_LT(64 << 20, got.len);
	vfm_buf_free(&got);
}

TEST_F(memory, too_small_window)
{
	int fd;

	/* Not even the session's own structures fit. */
	vfm_attr_set(self->dev, "window", 1 << 30);
	vfm_attr_set(self->dev, "state_size", 4096);
	vfm_open(self->dev);
	tighten(self, 128 << 10);
	vfm_set_state_err(self->dev, VFM_STOP_COPY, ENOMEM);
	vfm_assert_state(self->dev, VFM_RUNNING);
	loosen(self);
	fd = vfm_set_state(self->dev, VFM_STOP_COPY);
	ASSERT_LE(0, fd);
	close(fd);
}

TEST_HARNESS_MAIN
