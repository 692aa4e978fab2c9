/* SPDX-License-Identifier: GPL-2.0-only */
/*
 * vfio-migrate: moves the state of many VFIO devices to others at once.
 *
 * A pair is one source and its destination, a stream is the way of one pair's
 * bytes between their two data fds. One thread, the main one, drives all
 * streams (engine.c) through one io_uring (ring.c) or with non-blocking calls
 * (poll.c). VFIO_DEVICE_FEATURE_MIG_DEVICE_STATE
 * is a blocking ioctl, so every device has a worker thread that makes it
 * (work.c); the main thread never calls into a device that may be in an arc.
 *
 * Ownership: a device's fields belong to its worker while that has a job, and
 * to the main thread otherwise. Streams belong to the main thread, with
 * --serial to the worker that copies. The byte counters are read by anyone.
 */
#ifndef VFIO_MIGRATE_H
#define VFIO_MIGRATE_H

#include <limits.h>
#include <pthread.h>
#include <signal.h>
#include <stdatomic.h>
#include <stdbool.h>
#include <stddef.h>
#include <stdint.h>
#include <stdio.h>
#include <sys/types.h>

#include <linux/vfio.h>

#define ARRAY_SIZE(a)	(sizeof(a) / sizeof((a)[0]))
#define NSEC_PER_MSEC	1000000ull
#define NSEC_PER_SEC	1000000000ull

/* Exit status: who holds the devices' state is the first thing to know. */
enum {
	EXIT_MOVED = 0,		/* the destinations hold the state */
	EXIT_NOT_MOVED = 1,	/* the sources do, and run on */
	EXIT_BAD_USAGE = 2,
	EXIT_MOVED_BUT = 3,	/* moved, but a later step failed */
	EXIT_LOST = 4,		/* not all is where it should be, or it is not known */
};

#define VFIO_MIGRATE_VERSION	"2"

/* What went wrong: one line on stderr; the first is an object in the report. */
struct failure {
	bool set;
	int err;
	char device[128];
	char step[96];
	char reason[384];
};

/* names.c: where a device is, without opening it */
struct dev_path {
	int fd;			/* fd:N, else -1 */
	int group;		/* IOMMU group, -1 when there is none */
	bool group_noiommu;
	char id[64];		/* what the group's ioctl calls the device */
	char cdev[64];		/* its own character device, "" without one */
	char sysfs[PATH_MAX];	/* "" when it is not known */
};

struct group;

#define STATE_UNKNOWN	UINT32_MAX

/* device.c */
struct device {
	const char *name;	/* as the user wrote it */
	struct dev_path path;
	struct group *group;
	char type[64];		/* mdev type or vendor:device, "" if not known */
	int fd;
	int data_fd;
	uint32_t info_flags;
	uint32_t num_regions;
	uint64_t caps;
	uint32_t found;		/* state before we touched it */
	uint32_t state;		/* state that the kernel told last, or STATE_UNKNOWN */
	int64_t arc_ns;		/* the longest SET_STATE so far, -1: none */
	_Atomic bool give_up;	/* its job is to end, see pool_interrupt() */
	_Atomic bool reset_to_end;	/* by us, as its job did not end */
	bool touched;		/* it was asked to leave the state it was found in */
	struct failure fail;	/* what went wrong with it first */
	bool was_reset;		/* by something else, after it was touched */
	bool lost;		/* what it has to hold is lost, or it may be */
	bool busy;		/* main thread only: its worker has a job */
};

/* What happens to a device or pair, in this order. */
enum phase {
	PHASE_OPEN,
	PHASE_SETUP,		/* PRE_COPY and RESUMING */
	PHASE_PRECOPY,
	PHASE_P2P,		/* here the downtime begins */
	PHASE_STOP,
	PHASE_DRAIN,
	PHASE_CONFIRM,		/* RESUMING -> RUNNING_P2P; here it ends */
	PHASE_FINISH,		/* RUNNING, or STOP without --run */
	PHASE_RESET,
	PHASE_NR,
};

