// SPDX-License-Identifier: GPL-2.0-only
/*
 * C3: the language of migsim's fault rules: what is none is refused and leaves nothing
 * behind, what is one can be read back, and it fires as it says, each time anew.
 */
#include <fcntl.h>
#include <limits.h>
#include <linux/pci_regs.h>
#include <unistd.h>

#include <libvfio_migration.h>

#include "migsim_regs.h"

#define MAX_RULES	256
#define MAX_TEXT	4096

FIXTURE(rule) {
	struct vfm_device *dev;
};

FIXTURE_SETUP(rule)
{
	VFM_REQUIRE_TYPE(MIGSIM_FULL);
	self->dev = vfm_create(MIGSIM_FULL);
	vfm_attr_set(self->dev, "state_size", 64 * 4096);
	vfm_attr_set(self->dev, "verify", 1);
	vfm_open(self->dev);
	VFM_REQUIRE_FAULTS(self->dev);
}

FIXTURE_TEARDOWN(rule)
{
	vfm_destroy(self->dev);
}

static int add(struct vfm_device *dev, const char *rule)
{
	return __vfm_fault_write(dev, rule);
}

static void rules(struct vfm_device *dev, char *text, size_t size)
{
	char path[PATH_MAX];
	size_t len = 0;
	ssize_t n;
	int fd;

	snprintf_assert(path, sizeof(path), "/sys/kernel/debug/migsim/%s/faults",
			dev->uuid);
	fd = open(path, O_RDONLY | O_CLOEXEC);
	VFIO_ASSERT_GE(fd, 0);
	while ((n = read(fd, text + len, size - 1 - len)) > 0)
		len += n;
	VFIO_ASSERT_EQ(n, 0);
	text[len] = 0;
	close(fd);
}

TEST_F(rule, no_rules)
{
	static const char * const bad[] = {
		/* sites */
		"arc_fial STOP->RESUMING 1 1 5", "ARC_FAIL STOP->RESUMING 1 1 5",
		"arc STOP->RESUMING 1 1 5", "arc_fail_ STOP->RESUMING 1 1 5",
		"Clear", "clear now", "release 1", "-",
		/* what passes them */
		"arc_fail RUNNING 1 1 5", "arc_fail RUNING->STOP 1 1 5",
		"arc_fail RUNNING->STOP->RUNNING 1 1 5", "arc_fail -> 1 1 5",
		"arc_fail RUNNING-> 1 1 5", "arc_fail ->STOP 1 1 5",
		"arc_fail * 1 1 5", "arc_fail MEMORY 1 1 5", "arc_fail - 1 1 5",
		"arc_fail 2->1 1 1 5", "stop_fail - 1 1 5", "stop_fail REGS 1 1 5",
		"save_fail RUNNING->STOP 1 1 5", "save_fail - 1 1 5",
		"save_fail memory 1 1 5", "save_fail * 1 1 5",
		"load_stall MEM 1 1 0", "dma_fail MEMORY 1 1 5",
		"dma_fail READ 1 1 5", "snapshot_fail REGS 1 1 5",
		"snapshot_stall *->* 1 1 0",
		/* none of its arcs, neither by those names nor by any */
		"arc_fail RUNNING->STOP 1 1 5", "arc_stall STOP->RUNNING 1 1 0",
		"arc_fail PRE_COPY->STOP_COPY 1 1 5", "arc_fail STOP->STOP 1 1 5",
		"arc_reset STOP->ERROR 1 1 0", "arc_broken ERROR->STOP 1 1 5",
		"arc_fail ERROR->* 1 1 5", "arc_fail *->ERROR 1 1 5",
		"stop_fail RUNNING->STOP 1 1 5", "arc_fail RESUMING->RUNNING 1 1 5",
		/* errnos that never come out */
		"save_fail REGS 1 1 1", "save_fail MEMORY 1 1 28",
		"load_fail CONFIG 1 1 61", "load_fail REGS 1 1 4095",
		"snapshot_fail - 1 1 4",
		/* words */
		"arc_fail", "arc_fail RUNNING_P2P->STOP", "arc_fail RUNNING_P2P->STOP 1",
		"arc_fail RUNNING_P2P->STOP 1 1", "arc_fail RUNNING_P2P->STOP 1 1 5 6",
		"arc_fail RUNNING_P2P->STOP 1 1 5 ", " arc_fail RUNNING_P2P->STOP 1 1 5",
		"arc_fail  RUNNING_P2P->STOP 1 1 5", "arc_fail\tRUNNING_P2P->STOP\t1\t1\t5",
		"arc_fail RUNNING_P2P -> STOP 1 1 5",
		/* numbers */
		"arc_fail RUNNING_P2P->STOP 0 1 5", "arc_fail RUNNING_P2P->STOP -1 1 5",
		"arc_fail RUNNING_P2P->STOP x 1 5", "arc_fail RUNNING_P2P->STOP 1.5 1 5",
		"arc_fail RUNNING_P2P->STOP 4294967296 1 5",
		"arc_fail RUNNING_P2P->STOP 1 -1 5", "arc_fail RUNNING_P2P->STOP 1 x 5",
		"arc_fail RUNNING_P2P->STOP 1 4294967296 5",
		"arc_fail RUNNING_P2P->STOP 1 1 0", "arc_fail RUNNING_P2P->STOP 1 1 -5",
		"arc_fail RUNNING_P2P->STOP 1 1 4096", "arc_fail RUNNING_P2P->STOP 1 1 EIO",
		"arc_broken RUNNING_P2P->STOP 1 1 0", "stop_fail *->* 1 1 0",
		"dma_fail - 1 1 0", "arc_stall RUNNING_P2P->STOP 1 1 5",
		"arc_reset RUNNING_P2P->STOP 1 1 5", "save_flip MEMORY 1 1 5",
		"save_short MEMORY 1 1 5", "snapshot_stall - 1 1 5",
	};
	unsigned int i;
	char text[64];

	for (i = 0; i < ARRAY_SIZE(bad); i++) {
		ASSERT_EQ(-EINVAL, add(self->dev, bad[i])) {
			TH_LOG("'%s'", bad[i]);
		}
	}
	rules(self->dev, text, sizeof(text));
	ASSERT_STREQ("", text);
}

