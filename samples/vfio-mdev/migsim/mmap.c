// SPDX-License-Identifier: GPL-2.0-only
/*
 * migsim: device memory in the address space of user space
 *
 * A page is mapped when it is touched, which is how the device learns of it: the page
 * becomes the device's own, is marked dirty, and may be written without a fault until
 * the mapping goes. It goes before the page is sent, replaced or freed, and all of them
 * when the device stops or starts. A page that is only read is taken for dirty as well:
 * KVM does not have a page that is mapped for reading made writable.
 *
 * Pages are mapped without a reference, so that a reference still means that somebody
 * holds the page for good, in a pipe for example, and that it must not be written.
 *
 * A stopped device can be read, and is mapped for that. A write to it cannot be
 * dropped, as one through the device fd is, so it is a SIGBUS; nobody writes to a
 * device that he has stopped.
 *
 * Faults come with mmap_lock held and take memory_lock; nobody who has memory_lock
 * takes mmap_lock.
 */
#include <linux/kconfig.h>
#include <linux/log2.h>
#include <linux/mm.h>
#include <linux/sched/signal.h>

#include "migsim.h"

/**
 * migsim_can_mmap - may the device memory be mapped
 * @sim: device
 *
 * Only if its size is that of the BAR: there is nothing to map beyond it. And not in
 * User Mode Linux, which does not take a page away from a process while that runs on
 * another CPU, and so would have writes unnoticed.
 *
 * Return: true if so.
 */
bool migsim_can_mmap(const struct migsim_dev *sim)
{
	return !IS_ENABLED(CONFIG_UML) && is_power_of_2(sim->config.state_size);
}

static loff_t migsim_mmap_start(void)
{
	return (loff_t)(VFIO_PCI_BAR0_REGION_INDEX + MIGSIM_BAR_MEMORY) <<
	       MIGSIM_OFFSET_SHIFT;
}

/**
 * migsim_unmap_page - the next access to a page faults
 * @sim: device; memory_lock is held
 * @index: of the page
 */
void migsim_unmap_page(struct migsim_dev *sim, unsigned long index)
{
	lockdep_assert_held(&sim->memory_lock);
	if (!xa_get_mark(&sim->memory.pages, index, MIGSIM_MAPPED))
		return;
	xa_clear_mark(&sim->memory.pages, index, MIGSIM_MAPPED);
	unmap_mapping_range(sim->vdev.inode->i_mapping,
			    migsim_mmap_start() + ((loff_t)index << PAGE_SHIFT),
			    PAGE_SIZE, true);
}

/**
 * migsim_unmap_all - the next access to any page faults
 * @sim: device; memory_lock is held
 */
void migsim_unmap_all(struct migsim_dev *sim)
{
	unsigned long index;
	void *page;

	lockdep_assert_held(&sim->memory_lock);
	if (!xa_marked(&sim->memory.pages, MIGSIM_MAPPED))
		return;
	xa_for_each_marked(&sim->memory.pages, index, page, MIGSIM_MAPPED)
		xa_clear_mark(&sim->memory.pages, index, MIGSIM_MAPPED);
	unmap_mapping_range(sim->vdev.inode->i_mapping, migsim_mmap_start(),
			    migsim_memory_bar_size(sim), true);
}

static unsigned long migsim_fault_index(const struct vm_fault *vmf)
{
	return vmf->pgoff - (migsim_mmap_start() >> PAGE_SHIFT);
}

/*
 * Whoever writes during a reset tries again, until it is over or he is killed: that may
 * be a copy of DMA that a reset waits for, of this device or of one that shares its
 * mappings. KVM does not try again, a VMM has its processors stand still for a reset.
 */
static vm_fault_t migsim_stopped_write(struct migsim_dev *sim)
{
	lockdep_assert_held(&sim->memory_lock);

	return sim->memory.resetting && !fatal_signal_pending(current) ?
	       VM_FAULT_NOPAGE : VM_FAULT_SIGBUS;
}

/* Maps the page itself: before the caller came to do so, the page might be sent. */
static vm_fault_t migsim_map_page(struct migsim_dev *sim, struct vm_fault *vmf,
				  bool write)
{
	unsigned long index = migsim_fault_index(vmf);
	unsigned long flags = vmf->vma->vm_flags;
	struct page *page;

	if (index >= sim->memory.nr_pages)
		return VM_FAULT_SIGBUS;
	if (write && !sim->memory.running)
		return migsim_stopped_write(sim);
	page = write ? migsim_page_touch(sim, index) :
		       migsim_page_make(sim, index);
	/* Nobody is killed for a page, so VM_FAULT_OOM would come again and again. */
	if (!page)
		return VM_FAULT_SIGBUS;
	if (write)
		migsim_unmap_page(sim, index);
	xa_set_mark(&sim->memory.pages, index, MIGSIM_MAPPED);

	return vmf_insert_pfn_prot(vmf->vma, vmf->address, page_to_pfn(page),
				   vm_get_page_prot(write ? flags :
						    flags & ~VM_WRITE));
}

static vm_fault_t migsim_mmap_fault_in(struct vm_fault *vmf, bool write)
{
	struct migsim_dev *sim = vmf->vma->vm_private_data;
	vm_fault_t ret;

	mutex_lock(&sim->memory_lock);
	/* While it runs, whoever may write is expected to. */
	write |= sim->memory.running && vmf->vma->vm_flags & VM_WRITE;
	ret = migsim_map_page(sim, vmf, write);
	mutex_unlock(&sim->memory_lock);
	if (write)
		vfio_mig_kick(sim->mig);

	return ret;
}

static vm_fault_t migsim_mmap_fault(struct vm_fault *vmf)
{
	return migsim_mmap_fault_in(vmf, vmf->flags & FAULT_FLAG_WRITE);
}

/* A page that was mapped while the device had stopped. */
static vm_fault_t migsim_mmap_mkwrite(struct vm_fault *vmf)
{
	return migsim_mmap_fault_in(vmf, true);
}

static const struct vm_operations_struct migsim_mmap_ops = {
	.fault = migsim_mmap_fault,
	.pfn_mkwrite = migsim_mmap_mkwrite,
};

/**
 * migsim_mmap - mmap(2) of the device fd
 * @vdev: device
 * @vma: asks for a part of the device memory
 *
 * Return: 0, or -EINVAL.
 */
int migsim_mmap(struct vfio_device *vdev, struct vm_area_struct *vma)
{
	struct migsim_dev *sim = migsim_from_vdev(vdev);
	unsigned long start = migsim_mmap_start() >> PAGE_SHIFT;
	unsigned long nr = sim->memory.nr_pages;

	if (!migsim_can_mmap(sim) || !(vma->vm_flags & VM_SHARED) ||
	    vma->vm_pgoff < start || vma_pages(vma) > nr ||
	    vma->vm_pgoff - start > nr - vma_pages(vma))
		return -EINVAL;
	vma->vm_private_data = sim;
	vma->vm_ops = &migsim_mmap_ops;
	vm_flags_set(vma, VM_PFNMAP | VM_DONTEXPAND | VM_DONTDUMP);

	return 0;
}
