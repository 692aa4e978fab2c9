// SPDX-License-Identifier: GPL-2.0-only
/*
 * B1: device, data fd and module may go in any order. Nothing leaks, nothing is
 * used after it is gone, and a fd that is left over gives an error at once.
 */
#include <fcntl.h>
#include <signal.h>
#include <sys/ioctl.h>
#include <sys/syscall.h>
#include <sys/wait.h>

#include <libvfio_migration.h>

FIXTURE(lifetime) {
	struct vfm_device *dev;
	struct vfm_buf stream;
	char page[4096];
};

FIXTURE_VARIANT(lifetime) {
	const char *type;
};

FIXTURE_VARIANT_ADD(lifetime, full) { .type = MIGSIM_FULL };
FIXTURE_VARIANT_ADD(lifetime, basic) { .type = MIGSIM_BASIC };

FIXTURE_SETUP(lifetime)
{
	VFM_REQUIRE_TYPE(variant->type);
	self->dev = vfm_create_small(variant->type);
	vfm_save(self->dev, &self->stream, NULL);
	vfm_reset(self->dev);
}

FIXTURE_TEARDOWN(lifetime)
{
	vfm_buf_free(&self->stream);
	vfm_destroy(self->dev);
}

static const u32 session_states[] = {
	VFM_STOP_COPY, VFM_PRE_COPY, VFM_PRE_COPY_P2P, VFM_RESUMING,
};

static void check_over(int fd, bool saves)
{
	struct vfio_precopy_info info = { 0 };
	char c = 0;
	int n;

	VFIO_ASSERT_EQ(saves ? vfm_read(fd, &c, 1) : vfm_write(fd, &c, 1),
		       -ENODEV);
	VFIO_ASSERT_EQ(vfm_poll(fd, POLLIN | POLLOUT, 0) &
		       (POLLERR | POLLHUP), POLLERR | POLLHUP);
	VFIO_ASSERT_LT(__vfm_precopy_info(fd, &info), 0);
	ioctl(fd, FIONREAD, &n);
}

/* The fd outlives the open device, then the mdev, then its uuid's next user. */
TEST_F(lifetime, fd_outlives_device)
{
	struct vfm_device *other;
	size_t i;
	int fd;

	for (i = 0; i < ARRAY_SIZE(session_states); i++) {
		const bool saves = session_states[i] != VFM_RESUMING;

		if (!vfm_supports(self->dev, session_states[i]))
			continue;
		other = vfm_create_small(variant->type);
		fd = vfm_enter(other, session_states[i]);
		if (saves)
			ASSERT_TRUE(vfm_poll(fd, POLLIN, vfm_deadline_ms()));
		vfm_close(other);
		check_over(fd, saves);
		vfm_open(other);
		vfm_assert_state(other, VFM_RUNNING);
		check_over(fd, saves);
		vfm_destroy(other);
		check_over(fd, saves);
		close(fd);
	}
}

/*
 * The device goes on without its fd. A saving session that nobody can read does
 * not hold it in its state; a closed resuming session is complete or it is not.
 */
TEST_F(lifetime, device_outlives_fd)
{
	int fd;

	fd = vfm_enter(self->dev, VFM_STOP_COPY);
	close(fd);
	vfm_assert_state(self->dev, VFM_STOP_COPY);
	vfm_set_state_nofd(self->dev, VFM_STOP_COPY);
	vfm_set_state_nofd(self->dev, VFM_RUNNING);

	if (vfm_supports(self->dev, VFM_PRE_COPY)) {
		fd = vfm_enter(self->dev, VFM_PRE_COPY);
		close(fd);
		vfm_assert_state(self->dev, VFM_PRE_COPY);
		vfm_set_state_nofd(self->dev, VFM_STOP_COPY);
		vfm_set_state_nofd(self->dev, VFM_RUNNING);
	}

	fd = vfm_enter(self->dev, VFM_RESUMING);
	vfm_feed(fd, self->stream.data, self->stream.len, NULL);
	close(fd);
	vfm_set_state_nofd(self->dev, VFM_STOP);

	vfm_reset(self->dev);
	fd = vfm_enter(self->dev, VFM_RESUMING);
	vfm_feed(fd, self->stream.data, self->stream.len / 2, NULL);
	close(fd);
	vfm_set_state_err(self->dev, VFM_STOP, ENODATA);
	vfm_assert_state(self->dev, VFM_ERROR);
}

