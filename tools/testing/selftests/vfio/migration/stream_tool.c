// SPDX-License-Identifier: GPL-2.0-only
/*
 * Streams for test scripts, in files.
 *
 *	stream_tool save TYPE STATE_SIZE > FILE
 *		from a new device of that type
 *	stream_tool damage FILE FOLDER
 *		writes FOLDER/KIND for every kind of damage, made of the good stream
 *		in FILE, and a line for each: KIND ERRNO OFFSET WHO REASON, which is
 *		what a new device says of it. WHO is "device" if only a device can
 *		notice, else "anybody"
 */
#include <endian.h>
#include <fcntl.h>
#include <unistd.h>

#include <libvfio/damage.h>
#include <libvfio/ext.h>
#include <libvfio/migsim.h>

#include "migsim_regs.h"

static void write_all(int fd, const struct vfm_buf *buf)
{
	size_t done;
	ssize_t n;

	for (done = 0; done < buf->len; done += n) {
		n = write(fd, buf->data + done, buf->len - done);
		VFIO_ASSERT_GT(n, 0, "write: %s", strerror(errno));
	}
}

static void read_all(const char *path, struct vfm_buf *buf)
{
	int fd = open(path, O_RDONLY | O_CLOEXEC);
	ssize_t n;

	VFIO_ASSERT_GE(fd, 0, "%s: %s", path, strerror(errno));
	while ((n = read(fd, vfm_buf_room(buf, 65536), 65536)) > 0)
		buf->len += n;
	VFIO_ASSERT_EQ(n, 0, "%s: %s", path, strerror(errno));
	close(fd);
}

static int save(const char *type, const char *size)
{
	struct vfm_device *dev = vfm_create(type);
	struct vfm_buf buf = { 0 };

	vfm_attr_set(dev, "state_size", strtoull(size, NULL, 0));
	vfm_open(dev);
	vfm_bar_write(dev, MIGSIM_BAR_REGS, MIGSIM_REG_SCRATCH, "scratch", 8);
	vfm_save(dev, &buf, NULL);
	write_all(STDOUT_FILENO, &buf);
	vfm_buf_free(&buf);
	vfm_destroy(dev);
	return 0;
}

/* What the stream of @t was made for. */
static struct vfm_device *receiver(const struct vfm_trial *t)
{
	char type[sizeof(t->parsed.header->id) + 1];

	snprintf_assert(type, sizeof(type), "%.*s",
			(int)sizeof(t->parsed.header->id), t->parsed.header->id);
	return vfm_trial_device(type, le64toh(t->parsed.header->size));
}

static void write_file(const char *folder, const char *name,
		       const struct vfm_buf *buf)
{
	char path[4096];
	int fd;

	snprintf_assert(path, sizeof(path), "%s/%s", folder, name);
	fd = open(path, O_WRONLY | O_CREAT | O_TRUNC | O_CLOEXEC, 0644);
	VFIO_ASSERT_GE(fd, 0, "%s: %s", path, strerror(errno));
	write_all(fd, buf);
	close(fd);
}

static void print_verdict(struct vfm_trial *t, const struct vfm_damage *d)
{
	struct vfio_device_feature_migx_last_error error;

	__vfm_restore(t->dev, t->bad.data, t->bad.len, NULL);
	error = vfm_last_error(t->dev);
	vfm_reset(t->dev);
	printf("%s %s %llu %s %s\n", d->name, strerrorname_np(error.error),
	       (unsigned long long)error.offset,
	       d->device ? "device" : "anybody", (char *)error.reason);
}

static int damage(const char *file, const char *folder)
{
	const struct vfm_damage *d;
	struct vfm_trial t = { 0 };

	read_all(file, &t.good);
	vfm_stream_parse(&t.parsed, &t.good);
	t.dev = receiver(&t);
	vfm_for_each_damage(d) {
		d->make(&t);
		write_file(folder, d->name, &t.bad);
		print_verdict(&t, d);
	}
	vfm_trial_exit(&t);
	return 0;
}

int main(int argc, char **argv)
{
	if (argc == 4 && !strcmp(argv[1], "save"))
		return save(argv[2], argv[3]);
	if (argc == 4 && !strcmp(argv[1], "damage"))
		return damage(argv[2], argv[3]);
	fprintf(stderr, "see the top of stream_tool.c\n");
	return 2;
}
