// SPDX-License-Identifier: GPL-2.0-only
/*
 * checksum: xxhash64, which the stream has, against crc32c, which it could have
 *
 * In a kernel by the module vfio-mig-sums; natively here, in plain C and, for crc32c,
 * with the CPU's instruction in three independent streams, which is how the kernel
 * does it where it can.
 */
#include <cpuid.h>
#include <unistd.h>

#include "bench.h"

#define SUMS		"/sys/kernel/debug/vfio-mig-sums/"
#define NATIVE_SIZE	(32 * MIB)
#define SECTION		(64 * KIB)

static void kernel_sum(const char *path, struct sample *sample)
{
	unsigned long long bytes, ns;
	FILE *file;

	file = fopen(path, "re");
	VFIO_ASSERT_TRUE(file, "%s: %s", path, strerror(errno));
	sample_begin(sample);
	VFIO_ASSERT_EQ(fscanf(file, "%llu %llu", &bytes, &ns), 2);
	sample_end(sample, bytes);
	sample->ns = ns;
	fclose(file);
}

static void kernel_xxh64(void *context, struct sample *sample)
{
	kernel_sum(SUMS "xxh64", sample);
}

static void kernel_crc32c(void *context, struct sample *sample)
{
	kernel_sum(SUMS "crc32c", sample);
}

#define P1	0x9e3779b185ebca87ull
#define P2	0xc2b2ae3d27d4eb4full
#define P3	0x165667b19e3779f9ull
#define P4	0x85ebca77c2b2ae63ull
#define P5	0x27d4eb2f165667c5ull

static inline uint64_t rotate(uint64_t value, unsigned int by)
{
	return value << by | value >> (64 - by);
}

static inline uint64_t xxh_round(uint64_t acc, uint64_t input)
{
	return rotate(acc + input * P2, 31) * P1;
}

static uint64_t xxh_merge(uint64_t acc, uint64_t value)
{
	return (acc ^ xxh_round(0, value)) * P1 + P4;
}

/* For lengths that are a multiple of 32, seed 0. */
static uint64_t xxh64(const uint64_t *p, size_t len)
{
	uint64_t v[4] = { P1 + P2, P2, 0, -P1 }, h;
	const uint64_t *end = p + len / sizeof(*p);
	unsigned int i;

	for (; p < end; p += 4) {
		v[0] = xxh_round(v[0], p[0]);
		v[1] = xxh_round(v[1], p[1]);
		v[2] = xxh_round(v[2], p[2]);
		v[3] = xxh_round(v[3], p[3]);
	}
	h = rotate(v[0], 1) + rotate(v[1], 7) + rotate(v[2], 12) +
	    rotate(v[3], 18);
	for (i = 0; i < 4; i++)
		h = xxh_merge(h, v[i]);
	h += len;
	h = (h ^ h >> 33) * P2;
	h = (h ^ h >> 29) * P3;
	return h ^ h >> 32;
}

#define CRC32C_POLY	0x82f63b78u
/* Bytes of each of three streams. */
#define CRC_STREAM	1360ul

static uint32_t crc_table[8][256];
static uint32_t crc_shift[2][4][256];

static uint32_t crc_bits(uint32_t crc, unsigned int bits)
{
	while (bits--)
		crc = crc & 1 ? crc >> 1 ^ CRC32C_POLY : crc >> 1;
	return crc;
}

static void crc_init_shift(uint32_t table[4][256], size_t zeroes)
{
	unsigned int i, j;

	for (i = 0; i < 4; i++)
		for (j = 0; j < 256; j++)
			table[i][j] = crc_bits(j << 8 * i, 8 * zeroes);
}

static void crc_init(void)
{
	unsigned int i, j;

	for (i = 0; i < 256; i++)
		crc_table[0][i] = crc_bits(i, 8);
	for (j = 1; j < 8; j++)
		for (i = 0; i < 256; i++)
			crc_table[j][i] = crc_table[j - 1][i] >> 8 ^
				crc_table[0][crc_table[j - 1][i] & 0xff];
	crc_init_shift(crc_shift[0], CRC_STREAM);
	crc_init_shift(crc_shift[1], 2 * CRC_STREAM);
}

