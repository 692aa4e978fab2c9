// SPDX-License-Identifier: GPL-2.0-only
/*
 * vfio-migrate list: the VFIO devices of this machine. Without --probe no
 * device is opened. With it, those are that nothing else holds open: opening
 * a device starts it, so this is not done unasked.
 */
#include <dirent.h>
#include <errno.h>
#include <stdio.h>
#include <stdlib.h>
#include <string.h>

#include <json-c/json.h>

#include "migrate.h"

struct entry {
	struct dev_path path;
	const char *bus;
	char type[64];		/* of an mdev */
	char driver[64];
	enum use use;
	struct user user;
	bool probed;
	struct device dev;
	struct failure fail;
};

struct list {
	struct entry *entries;
	unsigned int nr;
};

static bool known(const struct list *l, const char *sysfs)
{
	unsigned int i;

	for (i = 0; i < l->nr; i++) {
		if (!strcmp(l->entries[i].path.sysfs, sysfs))
			return true;
	}
	return false;
}

static void add_entry(struct list *l, const char *bus, const char *sysfs)
{
	struct entry *e;

	if (known(l, sysfs))
		return;
	l->entries = realloc(l->entries, (l->nr + 1) * sizeof(*l->entries));
	if (!l->entries)
		exit(EXIT_NOT_MOVED);
	e = &l->entries[l->nr++];
	memset(e, 0, sizeof(*e));
	e->bus = bus;
	e->path.fd = -1;
	e->path.group = -1;
	snprintf(e->path.sysfs, sizeof(e->path.sysfs), "%s", sysfs);
	name_from_sysfs(&e->path);
	if (sysfs_link(sysfs, "driver", e->driver, sizeof(e->driver)))
		e->driver[0] = '\0';
	if (sysfs_link(sysfs, "mdev_type", e->type, sizeof(e->type)))
		e->type[0] = '\0';
	e->use = inuse_find(&e->path, &e->user);
}

/* @suffix leads from what is in @dir to the device itself. */
static void scan(struct list *l, const char *bus, const char *dir,
		 const char *suffix)
{
	char link[PATH_MAX], real[PATH_MAX];
	struct dirent *ent;
	DIR *d = opendir(dir);

	if (!d)
		return;
	while ((ent = readdir(d))) {
		if (ent->d_name[0] == '.')
			continue;
		snprintf(link, sizeof(link), "%s/%s%s", dir, ent->d_name, suffix);
		if (realpath(link, real))
			add_entry(l, bus, real);
	}
	closedir(d);
}

static void scan_pci(struct list *l)
{
	static const char dir[] = "/sys/bus/pci/devices";
	char link[PATH_MAX], real[PATH_MAX], driver[64];
	struct dirent *ent;
	DIR *d = opendir(dir);

	if (!d)
		return;
	while ((ent = readdir(d))) {
		if (ent->d_name[0] == '.')
			continue;
		snprintf(link, sizeof(link), "%s/%s", dir, ent->d_name);
		if (!sysfs_link(link, "driver", driver, sizeof(driver)) &&
		    strstr(driver, "vfio") && realpath(link, real))
			add_entry(l, "pci", real);
	}
	closedir(d);
}

static int by_id(const void *a, const void *b)
{
	const struct entry *x = a, *y = b;
	int ret = strcmp(x->bus, y->bus);

	return ret ? ret : strcmp(x->path.id, y->path.id);
}

static void probe(struct entry *e)
{
	e->dev.name = e->path.id;
	e->dev.path = e->path;
	if (!device_open(&e->dev, &e->fail)) {
		e->probed = !device_query(&e->dev, &e->fail);
		device_close(&e->dev);
	}
	if (e->fail.err == EBUSY)
		e->use = USE_YES;
}

static const char *use_text(const struct entry *e, char buf[static 64])
{
	if (e->use == USE_YES && e->user.pid)
		snprintf(buf, 64, "yes (%s, %d)", e->user.comm, e->user.pid);
	else
		snprintf(buf, 64, "%s", e->use == USE_YES ? "yes" :
			 e->use == USE_NO ? "no" : "unknown");
	return buf;
}

static const char *or_dash(const char *text)
{
	return text[0] ? text : "-";
}

