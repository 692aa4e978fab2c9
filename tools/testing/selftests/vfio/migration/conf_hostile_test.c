// SPDX-License-Identifier: GPL-2.0-only
/*
 * Any device, treated as nobody should. Most of this has no result but that the
 * kernel is silent, nothing hangs, and the device works afterwards. It may break a
 * device or the machine, so with a device that is not ours it has to be asked for.
 */
#include <fcntl.h>
#include <limits.h>
#include <sys/ioctl.h>

#include <libvfio_migration.h>

#define RULE_STALLED \
	"kernel: nobody sleeps uninterruptibly for the memory of a user"

#define NR_WRITERS	8
#define NR_SETTERS	4

FIXTURE(conf) {
	struct vfm_device *dev;
	struct vfm_buf stream;
	struct vfm_rng rng;
};

VFM_TARGET_VARIANTS(conf);

FIXTURE_SETUP(conf)
{
	VFM_REQUIRE_DESTRUCTIVE();
	VFM_TARGET_GET(self->dev, &variant->claims);
	VFM_REQUIRE_RESET(self->dev);
	self->rng = vfm_rng(0);
	vfm_judge_save(self->dev, &self->stream, NULL);
	vfm_reset(self->dev);
}

FIXTURE_TEARDOWN(conf)
{
	vfm_buf_free(&self->stream);
	vfm_target_put(self->dev);
}

VFM_TARGET_CLAIMS(conf)

static void check_works(struct vfm_device *dev)
{
	vfm_reopen(dev);
	vfm_judge_works(dev);
}

/* Its first page, which is what userfaultfd can hold back. */
static size_t head(const struct vfm_buf *stream)
{
	return stream->len < 4096 ? stream->len : 4096;
}

static void fill_page(u8 *page, const struct vfm_buf *stream)
{
	memset(page, 0, 4096);
	memcpy(page, stream->data, head(stream));
}

/*
 * A data fd has no lock for its position: while the first writer waits for its
 * page, others pass whatever is checked before the data is locked.
 */
TEST_F(conf, writers_race)
{
	struct vfm_thread first, other[NR_WRITERS];
	struct vfm_io io, bad;
	struct vfm_uffd uffd;
	u8 page[4096];
	int fd, none, i;

	VFM_REQUIRE_UFFD(&uffd);
	fill_page(page, &self->stream);
	vfm_judge_enter(self->dev, VFM_RESUMING, &fd);
	bad = (struct vfm_io) { fd, uffd.page, head(&self->stream) };
	io = (struct vfm_io) { fd, page, head(&self->stream) };
	vfm_thread_start(&first, vfm_thread_write, &bad);
	vfm_uffd_wait(&uffd);
	for (i = 0; i < NR_WRITERS; i++) {
		vfm_thread_start(&other[i], vfm_thread_write, &io);
		vfm_thread_blocked(&other[i]);
	}
	vfm_uffd_release(&uffd, page);
	vfm_thread_join(&first);
	for (i = 0; i < NR_WRITERS; i++)
		vfm_thread_join(&other[i]);
	__vfm_set_state(self->dev, VFM_STOP, &none);
	vfm_reset(self->dev);
	close(fd);
	check_works(self->dev);
	vfm_uffd_exit(&uffd);
}

static long thread_close(void *dev)
{
	vfm_close(dev);
	return 0;
}

/* @fn has to end while an I/O of the session waits for a page that does not come. */
static bool ends_amid_io(struct vfm_device *dev, const struct vfm_buf *stream,
			 u32 state, long (*fn)(void *dev), struct vfm_uffd *uffd)
{
	const struct timespec deadline = vfm_deadline();
	struct vfm_thread stalled, ender;
	struct vfm_io io;
	u8 page[4096];
	bool ended;
	int fd;

	fill_page(page, stream);
	vfm_judge_enter(dev, state, &fd);
	io = (struct vfm_io) { fd, uffd->page, head(stream) };
	vfm_thread_start(&stalled, state == VFM_RESUMING ? vfm_thread_write :
			 vfm_thread_read, &io);
	vfm_uffd_wait(uffd);
	vfm_thread_start(&ender, fn, dev);
	do {
		usleep(1000);
		ended = atomic_load(&ender.done);
	} while (!ended && !vfm_expired(&deadline));

	vfm_uffd_release(uffd, page);
	vfm_thread_join(&stalled);
	vfm_thread_join(&ender);
	close(fd);
	if (dev->fd < 0)
		vfm_open(dev);
	vfm_judge_works(dev);
	return ended;
}

