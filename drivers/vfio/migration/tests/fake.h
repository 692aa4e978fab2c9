/* SPDX-License-Identifier: GPL-2.0-only */
/*
 * VFIO migration core, KUnit tests: a device that does as it is told
 *
 * The fake device has just enough of a vfio_device for the core. It records the
 * arcs that it is asked for and fails those that a test names; it saves a list of
 * sections, or whatever the test's own save() does, and keeps account of what it
 * loads. The content of a section is a function of its object and the offset, so
 * that any byte can be verified anywhere.
 *
 * Tests call the core the way vfio.ko does, and the file that comes back the way
 * the VFS does. migt_settle() waits until no worker has anything to do, so that
 * nothing here depends on time.
 */
#ifndef _VFIO_MIGRATION_TESTS_FAKE_H
#define _VFIO_MIGRATION_TESTS_FAKE_H

#include <kunit/test.h>
#include <linux/completion.h>
#include <linux/fs.h>
#include <linux/poll.h>
#include <linux/prandom.h>
#include <linux/vfio.h>

#include "../session.h"

#define MIGT_ALL	(VFIO_MIGRATION_STOP_COPY | VFIO_MIGRATION_P2P | \
			 VFIO_MIGRATION_PRE_COPY)

#define MIGT_STATES	VFIO_MIG_NR_STATES

/* Types of sections that the fake device knows. */
#define MIGT_TYPES	2

/* What fails by a fault's first and second use. */
#define MIGT_ERRNO	EXDEV
#define MIGT_ERRNO2	ENXIO

/* The reason that it gives. */
#define MIGT_REASON	"fault of the test, errno %d"

/**
 * enum migt_what - what an arc does instead of completing
 * @MIGT_FAIL: fail, with the device as it was
 * @MIGT_BREAK: break the device
 * @MIGT_BREAK_ZERO: break it and return 0
 * @MIGT_RESET: notice a reset, and leave
 * @MIGT_RESET_SUCCEED: complete, though a reset comes
 * @MIGT_RESET_FAIL: fail, while a reset comes
 * @MIGT_RESET_BREAK: break the device, while a reset comes
 * @MIGT_NR_WHAT: how many there are
 */
enum migt_what {
	MIGT_FAIL,
	MIGT_BREAK,
	MIGT_BREAK_ZERO,
	MIGT_RESET,
	MIGT_RESET_SUCCEED,
	MIGT_RESET_FAIL,
	MIGT_RESET_BREAK,
	MIGT_NR_WHAT,
};

/**
 * struct migt_fault - an arc that does not do what it should
 * @call: which one, counted from 1; 0 for none
 * @what: it does
 */
struct migt_fault {
	unsigned int call;
	enum migt_what what;
};

/**
 * struct migt_arc - an arc that the driver was asked for
 * @from: where it started
 * @to: where it led
 */
struct migt_arc {
	u8 from;
	u8 to;
};

/**
 * struct migt_section - a section of the stream
 * @type: its type
 * @flags: VFIO_MIG_SECTION_*
 * @object: what it belongs to, which determines the content
 * @length: of the payload
 */
struct migt_section {
	u32 type;
	u32 flags;
	u64 object;
	u32 length;
};

/**
 * struct migt_fake - the fake device
 * @test: that it belongs to
 * @vdev: what the core sees of vfio.ko
 * @mig: the core's part
 * @file: the newest data file
 * @arcs: that were asked for
 * @nr_arcs: how many, also beyond the room in @arcs
 * @faults: arcs that fail
 * @resets: times that reset() was called
 * @arc: does the arc, if not NULL
 * @save: does save(), if not NULL
 * @load: does load(), if not NULL
 * @sections: what save() sends
 * @nr_sections: how many
 * @next: section that save() sends next
 * @initial: for precopy_info() and data_size()
 * @dirty: for precopy_info() and data_size()
 * @infos: times that precopy_info() was called
 * @saves: times that save() was called
 * @loaded: sections that load() took since the last reset
 * @nr_loaded: how many, also beyond the room in @loaded
 * @corrupt: bytes of them that were wrong
 * @priv: the test's own
 */
struct migt_fake {
	struct kunit *test;
	struct vfio_device vdev;
	struct vfio_mig *mig;
	struct file *file;

	struct migt_arc arcs[16];
	unsigned int nr_arcs;
	struct migt_fault faults[2];
	unsigned int resets;

