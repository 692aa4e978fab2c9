// SPDX-License-Identifier: GPL-2.0-only
#include <stdio.h>
#include <stdlib.h>

#include <libvfio/random.h>

u64 vfm_seed(void)
{
	static u64 seed;
	const char *env;

	if (seed)
		return seed;

	env = getenv("VFM_SEED");
	seed = env ? strtoull(env, NULL, 0) : 0;
	if (!seed)
		seed = 3141592653589793238ULL;
	printf("# VFM_SEED=%#llx\n", (unsigned long long)seed);
	return seed;
}

struct vfm_rng vfm_rng(u64 salt)
{
	struct vfm_rng rng = { .state = vfm_seed() + salt };

	return rng;
}

/* splitmix64: any state will do, so a seed needs no preparation. */
u64 vfm_random(struct vfm_rng *rng)
{
	u64 z = (rng->state += 0x9e3779b97f4a7c15ULL);

	z = (z ^ (z >> 30)) * 0xbf58476d1ce4e5b9ULL;
	z = (z ^ (z >> 27)) * 0x94d049bb133111ebULL;
	return z ^ (z >> 31);
}

size_t vfm_random_segment(struct vfm_rng *rng, size_t max)
{
	static const size_t scale[] = { 16, 200, 4096, 4097, 65536, 300000 };
	size_t limit = scale[vfm_random_below(rng, 6)];

	return 1 + vfm_random_below(rng, limit < max ? limit : max);
}
