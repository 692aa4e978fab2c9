// SPDX-License-Identifier: GPL-2.0-only
/*
 * The parser of migration streams under libFuzzer.
 *
 * The core's own files are linked, from the data fd's write() to the driver's load()
 * and the final check. Here is the world around them: a writer who cuts the stream as
 * the plan says, a worker who comes early or late, resets and signals. Who sleeps is
 * only woken by who wakes it, so a wake-up that is lost is found, too.
 *
 * What comes of it is compared with the judge's verdict (judge.c).
 */
#include <shim/file.h>

#include "session.h"
#include "fuzz.h"

/**
 * struct fuzz_world - one input
 * @mig: the device
 * @session: its session
 * @file: the data fd, NULL when it is closed
 * @plan: of the input
 * @stream: what is written
 * @length: of it
 * @accepted: bytes that the parser has accepted
 * @error: the first error that stays, as a write or the end of RESUMING tells it
 * @due: somebody has called the worker, which is to come
 * @working: the worker is at work
 * @copies: times that user memory was copied
 * @sleeps: times that somebody slept
 * @signals: of which so many ended by a signal
 * @writes: so far
 * @was_reset: the reset of the plan has come
 * @judged: RESUMING was left in the middle of a write
 */
static struct fuzz_world {
	struct vfio_mig mig;
	struct vfio_device vdev;
	struct vfio_mig_session *session;
	struct file *file;
	const struct fuzz_plan *plan;
	const u8 *stream;
	size_t length;
	size_t accepted;
	int error;
	bool due;
	bool working;
	unsigned int copies;
	unsigned int sleeps;
	unsigned int signals;
	unsigned int writes;
	bool was_reset;
	bool judged;
} world;

static struct fuzz_verdict verdict;

static void fuzz_serve(void)
{
	struct vfio_mig_session *session = world.session;

	world.due = false;
	world.working = true;
	vfio_mig_session_serve(session);
	world.working = false;
	vfio_mig_session_put(session);
}

void vfio_mig_session_work(struct vfio_mig_session *session)
{
	if (vfio_mig_ended(session))
		return;
	if (!world.due) {
		world.due = true;
		kref_get(&session->ref);
	}
	if ((world.plan->how & FUZZ_EAGER) && !world.working && !shim_spinning)
		fuzz_serve();
}

bool vfio_mig_session_yield(struct vfio_mig_session *session, unsigned int turn)
{
	if (!(world.plan->how & FUZZ_YIELD) || turn < 3)
		return false;
	vfio_mig_session_work(session);
	return true;
}

/* Return: whether there was anything to do for others than the writer. */
static bool fuzz_step(void)
{
	if (world.due && !world.working) {
		fuzz_serve();
		return true;
	}
	if (!fuzz_driver.wants_kick)
		return false;
	fuzz_driver.wants_kick = false;
	vfio_mig_kick(&world.mig);
	return true;
}

bool shim_sleep(wait_queue_head_t *wait)
{
	const unsigned long before = wait->woken;

	shim_might_sleep(__func__);
	if ((world.plan->how & FUZZ_SIGNALS) && world.sleeps++ % 3 == 0) {
		world.signals++;
		return false;
	}
	while (wait->woken == before)
		if (!fuzz_step())
			shim_die("sleeps for ever after %zu bytes",
				 world.accepted);
	return true;
}

static int fuzz_reset_count;

static void fuzz_reset(struct vfio_mig *mig)
{
	lockdep_assert_held(&mig->state_mutex);
	fuzz_reset_count++;
}

/* RESUMING -> STOP, as arc.c walks it. */
static int fuzz_leave(void)
{
	struct vfio_mig *mig = &world.mig;
	int ret;

	mutex_lock(&mig->state_mutex);
	ret = vfio_mig_load_finish(mig);
	if (!ret) {
		vfio_mig_session_detach(mig);
		mig->state = VFIO_DEVICE_STATE_STOP;
	}
	vfio_mig_unlock(mig);
	if (!ret ^ (mig->state == VFIO_DEVICE_STATE_STOP))
		shim_die("leaving RESUMING: %d, in state %d", ret, mig->state);
	return ret;
}