TEST_F(rule, read_back)
{
	char text[1024];

	ASSERT_EQ(0, add(self->dev, "arc_fail STOP->STOP_COPY 01 2 0x5\n"
				    "arc_broken *->STOP 0x10 0 4095\n\n"
				    "arc_stall PRE_COPY_P2P->* 4294967295 4294967295 0"));
	ASSERT_EQ(0, add(self->dev, "arc_reset *->* 1 1 0"));
	ASSERT_EQ(0, add(self->dev, "stop_fail *->STOP_COPY 1 1 5"));
	ASSERT_EQ(0, add(self->dev, "snapshot_fail - 1 1 12"));
	ASSERT_EQ(0, add(self->dev, "save_flip REGS 3 1 0"));
	ASSERT_EQ(0, add(self->dev, "load_fail CONFIG 1 1 22"));
	ASSERT_EQ(0, add(self->dev, "dma_fail - 010 1 5"));
	rules(self->dev, text, sizeof(text));
	ASSERT_STREQ("arc_fail STOP->STOP_COPY 1 2 5 fired 0\n"
		     "arc_broken *->STOP 16 0 4095 fired 0\n"
		     "arc_stall PRE_COPY_P2P->* 4294967295 4294967295 0 fired 0\n"
		     "arc_reset *->* 1 1 0 fired 0\n"
		     "stop_fail *->STOP_COPY 1 1 5 fired 0\n"
		     "snapshot_fail - 1 1 12 fired 0\n"
		     "save_flip REGS 3 1 0 fired 0\n"
		     "load_fail CONFIG 1 1 22 fired 0\n"
		     "dma_fail - 10 1 5 fired 0\n", text);
	vfm_fault_clear(self->dev);
	rules(self->dev, text, sizeof(text));
	ASSERT_STREQ("", text);
}

