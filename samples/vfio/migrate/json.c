// SPDX-License-Identifier: GPL-2.0-only
/* What is the same in the reports of several commands. What is unknown is null. */
#include <string.h>
#include <sys/utsname.h>
#include <time.h>

#include <json-c/json.h>

#include "migrate.h"

static time_t started;

void json_begin(void)
{
	started = time(NULL);
}

struct json_object *json_text(const char *text)
{
	return text[0] ? json_object_new_string(text) : NULL;
}

struct json_object *json_state(uint32_t state)
{
	return state == STATE_UNKNOWN ? NULL :
					json_object_new_string(state_name(state));
}

struct json_object *json_caps(uint64_t caps)
{
	static const char * const names[] = { "STOP_COPY", "P2P", "PRE_COPY" };
	struct json_object *o = json_object_new_array();
	unsigned int i;

	for (i = 0; i < ARRAY_SIZE(names); i++) {
		if (caps & 1ull << i)
			json_object_array_add(o, json_text(names[i]));
	}
	return o;
}

struct json_object *json_failure(const struct failure *fail)
{
	struct json_object *o;

	if (!fail || !fail->set)
		return NULL;
	o = json_object_new_object();
	json_object_object_add(o, "device", json_text(fail->device));
	json_object_object_add(o, "step", json_text(fail->step));
	json_object_object_add(o, "errno", json_object_new_int(fail->err));
	if (strerrorname_np(fail->err))
		json_object_object_add(o, "name",
			json_text(strerrorname_np(fail->err)));
	json_object_object_add(o, "reason", json_text(fail->reason));
	return o;
}

/* Which program wrote it, on which kernel, and when it was started. */
void json_about(struct json_object *o)
{
	char when[32] = "";
	struct utsname uts;
	struct tm tm;

	json_object_object_add(o, "tool", json_text("vfio-migrate"));
	json_object_object_add(o, "version", json_text(VFIO_MIGRATE_VERSION));
	json_object_object_add(o, "kernel",
			       uname(&uts) ? NULL : json_text(uts.release));
	if (gmtime_r(&started, &tm))
		strftime(when, sizeof(when), "%Y-%m-%dT%H:%M:%SZ", &tm);
	json_object_object_add(o, "time", json_text(when));
}

/* Frees @o. */
int json_write(struct outfile *out, struct json_object *o)
{
	fprintf(out->f, "%s\n", json_object_to_json_string_ext(o,
		JSON_C_TO_STRING_PRETTY | JSON_C_TO_STRING_NOSLASHESCAPE));
	json_object_put(o);
	return outfile_close(out);
}
