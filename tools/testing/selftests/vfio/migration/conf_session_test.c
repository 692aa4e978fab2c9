// SPDX-License-Identifier: GPL-2.0-only
/* Any device: sessions, the fds that are theirs, and which of the two lives longer. */
#include <fcntl.h>
#include <sys/resource.h>
#include <sys/wait.h>

#include <libvfio_migration.h>

#define RULE_SHARES \
	"uapi vfio_device_mig_state: the saving group shares a session and its fd"
#define RULE_APART \
	"uapi MIG_DEVICE_STATE: a session has an fd of its own, and its own data"
#define RULE_CLOSE \
	"uapi MIG_DEVICE_STATE: the fd is the user's to close, at any time"
#define RULE_LOST \
	"uapi MIG_DEVICE_STATE: who enters a session gets its fd, if not at once then by a retry"
#define RULE_REOPENED \
	"vfio.h migration_set_state: close_device() ends the session, so its state as well"

FIXTURE(conf) {
	struct vfm_device *dev;
	struct vfm_buf got;
	char page[4096];
};

VFM_TARGET_VARIANTS(conf);

FIXTURE_SETUP(conf)
{
	VFM_TARGET_GET(self->dev, &variant->claims);
	VFM_REQUIRE_RESET(self->dev);
}

FIXTURE_TEARDOWN(conf)
{
	vfm_buf_free(&self->got);
	vfm_target_put(self->dev);
}

VFM_TARGET_CLAIMS(conf)

FIXTURE(precopy) {
	struct vfm_device *dev;
	struct vfm_buf got;
};

VFM_PRECOPY_VARIANTS(precopy);

FIXTURE_SETUP(precopy)
{
	VFM_TARGET_GET(self->dev, &variant->claims);
	VFM_REQUIRE_RESET(self->dev);
}

FIXTURE_TEARDOWN(precopy)
{
	vfm_buf_free(&self->got);
	vfm_target_put(self->dev);
}

VFM_TARGET_CLAIMS(precopy)

TEST_F(conf, leaving_ends)
{
	int fd, next, i;

	vfm_judge_save(self->dev, &self->got, NULL);
	vfm_for_each_session_state(self->dev, i) {
		const u32 state = vfm_session_states[i];
		const bool saves = state != VFM_RESUMING;

		vfm_judge_enter(self->dev, state, &fd);
		if (!saves)
			vfm_feed(fd, self->got.data, self->got.len, NULL);
		vfm_set_state_nofd(self->dev, VFM_STOP);
		vfm_judge_over(fd, saves);
		vfm_set_state_nofd(self->dev, VFM_RUNNING);
		next = vfm_set_state(self->dev, state);
		ASSERT_LE(0, next) RULE(RULE_FD);
		vfm_judge_over(fd, saves);
		close(fd);
		close(next);
	}
}

/* What is left of the old session goes neither out by the new one nor into it. */
TEST_F(conf, sessions_are_apart)
{
	struct vfm_buf half = { 0 };
	int fd, next;

	vfm_judge_save(self->dev, &self->got, NULL);
	vfm_judge_enter(self->dev, VFM_STOP_COPY, &fd);
	ASSERT_LT(0, vfm_read(fd, self->page, 8)) RULE(RULE_DIRECTION);
	vfm_set_state_nofd(self->dev, VFM_STOP);
	next = vfm_set_state(self->dev, VFM_STOP_COPY);
	ASSERT_LE(0, next) RULE(RULE_FD);
	ASSERT_GE(0, vfm_read(fd, self->page, 8)) RULE(RULE_APART);
	vfm_drain(next, &half, NULL);
	close(next);
	close(fd);
	vfm_judge_accepts(self->dev, &half, NULL);

	vfm_judge_enter(self->dev, VFM_RESUMING, &fd);
	ASSERT_LT(0, vfm_write(fd, self->got.data, self->got.len / 2))
		RULE(RULE_DIRECTION);
	vfm_reset(self->dev);
	next = vfm_set_state(self->dev, VFM_RESUMING);
	ASSERT_LE(0, next) RULE(RULE_FD);
	ASSERT_GT(0, vfm_write(fd, self->got.data, 1)) RULE(RULE_APART);
	vfm_feed(next, self->got.data, self->got.len, NULL);
	ASSERT_EQ(-1, vfm_set_state(self->dev, VFM_STOP)) RULE(RULE_APART);
	close(next);
	close(fd);
	vfm_buf_free(&half);
}

