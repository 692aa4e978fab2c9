// SPDX-License-Identifier: GPL-2.0-only
/*
 * vfio-migrate state and recover: where devices are, and how those get to run
 * again that a killed run has left behind. Nothing that a device holds is lost
 * unless --reset was said: a source that is saving, or stopped, has all of it and
 * goes back. What was given to a destination in RESUMING may not be all, and what
 * is in ERROR has nothing.
 */
#include <errno.h>
#include <stdio.h>
#include <stdlib.h>
#include <string.h>

#include <json-c/json.h>

#include "migrate.h"

enum action {
	ACT_NONE,		/* it runs already */
	ACT_BACK,		/* by transitions, with all that it has */
	ACT_RESET,
	ACT_REFUSED,		/* only a reset helps, and was not asked for */
	ACT_FAILED,
};

struct subject {
	struct device dev;
	struct failure fail;
	bool known;		/* it was opened and asked */
	enum action action;
};

static const char * const action_names[] = {
	[ACT_NONE] = "none",
	[ACT_BACK] = "back",
	[ACT_RESET] = "reset",
	[ACT_REFUSED] = "refused",
	[ACT_FAILED] = "failed",
};

static void find_all(struct subject *s, char **names, unsigned int nr)
{
	unsigned int i;

	for (i = 0; i < nr; i++) {
		struct device *dev = &s[i].dev;

		dev->name = names[i];
		dev->fd = -1;
		dev->data_fd = -1;
		dev->state = STATE_UNKNOWN;
		dev->found = STATE_UNKNOWN;
		if (!name_resolve(dev->name, &dev->path, &s[i].fail) &&
		    !device_open(dev, &s[i].fail))
			s[i].known = !device_query(dev, &s[i].fail);
		if (!s[i].known)
			s[i].action = ACT_FAILED;
	}
}

static void close_all(struct subject *s, unsigned int nr)
{
	unsigned int i;

	for (i = 0; i < nr; i++)
		device_close(&s[i].dev);
	open_cleanup();
	free(s);
}

static bool needs_reset(const struct device *dev)
{
	switch (dev->state) {
	case VFIO_DEVICE_STATE_RUNNING:
	case VFIO_DEVICE_STATE_RUNNING_P2P:
	case VFIO_DEVICE_STATE_STOP:
	case VFIO_DEVICE_STATE_STOP_COPY:
	case VFIO_DEVICE_STATE_PRE_COPY:
	case VFIO_DEVICE_STATE_PRE_COPY_P2P:
		return false;
	default:
		return true;
	}
}

static void refuse(struct subject *s)
{
	struct device *dev = &s->dev;

	s->action = ACT_REFUSED;
	fail_at(&s->fail, dev->name, EBUSY, "recover",
		dev->state == VFIO_DEVICE_STATE_RESUMING ?
		"it is in RESUMING and may not have been given all: --reset makes it run without that" :
		"it is in %s, its state is lost: --reset makes it run without",
		state_name(dev->state));
}

static void decide(struct subject *s, bool reset)
{
	if (!s->known)
		return;
	if (needs_reset(&s->dev) && !reset)
		refuse(s);
	else if (needs_reset(&s->dev))
		s->action = ACT_RESET;
	else if (s->dev.state != VFIO_DEVICE_STATE_RUNNING)
		s->action = ACT_BACK;
}

/* Devices leave STOP together before any leaves RUNNING_P2P: peers may wait. */
static void to_p2p(struct subject *s)
{
	uint32_t state = s->dev.state;

	if (s->action != ACT_BACK || !has_p2p(&s->dev))
		return;
	if (state != VFIO_DEVICE_STATE_STOP &&
	    state != VFIO_DEVICE_STATE_STOP_COPY &&
	    state != VFIO_DEVICE_STATE_PRE_COPY_P2P)
		return;
	if (device_set_state(&s->dev, VFIO_DEVICE_STATE_RUNNING_P2P, &s->fail))
		s->action = ACT_FAILED;
}

static void to_running(struct subject *s, bool reset)
{
	if (s->action == ACT_BACK &&
	    device_set_state(&s->dev, VFIO_DEVICE_STATE_RUNNING, &s->fail))
		s->action = ACT_FAILED;
	/* what has failed keeps its failure in the report */
	if (s->known && reset && s->action == ACT_FAILED)
		s->action = ACT_RESET;
	if (s->action == ACT_RESET && device_reset(&s->dev, &s->fail))
		s->action = ACT_FAILED;
}

