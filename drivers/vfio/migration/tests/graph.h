/* SPDX-License-Identifier: GPL-2.0-only */
/* VFIO migration core, KUnit tests: the state machine, the naive way */
#ifndef _VFIO_MIGRATION_TESTS_GRAPH_H
#define _VFIO_MIGRATION_TESTS_GRAPH_H

#include <linux/types.h>

/**
 * struct migt_path - a way through the state machine
 * @nr: steps
 * @state: where it starts, and then what it enters, the last one being the target
 */
struct migt_path {
	unsigned int nr;
	u8 state[8];
};

bool migt_has_state(unsigned int flags, u32 state);
bool migt_has_arc(unsigned int flags, u32 from, u32 to);
bool migt_is_saving(u32 state);
unsigned int migt_find_path(unsigned int flags, u32 from, u32 to,
			    struct migt_path *path);
bool migt_opens(u32 from, u32 to);
bool migt_ends(u32 from, u32 to);
const char *migt_name(u32 state);

#endif /* _VFIO_MIGRATION_TESTS_GRAPH_H */
