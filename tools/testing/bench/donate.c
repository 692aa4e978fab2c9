// SPDX-License-Identifier: GPL-2.0-only
/*
 * Figures for both ways in which a driver's pages become the stream: copied into it,
 * or donated to it
 *
 * migsim's attribute donate chooses. Its default, and what the others have, is 1; but
 * not every driver can give pages away, so what is shown first is the copy.
 */
#include <json-c/json.h>

#include "bench.h"

enum { COPIED, DONATED, DONATE_NR };

static const char headline[] =
	"pages copied into the stream, which every driver can do; donated ones are in rows";

/* Closed it must be to be set; whoever measures knows how it was. */
static void set_donate(struct vfm_device *dev, unsigned int donate)
{
	bool open = dev->fd >= 0;

	vfm_close(dev);
	vfm_attr_set(dev, "donate", donate);
	if (open)
		vfm_open(dev);
}

static struct json_object *row(const struct figure *figure,
			       const struct outcome *outcome,
			       unsigned int donate)
{
	struct json_object *o = outcome_json(outcome);

	add_count(o, "donate", donate);
	add_goal(o, donate == DONATED && figure->goal_donated ?
		 figure->goal_donated : figure->goal);
	return o;
}

/* Measures, too: @dev is whose state @ours saves. */
void report_donate(const struct figure *figure, struct vfm_device *dev,
		   side_fn ours, side_fn other, void *context)
{
	struct json_object *more = json_object_new_object();
	struct json_object *rows = json_object_new_array();
	struct outcome outcome[DONATE_NR];
	unsigned int i;

	for (i = COPIED; i < DONATE_NR; i++) {
		set_donate(dev, i);
		measure(&outcome[i], UNIT_GBPS, ours, other, context);
		json_object_array_add(rows, row(figure, &outcome[i], i));
	}
	add_count(more, "donate", COPIED);
	add_text(more, "headline", headline);
	json_object_object_add(more, "rows", rows);
	report(figure, &outcome[COPIED], more);
}
