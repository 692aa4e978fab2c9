/* SPDX-License-Identifier: GPL-2.0-only */
/* Files, as far as the data fd is one, and what <linux/vfio.h> has for drivers. */
#ifndef _FUZZ_SHIM_FILE_H
#define _FUZZ_SHIM_FILE_H

#include <fcntl.h>
#include <sys/epoll.h>

#include "memory.h"

typedef unsigned int __poll_t;
typedef struct { int none; } poll_table;
typedef void *fl_owner_t;

struct inode;
struct pipe_inode_info;
struct seq_file;

#define IOCB_NOWAIT		1
#define FMODE_NOWAIT		1

struct file {
	void *private_data;
	unsigned int f_flags;
	unsigned int f_mode;
	struct inode *f_inode;
	const struct file_operations *f_op;
};

struct kiocb {
	struct file *ki_filp;
	int ki_flags;
};

struct file_operations {
	void *owner;
	ssize_t (*read_iter)(struct kiocb *iocb, struct iov_iter *to);
	ssize_t (*write_iter)(struct kiocb *iocb, struct iov_iter *from);
	ssize_t (*splice_read)(struct file *file, loff_t *pos,
			       struct pipe_inode_info *pipe, size_t len,
			       unsigned int flags);
	ssize_t (*splice_write)(struct pipe_inode_info *pipe, struct file *file,
				loff_t *pos, size_t len, unsigned int flags);
	__poll_t (*poll)(struct file *file, poll_table *wait);
	long (*unlocked_ioctl)(struct file *file, unsigned int cmd,
			       unsigned long arg);
	long (*compat_ioctl)(struct file *file, unsigned int cmd,
			     unsigned long arg);
	int (*flush)(struct file *file, fl_owner_t id);
	int (*release)(struct inode *inode, struct file *file);
	void (*show_fdinfo)(struct seq_file *m, struct file *file);
};

#define poll_wait(file, wait, table)	((void)(wait), (void)(table))
#define poll_to_key(mask)		(mask)
#define compat_ptr_ioctl		NULL

struct file *anon_inode_getfile(const char *name,
				const struct file_operations *fops, void *priv,
				int flags);
#define stream_open(inode, file)	((void)(inode))
#define IS_ERR(p)		((unsigned long)(p) > -4096UL)
#define PTR_ERR(p)		((long)(p))
#define ERR_PTR(err)		((void *)(long)(err))

/* The part of the data fd that saves is linked and not called. */
void seq_printf(struct seq_file *m, const char *fmt, ...);
int copy_from_user(void *to, const void *from, size_t n);
int copy_to_user(void *to, const void *from, size_t n);
#define put_user(value, to)	(*(to) = (value), 0)

struct vfio_migration_ops {
	int none;
};

struct vfio_device {
	const struct vfio_migration_ops *mig_ops;
};

static inline bool vfio_device_precopy_info_v2(struct vfio_device *vdev)
{
	return vdev;
}

/* Tracepoints, which are all off. */
#define TP_PROTO(...)		__VA_ARGS__
#define TRACE_DEFINE_ENUM(x)	struct shim_trace_enum
#define SHIM_TRACE(name, ...)						\
static inline bool trace_##name##_enabled(void) { return false; }	\
static inline void trace_##name(__VA_ARGS__) { }				\
struct shim_trace_##name
#define TRACE_EVENT(name, proto, ...)		SHIM_TRACE(name, proto)
#define DECLARE_EVENT_CLASS(name, proto, ...)		struct shim_trace_##name
#define DEFINE_EVENT(class, name, proto, ...)		SHIM_TRACE(name, proto)

#endif
