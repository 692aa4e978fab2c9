// SPDX-License-Identifier: GPL-2.0-only
/*
 * What the parser is linked against and is not the parser: the rest of the core, as
 * far as it is called.
 */
#include <shim/file.h>

#include "session.h"

void vfio_mig_get(struct vfio_mig *mig)
{
	kref_get(&mig->ref);
}

static void fuzz_never(struct kref *ref)
{
	shim_die("the device is gone before the driver let go (%p)", (void *)ref);
}

void vfio_mig_put(struct vfio_mig *mig)
{
	kref_put(&mig->ref, fuzz_never);
}

int vfio_mig_begin(struct vfio_mig *mig)
{
	mutex_lock(&mig->state_mutex);
	return 0;
}

/* There are no blocks here: a page at a time, as where memory is in pieces. */
unsigned int vfio_mig_alloc_pages(struct page **pages, unsigned int nr)
{
	(void)nr;
	*pages = alloc_page(VFIO_MIG_GFP);
	return *pages ? 1 : 0;
}

void vfio_mig_set_busy(struct vfio_mig *mig)
{
	lockdep_assert_held(&mig->state_mutex);
	mig->busy = true;
	vfio_mig_unlock(mig);
}

void vfio_mig_clear_busy(struct vfio_mig *mig)
{
	mutex_lock(&mig->state_mutex);
	mig->busy = false;
}

enum vfio_device_mig_state vfio_mig_state(struct vfio_mig *mig)
{
	return mig->state;
}

const char *vfio_mig_state_name(enum vfio_device_mig_state state)
{
	return state == VFIO_DEVICE_STATE_RESUMING ? "RESUMING" : "another state";
}

bool vfio_mig_aborted(struct vfio_mig *mig)
{
	return mig->reset_pending;
}

void vfio_mig_enter_error(struct vfio_mig *mig)
{
	vfio_mig_session_detach(mig);
	mig->state = VFIO_DEVICE_STATE_ERROR;
}

void vfio_mig_drain_end(struct vfio_mig *mig, bool reset)
{
	(void)mig;
	(void)reset;
}