/* Closing one of two descriptors of a session is not the end of it. */
TEST_F(lifetime, dup)
{
	struct vfm_buf got = { 0 };
	int fd, copy, status;
	pid_t pid;

	fd = vfm_enter(self->dev, VFM_STOP_COPY);
	copy = dup(fd);
	ASSERT_LE(0, copy);
	close(fd);
	ASSERT_EQ(16, vfm_read(copy, vfm_buf_room(&got, 16), 16));
	got.len = 16;

	/* Nor is a child that exits; what it read is read. */
	pid = fork();
	if (!pid) {
		char page[16];

		_exit(vfm_read(copy, page, 16) != 16);
	}
	ASSERT_EQ(pid, waitpid(pid, &status, 0));
	ASSERT_EQ(0, status);
	memcpy(vfm_buf_room(&got, 16), self->stream.data + 16, 16);
	got.len += 16;
	vfm_drain(copy, &got, NULL);
	ASSERT_EQ(self->stream.len, got.len);
	close(copy);
	vfm_buf_free(&got);
}

/* The last close of the device, with a session of each kind and a reader in it. */
TEST_F(lifetime, close_wakes)
{
	struct vfm_thread reader, poller;
	int fd;

	vfm_close(self->dev);
	vfm_attr_set(self->dev, "save_latency_us", MIGSIM_FOREVER_US);
	vfm_open(self->dev);
	fd = vfm_enter(self->dev, VFM_STOP_COPY);
	vfm_thread_start(&reader, vfm_thread_read,
			 &(struct vfm_io) { fd, self->page, 4096 });
	vfm_thread_start(&poller, vfm_thread_poll,
			 &(struct vfm_io) { fd, NULL, POLLIN });
	vfm_assert_blocked(&reader);
	vfm_assert_blocked(&poller);
	vfm_close(self->dev);
	ASSERT_EQ(-ENODEV, vfm_thread_join(&reader));
	ASSERT_TRUE(vfm_thread_join(&poller) & POLLHUP);
	close(fd);
}

/* First open gives RUNNING; memory survives being closed, a reset clears it. */
TEST_F(lifetime, reopen)
{
	u64 fresh, changed;
	size_t i;
	int fd;

	vfm_close(self->dev);
	fresh = vfm_state_hash(self->dev);
	vfm_open(self->dev);
	vfm_bar_write(self->dev, MIGSIM_BAR_MEM, 100, "changed", 7);
	vfm_close(self->dev);
	changed = vfm_state_hash(self->dev);
	ASSERT_NE(fresh, changed);

	for (i = 0; i < ARRAY_SIZE(session_states); i++) {
		vfm_open(self->dev);
		vfm_assert_state(self->dev, VFM_RUNNING);
		if (session_states[i] != VFM_RESUMING &&
		    vfm_supports(self->dev, session_states[i])) {
			fd = vfm_enter(self->dev, session_states[i]);
			close(fd);
		}
		vfm_close(self->dev);
		ASSERT_EQ(changed, vfm_state_hash(self->dev));
	}

	/* Half a state is none: closed in RESUMING or ERROR, it is reset. */
	vfm_open(self->dev);
	fd = vfm_enter(self->dev, VFM_RESUMING);
	vfm_feed(fd, self->stream.data, self->stream.len / 2, NULL);
	close(fd);
	vfm_close(self->dev);
	ASSERT_EQ(fresh, vfm_state_hash(self->dev));

	vfm_open(self->dev);
	vfm_bar_write(self->dev, MIGSIM_BAR_MEM, 100, "changed", 7);
	vfm_enter(self->dev, VFM_ERROR);
	vfm_close(self->dev);
	ASSERT_EQ(fresh, vfm_state_hash(self->dev));
	vfm_open(self->dev);
	vfm_assert_state(self->dev, VFM_RUNNING);
}

/* Whoever reads it has the device wait. */
TEST_F(lifetime, hash_is_private)
{
	char text[64];
	int ret;

	vfm_set_state_nofd(self->dev, VFM_STOP);
	ASSERT_EQ(0, seteuid(65534));
	ret = __vfm_attr_read(self->dev, "state_hash", text, sizeof(text));
	ASSERT_EQ(0, seteuid(0));
	ASSERT_EQ(-EACCES, ret);
	vfm_attr_string(self->dev, "state_hash", text, sizeof(text));
}

