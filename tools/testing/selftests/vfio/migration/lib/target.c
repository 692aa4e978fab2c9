// SPDX-License-Identifier: GPL-2.0-only
/* Which device is judged, and which variants of the tests are for it. */
#include <limits.h>
#include <sys/ioctl.h>
#include <unistd.h>

#include <libvfio/migsim.h>
#include <libvfio/target.h>

/* Exit status: not the device fails, it cannot be judged. */
#define VFM_NO_TARGET	64

#define VFM_CDEVS	"/dev/vfio/devices/"
#define VFM_KNOWN	(VFIO_MIGRATION_STOP_COPY | VFIO_MIGRATION_P2P | \
			 VFIO_MIGRATION_PRE_COPY)

static char vfm_target[37];	/* empty: migsim */

static const struct {
	const char *name;
	u64 flags;
} sets[] = {
	{ "basic",	VFIO_MIGRATION_STOP_COPY },
	{ "snapshot",	VFIO_MIGRATION_STOP_COPY | VFIO_MIGRATION_P2P },
	{ "precopy",	VFIO_MIGRATION_STOP_COPY | VFIO_MIGRATION_PRE_COPY },
	{ "full",	VFM_KNOWN },
};

static const char *set_name(u64 flags)
{
	size_t i;

	for (i = 0; i < ARRAY_SIZE(sets); i++)
		if (sets[i].flags == (flags & VFM_KNOWN))
			return sets[i].name;
	return "a set that the uAPI does not define";
}

bool vfm_target_foreign(void)
{
	return vfm_target[0];
}

bool vfm_target_destructive(void)
{
	const char *env = getenv("VFIO_SELFTESTS_DESTRUCTIVE");

	return !vfm_target_foreign() || (env && !strcmp(env, "1"));
}

static bool is_uuid(const char *name)
{
	return strlen(name) == 36 && strspn(name, "0123456789abcdefABCDEF-") == 36;
}

static bool is_device(const char *name)
{
	return vfm_is_bdf(name) || is_uuid(name) ||
	       !strncmp(name, VFM_CDEVS, strlen(VFM_CDEVS));
}

#define refuse(_fmt, ...) do {						\
	fprintf(stderr, "# " _fmt "\n", ##__VA_ARGS__);			\
	exit(VFM_NO_TARGET);						\
} while (0)

/* A cdev's name is resolved, since the group needs that of the device. */
static void set_target(const char *name)
{
	struct vfm_device dev = { .fd = -1 };
	char path[PATH_MAX], real[PATH_MAX];

	if (!is_device(name))
		refuse("'%s' is no PCI address, mdev uuid or path in " VFM_CDEVS,
		       name);
	if (!vfm_is_bdf(name) && !is_uuid(name)) {
		snprintf_assert(path, sizeof(path), "/sys/class/vfio-dev/%s/device",
				name + strlen(VFM_CDEVS));
		if (!realpath(path, real))
			refuse("no device %s", name);
		name = strrchr(real, '/') + 1;
		if (!vfm_is_bdf(name) && !is_uuid(name))
			refuse("%s is neither a PCI device nor an mdev", real);
	}
	snprintf_assert(vfm_target, sizeof(vfm_target), "%s", name);
	snprintf_assert(dev.uuid, sizeof(dev.uuid), "%s", name);
	vfm_sysfs_path(&dev, "", path, sizeof(path));
	if (access(path, F_OK))
		refuse("no device %s", name);
}

static bool has_way(enum vfm_via via)
{
	return via == VFM_VIA_CDEV ? vfm_has_cdev() : vfm_has_group();
}

static struct vfm_device *target_alloc(enum vfm_via via)
{
	struct vfm_device *dev = vfm_zalloc(sizeof(*dev));

	dev->fd = -1;
	dev->group = -1;
	dev->container = -1;
	dev->via = via;
	snprintf_assert(dev->uuid, sizeof(dev->uuid), "%s", vfm_target);
	return dev;
}

/* What the device claims, or 0 if it cannot be opened so. */
static u64 target_flags(enum vfm_via via, int *err)
{
	struct vfm_device *dev;
	u64 flags = 0;

	if (!has_way(via))
		return 0;
	dev = target_alloc(via);
	*err = __vfm_open(dev);
	if (!*err)
		flags = dev->flags;
	vfm_destroy(dev);
	return flags;
}

/* Of a device that is open already, VFIO says EINVAL to who binds its cdev. */
static bool is_busy(enum vfm_via via, int err)
{
	return err == -EBUSY || (via == VFM_VIA_CDEV && err == -EINVAL);
}

/* Whatever will be asked of it: it can be opened, as one of those that we know. */
static void check_target(void)
{
	int via, err = 0;
	bool busy = false;
	size_t i;
	u64 flags;

	for (via = VFM_VIA_GROUP; via <= VFM_VIA_CDEV; via++) {
		flags = target_flags(via, &err);
		for (i = 0; i < ARRAY_SIZE(sets); i++)
			if (flags == sets[i].flags)
				return;
		busy |= is_busy(via, err);
	}
	if (busy)
		refuse("%s is in use: end what has it open (\"vfio-migrate list\" tells who), and try again",
		       vfm_target);
	refuse("%s cannot be opened as a migratable device: %s", vfm_target,
	       err ? strerror(-err) : "its capabilities are none of ours");
}

