// SPDX-License-Identifier: GPL-2.0-only
/*
 * A file for a report: whole or not there. It is written under another name in
 * the same folder, synced and renamed, so that whatever ends this program or the
 * machine, the name is that of the old file, of none, or of a whole new one.
 * What is no regular file (a pipe, a terminal) is written in place.
 */
#include <errno.h>
#include <fcntl.h>
#include <stdlib.h>
#include <string.h>
#include <sys/stat.h>
#include <unistd.h>

#include "migrate.h"

/* Names of what is open already, which has no other name to be replaced by. */
static bool is_open_file(const char *name)
{
	return !strncmp(name, "/proc/", 6) || !strncmp(name, "/dev/fd/", 8) ||
	       !strncmp(name, "/dev/std", 8);
}

/* Fills in o->target with what is to be replaced, "" to write in place. */
static int find_target(struct outfile *o)
{
	struct stat st;

	o->target[0] = '\0';
	o->mode = 0;
	if (is_open_file(o->name))
		return 0;
	if (stat(o->name, &st)) {
		/* a link to what is not there is as good as in place */
		if (errno != ENOENT || !lstat(o->name, &st))
			return errno == ENOENT ? 0 : -errno;
		if (strlen(o->name) >= sizeof(o->target))
			return -ENAMETOOLONG;
		strcpy(o->target, o->name);
		return 0;
	}
	if (!S_ISREG(st.st_mode))
		return S_ISDIR(st.st_mode) ? -EISDIR : 0;
	o->mode = st.st_mode & 07777;
	return realpath(o->name, o->target) ? 0 : -errno;
}

/* ".report.json.1234.tmp" beside "report.json" */
static int temporary_name(struct outfile *o)
{
	const char *base = strrchr(o->target, '/');
	int dir;

	base = base ? base + 1 : o->target;
	dir = base - o->target;
	if (snprintf(o->tmp, sizeof(o->tmp), "%.*s.%.200s.%d.tmp", dir,
		     o->target, base, getpid()) >= (int)sizeof(o->tmp))
		return -ENAMETOOLONG;
	return 0;
}

static int open_temporary(struct outfile *o)
{
	int fd, flags = O_WRONLY | O_CREAT | O_EXCL | O_CLOEXEC;
	int ret = temporary_name(o);

	if (ret)
		return ret;
	fd = open(o->tmp, flags, 0666);
	if (fd < 0 && errno == EEXIST && !unlink(o->tmp))
		fd = open(o->tmp, flags, 0666);
	if (fd < 0)
		return -errno;
	if (o->mode)
		fchmod(fd, o->mode);
	o->f = fdopen(fd, "w");
	if (o->f)
		return 0;
	ret = -errno;
	close(fd);
	unlink(o->tmp);
	return ret;
}

/* "-" is stdout. Returns -errno, without a word. */
int outfile_open(struct outfile *o, const char *name)
{
	int ret;

	memset(o, 0, sizeof(*o));
	o->name = name;
	if (!strcmp(name, "-")) {
		o->f = stdout;
		return 0;
	}
	ret = find_target(o);
	if (ret)
		return ret;
	if (o->target[0])
		return open_temporary(o);
	o->f = fopen(name, "we");
	return o->f ? 0 : -errno;
}

/* Whether it can be written, with nothing left behind; to be told early. */
int outfile_try(const char *name)
{
	struct outfile o = { .name = name };
	int ret;

	if (!strcmp(name, "-"))
		return 0;
	ret = find_target(&o);
	if (!ret && o.target[0])
		ret = open_temporary(&o);
	else if (!ret && access(name, W_OK) && errno != ENOENT)
		ret = -errno;
	if (!o.f)
		return ret;
	fclose(o.f);
	unlink(o.tmp);
	return ret;
}

static int sync_folder(struct outfile *o)
{
	char *slash = strrchr(o->target, '/');
	int fd, ret = 0;

	if (slash)
		slash[slash == o->target] = '\0';
	fd = open(slash ? o->target : ".", O_RDONLY | O_DIRECTORY | O_CLOEXEC);
	if (fd < 0)
		return errno == EACCES ? 0 : -errno;
	/* not every file system can */
	if (fsync(fd) && errno != EINVAL)
		ret = -errno;
	close(fd);
	return ret;
}

static int finish(struct outfile *o)
{
	int ret = 0;

	errno = 0;
	if (fflush(o->f) || ferror(o->f))
		ret = errno ? -errno : -EIO;
	if (!ret && o->target[0] && fsync(fileno(o->f)))
		ret = -errno;
	if (fclose(o->f) && !ret)
		ret = -errno;
	if (!ret && o->target[0] && rename(o->tmp, o->target))
		ret = -errno;
	if (ret && o->target[0])
		unlink(o->tmp);
	return ret || !o->target[0] ? ret : sync_folder(o);
}

/* Returns -errno, having told so, if it was not written. */
int outfile_close(struct outfile *o)
{
	int ret;

	if (o->f == stdout)
		return stdio_flush();
	ret = finish(o);
	if (ret)
		say("%s: write report: %s", o->name, strerror(-ret));
	return ret;
}
