// SPDX-License-Identifier: GPL-2.0-only
/*
 * The audit tool (A8): which arcs a driver has to implement for its capabilities,
 * and the path of every combination transition, as text or for Graphviz. Nothing
 * of it is taken from the kernel: lib/graph.c knows the arcs and the two rules,
 * and finds the paths by trying all of them. What a device answers to
 * VFIO_DEVICE_FEATURE_MIGX_PATH can be compared with that.
 */
#include <getopt.h>

#include <libvfio/ext.h>
#include <libvfio/graph.h>

#define NR_PAIRS	(VFM_NR_STATES * VFM_NR_STATES)

static const struct capability_set {
	const char *name;
	u32 flags;
} sets[] = {
	{ "full", VFIO_MIGRATION_STOP_COPY | VFIO_MIGRATION_P2P |
		  VFIO_MIGRATION_PRE_COPY },
	{ "snapshot", VFIO_MIGRATION_STOP_COPY | VFIO_MIGRATION_P2P },
	{ "precopy", VFIO_MIGRATION_STOP_COPY | VFIO_MIGRATION_PRE_COPY },
	{ "basic", VFIO_MIGRATION_STOP_COPY },
};

#define for_each_pair(_from, _to)					\
	for (_from = 0; _from < VFM_NR_STATES; _from++)			\
		for (_to = 0; _to < VFM_NR_STATES; _to++)

/* The state is the start of an arc if the device has it at all. */
static bool has_state(u32 flags, u32 state)
{
	u32 to;

	for (to = 0; to < VFM_NR_STATES; to++)
		if (vfm_arc_exists(flags, state, to))
			return true;
	return false;
}

static const char *capabilities(u32 flags)
{
	static char text[128];

	snprintf_assert(text, sizeof(text), "STOP_COPY%s%s%s",
			flags & VFIO_MIGRATION_P2P ? ", P2P" : "",
			flags & VFIO_MIGRATION_PRE_COPY ? ", PRE_COPY" : "",
			flags & VFM_COPY_BACK ? ", COPY_BACK" : "");
	return text;
}

/* Every line begins alike; what follows is the caller's. */
static void print_pair(u32 from, u32 to, int width)
{
	char text[64];

	snprintf_assert(text, sizeof(text), "%s -> %s", vfm_state_name(from),
			vfm_state_name(to));
	printf("  %-*s", width, text);
}

static void end_line(u32 flags, u32 from, u32 to)
{
	if (!vfm_find_path(flags & ~VFM_COPY_BACK, from, to).arcs)
		printf("  (if COPY_BACK was asked for)");
	printf("\n");
}

static void print_arcs(u32 flags)
{
	u32 from, to;

	printf("Arcs that the driver implements, and whether they open or end a\n"
	       "data session:\n\n");
	vfm_for_each_arc(flags, from, to) {
		print_pair(from, to, 30);
		printf("%s", vfm_arc_opens(from, to) ? "opens" :
			     vfm_arc_ends(from, to) ? "ends" : "-");
		end_line(flags, from, to);
	}
}

static void print_paths(u32 flags)
{
	u32 from, to;
	unsigned int i;

	printf("\nCombination transitions, and the states that the core enters:\n\n");
	for_each_pair(from, to) {
		struct vfm_path path;

		if (from == to)
			continue;
		path = vfm_find_path(flags, from, to);
		if (path.arcs < 2)
			continue;
		print_pair(from, to, 30);
		for (i = 1; i <= path.arcs; i++)
			printf("%s%s", i > 1 ? ", " : "",
			       vfm_state_name(path.state[i]));
		end_line(flags, from, to);
	}
}

static bool is_blocked(u32 flags, u32 from, u32 to)
{
	return from != to && has_state(flags, from) && has_state(flags, to) &&
	       !vfm_find_path(flags, from, to).arcs;
}

static void print_blocked(u32 flags)
{
	unsigned int n = 0;
	u32 from, to;

	for_each_pair(from, to) {
		if (!is_blocked(flags, from, to))
			continue;
		if (!n++)
			printf("\nNo way, as with anything from and to ERROR:\n\n");
		print_pair(from, to, 0);
		printf("\n");
	}
}