/* work.c: something to be done by a device's worker */
struct job {
	struct migration *m;
	struct pair *pair;
	struct device *dev;
	int (*fn)(struct job *job);
	uint32_t target;
	const char *step;	/* NULL: SET_STATE to target */
	unsigned int worker;
	uint32_t from;		/* main thread only: the device's state before */
	uint64_t posted_ns;	/* likewise */
	bool given_up;		/* likewise: it was told to end */
	bool abandoned;		/* likewise: it hangs, and is not waited for */
	struct failure late;	/* likewise: that it does */
	bool stuck;		/* not even a reset helped */
	struct failure fail;
	uint64_t start_ns;
	uint64_t end_ns;
	bool posted;		/* main thread only, as reaped */
	bool reaped;
};

struct worker {
	pthread_t thread;
	struct pool *pool;
	struct job *job;	/* pool.lock; NULL when idle */
};

struct pool {
	pthread_mutex_t lock;
	pthread_cond_t more;
	unsigned int running;	/* lock */
	bool quit;		/* lock */
	int done_fd;		/* eventfd, signalled at the end of each job */
	unsigned int nr;
	struct worker *workers;
};

/* stream.c: the bytes of one pair and when to stop copying */
enum stream_mode {
	STREAM_IDLE,		/* nothing to read, or not wanted now */
	STREAM_ITERATE,		/* PRE_COPY, in a round */
	STREAM_DRAIN,		/* STOP_COPY, to the end */
	STREAM_END,		/* read to the end */
};

struct buffer {
	unsigned char *mem;
	size_t len;
	size_t off;
};

#define STREAM_BUFFERS	2

struct stream {
	int from;
	int to;
	enum stream_mode mode;
	bool stopped;		/* source is in STOP_COPY */
	bool reading;
	bool read_is_final;	/* the read was begun in STOP_COPY */
	bool writing;
	unsigned int head;	/* next buffer to write */
	unsigned int tail;	/* next buffer to fill */
	struct buffer buf[STREAM_BUFFERS];
	uint64_t retry_ns;	/* no request before this time */
	bool iterates;		/* the source is in PRE_COPY */
	bool below;		/* the rest was under the threshold */
	_Atomic unsigned int rounds;
	uint64_t round_want;
	_Atomic uint64_t round_got;
	uint64_t round_ns;	/* when it began */
	_Atomic uint64_t busy_ns;	/* of all rounds, to the last byte of each */
	_Atomic uint64_t rest;
	_Atomic bool rest_known;
	_Atomic uint64_t precopy_bytes;
	_Atomic uint64_t stopcopy_bytes;
	uint64_t moved_ns;	/* a byte was, or there is something to move */
	uint64_t drained_ns;	/* the last byte was written */
};

/* predict.c: what is known before the switch; -1: unknown */
struct expected {
	int64_t bytes;		/* to be read in STOP_COPY */
	double rate;		/* bytes a second */
	double data_ms;
	double alone_ms;	/* downtime, if there were no other pair */
};

struct pair {
	struct device src;
	struct device dst;
	struct stream stream;
	int64_t data_size;	/* MIG_DATA_SIZE; -1: unknown */
	struct expected expected;
	uint64_t down_from_ns;
	uint64_t down_to_ns;
	uint64_t phase_ns[PHASE_NR];
};

/* engine.c: who makes the reads and writes of the streams */
struct engine_ops {
	int (*open)(struct migration *m);
	void (*close)(struct migration *m);
	/*
	 * Begin a request of pair @i. Each ends in engine_read_done() or
	 * engine_write_done(), out of wait(). False: not now.
	 */
	bool (*read)(struct migration *m, unsigned int i);
	bool (*write)(struct migration *m, unsigned int i);
	/* For the end of a request or job, a signal in @mask, or a tick. */
	void (*wait)(struct migration *m, const sigset_t *mask);
	/* All requests are to end soon. */
	void (*cancel)(struct migration *m);
};

#define ENGINE_TICK_NS	(20 * NSEC_PER_MSEC)

extern const struct engine_ops engine_ring;
extern const struct engine_ops engine_poll;

enum engine_choice { ENGINE_ANY, ENGINE_RING, ENGINE_POLL };

struct engine {
	const struct engine_ops *ops;	/* NULL when closed */
	void *priv;
};

struct options {
	bool run;
	bool serial;
	bool keep_source;
	bool skip_p2p_down;
	bool skip_p2p_up;
	bool quiet;
	bool progress;
	bool probe;
	bool reset;
	enum engine_choice engine;
	uint64_t threshold;
	uint64_t chunk;
	unsigned int max_rounds;
	uint64_t timeout_ns;	/* 0: none */
	const char *json;
};

