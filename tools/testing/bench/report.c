// SPDX-License-Identifier: GPL-2.0-only
/*
 * Figures as JSON, one object a line, {"key": {...}}: bench.sh makes one file and a
 * table of them.
 */
#include <fcntl.h>
#include <math.h>
#include <unistd.h>

#include <json-c/json.h>

#include "bench.h"

static int report_fd = STDOUT_FILENO;

int report_open(const char *path)
{
	report_fd = open(path, O_WRONLY | O_CREAT | O_APPEND | O_CLOEXEC, 0644);
	return report_fd < 0 ? -errno : 0;
}

void add_text(struct json_object *object, const char *key, const char *text)
{
	json_object_object_add(object, key, json_object_new_string(text));
}

/* Four digits are more than any of these figures has. */
void add_number(struct json_object *object, const char *key, double number)
{
	char text[64];

	snprintf_assert(text, sizeof(text), number < 10000 ? "%.4g" : "%.0f",
			number);
	json_object_object_add(object, key,
			       json_object_new_double_s(number, text));
}

void add_count(struct json_object *object, const char *key, uint64_t count)
{
	json_object_object_add(object, key, json_object_new_int64(count));
}

static const char *unit_name(enum unit unit)
{
	static const char * const names[] = {
		[UNIT_GBPS] = "GB/s",
		[UNIT_US] = "us",
		[UNIT_BYTES] = "bytes",
	};

	return names[unit];
}

/* Of what each side can do when nothing disturbs it. */
static double best(const struct series *series, const struct outcome *o)
{
	double value = series->value[0];
	unsigned int i;

	for (i = 1; i < o->rounds; i++)
		value = o->unit == UNIT_GBPS ? fmax(value, series->value[i]) :
					       fmin(value, series->value[i]);
	return value;
}

static void add_ratios(struct json_object *object, const struct outcome *o)
{
	double ratio[MAX_ROUNDS], min = INFINITY, max = 0;
	unsigned int i;

	for (i = 0; i < o->rounds; i++) {
		ratio[i] = o->ours.value[i] / o->other.value[i];
		min = fmin(min, ratio[i]);
		max = fmax(max, ratio[i]);
	}
	add_number(object, "ratio", median(ratio, o->rounds));
	add_number(object, "min", min);
	add_number(object, "max", max);
	add_number(object, "best", best(&o->ours, o) / best(&o->other, o));
}

/* Of our side alone, for what is read without the other. */
void add_spread(struct json_object *object, const struct outcome *o)
{
	double min = o->ours.value[0], max = min;
	unsigned int i;

	for (i = 1; i < o->rounds; i++) {
		min = fmin(min, o->ours.value[i]);
		max = fmax(max, o->ours.value[i]);
	}
	add_number(object, "ours_min", min);
	add_number(object, "ours_max", max);
}

static void add_cpu(struct json_object *object, const char *key,
		    const struct cpu *cpu)
{
	struct json_object *o = json_object_new_object();

	add_number(o, "process", cpu->own / 1e9);
	add_number(o, "kworkers", cpu->workers / 1e9);
	json_object_object_add(object, key, o);
}

/* CPU seconds are those of all rounds together, as are the amounts. */
struct json_object *outcome_json(const struct outcome *o)
{
	struct json_object *object = json_object_new_object();

	add_ratios(object, o);
	add_number(object, "ours", median(o->ours.value, o->rounds));
	add_number(object, "other", median(o->other.value, o->rounds));
	add_text(object, "unit", unit_name(o->unit));
	add_text(object, "better", o->unit == UNIT_GBPS ? "higher" : "lower");
	add_count(object, "rounds", o->rounds);
	add_count(object, "ours_amount", o->ours.amount);
	add_count(object, "other_amount", o->other.amount);
	add_cpu(object, "ours_cpu_s", &o->ours.cpu);
	add_cpu(object, "other_cpu_s", &o->other.cpu);
	return object;
}

static void write_line(struct json_object *object)
{
	const char *text;
	char *line;
	int len;

	text = json_object_to_json_string_ext(object,
		JSON_C_TO_STRING_PLAIN | JSON_C_TO_STRING_NOSLASHESCAPE);
	len = asprintf(&line, "%s\n", text);
	VFIO_ASSERT_GT(len, 0);
	VFIO_ASSERT_EQ(write(report_fd, line, len), len);
	free(line);
}

/*
 * Of an object that has its ratio and, if something else is wrong, what in short_of.
 * It is told, and no more: a machine may be busy.
 */
void add_goal(struct json_object *object, double goal)
{
	struct json_object *ratio = json_object_object_get(object, "ratio");
	bool met = !json_object_object_get_ex(object, "short_of", NULL);

	if (!goal)
		return;
	/* As it is written, or 0.9 would be short of 0.9. */
	met &= atof(json_object_get_string(ratio)) >= goal;
	add_number(object, "goal", goal);
	json_object_object_add(object, "met", json_object_new_boolean(met));
}

/* @more is merged into the figure's object; NULL if there is nothing. */
void report(const struct figure *figure, const struct outcome *outcome,
	    struct json_object *more)
{
	struct json_object *object = json_object_new_object();
	struct json_object *o = outcome_json(outcome);

	add_text(o, "what_ours", figure->ours);
	add_text(o, "what_other", figure->other);
	add_text(o, "not_for", figure->not_for);
	add_text(o, "environment", environment());
	if (more) {
		json_object_object_foreach(more, key, value)
			json_object_object_add(o, key, json_object_get(value));
		json_object_put(more);
	}
	add_goal(o, figure->goal);
	json_object_object_add(object, figure->key, o);
	write_line(object);
	fprintf(stderr, "%-24s %s\n", figure->key,
		json_object_get_string(json_object_object_get(o, "ratio")));
	json_object_put(object);
}