/* There is a folder of cdevs only while there is a device. */
static bool migsim_has_way(enum vfm_via via)
{
	struct vfm_device *dev = NULL;
	bool has;

	__vfm_create(MIGSIM_BASIC, &dev);
	has = has_way(via);
	vfm_destroy(dev);
	return has;
}

/* Selects the variants that fit; "claims" of the others says why they do not. */
static void select_variants(int *argc, char ***argv)
{
	static char name[2][ARRAY_SIZE(sets)][32];
	static char *args[4 + 4 * ARRAY_SIZE(sets)];
	int via, err = 0, n = 0;
	size_t i;

	args[n++] = (*argv)[0];
	args[n++] = "-t";
	args[n++] = "claims";
	for (via = VFM_VIA_GROUP; via <= VFM_VIA_CDEV; via++) {
		const bool way = vfm_target_foreign() || migsim_has_way(via);
		const u64 flags = vfm_target_foreign() ? target_flags(via, &err) : 0;

		for (i = 0; i < ARRAY_SIZE(sets); i++) {
			if (!way || (vfm_target_foreign() && flags != sets[i].flags))
				continue;
			snprintf_assert(name[via - 1][i], 32, "%s_%s", sets[i].name,
					via == VFM_VIA_GROUP ? "group" : "cdev");
			args[n++] = "-v";
			args[n++] = name[via - 1][i];
		}
	}
	*argc = n;
	*argv = args;
}

/* Whatever is no option of the harness, so that a mistyped name is not one either. */
static bool names_target(int argc, char **argv)
{
	const char *before;

	if (argc < 2 || argv[argc - 1][0] == '-')
		return false;
	before = argv[argc - 2];
	return argc == 2 || before[0] != '-' || strlen(before) != 2 ||
	       !strchr("tTfFvVr", before[1]);
}

void vfm_target_init(int *argc, char ***argv)
{
	const char *env = getenv("VFIO_SELFTESTS_BDF");

	if (names_target(*argc, *argv)) {
		set_target((*argv)[*argc - 1]);
		(*argc)--;
		(*argv)[*argc] = NULL;
	} else if (env && *env) {
		set_target(env);
	}
	if (vfm_target_foreign())
		check_target();
	/* Options are the harness', whose first filter decides. */
	if (*argc == 1)
		select_variants(argc, argv);
}

bool vfm_can_reset(struct vfm_device *dev)
{
	struct vfio_device_info info = { .argsz = sizeof(info) };

	if (!dev->reset_known) {
		dev->reset_works = (!ioctl(dev->fd, VFIO_DEVICE_GET_INFO, &info) &&
				    (info.flags & VFIO_DEVICE_FLAGS_RESET)) ||
				   !__vfm_reset(dev);
		dev->reset_known = true;
	}
	return dev->reset_works;
}

static bool no_way(enum vfm_via via, char *why, size_t size)
{
	if (has_way(via))
		return false;
	snprintf(why, size, "this kernel has no %s", via == VFM_VIA_CDEV ?
		 "/dev/vfio/devices and /dev/iommu" : "/dev/vfio/vfio");
	return true;
}

static struct vfm_device *target_foreign(const struct vfm_claims *claims,
					 char *why, size_t size)
{
	struct vfm_device *dev;
	int ret;

	if (no_way(claims->via, why, size))
		return NULL;
	dev = target_alloc(claims->via);
	ret = __vfm_open(dev);
	if (!ret && dev->flags == claims->flags)
		return dev;
	if (ret)
		snprintf(why, size, "cannot be opened so: %s", strerror(-ret));
	else
		snprintf(why, size, "the device claims %s, flags %#llx",
			 set_name(dev->flags), (unsigned long long)dev->flags);
	vfm_destroy(dev);
	return NULL;
}

static struct vfm_device *target_migsim(const struct vfm_claims *claims,
					char *why, size_t size)
{
	struct vfm_device *dev;

	if (!vfm_type_present(claims->type)) {
		snprintf(why, size, "no device named, and no mdev type %s",
			 claims->type);
		return NULL;
	}
	dev = vfm_create(claims->type);
	if (no_way(claims->via, why, size)) {
		vfm_destroy(dev);
		return NULL;
	}
	dev->via = claims->via;
	vfm_attr_set(dev, "state_size", VFM_SMALL_STATE);
	vfm_open(dev);
	return dev;
}

struct vfm_device *vfm_target_get(const struct vfm_claims *claims, char *why,
				  size_t size)
{
	struct vfm_device *dev;

	dev = vfm_target_foreign() ? target_foreign(claims, why, size) :
				     target_migsim(claims, why, size);
	if (!dev)
		return NULL;

	/* Whatever the last test, or the last user, has left. */
	if (vfm_can_reset(dev))
		vfm_reset(dev);
	else
		vfm_set_state_nofd(dev, VFM_RUNNING);
	vfm_assert_state(dev, VFM_RUNNING);
	return dev;
}

void vfm_target_put(struct vfm_device *dev)
{
	if (dev && dev->fd >= 0 && vfm_can_reset(dev))
		__vfm_reset(dev);
	vfm_destroy(dev);
}
