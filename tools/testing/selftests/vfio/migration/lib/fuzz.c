// SPDX-License-Identifier: GPL-2.0-only
/* Sequences: which steps, in which order, and what is kept of them. */
#include <fcntl.h>
#include <unistd.h>

#include <libvfio/fuzz.h>
#include <libvfio/migsim.h>

void vfm_fuzz_fill(struct vfm_fuzz *fuzz, void *data, size_t len)
{
	u8 *p = data;

	while (len--)
		*p++ = vfm_random(&fuzz->rng);
}

void vfm_fuzz_keep(struct vfm_fuzz *fuzz, int fd)
{
	int *slot = &fuzz->fd[vfm_random_below(&fuzz->rng, VFM_FUZZ_FDS)];

	if (*slot >= 0)
		close(*slot);
	*slot = fd;
	/* Nothing waits but what has to. */
	fcntl(fd, F_SETFL, fcntl(fd, F_GETFL) | O_NONBLOCK);
}

int vfm_fuzz_fd(struct vfm_fuzz *fuzz)
{
	unsigned int i = vfm_random_below(&fuzz->rng, VFM_FUZZ_FDS), n;

	for (n = 0; n < VFM_FUZZ_FDS; n++)
		if (fuzz->fd[(i + n) % VFM_FUZZ_FDS] >= 0)
			return fuzz->fd[(i + n) % VFM_FUZZ_FDS];
	return -1;
}

/* Sessions are where things happen, so most steps begin or use one. */
void vfm_fuzz_step(struct vfm_fuzz *fuzz)
{
	switch (vfm_random_below(&fuzz->rng, 8)) {
	case 0 ... 1:
		vfm_fuzz_set_state(fuzz);
		break;
	case 2 ... 5:
		vfm_fuzz_data_steps[vfm_random_below(&fuzz->rng,
						     vfm_fuzz_nr_data_steps)](fuzz);
		break;
	default:
		vfm_fuzz_device_steps[vfm_random_below(&fuzz->rng,
						       vfm_fuzz_nr_device_steps)](fuzz);
		break;
	}
	atomic_fetch_add(&fuzz->step, 1);
}

static u64 vfm_fuzz_salt(const struct vfm_fuzz_input *input, unsigned int step)
{
	unsigned int i;

	for (i = 0; i < input->nr; i++)
		if (input->mutation[i].step == step)
			return input->mutation[i].salt;
	return (input->number << 16) + step;
}

void vfm_fuzz_run(struct vfm_fuzz *fuzz, const struct vfm_fuzz_input *input)
{
	unsigned int i;

	for (i = 0; i < VFM_FUZZ_STEPS; i++) {
		fuzz->rng = vfm_rng(vfm_fuzz_salt(input, i) << 8);
		vfm_random(&fuzz->rng);
		vfm_fuzz_step(fuzz);
	}
}

void vfm_fuzz_name(const struct vfm_fuzz_input *input, char *to, size_t size)
{
	size_t at = snprintf(to, size, "%llu", (unsigned long long)input->number);
	unsigned int i;

	for (i = 0; i < input->nr && at < size; i++)
		at += snprintf(to + at, size - at, " %u:%#llx",
			       input->mutation[i].step,
			       (unsigned long long)input->mutation[i].salt);
}

bool vfm_fuzz_parse(struct vfm_fuzz_input *input, const char *name)
{
	char *end;

	*input = (struct vfm_fuzz_input) { .number = strtoull(name, &end, 0) };
	if (end == name)
		return false;
	while (*end == ' ' && input->nr < VFM_FUZZ_MUTATIONS) {
		input->mutation[input->nr].step = strtoul(end, &end, 0);
		if (*end++ != ':')
			return false;
		input->mutation[input->nr++].salt = strtoull(end, &end, 0);
	}
	return !*end;
}

void vfm_fuzz_remember(struct vfm_fuzz_corpus *corpus,
		       const struct vfm_fuzz_input *input)
{
	corpus->input[corpus->nr++ % ARRAY_SIZE(corpus->input)] = *input;
}

void vfm_fuzz_next(struct vfm_fuzz_corpus *corpus, u64 number,
		   struct vfm_fuzz_input *input)
{
	struct vfm_rng rng = vfm_rng(~number);
	unsigned int known = corpus->nr, i;

	*input = (struct vfm_fuzz_input) { .number = number };
	if (known > ARRAY_SIZE(corpus->input))
		known = ARRAY_SIZE(corpus->input);
	if (!known || !vfm_random_below(&rng, 4))
		return;
	*input = corpus->input[vfm_random_below(&rng, known)];
	i = vfm_random_below(&rng, VFM_FUZZ_MUTATIONS);
	if (i >= input->nr)
		i = input->nr++;
	input->mutation[i].step = vfm_random_below(&rng, VFM_FUZZ_STEPS);
	input->mutation[i].salt = vfm_random(&rng) >> 16;
}
