/* SPDX-License-Identifier: GPL-2.0-only */
/* The kernel's types, numbers, lists and bits, as far as the parser uses them. */
#ifndef _FUZZ_SHIM_BASE_H
#define _FUZZ_SHIM_BASE_H

#include <endian.h>
#include <errno.h>
#include <limits.h>
#include <stdarg.h>
#include <stdbool.h>
#include <stddef.h>
#include <stdio.h>
#include <stdlib.h>
#include <string.h>
#include <sys/types.h>

typedef unsigned char u8;
typedef unsigned short u16;
typedef unsigned int u32;
typedef unsigned long long u64;
typedef long long s64;
typedef unsigned int gfp_t;

#ifndef __aligned_u64
#define __aligned_u64		u64 __attribute__((aligned(8)))
#endif

#define __user
#define __printf(a, b)
#define EXPORT_SYMBOL_GPL(name)		struct shim_export_##name
#define EXPORT_SYMBOL_IF_KUNIT(name)	struct shim_export_##name
#define THIS_MODULE		NULL
#define static_assert(cond)	_Static_assert(cond, #cond)

/* Not for user space, so <errno.h> has none of these. */
#define ERESTARTSYS		512
#define ERESTARTNOHAND		514

#define MAX_ERRNO		4095

#define le32_to_cpu(x)		((u32)le32toh(x))
#define le64_to_cpu(x)		((u64)le64toh(x))
#define cpu_to_le32(x)		((__le32)htole32(x))
#define cpu_to_le64(x)		((__le64)htole64(x))

#define min_t(type, a, b) ({ type __a = (a), __b = (b); __a < __b ? __a : __b; })
#define max_t(type, a, b) ({ type __a = (a), __b = (b); __a > __b ? __a : __b; })
#define min(a, b)		min_t(__typeof__((a) + (b)), a, b)
#define min3(a, b, c)		min(min(a, b), c)
#define ARRAY_SIZE(a)		(sizeof(a) / sizeof((a)[0]))
#define DIV_ROUND_UP(n, d)	(((n) + (d) - 1) / (d))
#define swap(a, b) do { __typeof__(a) __t = (a); (a) = (b); (b) = __t; } while (0)
#define sizeof_field(type, member)	sizeof(((type *)0)->member)
#define offsetofend(type, member) \
	(offsetof(type, member) + sizeof_field(type, member))
#define container_of(ptr, type, member) \
	((type *)((char *)(ptr) - offsetof(type, member)))

#define BIT(n)			(1U << (n))
#define SZ_64K			0x10000
#define SZ_256K			0x40000
#define SZ_1M			0x100000
#define SZ_4M			0x400000
#define SZ_1G			0x40000000

#define READ_ONCE(x)		(*(volatile __typeof__(x) *)&(x))
#define WRITE_ONCE(x, v)	(*(volatile __typeof__(x) *)&(x) = (v))
#define smp_mb()		do { } while (0)
#define xchg(ptr, v) ({ __typeof__(*(ptr)) __old = *(ptr); *(ptr) = (v); __old; })

#define WARN_ON_ONCE(cond) ({						\
	if (cond)							\
		shim_die("WARN_ON_ONCE(%s)", #cond);			\
	false;								\
})

/* What the fuzzer has found: says so, and ends the process. */
__attribute__((noreturn, format(printf, 1, 2)))
void shim_die(const char *fmt, ...);

static inline bool test_bit(int n, const unsigned long *word)
{
	return *word >> n & 1;
}

static inline void set_bit(int n, unsigned long *word)
{
	*word |= 1UL << n;
}

static inline bool test_and_clear_bit(int n, unsigned long *word)
{
	bool was = test_bit(n, word);

	*word &= ~(1UL << n);
	return was;
}

struct list_head {
	struct list_head *next, *prev;
};

static inline void INIT_LIST_HEAD(struct list_head *list)
{
	list->next = list;
	list->prev = list;
}

static inline bool list_empty(const struct list_head *list)
{
	return list->next == list;
}

static inline void list_add_tail(struct list_head *node, struct list_head *list)
{
	node->prev = list->prev;
	node->next = list;
	list->prev->next = node;
	list->prev = node;
}

/* Whoever follows the links of what is in no list any more crashes. */
static inline void list_del(struct list_head *node)
{
	node->prev->next = node->next;
	node->next->prev = node->prev;
	node->next = NULL;
	node->prev = NULL;
}

#define LIST_HEAD(name)		struct list_head name = { &(name), &(name) }

static inline void list_splice_init(struct list_head *list, struct list_head *to)
{
	if (list_empty(list))
		return;
	list->next->prev = to;
	list->prev->next = to->next;
	to->next->prev = list->prev;
	to->next = list->next;
	INIT_LIST_HEAD(list);
}

#define list_first_entry(list, type, member) \
	container_of((list)->next, type, member)
#define list_for_each_entry_safe(pos, n, list, member)			\
	for (pos = list_first_entry(list, __typeof__(*pos), member),	\
	     n = list_first_entry(&pos->member, __typeof__(*pos), member); \
	     &pos->member != (list);					\
	     pos = n, n = list_first_entry(&n->member, __typeof__(*n), member))
#define list_first_entry_or_null(list, type, member) \
	(list_empty(list) ? NULL : container_of((list)->next, type, member))

struct kref {
	unsigned int count;
};

static inline void kref_init(struct kref *ref)
{
	ref->count = 1;
}

static inline void kref_get(struct kref *ref)
{
	if (!ref->count++)
		shim_die("a reference to what is gone");
}

static inline int kref_put(struct kref *ref, void (*release)(struct kref *ref))
{
	if (!ref->count)
		shim_die("one reference too many was dropped");
	if (--ref->count)
		return 0;
	release(ref);
	return 1;
}

/* printf() with %pV and %*pE, which the reasons of errors are made with. */
int shim_vsnprintf(char *to, size_t size, const char *fmt, va_list args);
int shim_snprintf(char *to, size_t size, const char *fmt, ...);
void shim_printk(const char *fmt, ...);
#define vsnprintf		shim_vsnprintf
#define snprintf		shim_snprintf
#define pr_warn_ratelimited	shim_printk

struct va_format {
	const char *fmt;
	va_list *va;
};

static inline ssize_t shim_strscpy(char *to, const char *from, size_t size)
{
	size_t n = strnlen(from, size - 1);

	memcpy(to, from, n);
	to[n] = 0;
	return n;
}

#define strscpy(to, from, size)	shim_strscpy((char *)(to), from, size)

static inline const void *memchr_inv(const void *from, int c, size_t n)
{
	const u8 *p = from;

	for (; n; n--, p++)
		if (*p != (u8)c)
			return p;
	return NULL;
}

#endif
