/* SPDX-License-Identifier: GPL-2.0-only */
/*
 * Random sequences over everything that user space can ask of migsim devices.
 *
 * A sequence is the seed of the run, its number, and mutations: steps that are another
 * than the number says. Steps are drawn one by one, each from a generator of its own,
 * so a mutated sequence is the same but for that step.
 */
#ifndef SELFTESTS_VFIO_LIB_INCLUDE_LIBVFIO_FUZZ_H
#define SELFTESTS_VFIO_LIB_INCLUDE_LIBVFIO_FUZZ_H

#include <stdatomic.h>

#include <libvfio/kcov.h>
#include <libvfio/trial.h>

#define VFM_FUZZ_DEVICES	3
#define VFM_FUZZ_FDS		8
#define VFM_FUZZ_STEPS		80
#define VFM_FUZZ_MUTATIONS	6
#define VFM_FUZZ_TYPES		4

/* Of all devices, when a sequence begins. */
#define VFM_FUZZ_SIZE		(24 * 4096)

struct vfm_fuzz_input {
	u64 number;
	unsigned int nr;	/* mutations */
	struct {
		unsigned int step;
		u64 salt;
	} mutation[VFM_FUZZ_MUTATIONS];
};

/* What the steps of a sequence work on. */
struct vfm_fuzz {
	struct vfm_device *dev[VFM_FUZZ_DEVICES];
	unsigned int nr;
	int fd[VFM_FUZZ_FDS];		/* data and drain fds; -1 for none */
	int pipe[2];
	struct vfm_trial *trial;	/* good streams, and damaged ones */
	struct vfm_rng rng;		/* of this step */
	atomic_uint step;		/* so far, of all sequences */
};

/* One step. */
void vfm_fuzz_step(struct vfm_fuzz *fuzz);

static inline struct vfm_device *vfm_fuzz_device(struct vfm_fuzz *fuzz)
{
	return fuzz->dev[vfm_random_below(&fuzz->rng, fuzz->nr)];
}

static inline u64 vfm_fuzz_pick(struct vfm_fuzz *fuzz, const u64 *from, size_t nr)
{
	return from[vfm_random_below(&fuzz->rng, nr)];
}

/* True once in @n. */
static inline bool vfm_fuzz_seldom(struct vfm_fuzz *fuzz, unsigned int n)
{
	return !vfm_random_below(&fuzz->rng, n);
}

void vfm_fuzz_fill(struct vfm_fuzz *fuzz, void *data, size_t len);
/* Keeps an fd, instead of another. */
void vfm_fuzz_keep(struct vfm_fuzz *fuzz, int fd);
/* One of those kept, or -1. */
int vfm_fuzz_fd(struct vfm_fuzz *fuzz);

/* fuzz_data.c: steps on data fds; fuzz_device.c: on devices */
extern void (*const vfm_fuzz_data_steps[])(struct vfm_fuzz *fuzz);
extern const size_t vfm_fuzz_nr_data_steps;
extern void (*const vfm_fuzz_device_steps[])(struct vfm_fuzz *fuzz);
extern const size_t vfm_fuzz_nr_device_steps;
void vfm_fuzz_set_state(struct vfm_fuzz *fuzz);

/* The whole sequence; "number step:salt ..." is what it is called. */
void vfm_fuzz_run(struct vfm_fuzz *fuzz, const struct vfm_fuzz_input *input);
void vfm_fuzz_name(const struct vfm_fuzz_input *input, char *to, size_t size);
bool vfm_fuzz_parse(struct vfm_fuzz_input *input, const char *name);

/* Inputs that reached something new, for mutation. */
struct vfm_fuzz_corpus {
	struct vfm_fuzz_input input[256];
	unsigned int nr;
};

void vfm_fuzz_remember(struct vfm_fuzz_corpus *corpus,
		       const struct vfm_fuzz_input *input);
/* Number @number, or what is made of one in the corpus. */
void vfm_fuzz_next(struct vfm_fuzz_corpus *corpus, u64 number,
		   struct vfm_fuzz_input *input);

#endif