static void print_text(const struct capability_set *set)
{
	printf("\nDevice with %s (\"%s\")\n\n", capabilities(set->flags),
	       set->name);
	print_arcs(set->flags);
	print_paths(set->flags);
	print_blocked(set->flags);
}

static void dot_node(const char *prefix, u32 state)
{
	printf("\t\t%s_%s [label=\"%s\"];\n", prefix, vfm_state_name(state),
	       vfm_state_name(state));
}

static void dot_edge(const char *prefix, u32 flags, u32 from, u32 to)
{
	const char *style = "";

	if (!vfm_arc_exists(flags & ~VFM_COPY_BACK, from, to))
		style = " [style=dashed]";
	else if (vfm_arc_opens(from, to))
		style = " [style=bold]";
	printf("\t\t%s_%s -> %s_%s%s;\n", prefix, vfm_state_name(from), prefix,
	       vfm_state_name(to), style);
}

static void dot_begin(const char *prefix, const char *label, u32 flags)
{
	u32 state;

	printf("\n\tsubgraph cluster_%s {\n\t\tlabel=\"%s\";\n", prefix, label);
	for (state = 0; state < VFM_NR_STATES; state++)
		if (has_state(flags, state))
			dot_node(prefix, state);
}

/* All paths to one state: as they share their ends, they are a tree. */
static void dot_paths(u32 flags, u32 to)
{
	bool drawn[NR_PAIRS] = { false };
	char prefix[32], label[64];
	unsigned int i;
	u32 from;

	snprintf_assert(prefix, sizeof(prefix), "to_%s", vfm_state_name(to));
	snprintf_assert(label, sizeof(label), "to %s", vfm_state_name(to));
	dot_begin(prefix, label, flags);
	for (from = 0; from < VFM_NR_STATES; from++) {
		struct vfm_path path;

		if (from == to)
			continue;
		path = vfm_find_path(flags, from, to);
		for (i = 0; i < path.arcs; i++) {
			u32 a = path.state[i], b = path.state[i + 1];

			if (!drawn[a * VFM_NR_STATES + b])
				dot_edge(prefix, flags, a, b);
			drawn[a * VFM_NR_STATES + b] = true;
		}
	}
	printf("\t}\n");
}

static void print_dot(const struct capability_set *set)
{
	u32 from, to;

	printf("digraph vfio_migration_%s {\n"
	       "\tlabel=\"VFIO migration with %s. Bold: returns a data fd%s.\";\n"
	       "\tnode [shape=box];\n",
	       set->name, capabilities(set->flags),
	       set->flags & VFM_COPY_BACK ? ", dashed: COPY_BACK" : "");
	dot_begin("arc", "arcs of a driver", set->flags);
	vfm_for_each_arc(set->flags, from, to)
		dot_edge("arc", set->flags, from, to);
	printf("\t}\n");
	for (to = 0; to < VFM_NR_STATES; to++)
		if (has_state(set->flags, to))
			dot_paths(set->flags, to);
	printf("}\n");
}

static struct vfio_device_feature_migx_path expected(u32 flags, u32 from, u32 to)
{
	struct vfio_device_feature_migx_path want = { .from = from, .to = to };
	struct vfm_path path;
	unsigned int i;

	if (!has_state(flags, from) || !has_state(flags, to))
		return want;
	if (from == to) {
		want.flags = VFIO_MIGX_PATH_SUPPORTED;
		return want;
	}
	path = vfm_find_path(flags, from, to);
	if (!path.arcs)
		return want;
	want.flags = VFIO_MIGX_PATH_SUPPORTED;
	want.nr_steps = path.arcs;
	memcpy(want.steps, path.state + 1, path.arcs * sizeof(*want.steps));
	if (vfm_arc_opens(path.state[path.arcs - 1], to))
		want.flags |= VFIO_MIGX_PATH_DATA_FD;
	for (i = 0; i < path.arcs; i++)
		if (vfm_arc_ends(path.state[i], path.state[i + 1]))
			want.flags |= VFIO_MIGX_PATH_ENDS;
	return want;
}

static void print_answer(const char *who,
			 const struct vfio_device_feature_migx_path *path)
{
	u32 i;

	printf("    %-8s flags %#x, %u steps:", who, path->flags,
	       path->nr_steps);
	for (i = 0; i < path->nr_steps && i < ARRAY_SIZE(path->steps); i++)
		printf(" %s", vfm_state_name(path->steps[i]));
	printf("\n");
}