/* Somebody else leaves RESUMING while the writer copies: it judges what there is. */
static void fuzz_ask(void)
{
	int ret = fuzz_leave();

	if (ret == -ERESTARTNOHAND)
		return;
	world.judged = true;
	world.error = ret;
}

void shim_copying(void)
{
	if (world.plan->how & FUZZ_EAGER)
		fuzz_step();
	if (!world.plan->reset || ++world.copies != world.plan->reset ||
	    world.judged)
		return;
	if (world.plan->how & FUZZ_ASK) {
		fuzz_ask();
	} else {
		world.was_reset = true;
		vfio_mig_reset(&world.mig);
	}
}

static u64 fuzz_count_accepted(void)
{
	struct vfio_mig_session_counts counts;

	vfio_mig_session_count(world.session, &counts);
	return counts.bytes;
}

static size_t fuzz_segment(void)
{
	const struct fuzz_plan *plan = world.plan;
	u8 code = plan->segments[world.writes % sizeof(plan->segments)];
	size_t left = world.length - world.accepted;

	/* Seldom many: what comes byte by byte takes long. */
	if (code == 0xff || world.writes > 400)
		return left;
	return min_t(size_t, left, code < 0x80 ? code + 1 : (code - 0x7f) * 61);
}

static bool fuzz_over(void)
{
	return world.was_reset || world.judged;
}

/* What poll says before a write has to be what the write finds, if it is to wait. */
static void fuzz_check_poll(__poll_t mask, ssize_t ret)
{
	const bool again = ret == -EAGAIN;

	if (fuzz_over())
		return;
	/* That there is no memory is known when it is wanted. */
	if (mask & EPOLLOUT && again && !shim_memory.failed)
		shim_die("poll saw room, the write did not");
	if (!mask && !again && world.plan->how & FUZZ_NONBLOCK)
		shim_die("poll saw nothing, the write got %zd", ret);
	if (mask & EPOLLERR && ret >= 0)
		shim_die("poll saw an error, the write got %zd", ret);
}

static void fuzz_check_taken(const struct iov_iter *from, size_t n, ssize_t ret)
{
	const size_t taken = n - from->left;

	if (ret > 0 && taken != (size_t)ret)
		shim_die("%zd bytes were accepted, %zu taken", ret, taken);
	if (!ret)
		shim_die("a write of %zu bytes got 0", n);
	if ((ret == -EAGAIN || ret == -ERESTARTSYS || ret == -EFAULT) && taken)
		shim_die("errno %zd, and %zu bytes taken", -ret, taken);
	if (ret > 0 && fuzz_count_accepted() != world.accepted + ret)
		shim_die("%zd bytes were accepted, or %llu", ret,
			 fuzz_count_accepted() - world.accepted);
}

/* A blocking write that brings the last byte returns when all is loaded. */
static void fuzz_check_settled(unsigned int signals)
{
	struct vfio_mig_session_counts counts;

	if (world.plan->how & FUZZ_NONBLOCK || !verdict.ended || fuzz_over() ||
	    verdict.incoming.errnos || world.signals != signals)
		return;
	vfio_mig_session_count(world.session, &counts);
	if (counts.held || counts.sections != verdict.nr)
		shim_die("the last write did not wait for the worker");
}

static ssize_t fuzz_write(const u8 *from, size_t n, size_t bad)
{
	struct kiocb iocb = { .ki_filp = world.file };
	struct iov_iter iter = { .good = from, .left = n, .bad = bad };
	unsigned int signals = world.signals;
	u8 *copy = malloc(n);
	__poll_t mask;
	ssize_t ret;

	memcpy(copy, from, n);
	iter.from = copy;
	world.file->f_flags &= ~O_NONBLOCK;
	if (world.plan->how & FUZZ_NONBLOCK) {
		if (world.writes & 1)
			iocb.ki_flags = IOCB_NOWAIT;
		else
			world.file->f_flags |= O_NONBLOCK;
	}
	world.writes++;
	mask = world.file->f_op->poll(world.file, NULL);
	ret = world.file->f_op->write_iter(&iocb, &iter);
	free(copy);
	fuzz_check_poll(mask, ret);
	fuzz_check_taken(&iter, n, ret);
	if (ret > 0 && world.accepted + ret == world.length)
		fuzz_check_settled(signals);
	return ret;
}

