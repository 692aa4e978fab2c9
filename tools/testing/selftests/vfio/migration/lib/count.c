// SPDX-License-Identifier: GPL-2.0-only
/* How much was tried, and how often to try. */
#include <libvfio/assert.h>
#include <libvfio/count.h>

void vfm_count(const char *key, u64 n)
{
	printf("# count %s %llu\n", key, (unsigned long long)n);
	fflush(stdout);
}

unsigned int vfm_rounds(unsigned int standard)
{
	const char *text = getenv("VFM_ROUNDS");
	unsigned long rounds;
	char *end;

	if (!text || !*text)
		return standard;
	rounds = strtoul(text, &end, 10);
	if (*end || !rounds || rounds > 1U << 30)
		VFIO_FAIL("VFM_ROUNDS='%s': a number above 0 is wanted", text);
	return rounds;
}