static void print_entry(const struct entry *e, bool probing)
{
	char group[16] = "-", use[64];
	const char *node = strrchr(e->path.cdev, '/');

	if (e->path.group >= 0)
		snprintf(group, sizeof(group), "%d", e->path.group);
	printf("%-36s  %-6s %-7s %-16s %-18s %-20s", e->path.id, group,
	       node ? node + 1 : "-", or_dash(e->driver), or_dash(e->type),
	       use_text(e, use));
	if (e->probed)
		printf(" %-8s STOP_COPY%s%s", state_name(e->dev.state),
		       has_p2p(&e->dev) ? "|P2P" : "",
		       has_precopy(&e->dev) ? "|PRE_COPY" : "");
	else if (probing)
		printf(" %s", e->fail.set ? e->fail.reason : "not opened");
	putchar('\n');
}

static void print_list(const struct list *l, bool probing)
{
	unsigned int i;

	if (!l->nr) {
		printf("no VFIO device (no mdev, and no function bound to a vfio driver)\n");
		return;
	}
	printf("%-36s  %-6s %-7s %-16s %-18s %-20s%s\n", "device", "group",
	       "cdev", "driver", "type", "in use",
	       probing ? " state and capabilities" : "");
	for (i = 0; i < l->nr; i++)
		print_entry(&l->entries[i], probing);
}

static struct json_object *user_json(const struct user *user)
{
	struct json_object *o;

	if (!user->pid)
		return NULL;
	o = json_object_new_object();
	json_object_object_add(o, "pid", json_object_new_int(user->pid));
	json_object_object_add(o, "comm", json_object_new_string(user->comm));
	return o;
}

static struct json_object *entry_json(const struct entry *e, bool probing)
{
	struct json_object *o = json_object_new_object();

	json_object_object_add(o, "device", json_text(e->path.id));
	json_object_object_add(o, "bus", json_text(e->bus));
	json_object_object_add(o, "driver", json_text(e->driver));
	json_object_object_add(o, "type", json_text(e->type));
	json_object_object_add(o, "group", e->path.group < 0 ? NULL :
			       json_object_new_int(e->path.group));
	json_object_object_add(o, "cdev", json_text(e->path.cdev));
	json_object_object_add(o, "in_use", e->use == USE_UNKNOWN ? NULL :
			       json_object_new_boolean(e->use == USE_YES));
	json_object_object_add(o, "user", user_json(&e->user));
	if (!probing)
		return o;
	json_object_object_add(o, "state", e->probed ?
			       json_text(state_name(e->dev.state)) : NULL);
	json_object_object_add(o, "capabilities", e->probed ?
			       json_caps(e->dev.caps) : NULL);
	json_object_object_add(o, "error", json_text(e->fail.reason));
	return o;
}

static int write_json(const struct list *l, const struct options *opt)
{
	struct json_object *o = json_object_new_array();
	unsigned int i;
	struct outfile out;
	int ret;

	ret = outfile_open(&out, opt->json);
	if (ret) {
		say("%s: %s", opt->json, strerror(-ret));
		json_object_put(o);
		return ret;
	}
	for (i = 0; i < l->nr; i++)
		json_object_array_add(o, entry_json(&l->entries[i], opt->probe));
	return json_write(&out, o);
}

int list_run(const struct options *opt)
{
	struct list l = { 0 };
	unsigned int i;
	int ret = 0;

	inuse_scan();
	scan(&l, "mdev", "/sys/bus/mdev/devices", "");
	scan_pci(&l);
	scan(&l, "other", "/sys/class/vfio-dev", "/device");
	if (l.nr)
		qsort(l.entries, l.nr, sizeof(*l.entries), by_id);
	for (i = 0; opt->probe && i < l.nr; i++) {
		if (l.entries[i].use == USE_NO)
			probe(&l.entries[i]);
	}
	if (!opt->json || strcmp(opt->json, "-"))
		print_list(&l, opt->probe);
	if (opt->json)
		ret = write_json(&l, opt);
	open_cleanup();
	inuse_free();
	free(l.entries);
	return ret ? EXIT_FAILURE : EXIT_SUCCESS;
}
