// SPDX-License-Identifier: GPL-2.0-only
/*
 * The kernel's printf(), as far as the reasons of errors need it: each conversion is
 * the C library's, but %pV, a format and its arguments in a structure, and %*pE, a
 * string of that length with what is not printable as octal.
 */
#include <shim/base.h>

#undef snprintf
#undef vsnprintf

struct shim_text {
	char *to;
	size_t size;
	size_t length;		/* may be beyond @size */
	va_list args;
};

static void shim_char(struct shim_text *text, char c)
{
	if (text->length + 1 < text->size)
		text->to[text->length] = c;
	text->length++;
}

static void shim_string(struct shim_text *text, const char *from)
{
	while (*from)
		shim_char(text, *from++);
}

static void shim_escaped(struct shim_text *text, const u8 *from, int n)
{
	char octal[8];

	for (; n > 0; n--, from++) {
		if (*from >= ' ' && *from < 0x7f) {
			shim_char(text, *from);
			continue;
		}
		snprintf(octal, sizeof(octal), "\\%o", *from);
		shim_string(text, octal);
	}
}

static void shim_nested(struct shim_text *text, const struct va_format *inner)
{
	char out[256];
	va_list copy;

	va_copy(copy, *inner->va);
	shim_vsnprintf(out, sizeof(out), inner->fmt, copy);
	va_end(copy);
	shim_string(text, out);
}

/* @spec has one conversion of the C library. */
static void shim_plain(struct shim_text *text, const char *spec, char kind)
{
	bool wide = strstr(spec, "ll") || strchr(spec, 'z');
	char out[256] = "";

	if (kind == 's')
		snprintf(out, sizeof(out), spec, va_arg(text->args, char *));
	else if (kind == '%')
		snprintf(out, sizeof(out), "%%");
	else if (strchr("dux", kind) && wide)
		snprintf(out, sizeof(out), spec, va_arg(text->args, u64));
	else if (strchr("dux", kind))
		snprintf(out, sizeof(out), spec, va_arg(text->args, int));
	else
		shim_die("no conversion %s in the shim", spec);
	shim_string(text, out);
}

/* Return: what follows the conversion that begins at @fmt. */
static const char *shim_convert(struct shim_text *text, const char *fmt)
{
	size_t n = 1 + strspn(fmt + 1, "#.0123456789lz");
	char spec[32] = "";

	if (!strncmp(fmt, "%pV", 3)) {
		shim_nested(text, va_arg(text->args, struct va_format *));
		return fmt + 3;
	}
	if (!strncmp(fmt, "%*pE", 4)) {
		int len = va_arg(text->args, int);

		shim_escaped(text, va_arg(text->args, u8 *), len);
		return fmt + 4;
	}
	if (n + 2 > sizeof(spec))
		shim_die("a conversion of %zu characters", n);
	memcpy(spec, fmt, n + 1);
	shim_plain(text, spec, fmt[n]);
	return fmt + n + 1;
}

int shim_vsnprintf(char *to, size_t size, const char *fmt, va_list args)
{
	struct shim_text text = { .to = to, .size = size };

	va_copy(text.args, args);
	while (*fmt) {
		if (*fmt == '%')
			fmt = shim_convert(&text, fmt);
		else
			shim_char(&text, *fmt++);
	}
	va_end(text.args);
	if (size)
		to[min(text.length, size - 1)] = 0;
	return text.length;
}

int shim_snprintf(char *to, size_t size, const char *fmt, ...)
{
	va_list args;
	int n;

	va_start(args, fmt);
	n = shim_vsnprintf(to, size, fmt, args);
	va_end(args);
	return n;
}

/* The log: formatted, so that what is formatted is looked at, and dropped. */
void shim_printk(const char *fmt, ...)
{
	char line[512];
	va_list args;

	va_start(args, fmt);
	shim_vsnprintf(line, sizeof(line), fmt, args);
	va_end(args);
}
