// SPDX-License-Identifier: GPL-2.0-only
/*
 * What can be told to be wrong before any device changes its state. Whether
 * a destination really takes a source's data only the two drivers know.
 */
#include <errno.h>
#include <stdio.h>
#include <string.h>

#include "migrate.h"

const char *caps_str(uint64_t caps, char buf[static 48])
{
	snprintf(buf, 48, "STOP_COPY%s%s",
		 caps & VFIO_MIGRATION_P2P ? "|P2P" : "",
		 caps & VFIO_MIGRATION_PRE_COPY ? "|PRE_COPY" : "");
	return buf;
}

static int check_state(const struct device *dev, bool source,
		       struct failure *fail)
{
	if (!(dev->caps & VFIO_MIGRATION_STOP_COPY))
		return fail_at(fail, dev->name, EOPNOTSUPP, "check",
			       "it does not offer STOP_COPY");
	if (dev->found == VFIO_DEVICE_STATE_RUNNING ||
	    dev->found == VFIO_DEVICE_STATE_STOP)
		return 0;
	if (dev->found == VFIO_DEVICE_STATE_ERROR)
		return fail_at(fail, dev->name, EIO, "check",
			       "it is in ERROR: reset it%s (vfio-migrate recover --reset %s)",
			       source ? ", its state is lost" : "", dev->name);
	return fail_at(fail, dev->name, EBUSY, "check",
		       "it is in %s: bring it to RUNNING or STOP first (vfio-migrate recover %s%s)",
		       state_name(dev->found),
		       dev->found == VFIO_DEVICE_STATE_RESUMING ? "--reset " : "",
		       dev->name);
}

static int check_pci(const struct pair *p, struct failure *fail)
{
	uint32_t a = pci_id(&p->src), b = pci_id(&p->dst);
	uint64_t m, n;
	uint32_t i;

	if (a != b)
		return fail_at(fail, p->dst.name, EMEDIUMTYPE, "check",
			       "another device than its source (vendor:device %04x:%04x, source %04x:%04x)",
			       b & 0xffff, b >> 16, a & 0xffff, a >> 16);
	for (i = VFIO_PCI_BAR0_REGION_INDEX; i <= VFIO_PCI_BAR5_REGION_INDEX; i++) {
		m = region_size(&p->src, i, NULL);
		n = region_size(&p->dst, i, NULL);
		if (m != n)
			return fail_at(fail, p->dst.name, EMEDIUMTYPE, "check",
				       "of another size than its source (BAR%u %llu bytes, source %llu)",
				       i, (unsigned long long)n,
				       (unsigned long long)m);
	}
	return 0;
}

static int check_pair(const struct pair *p, struct failure *fail)
{
	char a[48], b[48];

	if (check_state(&p->src, true, fail) ||
	    check_state(&p->dst, false, fail))
		return -fail->err;
	/* More than its source can do does no harm: each side takes its own steps. */
	if (p->src.caps & ~p->dst.caps)
		return fail_at(fail, p->dst.name, EMEDIUMTYPE, "check",
			       "another type than its source (it offers %s, the source %s)",
			       caps_str(p->dst.caps, b), caps_str(p->src.caps, a));
	if (p->src.info_flags & p->dst.info_flags & VFIO_DEVICE_FLAGS_PCI)
		return check_pci(p, fail);
	return 0;
}

int check_pairs(struct migration *m)
{
	unsigned int i;

	for (i = 0; i < m->nr; i++) {
		if (check_pair(&m->pairs[i], &m->fail))
			return -m->fail.err;
	}
	return 0;
}
