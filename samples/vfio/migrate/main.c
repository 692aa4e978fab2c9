// SPDX-License-Identifier: GPL-2.0-only
/* The command line. */
#include <argp.h>
#include <errno.h>
#include <stdlib.h>
#include <string.h>
#include <unistd.h>

#include "migrate.h"

#define MIN_CHUNK	512
#define NAMES		"a device is an mdev uuid, a PCI address, a path in /dev/vfio/devices or /sys, or fd:N"
#define MAX_CHUNK	(64ull << 20)

const char *argp_program_version = "vfio-migrate " VFIO_MIGRATE_VERSION;

enum {
	KEY_RUN = 0x100,
	KEY_SERIAL,
	KEY_KEEP_SOURCE,
	KEY_SKIP_P2P,
	KEY_THRESHOLD,
	KEY_MAX_ROUNDS,
	KEY_CHUNK,
	KEY_ENGINE,
	KEY_TIMEOUT,
	KEY_JSON,
	KEY_PROBE,
	KEY_RESET,
};

enum command {
	CMD_LOCAL,
	CMD_LIST,
	CMD_STATE,
	CMD_RECOVER,
	CMD_DECODE,
	CMD_NR,
};

static const char * const commands[CMD_NR] = {
	[CMD_LOCAL] = "local",
	[CMD_LIST] = "list",
	[CMD_STATE] = "state",
	[CMD_RECOVER] = "recover",
	[CMD_DECODE] = "decode",
};

struct command_line {
	struct options opt;
	enum command command;
	char **args;		/* SRC=DST..., DEVICE... or FILE */
	unsigned int nr;
	uint64_t seen;		/* options, as they stand in the table */
};

static const char doc[] =
	"Moves the state of VFIO devices to other devices, many at once.\v"
	"A device is an mdev's uuid, a PCI address, the path of a VFIO character "
	"device, a path in /sys as QEMU's sysfsdev has it, or fd:N, a VFIO device fd that this program was started with: the "
	"only way to move a device that something else holds open.\n"
	"\n"
	"Sources go back to where they were if anything fails, or on SIGINT or SIGTERM, "
	"until every destination has confirmed that it holds its source's state. "
	"From then on they never run again: they are reset and closed, and one "
	"that came as fd:N is left in STOP. A destination that is not run ends "
	"in STOP.\n"
	"\n"
	"What takes longer than two seconds is named, with the devices, and again "
	"when twice the time has passed. --timeout limits each SET_STATE and reset, "
	"and, while data are moved, the time in which a device gives or takes no "
	"byte. Before the commit all goes back when it has passed. After it, the "
	"step is left to itself, the other devices go on, the messages say what "
	"hangs, and the sources that are not reset yet stay stopped. The way back "
	"has no limit: what it waits for is the only copy of a device's state. A "
	"destination that does not end its SET_STATE is reset, a source is not. A "
	"second SIGINT or SIGTERM, half a second or more after the first, ends all "
	"waiting, on the way back and after the commit too: the messages say where "
	"each device was last and what was under way.\n"
	"\n"
	"--serial does what QEMU does without multifd, to compare with. Each step "
	"is done for one device after another, with blocking calls: all sources "
	"to PRE_COPY, all destinations to RESUMING; then in turn one read from "
	"each source, until all are under the threshold; then all sources to P2P; "
	"then for each source STOP_COPY and reading to the end; then each "
	"destination from RESUMING to its running side. (QEMU brings devices with "
	"PRE_COPY to STOP_COPY before it reads the first; here each is as one "
	"without PRE_COPY, whose STOP_COPY comes just before its reads.)\n"
	"\n"
	"A round of pre-copy reads as many bytes as the device said it had when "
	"the round began, or until it has none for now. No device makes more than "
	"--max-rounds, and then is not read until all are stopped, however long "
	"others take: it gives at most what it announced for each of its rounds, "
	"and one --chunk more. It makes the last of its rounds when no other "
	"device has more than its own last to make.\n"
	"\n"
	"state tells where devices are. recover brings those that a killed run has "
	"left behind back to RUNNING, with all that they have. What that would be "
	"lost of is refused, unless --reset is given: a destination in RESUMING, and "
	"a device in ERROR. If a destination is not in RESUMING any more it may have "
	"all of it, and its source must not run again: recover one of the two.\n"
	"\n"
	"decode reads a stream that was saved from a device on the VFIO migration "
	"core, from FILE or with - from stdin, prints its header and sections, and "
	"checks all that a destination checks before it asks its device. It names "
	"the errno that a destination would give, and goes on while it can tell "
	"where the next section begins. What depends on the device (its type, "
	"size and version, and what is in the sections) is not judged.\n"
	"\n"
	"Downtime is from the first P2P request (STOP_COPY without P2P) to the "
	"last destination that runs, or without --run to the last one's "
	"confirmation. What is expected is what MIG_DATA_SIZE and the pre-copy's "
	"rest say at the rate of each pair's own pre-copy, and for each SET_STATE "
	"the longest one that the device has had; 'alone' is what a pair would "
	"need without the others. It is unknown without a pre-copy.\n"
	"\n"
	"Exit status of local: 0 the destinations hold the state; 1 they do not, the "
	"sources are back in the state they were found in; 2 bad command line; 3 the "
	"destinations hold the state, but a later step failed, be it that the "
	"output could not be written; 4 state is lost, or a device is not where it "
	"should be or cannot be asked: the last line of the messages says which, and "
	"where the state is. recover: 0 all run with what they had; 1 some do not "
	"run; 4 all run, but what was reset has lost what it had. list, state: 0 or "
	"1. decode: 0 the stream is complete "
	"and right; 1 it is not.";

