// SPDX-License-Identifier: GPL-2.0-only
#include <fcntl.h>
#include <poll.h>
#include <signal.h>
#include <sys/prctl.h>
#include <sys/ptrace.h>
#include <sys/stat.h>
#include <sys/wait.h>
#include <unistd.h>

#include <libvfio/child.h>
#include <libvfio/thread.h>

#define CGROUP	"/sys/fs/cgroup/vfm-freezer"

void vfm_child_start(struct vfm_child *child, long (*fn)(void *arg), void *arg)
{
	int fds[2];
	long ret;

	VFIO_ASSERT_EQ(pipe2(fds, O_CLOEXEC), 0);
	child->pid = fork();
	VFIO_ASSERT_GE(child->pid, 0, "fork: %s", strerror(errno));
	if (!child->pid) {
		prctl(PR_SET_PDEATHSIG, SIGKILL);
		ret = fn(arg);
		_exit(write(fds[1], &ret, sizeof(ret)) != sizeof(ret));
	}
	close(fds[1]);
	child->result = fds[0];
}

static bool ended(struct vfm_child *child)
{
	struct pollfd pfd = { .fd = child->result, .events = POLLIN };

	return poll(&pfd, 1, 0);
}

bool vfm_child_blocked(struct vfm_child *child)
{
	VFM_WAIT(ended(child) || vfm_task_stuck(child->pid));
	return !ended(child);
}

long vfm_child_join(struct vfm_child *child)
{
	struct pollfd pfd = { .fd = child->result, .events = POLLIN };
	long ret = 0;
	int status;

	VFIO_ASSERT_EQ(poll(&pfd, 1, vfm_deadline_ms()), 1, "child %d hangs",
		       child->pid);
	VFIO_ASSERT_EQ(read(child->result, &ret, sizeof(ret)), (ssize_t)sizeof(ret),
		       "child %d died", child->pid);
	close(child->result);
	VFIO_ASSERT_EQ(waitpid(child->pid, &status, 0), child->pid);
	VFIO_ASSERT_EQ(status, 0);
	return ret;
}

static const char *never_missing(void)
{
	return NULL;
}

static void wait_stopped(struct vfm_child *child)
{
	int status;

	VFIO_ASSERT_EQ(waitpid(child->pid, &status, WUNTRACED), child->pid);
	VFIO_ASSERT_TRUE(WIFSTOPPED(status), "status %#x", status);
}

static void stop(struct vfm_child *child)
{
	VFIO_ASSERT_EQ(kill(child->pid, SIGSTOP), 0);
	wait_stopped(child);
}

static void go_on(struct vfm_child *child)
{
	VFIO_ASSERT_EQ(kill(child->pid, SIGCONT), 0);
}

static void attach(struct vfm_child *child)
{
	VFIO_ASSERT_EQ(ptrace(PTRACE_SEIZE, child->pid, 0, 0), 0, "%s",
		       strerror(errno));
	VFIO_ASSERT_EQ(ptrace(PTRACE_INTERRUPT, child->pid, 0, 0), 0);
	wait_stopped(child);
}

static void detach(struct vfm_child *child)
{
	VFIO_ASSERT_EQ(ptrace(PTRACE_DETACH, child->pid, 0, 0), 0);
}

static bool cgroup_write(const char *name, int value)
{
	char path[64], text[16];
	int fd, n;
	bool done;

	snprintf_assert(path, sizeof(path), CGROUP "/%s", name);
	fd = open(path, O_WRONLY);
	if (fd < 0)
		return false;
	n = snprintf(text, sizeof(text), "%d", value);
	done = write(fd, text, n) == n;
	close(fd);
	return done;
}

static const char *freezer_missing(void)
{
	mkdir(CGROUP, 0755);
	return access(CGROUP "/cgroup.freeze", W_OK) ?
	       "no freezer of cgroup2 at /sys/fs/cgroup" : NULL;
}

static bool frozen(void)
{
	FILE *file = fopen(CGROUP "/cgroup.events", "r");
	int value = 0;
	char key[32];

	VFIO_ASSERT_TRUE(file);
	while (fscanf(file, "%31s %d", key, &value) == 2 && strcmp(key, "frozen"))
		;
	fclose(file);
	return value;
}

static void freeze(struct vfm_child *child)
{
	VFIO_ASSERT_TRUE(cgroup_write("cgroup.procs", child->pid));
	VFIO_ASSERT_TRUE(cgroup_write("cgroup.freeze", 1));
	VFM_WAIT(frozen());
}

static void thaw(struct vfm_child *child)
{
	VFIO_ASSERT_TRUE(cgroup_write("cgroup.freeze", 0));
	VFM_WAIT(!frozen());
}

const struct vfm_pause vfm_pauses[VFM_NR_PAUSES] = {
	{ "SIGSTOP", never_missing, stop, go_on },
	{ "ptrace", never_missing, attach, detach },
	{ "freezer", freezer_missing, freeze, thaw },
};