/* Errors stay, whatever comes. */
static void fuzz_check_sticks(ssize_t err)
{
	const bool ended = vfio_mig_ended(world.session);
	const __poll_t wanted = ended ? EPOLLERR | EPOLLHUP : EPOLLERR;
	u8 byte = 0;

	if (fuzz_over() ? err != -ENODEV : ended)
		shim_die("errno %zd of a session that is %s", -err,
			 ended ? "over" : "not over");
	if (world.file->f_op->poll(world.file, NULL) != wanted)
		shim_die("poll does not see errno %zd", -err);
	if (fuzz_write(&byte, 1, 0) != err)
		shim_die("errno %zd does not stay", -err);
}

/* Return: false if nothing more can be written. */
static bool fuzz_write_some(void)
{
	const bool faults = world.plan->how & FUZZ_FAULTS;
	size_t n = fuzz_segment();
	ssize_t ret;

	ret = fuzz_write(world.stream + world.accepted, n,
			 faults && world.writes % 3 == 0 ? n - n / 3 : 0);
	if (ret > 0) {
		world.accepted += ret;
		return true;
	}
	if (ret == -EAGAIN && !fuzz_step())
		shim_die("no room for ever after %zu bytes", world.accepted);
	if (ret == -EAGAIN || ret == -ERESTARTSYS || ret == -EFAULT)
		return true;
	fuzz_check_sticks(ret);
	if (!fuzz_over())
		world.error = ret;
	return false;
}

static void fuzz_write_all(void)
{
	while (world.accepted < world.length && fuzz_write_some())
		if (world.plan->how & FUZZ_AFTER)
			fuzz_step();
}

static void fuzz_close(void)
{
	struct file *file = world.file;

	world.file = NULL;
	file->f_op->flush(file, NULL);
	file->f_op->release(NULL, file);
	kfree(file);
}

static void fuzz_open(void)
{
	struct vfio_mig *mig = &world.mig;

	mutex_lock(&mig->state_mutex);
	world.session = vfio_mig_session_open(mig, false);
	world.file = world.session->file;
	mig->session = world.session;
	kref_get(&world.session->ref);
	mig->state = VFIO_DEVICE_STATE_RESUMING;
	vfio_mig_unlock(mig);
	/* Of the fuzzer, to look at it until the end. */
	kref_get(&world.session->ref);
}

static void fuzz_finish(void)
{
	int ret;

	if (fuzz_over())
		return;
	do {
		ret = fuzz_leave();
	} while (ret == -ERESTARTNOHAND);
	if (world.error && ret != world.error)
		shim_die("write said %d, leaving RESUMING %d", world.error, ret);
	world.error = ret;
}

static void fuzz_check_clean(void)
{
	fuzz_driver_free();
	if (shim_memory.objects || shim_memory.pages)
		shim_die("%u objects and %u pages are left", shim_memory.objects,
			 shim_memory.pages);
	if (shim_memory.payer.count || shim_memory.active)
		shim_die("a memory cgroup is left");
	if (world.mig.ref.count != 1)
		shim_die("%u references to the device", world.mig.ref.count);
	if (shim_spinning || world.mig.state_mutex.held)
		shim_die("a lock is left");
	if (world.was_reset && fuzz_reset_count != 1)
		shim_die("%d resets for one", fuzz_reset_count);
}

static void fuzz_end(void)
{
	if (world.file)
		fuzz_close();
	mutex_lock(&world.mig.state_mutex);
	vfio_mig_session_detach(&world.mig);
	vfio_mig_unlock(&world.mig);
	if (world.due)
		fuzz_serve();
	vfio_mig_session_put(world.session);
	fuzz_check_clean();
}

static bool fuzz_expected(const struct fuzz_fault *fault, u64 offset)
{
	return fuzz_fault_is(fault, -world.error) && fault->offset == offset;
}