/* Options stand in groups, and a group is for these commands. */
enum {
	GROUP_LOCAL = 1,
	GROUP_LIST,
	GROUP_RECOVER,
	GROUP_QUIET,
	GROUP_ALL,
};

static const unsigned int group_commands[] = {
	[GROUP_LOCAL] = 1 << CMD_LOCAL,
	[GROUP_LIST] = 1 << CMD_LIST,
	[GROUP_RECOVER] = 1 << CMD_RECOVER,
	[GROUP_QUIET] = 1 << CMD_LOCAL | 1 << CMD_DECODE,
	[GROUP_ALL] = (1 << CMD_NR) - 1,
};

static const struct argp_option options[] = {
	{ 0, 0, 0, 0, "local:", GROUP_LOCAL },
	{ "run", KEY_RUN, 0, 0, "Start the destinations at the end", 0 },
	{ "serial", KEY_SERIAL, 0, 0, "One device after another, see below", 0 },
	{ "keep-source", KEY_KEEP_SOURCE, 0, 0,
	  "Leave the sources stopped instead of resetting them", 0 },
	{ "skip-p2p", KEY_SKIP_P2P, "down|up", 0,
	  "Leave out the P2P phase of the sources or of the destinations, to see what peers lose by it; for tests", 0 },
	{ "threshold", KEY_THRESHOLD, "BYTES", 0,
	  "Stop a device when no more than this is left of it (1M)", 0 },
	{ "max-rounds", KEY_MAX_ROUNDS, "N", 0,
	  "or after so many rounds of pre-copy, see below (10)", 0 },
	{ "chunk", KEY_CHUNK, "BYTES", 0,
	  "Size of one read, two buffers a device (1M)", 0 },
	{ "timeout", KEY_TIMEOUT, "SECONDS", 0,
	  "Give up a step that takes longer, see below (no limit)", 0 },
	{ "engine", KEY_ENGINE, "io_uring|poll", 0,
	  "How data are moved; by default io_uring, or poll where that cannot be had", 0 },
	{ "verbose", 'v', 0, 0,
	  "Progress lines even if stderr is no terminal", 0 },
	{ 0, 0, 0, 0, "list:", GROUP_LIST },
	{ "probe", KEY_PROBE, 0, 0,
	  "Open the devices that nothing else holds, for state and capabilities; this starts them for a moment", 0 },
	{ 0, 0, 0, 0, "recover:", GROUP_RECOVER },
	{ "reset", KEY_RESET, 0, 0,
	  "Reset what cannot go back: it loses what it has", 0 },
	{ 0, 0, 0, 0, "local, decode:", GROUP_QUIET },
	{ "quiet", 'q', 0, 0, "No table and no progress", 0 },
	{ 0, 0, 0, 0, "All:", GROUP_ALL },
	{ "json", KEY_JSON, "FILE", 0, "Write a report, - for stdout", 0 },
	{ 0 }
};