TEST_F(precopy, group_shares_fd)
{
	const bool p2p = vfm_supports(self->dev, VFM_PRE_COPY_P2P);
	int fd, err;

	vfm_judge_enter(self->dev, VFM_PRE_COPY, &fd);
	ASSERT_LT(0, vfm_read(fd, vfm_buf_room(&self->got, 8), 8))
		RULE(RULE_DIRECTION);
	self->got.len = 0;
	close(fd);

	vfm_judge_enter(self->dev, VFM_PRE_COPY, &fd);
	if (p2p) {
		ASSERT_EQ(-1, vfm_set_state(self->dev, VFM_PRE_COPY_P2P))
			RULE(RULE_SHARES);
		ASSERT_EQ(-1, vfm_set_state(self->dev, VFM_PRE_COPY))
			RULE(RULE_SHARES);
	}
	/* How the temporary end looks is for others to judge. */
	err = __vfm_drain(fd, &self->got, NULL);
	ASSERT_TRUE(!err || err == -ENOMSG) RULE(RULE_SHARES);
	ASSERT_EQ(-1, vfm_set_state(self->dev, VFM_STOP_COPY)) RULE(RULE_SHARES);
	ASSERT_EQ(0, __vfm_drain(fd, &self->got, NULL)) RULE(RULE_SHARES);
	close(fd);
	vfm_judge_accepts(self->dev, &self->got, NULL);
}

TEST_F(conf, device_outlives_fd)
{
	int fd, i;

	vfm_judge_save(self->dev, &self->got, NULL);
	vfm_for_each_session_state(self->dev, i) {
		const u32 state = vfm_session_states[i];

		vfm_judge_enter(self->dev, state, &fd);
		if (state == VFM_RESUMING)
			vfm_feed(fd, self->got.data, self->got.len, NULL);
		close(fd);
		ASSERT_EQ(state, vfm_get_state(self->dev)) RULE(RULE_CLOSE);
		ASSERT_EQ(-1, vfm_set_state(self->dev, VFM_STOP)) RULE(RULE_CLOSE);
		vfm_judge_works(self->dev);
	}
}

TEST_F(conf, fd_outlives_device)
{
	int fd, i;

	vfm_for_each_session_state(self->dev, i) {
		const bool saves = vfm_session_states[i] != VFM_RESUMING;

		vfm_judge_enter(self->dev, vfm_session_states[i], &fd);
		/* Also what was ready to be read is not to be had any more. */
		if (vfm_session_states[i] == VFM_STOP_COPY)
			vfm_poll(fd, POLLIN, vfm_deadline_ms());
		vfm_close(self->dev);
		vfm_judge_over(fd, saves);
		vfm_open(self->dev);
		vfm_judge_over(fd, saves);
		close(fd);
		vfm_judge_works(self->dev);
	}
}

/* A session without an fd is one that nobody can read, feed or tell from another. */
TEST_F(conf, reopened)
{
	int fd, i;

	vfm_for_each_session_state(self->dev, i) {
		vfm_judge_enter(self->dev, vfm_session_states[i], &fd);
		close(fd);
		vfm_reopen(self->dev);
		ASSERT_FALSE(vfm_has_session(vfm_get_state(self->dev))) {
			TH_LOG("in %s", vfm_state_name(vfm_session_states[i]));
			RULE(RULE_REOPENED);
		}
	}
}

/* One descriptor of two, and a child's, are not the session. */
TEST_F(conf, duplicates)
{
	int fd, copy, status;
	pid_t pid;

	vfm_judge_enter(self->dev, VFM_STOP_COPY, &fd);
	copy = dup(fd);
	ASSERT_LE(0, copy);
	close(fd);
	pid = fork();
	if (!pid)
		_exit(0);
	ASSERT_EQ(pid, waitpid(pid, &status, 0));
	ASSERT_EQ(0, __vfm_drain(copy, &self->got, NULL)) RULE(RULE_CLOSE);
	close(copy);
	vfm_judge_accepts(self->dev, &self->got, NULL);
}

/* A SET in a process whose table of files is full. */
static int set_state_emfile(struct vfm_device *dev, u32 state)
{
	struct rlimit limit, tight;
	int fd = open("/dev/null", O_RDONLY), none, ret;

	VFIO_ASSERT_LE(0, fd);
	close(fd);
	VFIO_ASSERT_EQ(getrlimit(RLIMIT_NOFILE, &limit), 0);
	tight = limit;
	tight.rlim_cur = fd;
	VFIO_ASSERT_EQ(setrlimit(RLIMIT_NOFILE, &tight), 0);
	VFIO_ASSERT_EQ(open("/dev/null", O_RDONLY), -1);
	ret = __vfm_set_state(dev, state, &none);
	VFIO_ASSERT_EQ(setrlimit(RLIMIT_NOFILE, &limit), 0);
	return ret;
}

TEST_F(conf, too_many_files)
{
	int fd, i;

	vfm_for_each_session_state(self->dev, i) {
		const u32 state = vfm_session_states[i];

		vfm_reset(self->dev);
		ASSERT_EQ(-EMFILE, set_state_emfile(self->dev, state))
			RULE(RULE_FD);
		fd = vfm_set_state(self->dev, state);
		ASSERT_LE(0, fd) {
			TH_LOG("%s: the retry succeeds and gives no fd",
			       vfm_state_name(state));
			RULE(RULE_LOST);
		}
		close(fd);
	}
	vfm_judge_works(self->dev);
}

VFM_TARGET_MAIN