static void fuzz_compare_refused(void)
{
	struct vfio_mig_error error;

	vfio_mig_last_error(&world.mig, &error);
	if (error.err != world.error || !error.reason.text[0])
		shim_die("LAST_ERROR has %d for %d: %s", error.err, world.error,
			 error.reason.text);
	/* A section that there was no memory for is missing if the stream ends there. */
	if ((world.error == -ENOMEM || world.error == -ENODATA) &&
	    shim_memory.failed)
		return;
	if (fuzz_expected(&verdict.incoming, error.reason.offset) ||
	    fuzz_expected(&verdict.content, error.reason.offset))
		return;
	shim_die("refused with %d at %llu (%s), the judge has %#llx at %llu or %#llx at %llu",
		 world.error, error.reason.offset, error.reason.text,
		 verdict.incoming.errnos, verdict.incoming.offset,
		 verdict.content.errnos, verdict.content.offset);
}

static void fuzz_compare(void)
{
	unsigned int i;

	if (world.was_reset)
		return;
	if (world.judged)
		fuzz_judge(&verdict, world.plan, world.stream,
			   fuzz_count_accepted());
	if (world.error) {
		fuzz_compare_refused();
		return;
	}
	if (verdict.incoming.errnos || verdict.content.errnos || !verdict.ended)
		shim_die("accepted, but the judge has %#llx at %llu or %#llx at %llu",
			 verdict.incoming.errnos, verdict.incoming.offset,
			 verdict.content.errnos, verdict.content.offset);
	for (i = fuzz_driver.next; i < verdict.nr; i++)
		if (verdict.sections[i].for_driver)
			shim_die("the driver did not get the section at %llu",
				 verdict.sections[i].offset);
}

static const struct vfio_mig_ops fuzz_ops = {
	.load = fuzz_load,
	.reset = fuzz_reset,
};

static void fuzz_prepare(const struct fuzz_plan *plan)
{
	struct vfio_mig *mig = &world.mig;

	memset(&shim_memory, 0, sizeof(shim_memory));
	memset(&fuzz_driver, 0, offsetof(struct fuzz_driver, taken));
	fuzz_driver.nr_taken = 0;
	fuzz_driver.plan = plan;
	fuzz_driver.verdict = &verdict;
	fuzz_reset_count = 0;
	kref_init(&mig->ref);
	mig->ops = &fuzz_ops;
	mig->vdev = &world.vdev;
	mig->open = true;
	mig->config = (struct vfio_mig_config) {
		.id = FUZZ_ID,
		.size = FUZZ_SIZE,
		.version = FUZZ_VERSION,
		.min_version = FUZZ_MIN_VERSION,
		.nr_types = FUZZ_NR_TYPES,
		.window = ((plan->window & 63) + 1) * PAGE_SIZE,
	};
	vfio_mig_forget_error(mig);
}

/* From here on memory may run out, and must not be too much. */
static void fuzz_limit(const struct fuzz_plan *plan)
{
	shim_memory.fail = plan->fail;
	shim_memory.limit = (plan->window & 63) + 1 +
			    DIV_ROUND_UP(verdict.longest, PAGE_SIZE);
}

int LLVMFuzzerTestOneInput(const u8 *data, size_t size);
int LLVMFuzzerTestOneInput(const u8 *data, size_t size)
{
	static u8 stream[FUZZ_MAX_STREAM];
	struct fuzz_plan plan = { 0 };
	size_t skip = min(size, sizeof(plan));

	memcpy(&plan, data, skip);
	memset(&world, 0, sizeof(world));
	world.plan = &plan;
	world.stream = stream;
	world.length = fuzz_expand(&plan, data + skip, size - skip, stream,
				   sizeof(stream));
	fuzz_judge(&verdict, &plan, stream, world.length);
	fuzz_prepare(&plan);
	fuzz_open();
	fuzz_limit(&plan);
	fuzz_write_all();
	if (plan.how & FUZZ_CLOSED)
		fuzz_close();
	fuzz_finish();
	fuzz_compare();
	fuzz_end();
	return 0;
}