static uint64_t size_arg(struct argp_state *state, const char *name,
			 const char *text, uint64_t min, uint64_t max)
{
	uint64_t v = 0;

	if (parse_size(text, &v))
		argp_error(state, "--%s: '%s' is not a size (such as 4096, 64K, 1M)",
			   name, text);
	if (v < min || v > max)
		argp_error(state, "--%s: %s is out of range", name, text);
	return v;
}

static unsigned int rounds_arg(struct argp_state *state, const char *text)
{
	char *end;
	unsigned long v = strtoul(text, &end, 10);

	if (*text < '0' || *text > '9' || *end || !v || v > 1000000)
		argp_error(state, "--max-rounds: '%s' is not a number from 1 to 1000000",
			   text);
	return v;
}

static void skip_arg(struct argp_state *state, struct options *opt,
		     const char *text)
{
	if (!strcmp(text, "down"))
		opt->skip_p2p_down = true;
	else if (!strcmp(text, "up"))
		opt->skip_p2p_up = true;
	else
		argp_error(state, "--skip-p2p: '%s' is neither down nor up", text);
}

static uint64_t timeout_arg(struct argp_state *state, const char *text)
{
	char *end;
	double v = strtod(text, &end);

	if (*text < '0' || *text > '9' || *end || v < 0.001 || v > 1e6)
		argp_error(state, "--timeout: '%s' is not a number of seconds from 0.001 to 1000000",
			   text);
	return v * NSEC_PER_SEC;
}

static void engine_arg(struct argp_state *state, struct options *opt,
		       const char *text)
{
	if (!strcmp(text, "io_uring"))
		opt->engine = ENGINE_RING;
	else if (!strcmp(text, "poll"))
		opt->engine = ENGINE_POLL;
	else
		argp_error(state, "--engine: '%s' is neither io_uring nor poll",
			   text);
}

static void add_device(struct argp_state *state, struct command_line *cl,
		       char *name)
{
	if (!name_is_valid(name))
		argp_error(state, "'%s': " NAMES, name);
	cl->args[cl->nr++] = name;
}

static void add_pair(struct argp_state *state, struct command_line *cl,
		     char *spec)
{
	char *eq = strchr(spec, '=');
	bool good;

	if (!eq)
		argp_error(state, "'%s' is not SRC=DST", spec);
	*eq = '\0';
	good = name_is_valid(spec) && name_is_valid(eq + 1);
	*eq = '=';
	if (!good)
		argp_error(state, "'%s': " NAMES, spec);
	cl->args[cl->nr++] = spec;
}

static void add_arg(struct argp_state *state, struct command_line *cl,
		    char *arg)
{
	unsigned int i;

	if (!state->arg_num) {
		for (i = 0; i < CMD_NR && strcmp(arg, commands[i]); i++)
			;
		if (i == CMD_NR)
			argp_error(state, "unknown command '%s'", arg);
		cl->command = i;
	} else if (cl->command == CMD_LIST) {
		argp_error(state, "list takes no arguments");
	} else if (cl->command == CMD_LOCAL) {
		add_pair(state, cl, arg);
	} else if (cl->command != CMD_DECODE) {
		add_device(state, cl, arg);
	} else {
		cl->args[cl->nr++] = arg;
	}
}

/* The command may come after its options. */
static void note_option(struct command_line *cl, int key)
{
	unsigned int i;

	for (i = 0; i < ARRAY_SIZE(options) - 1; i++) {
		if (options[i].key && options[i].key == key)
			cl->seen |= 1ull << i;
	}
}

