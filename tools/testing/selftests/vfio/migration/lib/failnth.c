// SPDX-License-Identifier: GPL-2.0-only
#include <fcntl.h>
#include <limits.h>
#include <sys/mount.h>
#include <unistd.h>

#include <libvfio/assert.h>
#include <libvfio/failnth.h>

#define FAIL_DEBUGFS	"/sys/kernel/debug"
#define FAIL_PAGE	"fail_page_alloc"

static int fail_nth_fd = -1;

static int fail_write(const char *folder, const char *name, const char *value)
{
	char path[PATH_MAX];
	ssize_t n;
	int fd;

	snprintf_assert(path, sizeof(path), FAIL_DEBUGFS "/%s/%s", folder, name);
	fd = open(path, O_WRONLY | O_CLOEXEC);
	if (fd < 0)
		return -errno;
	n = write(fd, value, strlen(value));
	close(fd);
	return n < 0 ? -errno : 0;
}

static void fail_set(const char *folder, const char *name, u64 value)
{
	char text[32];
	int ret;

	snprintf_assert(text, sizeof(text), "%#llx", (unsigned long long)value);
	ret = fail_write(folder, name, text);
	VFIO_ASSERT_EQ(ret, 0, "%s/%s = %s: %s", folder, name, text, strerror(-ret));
}

/* Ordinary allocations count too, and nobody needs a stack in the log for each. */
static bool fail_configure(void)
{
	return !fail_write(FAIL_PAGE, "ignore-gfp-wait", "N") &&
	       !fail_write(FAIL_PAGE, "ignore-gfp-highmem", "N") &&
	       !fail_write(FAIL_PAGE, "min-order", "0") &&
	       !fail_write(FAIL_PAGE, "verbose", "0") &&
	       !fail_write("failslab", "ignore-gfp-wait", "N") &&
	       !fail_write("failslab", "verbose", "0") &&
	       !fail_write("fail_usercopy", "verbose", "0");
}

bool vfm_failnth_init(void)
{
	if (access(FAIL_DEBUGFS "/" FAIL_PAGE, F_OK))
		mount("debugfs", FAIL_DEBUGFS, "debugfs", 0, NULL);
	if (!fail_configure())
		return false;
	if (fail_nth_fd >= 0)
		close(fail_nth_fd);
	fail_nth_fd = open("/proc/thread-self/fail-nth", O_RDWR | O_CLOEXEC);
	return fail_nth_fd >= 0;
}

static int fail_nth_write(unsigned int nth)
{
	char text[16];

	snprintf_assert(text, sizeof(text), "%u", nth);
	return pwrite(fail_nth_fd, text, strlen(text), 0) < 0 ? -errno : 0;
}

void vfm_failnth_arm(unsigned int nth)
{
	VFIO_ASSERT_EQ(fail_nth_write(nth), 0);
}

/* What fails here, in asking or in switching off, was not come to before. */
bool vfm_failnth_disarm(void)
{
	char text[16] = "";
	ssize_t n = pread(fail_nth_fd, text, sizeof(text) - 1, 0);

	if (fail_nth_write(0))
		VFIO_ASSERT_EQ(fail_nth_write(0), 0);
	return n > 0 && !strtoul(text, NULL, 10);
}

static FILE *fail_symbols(void)
{
	FILE *file = fopen("/proc/kallsyms", "r");

	VFIO_ASSERT_TRUE(file, "kallsyms: %s", strerror(errno));
	return file;
}

/* The next function there is; false at the end. */
static bool fail_next_function(FILE *file, u64 *address, char *name, char *module)
{
	unsigned long long at;
	char line[512], type;
	int n;

	while (fgets(line, sizeof(line), file)) {
		*module = 0;
		n = sscanf(line, "%llx %c %127s [%63[^]]", &at, &type, name, module);
		*address = at;
		if (n >= 3 && (type == 't' || type == 'T'))
			return true;
	}
	return false;
}

/* From the first function of a module to a little behind the last. */
static void fail_module_range(const char *module, u64 *start, u64 *end)
{
	char name[128], owner[64];
	FILE *file = fail_symbols();
	u64 address;

	*start = UINT64_MAX;
	*end = 0;
	while (fail_next_function(file, &address, name, owner)) {
		if (strcmp(owner, module))
			continue;
		*start = address < *start ? address : *start;
		*end = address > *end ? address : *end;
	}
	fclose(file);
	VFIO_ASSERT_LT(*start, *end, "no functions of %s", module);
	*end += 256;
}

/* The kernel's own are in order, so it ends where the next one begins. */
static void fail_function_range(const char *function, u64 *start, u64 *end)
{
	char name[128], owner[64];
	FILE *file = fail_symbols();

	*end = 0;
	while (!*end && fail_next_function(file, start, name, owner))
		if (!strcmp(name, function) && !*owner)
			fail_next_function(file, end, name, owner);
	fclose(file);
	VFIO_ASSERT_LT(*start, *end, "no function %s", function);
}

void vfm_failnth_spare(const char *function)
{
	static const char * const kinds[] = {
		FAIL_PAGE, "failslab", "fail_usercopy",
	};
	u64 start = 0, end = 0;
	size_t i;

	if (function)
		fail_function_range(function, &start, &end);
	for (i = 0; i < ARRAY_SIZE(kinds); i++) {
		fail_set(kinds[i], "stacktrace-depth", 32);
		fail_set(kinds[i], "reject-start", start);
		fail_set(kinds[i], "reject-end", end);
	}
}

/* Who gets no block of pages takes a page, and that is not to be had either. */
static unsigned int fail_times(const char *kind)
{
	return strcmp(kind, FAIL_PAGE) ? 1 : 2;
}

static void fail_arm(const char *kind, const char *module, unsigned int space)
{
	u64 start, end;

	fail_module_range(module, &start, &end);
	fail_set(kind, "stacktrace-depth", 32);
	fail_set(kind, "require-start", start);
	fail_set(kind, "require-end", end);
	fail_set(kind, "interval", 1);
	/* As much as it says is let through. */
	fail_set(kind, "space", space);
	fail_set(kind, "times", fail_times(kind));
	fail_set(kind, "probability", 100);
}

static unsigned long fail_get(const char *kind, const char *name)
{
	char path[PATH_MAX], text[32] = "";
	int fd;

	snprintf_assert(path, sizeof(path), FAIL_DEBUGFS "/%s/%s", kind, name);
	fd = open(path, O_RDONLY | O_CLOEXEC);
	VFIO_ASSERT_GE(fd, 0);
	VFIO_ASSERT_GT(read(fd, text, sizeof(text) - 1), 0);
	close(fd);
	return strtoul(text, NULL, 10);
}

/* Whether it was come to. */
static bool fail_disarm(const char *kind)
{
	fail_set(kind, "probability", 0);
	fail_set(kind, "require-start", 0);
	fail_set(kind, "require-end", UINT64_MAX);
	return fail_get(kind, "times") < fail_times(kind);
}

void vfm_failpage_arm(const char *module, unsigned int skip)
{
	fail_arm(FAIL_PAGE, module, skip + 1);
}

bool vfm_failpage_disarm(void)
{
	return fail_disarm(FAIL_PAGE);
}

void vfm_failslab_arm(const char *module, unsigned int skip)
{
	fail_arm("failslab", module, skip + 1);
}

bool vfm_failslab_disarm(unsigned int *left)
{
	bool failed = fail_disarm("failslab");

	if (left)
		*left = fail_get("failslab", "space");
	return failed;
}