static bool differs(struct vfm_device *dev, u32 flags, u32 from, u32 to)
{
	struct vfio_device_feature_migx_path want, got;
	int ret;

	want = expected(flags, from, to);
	ret = __vfm_query_path(dev, from, to, &got);
	VFIO_ASSERT_EQ(ret, 0, "MIGX_PATH: %s", strerror(-ret));
	if (!memcmp(&want, &got, sizeof(want)))
		return false;
	print_pair(from, to, 0);
	printf("\n");
	print_answer("rules", &want);
	print_answer("device", &got);
	return true;
}

/* All pairs, and numbers that are no states. */
static unsigned int compare(struct vfm_device *dev, u32 flags)
{
	static const u32 numbers[] = { 0, 1, 2, 3, 4, 5, 6, 7, 8, 31, 32, ~0U };
	unsigned int i, j, n = 0;

	for (i = 0; i < ARRAY_SIZE(numbers); i++)
		for (j = 0; j < ARRAY_SIZE(numbers); j++)
			n += differs(dev, flags, numbers[i], numbers[j]);
	printf("Of %u pairs %u differ.\n", i * i, n);
	return n;
}

/* @set: what the device is taken for, NULL for what it says it is. */
static int audit(const char *uuid, const struct capability_set *set, u32 more)
{
	struct vfm_device dev = { .fd = -1, .group = -1, .container = -1 };
	unsigned int n;
	u32 flags;
	int ret;

	snprintf_assert(dev.uuid, sizeof(dev.uuid), "%s", uuid);
	vfm_open(&dev);
	flags = (set ? set->flags : dev.flags) | more;
	if (more) {
		ret = __vfm_allow_copy_back(&dev);
		VFIO_ASSERT_EQ(ret, 0, "COPY_BACK: %s", strerror(-ret));
	}
	printf("%s, as a device with %s:\n", uuid, capabilities(flags));
	n = compare(&dev, flags);
	vfm_close(&dev);
	return n ? KSFT_FAIL : KSFT_PASS;
}

static int print_all(const struct capability_set *only, u32 more, bool dot)
{
	size_t i;

	printf("%s " "SPDX-License-Identifier: GPL-2.0-only\n", dot ? "//" : "#");
	for (i = 0; i < ARRAY_SIZE(sets); i++) {
		struct capability_set set = sets[i];

		if (only && only != &sets[i])
			continue;
		/* Without PRE_COPY there is nothing to go back to. */
		if (set.flags & VFIO_MIGRATION_PRE_COPY)
			set.flags |= more;
		if (dot)
			print_dot(&set);
		else
			print_text(&set);
	}
	return KSFT_PASS;
}

static const struct capability_set *find_set(const char *name)
{
	size_t i;

	for (i = 0; i < ARRAY_SIZE(sets); i++)
		if (!strcmp(name, sets[i].name))
			return &sets[i];
	return NULL;
}

static int usage(void)
{
	fprintf(stderr,
		"usage: fsm_graph [-b] [-d] [-s SET] [UUID]\n\n"
		"  -b, --copy-back  with the arcs of the extension COPY_BACK\n"
		"  -d, --dot        for Graphviz, instead of text\n"
		"  -s, --set SET    only full, snapshot, precopy or basic\n"
		"  UUID             compare with the answers of this mdev\n");
	return 2;
}

int main(int argc, char **argv)
{
	static const struct option options[] = {
		{ "copy-back", no_argument, NULL, 'b' },
		{ "dot", no_argument, NULL, 'd' },
		{ "set", required_argument, NULL, 's' },
		{ }
	};
	const struct capability_set *set = NULL;
	bool dot = false;
	u32 more = 0;
	int opt;

	while ((opt = getopt_long(argc, argv, "bds:", options, NULL)) != -1) {
		if (opt == 'b')
			more = VFM_COPY_BACK;
		else if (opt == 'd')
			dot = true;
		else if (opt != 's' || !(set = find_set(optarg)))
			return usage();
	}
	if (optind < argc - 1 || (optind < argc && dot))
		return usage();
	if (optind < argc)
		return audit(argv[optind], set, more);
	return print_all(set, more, dot);
}