/* What is an arc depends on the type; any of them can be meant by *. */
TEST_F(rule, arcs_of_types)
{
	static const struct {
		const char *type;
		const char *rule;
		int ret;
	} rules[] = {
		{ MIGSIM_BASIC, "arc_fail RUNNING->STOP 1 1 5", 0 },
		{ MIGSIM_BASIC, "stop_fail RUNNING->STOP 1 1 5", 0 },
		{ MIGSIM_BASIC, "arc_fail *->STOP 1 1 5", 0 },
		{ MIGSIM_BASIC, "arc_fail RUNNING->RUNNING_P2P 1 1 5", -EINVAL },
		{ MIGSIM_BASIC, "arc_fail *->PRE_COPY 1 1 5", -EINVAL },
		{ MIGSIM_BASIC, "arc_fail RUNNING_P2P->* 1 1 5", -EINVAL },
		{ MIGSIM_SNAPSHOT, "arc_fail RUNNING_P2P->* 1 1 5", 0 },
		{ MIGSIM_SNAPSHOT, "arc_fail RUNNING->STOP 1 1 5", -EINVAL },
		{ MIGSIM_PRECOPY, "arc_fail PRE_COPY->STOP_COPY 1 1 5", 0 },
		/* With stop_copy_back, for a client that wants it. */
		{ MIGSIM_PRECOPY, "arc_fail STOP_COPY->PRE_COPY 1 1 5", 0 },
		{ MIGSIM_FULL, "arc_fail STOP_COPY->PRE_COPY_P2P 1 1 5", 0 },
		{ MIGSIM_FULL, "arc_fail STOP_COPY->PRE_COPY 1 1 5", -EINVAL },
	};
	struct vfm_device *dev;
	unsigned int i;

	for (i = 0; i < ARRAY_SIZE(rules); i++) {
		dev = vfm_create(rules[i].type);
		ASSERT_EQ(rules[i].ret, add(dev, rules[i].rule)) {
			TH_LOG("%s: '%s'", rules[i].type, rules[i].rule);
		}
		vfm_destroy(dev);
	}
}

/* What comes before a line that is none, holds. */
TEST_F(rule, bad_line)
{
	char text[256];

	ASSERT_EQ(-EINVAL, add(self->dev, "dma_fail - 1 1 5\nno\ndma_fail - 1 1 6"));
	rules(self->dev, text, sizeof(text));
	ASSERT_STREQ("dma_fail - 1 1 5 fired 0\n", text);
}

TEST_F(rule, too_many)
{
	char text[2 * MAX_TEXT + 64];
	unsigned int i;

	for (i = 0; i < MAX_RULES; i++)
		ASSERT_EQ(0, add(self->dev, "dma_fail - 1 1 5"));
	ASSERT_EQ(-ENOSPC, add(self->dev, "dma_fail - 1 1 5"));
	rules(self->dev, text, sizeof(text));
	ASSERT_EQ(MAX_RULES * strlen("dma_fail - 1 1 5 fired 0\n"), strlen(text));
	vfm_fault_clear(self->dev);
	ASSERT_EQ(0, add(self->dev, "dma_fail - 1 1 5"));
}

TEST_F(rule, too_long)
{
	char text[MAX_TEXT + 2];

	/* Empty lines are none. */
	memset(text, '\n', sizeof(text));
	text[MAX_TEXT + 1] = 0;
	ASSERT_EQ(-E2BIG, add(self->dev, text));
	text[MAX_TEXT] = 0;
	ASSERT_EQ(0, add(self->dev, text));
}

TEST_F(rule, any_state)
{
	ASSERT_EQ(0, add(self->dev, "arc_fail *->STOP_COPY 1 0 5"));
	vfm_set_state_err(self->dev, VFM_STOP_COPY, EIO);
	vfm_assert_state(self->dev, VFM_RUNNING);
	close(vfm_enter(self->dev, VFM_PRE_COPY));
	vfm_set_state_err(self->dev, VFM_STOP_COPY, EIO);
	vfm_set_state_nofd(self->dev, VFM_STOP);
	/* Only now, or no way back would pass. */
	ASSERT_EQ(0, add(self->dev, "arc_fail STOP->* 1 0 6"));
	vfm_set_state_err(self->dev, VFM_STOP_COPY, EIO);
	vfm_set_state_err(self->dev, VFM_RESUMING, ENXIO);
	vfm_set_state_err(self->dev, VFM_RUNNING, ENXIO);
	ASSERT_EQ(3, vfm_rule_fired(self->dev, "arc_fail *->STOP_COPY"));
	ASSERT_EQ(2, vfm_rule_fired(self->dev, "arc_fail STOP->*"));
}