static const struct {
	const char *what;
	u32 state;
	long (*fn)(void *dev);
} ends[] = {
	{ "reset amid a write", VFM_RESUMING, vfm_thread_reset },
	{ "reset amid a read", VFM_STOP_COPY, vfm_thread_reset },
	{ "close amid a write", VFM_RESUMING, thread_close },
	{ "close amid a read", VFM_STOP_COPY, thread_close },
};

TEST_F(conf, ends_amid_io)
{
	struct vfm_uffd uffd;
	size_t i;

	for (i = 0; i < ARRAY_SIZE(ends); i++) {
		VFM_REQUIRE_UFFD(&uffd);
		ASSERT_TRUE(ends_amid_io(self->dev, &self->stream, ends[i].state,
					 ends[i].fn, &uffd)) {
			TH_LOG("%s", ends[i].what);
			RULE(RULE_STALLED);
		}
		vfm_uffd_exit(&uffd);
	}
}

static void fill(struct vfm_rng *rng, u8 *data, size_t len)
{
	while (len--)
		*data++ = vfm_random(rng);
}

TEST_F(conf, garbage)
{
	struct vfm_buf bad = { 0 };
	size_t at, len;
	int i, written;

	for (i = 0; i < vfm_judge_rounds(&self->stream, 60); i++) {
		vfm_buf_copy(&bad, &self->stream);
		at = i & 1 ? vfm_random_below(&self->rng, bad.len) : 0;
		len = vfm_random_segment(&self->rng, bad.len - at);
		fill(&self->rng, bad.data + at, len);
		vfm_judge_restore(self->dev, bad.data, bad.len, &self->rng,
				  &written);
	}
	vfm_count("stream_mutations", i);
	vfm_buf_free(&bad);
	check_works(self->dev);
}

/* As a guest would: every register that is near the start of a BAR. */
static void use_device(struct vfm_device *dev, struct vfm_rng *rng)
{
	u64 off, val;
	int bar;

	for (bar = 0; bar < VFM_NR_BARS; bar++) {
		if (!(dev->bar[bar].flags & VFIO_REGION_INFO_FLAG_WRITE))
			continue;
		for (off = 0; off < dev->bar[bar].size && off < 8; off++) {
			val = vfm_random(rng);
			__vfm_bar_write(dev, bar, off, &val, 1);
			__vfm_bar_read(dev, bar, off, &val, 1);
		}
	}
}

/*
 * A device need not notice that a byte has changed. But then it has said that this
 * is a state it can be in, and has to stand being used in it.
 */
TEST_F(conf, accepted_damage)
{
	/* Short streams are quick, and their bytes come in all values. */
	const int n = vfm_rounds(vfm_judge_rounds(&self->stream,
						  self->stream.len < 1024 ? 5000 : 200));
	int i, written, none;
	unsigned int nr = 0;
	size_t at;
	u8 old;

	for (i = 0; i < n; i++) {
		at = vfm_random_below(&self->rng, self->stream.len);
		old = self->stream.data[at];
		self->stream.data[at] = vfm_random(&self->rng);
		if (!vfm_judge_restore(self->dev, self->stream.data,
				       self->stream.len, NULL, &written) &&
		    !__vfm_set_state(self->dev, VFM_RUNNING, &none)) {
			use_device(self->dev, &self->rng);
			nr += self->stream.data[at] != old;
		}
		self->stream.data[at] = old;
	}
	vfm_count("stream_mutations", n);
	TH_LOG("%u of %d accepted", nr, n);
	check_works(self->dev);
}