/* Slicing by eight. */
static uint32_t crc32c_plain(uint32_t crc, const uint64_t *p, size_t len)
{
	uint64_t word;

	for (; len; len -= 8) {
		word = *p++ ^ crc;
		crc = crc_table[7][word & 0xff] ^
		      crc_table[6][word >> 8 & 0xff] ^
		      crc_table[5][word >> 16 & 0xff] ^
		      crc_table[4][word >> 24 & 0xff] ^
		      crc_table[3][word >> 32 & 0xff] ^
		      crc_table[2][word >> 40 & 0xff] ^
		      crc_table[1][word >> 48 & 0xff] ^
		      crc_table[0][word >> 56];
	}
	return crc;
}

static uint32_t crc_shifted(uint32_t table[4][256], uint32_t crc)
{
	return table[0][crc & 0xff] ^ table[1][crc >> 8 & 0xff] ^
	       table[2][crc >> 16 & 0xff] ^ table[3][crc >> 24];
}

__attribute__((target("sse4.2")))
static uint32_t crc32c_cpu(uint32_t crc, const uint64_t *p, size_t len)
{
	const size_t words = CRC_STREAM / 8;
	uint64_t a = crc, b, c;
	size_t i;

	for (; len >= 3 * CRC_STREAM; len -= 3 * CRC_STREAM, p += 3 * words) {
		for (b = 0, c = 0, i = 0; i < words; i++) {
			a = __builtin_ia32_crc32di(a, p[i]);
			b = __builtin_ia32_crc32di(b, p[words + i]);
			c = __builtin_ia32_crc32di(c, p[2 * words + i]);
		}
		a = crc_shifted(crc_shift[1], a) ^
		    crc_shifted(crc_shift[0], b) ^ c;
	}
	for (; len; len -= 8)
		a = __builtin_ia32_crc32di(a, *p++);
	return a;
}

static bool have_crc_instruction(void)
{
	unsigned int a, b, c, d;

	return __get_cpuid(1, &a, &b, &c, &d) && c & bit_SSE4_2;
}

static uint64_t *native_buffer;
static volatile uint64_t native_result;

static void native_xxh64(void *context, struct sample *sample)
{
	size_t i;

	sample_begin(sample);
	for (i = 0; i < NATIVE_SIZE / 8; i += SECTION / 8)
		native_result += xxh64(native_buffer + i, SECTION);
	sample_end(sample, NATIVE_SIZE);
}

static void native_crc32c(void *context, struct sample *sample)
{
	uint32_t (*sum)(uint32_t crc, const uint64_t *p, size_t len) = context;
	size_t i;

	sample_begin(sample);
	for (i = 0; i < NATIVE_SIZE / 8; i += SECTION / 8)
		native_result += sum(~0u, native_buffer + i, SECTION);
	sample_end(sample, NATIVE_SIZE);
}

/* Known answers, and the two ways of crc32c against each other. */
static void native_check(void)
{
	static const uint64_t zeroes[4];

	VFIO_ASSERT_EQ(xxh64(zeroes, sizeof(zeroes)), 0xf6e9be5d70632cf5ull);
	VFIO_ASSERT_EQ(~crc32c_plain(~0u, zeroes, sizeof(zeroes)), 0x8a9136aau);
	if (have_crc_instruction())
		VFIO_ASSERT_EQ(crc32c_cpu(~0u, native_buffer, SECTION),
			       crc32c_plain(~0u, native_buffer, SECTION));
}

static const struct figure kernel_figure = {
	.key = "checksum",
	.ours = "xxhash64 in this kernel, sections of 64 KiB by pages",
	.other = "crc32c in this kernel, likewise, as it chooses to compute it",
	.not_for = "other kernels and CPUs: User Mode Linux computes crc32c by tables, and an emulated CPU has its own prices",
};

static const struct figure native_figure = {
	.key = "checksum_native",
	.ours = "xxhash64 in plain C, sections of 64 KiB, on the machine itself",
	.other = "crc32c with the CPU's instruction in three streams (by tables if it has none)",
	.not_for = "what the kernel reaches: its code is not this code",
};

void bench_checksum(void)
{
	struct outcome outcome;

	measure(&outcome, UNIT_GBPS, kernel_xxh64, kernel_crc32c, NULL);
	report(&kernel_figure, &outcome, NULL);
}

void bench_checksum_native(void)
{
	struct outcome outcome;
	size_t i;

	native_buffer = buffer_new(NATIVE_SIZE);
	for (i = 0; i < NATIVE_SIZE / 8; i++)
		native_buffer[i] = i * P1;
	crc_init();
	native_check();
	measure(&outcome, UNIT_GBPS, native_xxh64, native_crc32c,
		have_crc_instruction() ? crc32c_cpu : crc32c_plain);
	report(&native_figure, &outcome, NULL);
}