TEST_F(rule, nth_and_count)
{
	unsigned int i;

	ASSERT_EQ(0, add(self->dev, "arc_fail RUNNING_P2P->STOP 3 2 5"));
	for (i = 1; i < 8; i++) {
		if (i == 3 || i == 4)
			vfm_set_state_err(self->dev, VFM_STOP, EIO);
		else
			vfm_set_state_nofd(self->dev, VFM_STOP);
		vfm_set_state_nofd(self->dev, VFM_RUNNING);
	}
	ASSERT_EQ(2, vfm_rule_fired(self->dev, "arc_fail"));
}

TEST_F(rule, for_ever)
{
	unsigned int i;

	ASSERT_EQ(0, add(self->dev, "arc_fail RUNNING_P2P->STOP 2 0 5"));
	vfm_set_state_nofd(self->dev, VFM_STOP);
	vfm_set_state_nofd(self->dev, VFM_RUNNING);
	for (i = 0; i < 300; i++)
		vfm_set_state_err(self->dev, VFM_STOP, EIO);
	ASSERT_EQ(300, vfm_rule_fired(self->dev, "arc_fail"));
	vfm_fault_clear(self->dev);
	vfm_set_state_nofd(self->dev, VFM_STOP);
}

/* A passage at which a rule fires is none to those behind it. */
TEST_F(rule, hides_the_rest)
{
	ASSERT_EQ(0, add(self->dev, "arc_fail RUNNING_P2P->STOP 1 2 5"));
	ASSERT_EQ(0, add(self->dev, "arc_fail *->STOP 2 1 6"));
	vfm_set_state_err(self->dev, VFM_STOP, EIO);
	vfm_set_state_err(self->dev, VFM_STOP, EIO);
	ASSERT_EQ(0, vfm_rule_fired(self->dev, "arc_fail *->STOP"));
	vfm_set_state_nofd(self->dev, VFM_STOP);
	vfm_set_state_nofd(self->dev, VFM_RUNNING);
	vfm_set_state_err(self->dev, VFM_STOP, ENXIO);
	ASSERT_EQ(2, vfm_rule_fired(self->dev, "arc_fail RUNNING_P2P->STOP"));
	ASSERT_EQ(1, vfm_rule_fired(self->dev, "arc_fail *->STOP"));
}

/* EINTR is an errno as any other: to the engine it does not mean "once more". */
TEST_F(rule, dma_errnos)
{
	static const int errnos[] = { EINTR, EIO, EAGAIN, 4095 };
	static u8 memory[4096] __attribute__((aligned(4096)));
	unsigned int i;
	char line[64];

	vfm_dma_map(self->dev, 0x100000, memory, sizeof(memory));
	vfm_command_write(self->dev, PCI_COMMAND_MEMORY | PCI_COMMAND_MASTER);
	for (i = 0; i < ARRAY_SIZE(errnos); i++) {
		snprintf_assert(line, sizeof(line), "dma_fail - 1 1 %d", errnos[i]);
		ASSERT_EQ(0, add(self->dev, line));
		vfm_dma_queue(self->dev, MIGSIM_DMA_READ, 0x100000, 0, 8);
		vfm_dma_wait(self->dev);
		ASSERT_EQ(i + 1, vfm_reg_read(self->dev, MIGSIM_REG_DMA_FAILED));
		ASSERT_EQ(errnos[i], vfm_reg_read(self->dev, MIGSIM_REG_DMA_ERROR));
		vfm_fault_clear(self->dev);
	}
	ASSERT_EQ(0, vfm_reg_read(self->dev, MIGSIM_REG_DMA_DONE));
}

/*
 * Behind the arc of a device without P2P, which initiates things until it stops: as it
 * does not, it has to go on with them.
 */
TEST_F(rule, goes_on)
{
	static u8 memory[4096] __attribute__((aligned(4096)));
	struct vfm_device *dev = vfm_create_small(MIGSIM_BASIC);

	vfm_dma_map(dev, 0x100000, memory, sizeof(memory));
	vfm_command_write(dev, PCI_COMMAND_MEMORY | PCI_COMMAND_MASTER);
	ASSERT_EQ(0, add(dev, "stop_fail RUNNING->STOP 1 1 5"));
	vfm_set_state_err(dev, VFM_STOP, EIO);
	vfm_assert_state(dev, VFM_RUNNING);
	vfm_dma_queue(dev, MIGSIM_DMA_READ, 0x100000, 0, 8);
	vfm_dma_wait(dev);
	ASSERT_EQ(1, vfm_reg_read(dev, MIGSIM_REG_DMA_DONE));
	vfm_set_state_nofd(dev, VFM_STOP);
	vfm_destroy(dev);
}

