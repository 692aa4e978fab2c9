// SPDX-License-Identifier: GPL-2.0-only
#include <fcntl.h>
#include <libgen.h>
#include <limits.h>
#include <sys/wait.h>
#include <unistd.h>

#include <libvfio/program.h>

#define MAX_PAIRS	64

/* It is installed beside the tests. */
static void vfm_program_path(char *path, size_t size)
{
	char self[PATH_MAX];
	ssize_t n = readlink("/proc/self/exe", self, sizeof(self) - 1);

	VFIO_ASSERT_GT(n, 0);
	self[n] = 0;
	snprintf_assert(path, size, "%s/vfio-migrate", dirname(self));
}

/* A copy that stays open on exec. */
static int vfm_program_fd(struct vfm_device *dev)
{
	int fd = dup(dev->fd);

	VFIO_ASSERT_GE(fd, 0);
	return fd;
}

static void vfm_program_exec(struct vfm_device **from, struct vfm_device **to,
			     unsigned int nr, const char *option, int err)
{
	static char pair[MAX_PAIRS][64];
	char *argv[MAX_PAIRS + 6];
	char path[PATH_MAX];
	unsigned int i;
	int n = 0;

	vfm_program_path(path, sizeof(path));
	argv[n++] = path;
	argv[n++] = "local";
	argv[n++] = "--quiet";
	argv[n++] = "--run";
	if (option)
		argv[n++] = (char *)option;
	for (i = 0; i < nr; i++) {
		snprintf_assert(pair[i], sizeof(pair[i]), "fd:%d=fd:%d",
				vfm_program_fd(from[i]), vfm_program_fd(to[i]));
		argv[n++] = pair[i];
	}
	argv[n] = NULL;
	if (err >= 0)
		dup2(err, STDERR_FILENO);
	execv(path, argv);
	fprintf(stderr, "%s: %s\n", path, strerror(errno));
	_exit(127);
}

pid_t vfm_program_migrate_to(struct vfm_device **from, struct vfm_device **to,
			     unsigned int nr, const char *option, int err)
{
	pid_t pid;

	VFIO_ASSERT_LE(nr, MAX_PAIRS);
	pid = fork();
	VFIO_ASSERT_GE(pid, 0, "fork: %s", strerror(errno));
	if (!pid)
		vfm_program_exec(from, to, nr, option, err);
	return pid;
}

pid_t vfm_program_migrate(struct vfm_device **from, struct vfm_device **to,
			  unsigned int nr, const char *option)
{
	return vfm_program_migrate_to(from, to, nr, option, -1);
}

int vfm_program_wait(pid_t pid)
{
	int status;

	VFIO_ASSERT_EQ(waitpid(pid, &status, 0), pid);
	VFIO_ASSERT_TRUE(WIFEXITED(status), "vfio-migrate: status %#x", status);
	return WEXITSTATUS(status);
}
