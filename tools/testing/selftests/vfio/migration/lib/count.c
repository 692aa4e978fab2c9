// SPDX-License-Identifier: GPL-2.0-only
/* How much was tried, and how often to try. */
#include <libvfio/assert.h>
#include <libvfio/count.h>

#define FEWEST	4
/* From here on VFM_FEWER is a part of the points as well, and not of rounds alone. */
#define FEWER_POINTS	30
#define STRIDE		10

void vfm_count(const char *key, u64 n)
{
	printf("# count %s %llu\n", key, (unsigned long long)n);
	fflush(stdout);
}

static unsigned int number(const char *name)
{
	const char *text = getenv(name);
	unsigned long n;
	char *end;

	if (!text || !*text)
		return 0;
	n = strtoul(text, &end, 10);
	if (*end || !n || n > 1U << 30)
		VFIO_FAIL("%s='%s': a number above 0 is wanted", name, text);
	return n;
}

unsigned int vfm_rounds(unsigned int standard)
{
	unsigned int rounds = number("VFM_ROUNDS"), fewer = number("VFM_FEWER");

	if (rounds)
		return rounds;
	if (fewer > 1 && standard > FEWEST)
		standard = standard / fewer > FEWEST ? standard / fewer : FEWEST;
	return standard;
}

unsigned int vfm_stride(void)
{
	return !number("VFM_ROUNDS") && number("VFM_FEWER") >= FEWER_POINTS ? STRIDE : 1;
}