/* The session has ended with the file of the device, whatever the state is now. */
TEST_F(conf, reopened_amid_session)
{
	u32 to;
	int fd, i;

	vfm_for_each_session_state(self->dev, i) {
		for (to = 0; to < VFM_NR_STATES; to++) {
			vfm_judge_enter(self->dev, vfm_session_states[i], &fd);
			close(fd);
			vfm_reopen(self->dev);
			__vfm_set_state(self->dev, to, &fd);
			vfm_close_data(fd);
		}
	}
	check_works(self->dev);
}

static void tell(const char *folder, const char *file, const char *text)
{
	char path[2 * PATH_MAX];
	int fd;

	snprintf_assert(path, sizeof(path), "%s/%s", folder, file);
	fd = open(path, O_WRONLY);
	VFIO_ASSERT_LE(0, fd, "%s: %s", path, strerror(errno));
	VFIO_ASSERT_EQ(write(fd, text, strlen(text)), (ssize_t)strlen(text),
		       "%s: %s", path, strerror(errno));
	close(fd);
}

/* Where the device goes and comes back: an mdev's type, or a driver. */
static void find_home(struct vfm_device *dev, char *home)
{
	char link[PATH_MAX];

	vfm_sysfs_path(dev, vfm_is_bdf(dev->uuid) ? "driver" : "mdev_type", link,
		       sizeof(link));
	VFIO_ASSERT_TRUE(realpath(link, home), "%s: %s", link, strerror(errno));
}

static void take_away(struct vfm_device *dev, const char *home)
{
	char folder[PATH_MAX];

	vfm_sysfs_path(dev, "", folder, sizeof(folder));
	if (vfm_is_bdf(dev->uuid))
		tell(home, "unbind", dev->uuid);
	else
		tell(folder, "remove", "1");
}

static void bring_back(struct vfm_device *dev, const char *home)
{
	tell(home, vfm_is_bdf(dev->uuid) ? "bind" : "create", dev->uuid);
}

/* Everything a fd can be asked; what it says to it does not matter. */
static void use_fd(int fd)
{
	struct vfio_precopy_info info = { .argsz = sizeof(info) };
	char page[64] = { 0 };
	int n;

	vfm_nonblock(fd, true);
	vfm_judge_read(fd, page, sizeof(page));
	vfm_judge_write(fd, page, sizeof(page));
	vfm_poll(fd, POLLIN | POLLOUT, 0);
	ioctl(fd, FIONREAD, &n);
	__vfm_precopy_info(fd, &info);
}

/* The driver has let go of the device, and only the data fd is left. */
TEST_F(conf, used_after_removal)
{
	char home[PATH_MAX];
	int fd, i;

	find_home(self->dev, home);
	vfm_for_each_session_state(self->dev, i) {
		vfm_judge_enter(self->dev, vfm_session_states[i], &fd);
		vfm_close(self->dev);
		take_away(self->dev, home);
		use_fd(fd);
		bring_back(self->dev, home);
		use_fd(fd);
		close(fd);
		vfm_open(self->dev);
	}
	check_works(self->dev);
}

struct setter {
	struct vfm_device *dev;
	struct vfm_rng rng;
};

static long set_at_random(void *arg)
{
	struct setter *s = arg;
	int i, fd;

	for (i = 0; i < 200; i++) {
		if (vfm_random_below(&s->rng, 8)) {
			__vfm_set_state(s->dev, vfm_random_below(&s->rng, 9), &fd);
			if (fd >= 0)
				use_fd(fd);
			vfm_close_data(fd);
		} else {
			__vfm_reset(s->dev);
		}
	}
	return 0;
}

TEST_F(conf, setters_race)
{
	struct setter setter[NR_SETTERS];
	struct vfm_thread thread[NR_SETTERS];
	int i;

	for (i = 0; i < NR_SETTERS; i++) {
		setter[i] = (struct setter) { self->dev, vfm_rng(100 + i) };
		vfm_thread_start(&thread[i], set_at_random, &setter[i]);
	}
	for (i = 0; i < NR_SETTERS; i++)
		vfm_thread_join(&thread[i]);
	check_works(self->dev);
}

VFM_TARGET_MAIN