/* The attribute folder shows the state and does not let it be pulled away. */
TEST_F(lifetime, attributes)
{
	static const char * const names[] = {
		"state_size", "seed", "window", "save_latency_us",
		"stop_latency_us", "p2p_latency_us", "load_latency_us",
		"bandwidth", "dirty_rate", "poll", "nowait",
	};
	char text[64], state[64];
	u32 to;
	size_t i;
	int fd;

	for (i = 0; i < ARRAY_SIZE(names); i++) {
		vfm_attr_string(self->dev, names[i], text, sizeof(text));
		ASSERT_EQ(-EBUSY, __vfm_attr_write(self->dev, names[i], text));
	}
	ASSERT_EQ(-EBUSY, __vfm_attr_read(self->dev, "state_hash", text,
					  sizeof(text)));
	for (to = 0; to < VFM_NR_STATES; to++) {
		if (!vfm_supports(self->dev, to))
			continue;
		vfm_reset(self->dev);
		fd = vfm_enter(self->dev, to);
		vfm_attr_string(self->dev, "mig_state", state, sizeof(state));
		ASSERT_STREQ(vfm_state_name(to), state);
		if (fd >= 0)
			close(fd);
	}

	vfm_close(self->dev);
	vfm_attr_string(self->dev, "mig_state", state, sizeof(state));
	ASSERT_STREQ("STOP", state);
	for (i = 0; i < ARRAY_SIZE(names); i++) {
		vfm_attr_string(self->dev, names[i], text, sizeof(text));
		ASSERT_EQ(0, __vfm_attr_write(self->dev, names[i], text));
		ASSERT_GT(0, __vfm_attr_write(self->dev, names[i], "-1"));
		ASSERT_GT(0, __vfm_attr_write(self->dev, names[i], "x"));
	}
	ASSERT_EQ(-EINVAL, __vfm_attr_write(self->dev, "state_size", "4097"));
	ASSERT_EQ(-EINVAL, __vfm_attr_write(self->dev, "window", "65535"));
	ASSERT_EQ(-EINVAL, __vfm_attr_write(self->dev, "window",
					    "1073741825"));
	ASSERT_EQ(-EINVAL, __vfm_attr_write(self->dev, "poll", "2"));
}

/* Decimal, or hexadecimal by 0x; a leading 0 is that, and no other base. */
TEST_F(lifetime, attribute_numbers)
{
	static const struct {
		const char *text;
		u64 value;
	} good[] = {
		{ "010000", 10000 }, { "0", 0 }, { "00", 0 }, { "0099", 99 },
		{ "0x10", 16 }, { "0X1f", 31 }, { "0x0010", 16 },
		{ "18446744073709551615", UINT64_MAX },
	};
	static const char * const bad[] = {
		"0x", "x10", "10 0", "1e3", "0b1", "0o7", "0xg", "00x10",
		"18446744073709551616",
	};
	size_t i;

	vfm_close(self->dev);
	for (i = 0; i < ARRAY_SIZE(good); i++) {
		ASSERT_EQ(0, __vfm_attr_write(self->dev, "seed", good[i].text));
		ASSERT_EQ(good[i].value, vfm_attr_get(self->dev, "seed"));
	}
	for (i = 0; i < ARRAY_SIZE(bad); i++)
		ASSERT_GT(0, __vfm_attr_write(self->dev, "seed", bad[i]));
	ASSERT_EQ(UINT64_MAX, vfm_attr_get(self->dev, "seed"));
}

static unsigned long core_users(void)
{
	FILE *file = fopen("/sys/module/vfio_migration/refcnt", "r");
	unsigned long n = 0;

	VFIO_ASSERT_TRUE(file, "%s", strerror(errno));
	VFIO_ASSERT_EQ(fscanf(file, "%lu", &n), 1);
	fclose(file);
	return n;
}

/* The module whose code an open data fd runs in stays, device or not. */
TEST_F(lifetime, module_stays)
{
	unsigned long before;
	int fd;

	if (access("/sys/module/vfio_migration/refcnt", R_OK))
		SKIP(return, "the core is no module that can be unloaded");
	before = core_users();
	fd = vfm_enter(self->dev, VFM_STOP_COPY);
	ASSERT_EQ(before + 1, core_users());
	vfm_close(self->dev);
	ASSERT_EQ(0, __vfm_remove(self->dev));
	ASSERT_EQ(before + 1, core_users());
	ASSERT_EQ(-1, syscall(SYS_delete_module, "vfio_migration", O_NONBLOCK));
	check_over(fd, true);
	close(fd);
	VFM_WAIT(core_users() == before);
}

static long remove_device(void *dev)
{
	return __vfm_remove(dev);
}

/* Removing an mdev waits for who has it open, and takes nothing from them. */
TEST_F(lifetime, remove_while_open)
{
	struct vfm_thread remover;
	struct vfm_buf got = { 0 };
	int fd;

	fd = vfm_enter(self->dev, VFM_STOP_COPY);
	vfm_thread_start(&remover, remove_device, self->dev);
	vfm_assert_blocked(&remover);
	vfm_drain(fd, &got, NULL);
	ASSERT_EQ(self->stream.len, got.len);
	vfm_set_state_nofd(self->dev, VFM_STOP);
	vfm_assert_blocked(&remover);
	vfm_close(self->dev);
	ASSERT_EQ(0, vfm_thread_join(&remover));
	check_over(fd, true);
	close(fd);
	vfm_buf_free(&got);
}

TEST_HARNESS_MAIN
