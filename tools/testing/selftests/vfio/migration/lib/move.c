// SPDX-License-Identifier: GPL-2.0-only
/*
 * A migration in steps. Stages are a list; each is a state to be set or a transfer
 * that takes as many steps as it has chunks. What a device has no state for is
 * left out.
 */
#include <unistd.h>

#include <libvfio/graph.h>
#include <libvfio/migsim.h>
#include <libvfio/move.h>

struct vfm_stage {
	enum { SET_FROM, SET_TO, READ, WRITE, ASK } what;
	u32 state;			/* to be set, or while READ and ASK */
};

static const struct vfm_stage stages[] = {
	{ SET_TO, VFM_STOP },
	{ SET_TO, VFM_RESUMING },
	{ SET_FROM, VFM_PRE_COPY },
	{ ASK, VFM_PRE_COPY },
	{ READ, VFM_PRE_COPY },
	{ WRITE, VFM_RESUMING },
	{ SET_FROM, VFM_PRE_COPY_P2P },
	{ READ, VFM_PRE_COPY_P2P },
	{ SET_FROM, VFM_STOP_COPY },
	{ READ, VFM_STOP_COPY },
	{ WRITE, VFM_RESUMING },
	{ SET_TO, VFM_STOP },
	{ SET_TO, VFM_RUNNING_P2P },
	{ SET_FROM, VFM_STOP },
	{ SET_TO, VFM_RUNNING },
};

#define NR_STAGES	(sizeof(stages) / sizeof(stages[0]))

void vfm_move_begin(struct vfm_move *move, struct vfm_device *from,
		    struct vfm_device *to, size_t chunk)
{
	*move = (struct vfm_move) {
		.from = from,
		.to = to,
		.chunk = chunk,
		.save_fd = -1,
		.load_fd = -1,
	};
}

static int set(struct vfm_device *dev, u32 state, int *session)
{
	int fd, ret = __vfm_set_state(dev, state, &fd);

	if (!ret && fd >= 0) {
		VFIO_ASSERT_EQ(*session, -1, "a second session");
		*session = fd;
	}
	return ret;
}

/* An end, temporary or permanent, ends the stage. */
static int read_chunk(struct vfm_move *m, u32 state)
{
	void *room = vfm_buf_room(&m->stream, m->chunk);
	ssize_t n = vfm_read(m->save_fd, room, m->chunk);

	if (n == (state == VFM_STOP_COPY ? 0 : -ENOMSG))
		return 0;
	VFIO_ASSERT_NE(n, 0, "the end of the stream in %s", vfm_state_name(state));
	if (n < 0)
		return n;
	m->stream.len += n;
	return 1;
}

static int write_chunk(struct vfm_move *m)
{
	size_t left = m->stream.len - m->fed;
	ssize_t n;

	if (!left)
		return 0;
	n = vfm_write(m->load_fd, m->stream.data + m->fed,
		      left < m->chunk ? left : m->chunk);
	if (n < 0)
		return n;
	m->fed += n;
	return m->fed < m->stream.len;
}

/* 1: the stage has more steps. */
static int run(struct vfm_move *m, const struct vfm_stage *stage)
{
	struct vfio_precopy_info info = { 0 };

	switch (stage->what) {
	case SET_FROM:
		return set(m->from, stage->state, &m->save_fd);
	case SET_TO:
		return set(m->to, stage->state, &m->load_fd);
	case READ:
		return read_chunk(m, stage->state);
	case WRITE:
		return write_chunk(m);
	case ASK:
		return __vfm_precopy_info(m->save_fd, &info);
	}
	return -EINVAL;
}

static bool left_out(struct vfm_move *m, const struct vfm_stage *stage)
{
	return !vfm_supports(stage->what == SET_TO || stage->what == WRITE ?
			     m->to : m->from, stage->state);
}

enum vfm_call vfm_move_call(const struct vfm_move *move)
{
	switch (stages[move->stage].what) {
	case READ:
		return VFM_CALL_READ;
	case WRITE:
		return VFM_CALL_WRITE;
	case ASK:
		return VFM_CALL_ASK;
	default:
		return VFM_CALL_SET;
	}
}

int vfm_move_step(struct vfm_move *move)
{
	int ret;

	ret = run(move, &stages[move->stage]);
	if (ret < 0)
		return ret;
	move->steps++;
	if (ret)
		return 1;
	do {
		move->stage++;
	} while (move->stage < NR_STAGES && left_out(move, &stages[move->stage]));
	return move->stage < NR_STAGES;
}

unsigned int vfm_move_arcs(struct vfm_device *dev, bool source)
{
	struct vfm_arcs arcs = { .nr = 0 };
	const struct vfm_stage *stage;
	u32 state = VFM_RUNNING;

	for (stage = stages; stage < stages + NR_STAGES; stage++)
		if (stage->what == (source ? SET_FROM : SET_TO))
			state = vfm_arcs_go(&arcs, dev, state, stage->state);
	return arcs.nr;
}

static void end_session(int *fd)
{
	if (*fd >= 0)
		close(*fd);
	*fd = -1;
}

void vfm_move_end(struct vfm_move *move)
{
	end_session(&move->save_fd);
	end_session(&move->load_fd);
	vfm_buf_free(&move->stream);
}

void vfm_move_all(struct vfm_device *from, struct vfm_device *to)
{
	struct vfm_move move;
	u64 hash;
	int ret;

	vfm_move_begin(&move, from, to, 1 << 20);
	do {
		ret = vfm_move_step(&move);
		VFIO_ASSERT_GE(ret, 0, "step %u: %s", move.steps, strerror(-ret));
	} while (ret);
	vfm_move_end(&move);
	hash = vfm_state_hash(from);
	vfm_set_state_nofd(to, VFM_STOP);
	VFIO_ASSERT_EQ(vfm_state_hash(to), hash, "another state has arrived");
	vfm_set_state_nofd(to, VFM_RUNNING);
}