struct progress {
	uint64_t shown_ns;
	uint64_t since_ns;	/* the rate is since then */
	uint64_t bytes;		/* as of then */
	double rate;
};

struct migration {
	const struct options *opt;
	struct pair *pairs;
	unsigned int nr;
	struct pool pool;
	struct engine engine;
	struct failure fail;	/* the first one */
	bool fail_told;
	bool report;		/* there is a file to write it to */
	struct job *jobs;	/* room for two a pair; those of the phase */
	unsigned int nr_jobs;
	enum phase phase;
	bool pumping;		/* data may flow */
	bool switching;		/* decided: sources are not asked any more */
	bool rolling_back;	/* failed: jobs now lead back */
	bool committed;		/* every destination has confirmed */
	bool abandoned;		/* some job is not waited for */
	bool aborted;		/* nothing is, a second signal said so */
	bool signal_told;	/* that the first one is too late */
	struct pool resets;	/* of destinations whose jobs hang */
	struct job *reset_jobs;	/* one a pair */
	uint64_t give_up_ns;	/* when jobs were told to end */
	uint64_t step_ns;	/* when the present step began */
	uint64_t tell_ns;	/* when to name what is waited for again */
	_Atomic int serial_at;	/* with --serial: 2 * pair, + 1 when it writes */
	_Atomic uint64_t serial_ns;	/* since then; at is -1 between copies */
	char outcome[512];	/* which side holds the state */
	uint64_t start_ns;
	uint64_t end_ns;
	uint64_t precopy_ns;	/* when pre-copy began */
	double expected_ms;	/* downtime; -1: unknown */
	struct progress progress;
	uint64_t phase_ns[PHASE_NR];
};

/* util.c */
uint64_t now_ns(void);
void *xcalloc(size_t nr, size_t size);
double ns_to_ms(uint64_t ns);
const char *size_str(uint64_t bytes, char buf[static 16]);
int parse_size(const char *text, uint64_t *out);
#define SAY_PREFIX	"vfio-migrate: "
void say_over(const char *line, size_t width);
void say(const char *fmt, ...) __attribute__((format(printf, 1, 2)));
int fail_at(struct failure *fail, const char *device, int err,
	    const char *step, const char *fmt, ...)
	__attribute__((format(printf, 5, 6)));
int raise_nofile(struct failure *fail, unsigned long want);

/* stdio.c */
void stdio_secure(void);
bool stdio_missing(int fd);
void stdio_status(int status);
int stdio_flush(void);

/* outfile.c */
struct outfile {
	FILE *f;
	const char *name;
	mode_t mode;		/* of the file that is replaced, 0 if new */
	char target[PATH_MAX];	/* what is replaced; "" if written in place */
	char tmp[PATH_MAX];
};

int outfile_open(struct outfile *o, const char *name);
int outfile_try(const char *name);
int outfile_close(struct outfile *o);

/* names.c */
bool name_is_valid(const char *name);
int name_resolve(const char *name, struct dev_path *path, struct failure *fail);
void name_from_sysfs(struct dev_path *path);
bool path_same(const struct dev_path *a, const struct dev_path *b);
int sysfs_link(const char *dir, const char *link, char *buf, size_t size);

/* open.c */
int device_open(struct device *dev, struct failure *fail);
void device_close(struct device *dev);
void device_freeze(struct device *dev);
void device_close_data(struct device *dev);
void open_cleanup(void);

/* state.c */
const char *state_name(uint32_t state);
bool has_p2p(const struct device *dev);
bool has_precopy(const struct device *dev);
int device_query(struct device *dev, struct failure *fail);
int device_get_state(struct device *dev, uint32_t *state);
void device_ask_state(struct device *dev);
int device_set_state(struct device *dev, uint32_t target, struct failure *fail);
bool device_reason(struct device *dev, int err, char *buf, size_t size);
int device_reset_raw(const struct device *dev);
int device_reset(struct device *dev, struct failure *fail);
int device_data_size(struct device *dev, uint64_t *size);
int precopy_rest(int data_fd, uint64_t *rest);

/* ident.c */
uint64_t region_size(const struct device *dev, uint32_t index, uint64_t *offset);
uint32_t pci_id(const struct device *dev);
void device_identify(struct device *dev);

/* check.c */
const char *caps_str(uint64_t caps, char buf[static 48]);
int check_pairs(struct migration *m);