static void check_options(struct argp_state *state,
			  const struct command_line *cl)
{
	unsigned int i, group = 0;

	for (i = 0; i < ARRAY_SIZE(options) - 1; i++) {
		if (options[i].group)
			group = options[i].group;
		if (cl->seen & 1ull << i &&
		    !(group_commands[group] & 1 << cl->command))
			argp_error(state, "--%s is not for %s",
				   options[i].name, commands[cl->command]);
	}
}

static void check_end(struct argp_state *state, struct command_line *cl)
{
	struct options *opt = &cl->opt;

	if (cl->command == CMD_LOCAL && !cl->nr)
		argp_error(state, "local needs at least one SRC=DST");
	if ((cl->command == CMD_STATE || cl->command == CMD_RECOVER) && !cl->nr)
		argp_error(state, "%s needs at least one DEVICE",
			   commands[cl->command]);
	if (cl->command == CMD_DECODE && cl->nr != 1)
		argp_error(state, "decode needs one FILE, - for stdin");
	check_options(state, cl);
	if (opt->quiet)
		opt->progress = false;
}

static error_t parse_opt(int key, char *arg, struct argp_state *state)
{
	struct command_line *cl = state->input;
	struct options *opt = &cl->opt;

	note_option(cl, key);
	switch (key) {
	case KEY_RUN:
		opt->run = true;
		return 0;
	case KEY_SERIAL:
		opt->serial = true;
		return 0;
	case KEY_KEEP_SOURCE:
		opt->keep_source = true;
		return 0;
	case KEY_SKIP_P2P:
		skip_arg(state, opt, arg);
		return 0;
	case KEY_THRESHOLD:
		opt->threshold = size_arg(state, "threshold", arg, 0, INT64_MAX);
		return 0;
	case KEY_MAX_ROUNDS:
		opt->max_rounds = rounds_arg(state, arg);
		return 0;
	case KEY_CHUNK:
		opt->chunk = size_arg(state, "chunk", arg, MIN_CHUNK, MAX_CHUNK);
		return 0;
	case KEY_TIMEOUT:
		opt->timeout_ns = timeout_arg(state, arg);
		return 0;
	case KEY_ENGINE:
		engine_arg(state, opt, arg);
		return 0;
	case KEY_JSON:
		opt->json = arg;
		return 0;
	case KEY_PROBE:
		opt->probe = true;
		return 0;
	case KEY_RESET:
		opt->reset = true;
		return 0;
	case 'q':
		opt->quiet = true;
		return 0;
	case 'v':
		opt->progress = true;
		return 0;
	case ARGP_KEY_ARG:
		add_arg(state, cl, arg);
		return 0;
	case ARGP_KEY_NO_ARGS:
		argp_error(state, "what to do? local, list, state, recover or decode");
		return EINVAL;
	case ARGP_KEY_SUCCESS:
		check_end(state, cl);
		return 0;
	default:
		return ARGP_ERR_UNKNOWN;
	}
}

static int run(const struct command_line *cl)
{
	switch (cl->command) {
	case CMD_LIST:
		return list_run(&cl->opt);
	case CMD_STATE:
		return state_run(&cl->opt, cl->args, cl->nr);
	case CMD_RECOVER:
		return recover_run(&cl->opt, cl->args, cl->nr);
	case CMD_DECODE:
		return decode_run(&cl->opt, cl->args[0]);
	default:
		return local_run(&cl->opt, cl->args, cl->nr);
	}
}

int main(int argc, char **argv)
{
	static const struct argp argp = {
		.options = options,
		.parser = parse_opt,
		.args_doc = "local SRC=DST...\nlist\nstate DEVICE...\nrecover DEVICE...\ndecode FILE",
		.doc = doc,
	};
	struct command_line cl = {
		.opt = {
			.threshold = 1 << 20,
			.chunk = 1 << 20,
			.max_rounds = 10,
			.progress = isatty(STDERR_FILENO),
		},
	};
	int status;

	stdio_secure();
	json_begin();
	argp_err_exit_status = EXIT_BAD_USAGE;
	cl.args = xcalloc(argc, sizeof(*cl.args));
	argp_parse(&argp, argc, argv, 0, NULL, &cl);
	status = run(&cl);
	free(cl.args);
	return status;
}