/* The arc is done by then: it is the data fd that tells. */
TEST_F(rule, snapshot)
{
	struct vfm_buf got = {};
	int fd;

	ASSERT_EQ(0, add(self->dev, "snapshot_fail - 1 1 5"));
	fd = vfm_enter(self->dev, VFM_STOP_COPY);
	vfm_drain_err(fd, &got, NULL, EIO);
	vfm_assert_state(self->dev, VFM_STOP_COPY);
	close(fd);
	vfm_set_state_nofd(self->dev, VFM_RUNNING);
	ASSERT_EQ(0, add(self->dev, "snapshot_stall - 1 1 0"));
	/* Not in PRE_COPY, where no snapshot is made. */
	fd = vfm_enter(self->dev, VFM_PRE_COPY);
	vfm_drain_err(fd, &got, NULL, ENOMSG);
	vfm_set_state_nofd(self->dev, VFM_STOP_COPY);
	VFM_WAIT(vfm_rule_fired(self->dev, "snapshot_stall"));
	vfm_nonblock(fd, true);
	ASSERT_EQ(-EAGAIN, vfm_read(fd, vfm_buf_room(&got, 1), 1));
	vfm_fault_release(self->dev);
	vfm_nonblock(fd, false);
	vfm_drain(fd, &got, NULL);
	close(fd);
	vfm_buf_free(&got);
}

/* All but the id of the stream, and the checksums, which cover it. */
static void check_same_payload(struct vfm_buf *a, struct vfm_buf *b)
{
	struct vfm_stream one, two;
	size_t i;

	vfm_stream_parse(&one, a);
	vfm_stream_parse(&two, b);
	VFIO_ASSERT_EQ(one.nr, two.nr);
	/* The last one is about the stream. */
	for (i = 0; i < one.nr - 1; i++) {
		VFIO_ASSERT_EQ(one.section[i].length, two.section[i].length);
		VFIO_ASSERT_EQ(memcmp(one.section[i].payload, two.section[i].payload,
				      one.section[i].length -
				      sizeof(*one.section[i].header)), 0);
	}
	vfm_stream_free(&one);
	vfm_stream_free(&two);
}

/* A new device with this seed and this rule: the stream, and where it is refused. */
static u64 run(const char *rule, bool source, struct vfm_buf *stream)
{
	struct vfm_device *dev[2];
	u64 offset, at;
	unsigned int i;

	for (i = 0; i < 2; i++) {
		dev[i] = vfm_create(MIGSIM_FULL);
		vfm_attr_set(dev[i], "state_size", 64 * 4096);
		vfm_attr_set(dev[i], "seed", 7);
		vfm_attr_set(dev[i], "verify", 1);
		vfm_open(dev[i]);
	}
	/* A page that is left out must be missed. */
	for (at = 0; at < 64 * 4096; at += 4096)
		vfm_bar_write(dev[0], MIGSIM_BAR_MEM, at, "written", 7);
	VFIO_ASSERT_EQ(add(dev[!source], rule), 0, "%s", rule);
	vfm_save(dev[0], stream, NULL);
	VFIO_ASSERT_NE(__vfm_restore(dev[1], stream->data, stream->len, NULL), 0);
	offset = vfm_last_error(dev[1]).offset;
	vfm_destroy(dev[0]);
	vfm_destroy(dev[1]);
	return offset;
}

TEST_F(rule, deterministic)
{
	static const struct {
		const char *rule;
		bool source;
	} runs[] = {
		{ "save_flip MEMORY 2 1 0", true },
		{ "save_short MEMORY 2 1 0", true },
		{ "save_short REGS 1 1 0", true },
		{ "load_fail MEMORY 3 1 5", false },
	};
	struct vfm_buf one = {}, two = {};
	unsigned int i;
	u64 offset;

	for (i = 0; i < ARRAY_SIZE(runs); i++) {
		one.len = 0;
		two.len = 0;
		offset = run(runs[i].rule, runs[i].source, &one);
		ASSERT_NE(VFIO_MIGX_NO_OFFSET, offset);
		ASSERT_EQ(offset, run(runs[i].rule, runs[i].source, &two));
		check_same_payload(&one, &two);
	}
	vfm_buf_free(&one);
	vfm_buf_free(&two);
}

TEST_HARNESS_MAIN