static const char *what_now(const struct subject *s)
{
	switch (s->action) {
	case ACT_NONE:
		return "it runs, nothing was done";
	case ACT_BACK:
		return "it runs again with all that it had";
	case ACT_RESET:
		return "it was reset and runs, what it had is lost";
	case ACT_REFUSED:
		return "nothing was done, only --reset helps";
	default:
		return !s->known ? "it could not be asked" :
		       s->dev.state == VFIO_DEVICE_STATE_ERROR ?
		       "it does not run, what it had is lost" :
		       "it does not run";
	}
}

static void print_state(const struct subject *s)
{
	char caps[48];

	printf("%-36s  %-15s %-22s %s\n", s->dev.name,
	       s->known ? state_name(s->dev.state) : "?",
	       s->known ? caps_str(s->dev.caps, caps) : "?",
	       s->dev.type[0] ? s->dev.type : "-");
}

static void print_recovered(const struct subject *s)
{
	printf("%-36s  %-15s %-15s %s\n", s->dev.name,
	       s->known ? state_name(s->dev.found) : "?",
	       s->known ? state_name(s->dev.state) : "?", what_now(s));
}

static struct json_object *subject_json(const struct subject *s, bool recover)
{
	struct json_object *o = json_object_new_object();

	json_object_object_add(o, "device", json_text(s->dev.name));
	json_object_object_add(o, "type", json_text(s->dev.type));
	if (recover) {
		json_object_object_add(o, "found", json_state(s->dev.found));
		json_object_object_add(o, "action",
				       json_text(action_names[s->action]));
	}
	json_object_object_add(o, "state", json_state(s->dev.state));
	json_object_object_add(o, "capabilities",
			       s->known ? json_caps(s->dev.caps) : NULL);
	json_object_object_add(o, "error", json_failure(&s->fail));
	return o;
}

static int write_json(const struct subject *s, unsigned int nr,
		      const struct options *opt, bool recover)
{
	struct json_object *devices = json_object_new_array();
	struct json_object *o = json_object_new_object();
	struct outfile out;
	unsigned int i;
	int ret;

	for (i = 0; i < nr; i++)
		json_object_array_add(devices, subject_json(&s[i], recover));
	json_about(o);
	json_object_object_add(o, "devices", devices);
	ret = outfile_open(&out, opt->json);
	if (!ret)
		return json_write(&out, o);
	say("%s: %s", opt->json, strerror(-ret));
	json_object_put(o);
	return ret;
}

static void tell(const struct subject *s, unsigned int nr,
		 const struct options *opt, bool recover)
{
	bool table = !opt->json || strcmp(opt->json, "-");
	unsigned int i;

	for (i = 0; i < nr; i++) {
		if (s[i].fail.set)
			report_failure(&s[i].fail);
		if (table && recover)
			print_recovered(&s[i]);
		else if (table)
			print_state(&s[i]);
	}
}

int state_run(const struct options *opt, char **names, unsigned int nr)
{
	struct subject *s = xcalloc(nr, sizeof(*s));
	int status = EXIT_SUCCESS;
	unsigned int i;

	find_all(s, names, nr);
	tell(s, nr, opt, false);
	for (i = 0; i < nr; i++) {
		if (!s[i].known)
			status = EXIT_FAILURE;
	}
	if (opt->json && write_json(s, nr, opt, false))
		status = EXIT_FAILURE;
	close_all(s, nr);
	return status;
}

/* One that does not run is told of before one that runs without what it had. */
static int recovered_status(const struct subject *s, unsigned int nr)
{
	int status = EXIT_SUCCESS;
	unsigned int i;

	for (i = 0; i < nr; i++) {
		if (s[i].action == ACT_REFUSED || s[i].action == ACT_FAILED)
			return EXIT_FAILURE;
		if (s[i].action == ACT_RESET)
			status = EXIT_LOST;
	}
	return status;
}

int recover_run(const struct options *opt, char **names, unsigned int nr)
{
	struct subject *s = xcalloc(nr, sizeof(*s));
	unsigned int i;
	int status;

	find_all(s, names, nr);
	for (i = 0; i < nr; i++)
		decide(&s[i], opt->reset);
	for (i = 0; i < nr; i++)
		to_p2p(&s[i]);
	for (i = 0; i < nr; i++)
		to_running(&s[i], opt->reset);
	tell(s, nr, opt, true);
	status = recovered_status(s, nr);
	if (opt->json && write_json(s, nr, opt, true) && !status)
		status = EXIT_FAILURE;
	close_all(s, nr);
	return status;
}