/* work.c */
int pool_start(struct pool *pool, unsigned int nr, struct failure *fail);
void pool_stop(struct pool *pool);
void pool_post(struct pool *pool, unsigned int worker, struct job *job);
bool pool_busy(struct pool *pool);
bool pool_done(struct pool *pool, struct job *job);
void pool_interrupt(struct pool *pool);

/* signals.c */
void signals_setup(void);
int signals_caught(void);
bool signals_insist(void);
const sigset_t *signals_open(void);

/* stream.c */
static inline struct buffer *stream_head(struct stream *s)
{
	return &s->buf[s->head % STREAM_BUFFERS];
}

static inline struct buffer *stream_tail(struct stream *s)
{
	return &s->buf[s->tail % STREAM_BUFFERS];
}

int stream_init(struct stream *s, size_t chunk);
void stream_free(struct stream *s, size_t chunk);
void stream_begin(struct stream *s);
void stream_stop_copy(struct stream *s);
void stream_got(struct migration *m, struct stream *s, size_t bytes);
void stream_paused(struct migration *m, struct stream *s);
void stream_waits(struct migration *m, struct stream *s);
void stream_check(struct migration *m, struct stream *s);
bool stream_converged(const struct stream *s, const struct options *opt);
bool streams_converged(struct migration *m);
bool stream_drained(const struct stream *s);
int read_failed(struct pair *p, int err, bool ask, struct failure *fail);
int write_failed(struct pair *p, int err, struct failure *fail);

/* engine.c */
void engine_read_done(struct migration *m, unsigned int i, int res);
void engine_write_done(struct migration *m, unsigned int i, int res);
int engine_open(struct migration *m);
void engine_close(struct migration *m);
int engine_run(struct migration *m, bool (*done)(struct migration *m),
	       bool interruptible);
void engine_quiesce(struct migration *m);

/* wait.c */
void job_describe(const struct job *job, char *buf, size_t size);
void watch_begin(struct migration *m);
void watch(struct migration *m);

/* giveup.c */
bool end_jobs(struct migration *m);
void tell_last_known(struct migration *m);

/* serial.c */
int serial_precopy_job(struct job *job);
int serial_drain_job(struct job *job);

/* phases.c */
typedef bool (*fill_fn)(struct migration *m, struct pair *p, bool source,
			struct job *job);
#define RUN_INTERRUPTIBLE	0x1
#define RUN_SERIAL		0x2
int set_state_job(struct job *job);
const struct failure *job_failure(const struct job *job);
int run_jobs(struct migration *m, enum phase phase, fill_fn fill,
	     unsigned int flags);
void reap_jobs(struct migration *m);

/* rollback.c */
void rollback(struct migration *m);

/* local.c */
int local_run(const struct options *opt, char **specs, unsigned int nr);

/* report.c */
const char *phase_name(enum phase phase);
int report_open(struct migration *m);
int report_json(struct migration *m);
void report_failure(const struct failure *fail);
void report_first_failure(struct migration *m);
void report_outcome(const struct migration *m);
uint64_t total_bytes(const struct migration *m);
double pair_downtime_ms(const struct migration *m, const struct pair *p);
double total_downtime_ms(const struct migration *m);

/* json.c */
struct json_object;
void json_begin(void);
void json_about(struct json_object *o);
struct json_object *json_text(const char *text);
struct json_object *json_state(uint32_t state);
struct json_object *json_caps(uint64_t caps);
struct json_object *json_failure(const struct failure *fail);
int json_write(struct outfile *out, struct json_object *o);

/* predict.c */
void expect_nothing(struct pair *p);
int ask_sizes(struct migration *m, enum phase phase);
int predict(struct migration *m);

/* progress.c */
void report_progress(struct migration *m);
void report_progress_end(struct migration *m);
void report_switch(const struct migration *m);
void report_table(struct migration *m);

/* inuse.c */
enum use { USE_NO, USE_YES, USE_UNKNOWN };
struct user {
	int pid;
	char comm[32];
};
int inuse_scan(void);
enum use inuse_find(const struct dev_path *path, struct user *user);
void inuse_free(void);

/* list.c */
int list_run(const struct options *opt);

/* recover.c */
int state_run(const struct options *opt, char **names, unsigned int nr);
int recover_run(const struct options *opt, char **names, unsigned int nr);

/* decode.c */
int decode_run(const struct options *opt, const char *name);

#endif /* VFIO_MIGRATE_H */