	int (*arc)(struct migt_fake *fake);
	int (*save)(struct migt_fake *fake, struct vfio_mig_sink *sink);
	int (*load)(struct migt_fake *fake, struct vfio_mig_source *source);
	const struct migt_section *sections;
	unsigned int nr_sections;
	unsigned int next;
	u64 initial;
	u64 dirty;
	unsigned int infos;
	unsigned int saves;
	struct migt_section loaded[16];
	unsigned int nr_loaded;
	unsigned int corrupt;
	void *priv;
};

/* fake.c: the device */
extern const struct vfio_mig_config migt_config;
struct migt_fake *migt_new(struct kunit *test, unsigned int flags,
			   const struct vfio_mig_config *config);
void migt_forget(struct migt_fake *fake);
void migt_settle(void);
void migt_expect_sessions(struct migt_fake *fake, unsigned int nr);
void migt_expect_loaded(struct migt_fake *fake,
			const struct migt_section *sections, unsigned int nr,
			const char *what);
int migt_go(struct migt_fake *fake, u32 target);
enum vfio_device_mig_state migt_state(struct migt_fake *fake);
void migt_reset(struct migt_fake *fake);
void migt_close(struct migt_fake *fake);
void migt_drop(struct migt_fake *fake);
u8 migt_byte(u64 object, u64 offset);
void migt_fill(void *to, u64 object, u64 offset, size_t length);
int migt_save_section(struct migt_fake *fake, struct vfio_mig_sink *sink);
int migt_load_section(struct migt_fake *fake, struct vfio_mig_source *source);

static inline struct vfio_mig_session *migt_session(const struct file *file)
{
	return file->private_data;
}

/* Pages of one session, at most. */
#define MIGT_PINS	64

/**
 * struct migt_pins - references to pages, to see that there are no others later
 * @nr: how many
 * @page: the pages, some perhaps more than once
 */
struct migt_pins {
	unsigned int nr;
	struct page *page[MIGT_PINS];
};

/* pins.c: who holds which pages */
void migt_pin(struct migt_fake *fake, struct migt_pins *pins,
	      struct page *page);
void migt_pin_session(struct migt_fake *fake, struct migt_pins *pins);
void migt_expect_only_pins(struct migt_fake *fake, struct migt_pins *pins);

/**
 * struct migt_watch - what a poller that waits learns
 * @table: for the file's poll()
 * @entry: in the queue that it named
 * @head: that queue
 * @woken: times that it was woken for anything that it waits for
 */
struct migt_watch {
	struct poll_table_struct table;
	struct wait_queue_entry entry;
	struct wait_queue_head *head;
	atomic_t woken;
};

/* io.c: the data file */
ssize_t migt_read(struct file *file, void *to, size_t length);
ssize_t migt_read_wait(struct file *file, void *to, size_t length);
ssize_t migt_write(struct file *file, const void *from, size_t length);
ssize_t migt_write_wait(struct file *file, const void *from, size_t length);
ssize_t migt_read_split(struct migt_fake *fake, struct rnd_state *rnd, void *to,
			size_t size);
void migt_write_split(struct migt_fake *fake, struct rnd_state *rnd,
		      const void *from, size_t length);
__poll_t migt_poll(struct file *file);
__poll_t migt_watch_begin(struct migt_watch *watch, struct file *file);
void migt_watch_end(struct migt_watch *watch);
void migt_expect_read(struct migt_fake *fake, ssize_t outcome, __poll_t events);
void __user *migt_user_page(struct kunit *test);
ssize_t migt_read_all(struct migt_fake *fake, void *to, size_t size);

/**
 * struct migt_thread - a second thread, that a test waits for
 * @fake: device that it works on
 * @run: what it does; gives the result of migt_join()
 * @task: the thread
 * @done: it is over
 */
struct migt_thread {
	struct migt_fake *fake;
	int (*run)(struct migt_fake *fake);
	struct task_struct *task;
	struct completion done;
};

/* thread.c: things that block */
struct migt_thread *migt_start(struct migt_fake *fake,
			       int (*run)(struct migt_fake *fake));
int migt_join(struct migt_thread *thread);
void migt_signal(struct migt_thread *thread);
void migt_kill(struct migt_thread *thread);
void migt_wait_asleep(struct migt_thread *thread, struct wait_queue_head *wait);
void migt_wait_arcs(struct migt_thread *thread, unsigned int nr);

#endif /* _VFIO_MIGRATION_TESTS_FAKE_H */
