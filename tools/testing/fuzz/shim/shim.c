// SPDX-License-Identifier: GPL-2.0-only
/* What is behind the shim headers. */
#include <shim/file.h>

#undef snprintf
#undef vsnprintf

struct shim_memory shim_memory;
struct shim_task *current = &(struct shim_task) { NULL, 0 };
unsigned int shim_spinning;

void shim_die(const char *fmt, ...)
{
	va_list args;

	fputs("# found: ", stderr);
	va_start(args, fmt);
	vfprintf(stderr, fmt, args);
	va_end(args);
	fputc('\n', stderr);
	abort();
}

void shim_might_sleep(const char *who)
{
	if (shim_spinning)
		shim_die("%s may sleep, under a spinlock", who);
}

void shim_spin_lock(spinlock_t *lock)
{
	if (lock->held)
		shim_die("a spinlock is taken twice");
	lock->held = true;
	shim_spinning++;
}

void shim_spin_unlock(spinlock_t *lock)
{
	if (!lock->held)
		shim_die("a spinlock is dropped that nobody has");
	lock->held = false;
	shim_spinning--;
}

bool mutex_trylock(struct mutex *lock)
{
	if (lock->held)
		return false;
	lock->held = true;
	return true;
}

void mutex_lock(struct mutex *lock)
{
	shim_might_sleep(__func__);
	if (!mutex_trylock(lock))
		shim_die("a mutex is taken twice");
}

void mutex_unlock(struct mutex *lock)
{
	if (!lock->held)
		shim_die("a mutex is dropped that nobody has");
	lock->held = false;
}

static bool shim_fails(void)
{
	if (!shim_memory.fail || --shim_memory.fail)
		return false;
	shim_memory.failed = true;
	return true;
}

/* Content is what was there before, so it is nothing to rely on. */
struct page *alloc_page(gfp_t gfp)
{
	struct page *page;

	shim_might_sleep(__func__);
	if (!(gfp & GFP_KERNEL_ACCOUNT) ||
	    shim_memory.active != &shim_memory.payer)
		shim_die("nobody pays for a page");
	if (shim_fails())
		return NULL;
	page = malloc(sizeof(*page));
	if (!page)
		abort();
	page->count = 1;
	memset(page->data, 0x5a, sizeof(page->data));
	if (++shim_memory.pages > shim_memory.limit)
		shim_die("%u pages are held, %u would be the window and a section",
			 shim_memory.pages, shim_memory.limit);
	return page;
}

void put_page(struct page *page)
{
	if (!page->count)
		shim_die("a page is put twice");
	if (--page->count)
		return;
	shim_memory.pages--;
	free(page);
}

void *kzalloc(size_t size, gfp_t gfp)
{
	void *p;

	(void)gfp;
	shim_might_sleep(__func__);
	if (shim_fails())
		return NULL;
	p = calloc(1, size);
	if (!p)
		abort();
	shim_memory.objects++;
	return p;
}

void kfree(void *p)
{
	if (p)
		shim_memory.objects--;
	free(p);
}

size_t copy_from_iter(void *to, size_t bytes, struct iov_iter *i)
{
	size_t n = min(bytes, i->left);

	shim_might_sleep(__func__);
	n = min(n, i->left - i->bad);
	memcpy(to, i->from, n);
	memset(i->from, 0xee, n);
	i->from += n;
	i->good += n;
	i->left -= n;
	shim_copying();
	return n;
}

size_t copy_page_from_iter(struct page *page, size_t at, size_t bytes,
			   struct iov_iter *i)
{
	if (at + bytes > PAGE_SIZE)
		shim_die("%zu bytes go to %zu of a page", bytes, at);
	return copy_from_iter(page->data + at, bytes, i);
}

void iov_iter_revert(struct iov_iter *i, size_t bytes)
{
	i->from -= bytes;
	i->good -= bytes;
	i->left += bytes;
	memcpy(i->from, i->good, bytes);
}

struct file *anon_inode_getfile(const char *name,
				const struct file_operations *fops, void *priv,
				int flags)
{
	struct file *file = kzalloc(sizeof(*file), 0);

	(void)name;
	if (!file)
		return ERR_PTR(-ENOMEM);
	file->private_data = priv;
	file->f_flags = flags;
	file->f_op = fops;
	return file;
}

void seq_printf(struct seq_file *m, const char *fmt, ...)
{
	(void)m;
	(void)fmt;
}

int copy_from_user(void *to, const void *from, size_t n)
{
	memcpy(to, from, n);
	return 0;
}

int copy_to_user(void *to, const void *from, size_t n)
{
	memcpy(to, from, n);
	return 0;
}
