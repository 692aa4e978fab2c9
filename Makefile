# SPDX-License-Identifier: GPL-2.0-only
#
# The face of the project for those who build it outside a kernel tree.

KDIR	?= $(shell tools/testing/vm/kernel.sh headers)
J	?= $(shell nproc)
# Of tests that repeat something; each has a number of its own otherwise.
ROUNDS	?=
export VFM_ROUNDS ?= $(ROUNDS)
BUILD	:= $(CURDIR)/build
BIN	:= $(BUILD)/bin
VM	:= tools/testing/vm
CHECK	:= tools/testing/check
SELFTESTS := tools/testing/selftests/vfio/migration

# An external build has no Kconfig, so the symbols are set here and only here.
# BTF for modules would need pahole and the kernel's vmlinux.
CONFIGS	:= CONFIG_VFIO_MIGRATION=m CONFIG_SAMPLE_VFIO_MDEV_MIGSIM=m
CONFIGS	+= CONFIG_DEBUG_INFO_BTF_MODULES=

# What kbuild sees is a farm of links, one for each kernel: newer kernels write
# into the folder they are pointed at, and objects of two kernels must not mix.
FARM	?= $(BUILD)/farm/$(KREL)
MODULES	?= $(BUILD)/modules/$(KREL)
LINKED	:= Kbuild Kconfig compat include drivers samples

.PHONY: help
help:
	@echo 'For a first look, as root on Debian 12 (installs the packages it needs):'
	@echo '  demo          migrate eight devices in parallel in a VM'
	@echo '  check         static checks and all tests, in a VM'
	@echo 'For work on it:'
	@echo '  modules       the modules, into build/modules/<kernel release>/'
	@echo '                KDIR= headers or build folder (default: the newest'
	@echo '                Debian 12 6.12 headers), ARCH=um for User Mode Linux,'
	@echo '                W= and C= as in the kernel'
	@echo '  programs      vfio-migrate and the selftests, into build/bin/'
	@echo '  uml           modules and programs for the User Mode Linux kernel;'
	@echo '                run them by $(VM)/uml.sh'
	@echo '  bench         figures, each against something else in the same run, into'
	@echo '                build/bench.json; BENCH=qemu: on Debian'\''s kernel'
	@echo '  bench-doc     the same, and its table into Documentation/'
	@echo '  check-bench   a quick try of it, in User Mode Linux: all figures are there'
	@echo '  kunit         unit tests of the core, in User Mode Linux'
	@echo '  check-uml     all tests on the newest kernel as User Mode Linux'
	@echo '  check-coverage'
	@echo '                the same, and what of the core they reach'
	@echo '  check-debug   all tests on the newest kernel with KASAN, lockdep and others;'
	@echo '                SHORT=1: those that such a kernel is most likely to object to'
	@echo '  check-kcsan   the same with KCSAN'
	@echo '  check-qemu    stock QEMU migrates machines that use migsim devices;'
	@echo '                ATTACH=type1: on Debian'\''s kernel alone'
	@echo '  check-fuzz    the parser of streams under libFuzzer, and the descriptions'
	@echo '                for syzkaller; ROUNDS=N does N times as much'
	@echo '  check-model   search a model of sessions, reset and close for mistakes in'
	@echo '                the order of things; ROUNDS=N: a bigger one, for longer'
	@echo '  check-mtty    judge mainline'\''s mtty: its known defects, and nothing else'
	@echo '  check-mutants prove that the tests notice planted defects;'
	@echo '                MUTANTS=: names of some, or patterns'
	@echo '  reliability   what they have tried in all, and whether that is enough'
	@echo '  check-suites  tests of epoll and io_uring by other people, on data fds'
	@echo '  check-all     all of these, one after the other, results kept by commit:'
	@echo '                what has passed is not run again; TARGETS=: some of them'
	@echo '  conformance   judge a device of this machine, as root and without a VM:'
	@echo '                DEVICE= PCI address, mdev uuid or /dev/vfio/devices/vfioN,'
	@echo '                DESTRUCTIVE=1 adds tests that may break it and the machine'
	@echo '  graphs        write what the audit tool prints into Documentation/'
	@echo '  clean         remove build/ (downloads stay in the cache,'
	@echo '                $${VFIO_MIGRATION_CACHE:-~/.cache/vfio-migration})'

.PHONY: deps
deps:
	@$(VM)/deps.sh

.PHONY: modules
modules: | deps
	@kdir='$(KDIR)'; [ -n "$$kdir" ] || exit 1; \
	krel=$$(cat "$$kdir/include/config/kernel.release") || exit 1; \
	$(MAKE) --no-print-directory do-modules KDIR="$$kdir" KREL="$$krel"

.PHONY: do-modules
do-modules:
	@mkdir -p $(FARM) $(MODULES)
	@find $(FARM) -xtype l -delete
	@[ -z '$(LINKED)' ] || cp -asf $(addprefix $(CURDIR)/,$(LINKED)) $(FARM)/
	$(MAKE) -C $(KDIR) M=$(FARM) -j$(J) $(CONFIGS) modules
	@rm -f $(MODULES)/*.ko
	@find $(FARM) -name '*.ko' -exec cp -t $(MODULES) {} +

# Programs see the uAPI of newer kernels through compat/, and the kselftest
# headers, which no package of headers has, from the kernel source.
UAPI	 = -isystem $(CURDIR)/compat/include/uapi -I$(CURDIR)/include/uapi
KSFT	 = $(shell $(VM)/kernel.sh source)/tools/testing/selftests

.PHONY: programs
programs: | deps
	@ksft='$(KSFT)'; [ -e "$$ksft/kselftest_harness.h" ] || exit 1; \
	mkdir -p $(BIN) && \
	$(MAKE) --no-print-directory -C samples/vfio/migrate O=$(BIN) UAPI='$(UAPI)' && \
	$(MAKE) --no-print-directory -C $(SELFTESTS) -j$(J) O=$(BIN) UAPI='$(UAPI)' KSFT="$$ksft" && \
	$(MAKE) --no-print-directory $(BIN)/barcmp

$(BIN)/barcmp: $(CHECK)/barcmp.c
	$(CC) -std=gnu11 -O2 -g -Wall -Wextra -Werror $(CFLAGS) $(UAPI) $< -o $@

# What static.sh compares with.
GRAPHS := Documentation/driver-api/vfio-migration-fsm
.PHONY: graphs
graphs: programs
	$(BIN)/fsm_graph -b -s full > $(GRAPHS).txt
	$(BIN)/fsm_graph -b -s full -d > $(GRAPHS).dot

.PHONY: uml
uml: | deps
	@build=$$($(VM)/uml-build.sh) || exit 1; \
	$(MAKE) --no-print-directory modules KDIR="$$build" ARCH=um
	@$(MAKE) --no-print-directory programs

# The comparison module is in no other build.
.PHONY: bench-modules
bench-modules:
	@$(MAKE) --no-print-directory modules LINKED='$(LINKED) tools' \
		CONFIGS='$(CONFIGS) CONFIG_VFIO_MIGRATION_BENCH=m'

.PHONY: bench-programs
bench-programs: programs
	@$(MAKE) --no-print-directory -C tools/testing/bench O=$(BIN) UAPI='$(UAPI)' KSFT='$(KSFT)'

.PHONY: bench
bench:
	@tools/testing/bench/bench.sh

# What is published of it; the second is for a file that was measured before.
BENCHED	:= $(BUILD)/bench$(if $(filter qemu,$(BENCH)),-qemu).json
BENCH_DOC := Documentation/driver-api/vfio-migration-bench-$(or $(BENCH),uml).txt
.PHONY: bench-doc bench-table
bench-doc: bench
	@$(MAKE) --no-print-directory bench-table
bench-table:
	{ echo '# SPDX-License-Identifier: GPL-2.0-only'; echo; \
	  tools/testing/bench/table.sh $(BENCHED); } > $(BENCH_DOC).new
	mv $(BENCH_DOC).new $(BENCH_DOC)

.PHONY: check-bench
check-bench:
	@$(CHECK)/check-bench.sh

.PHONY: demo
demo:
	@$(CHECK)/demo.sh

.PHONY: check
check:
	@$(CHECK)/check.sh

.PHONY: check-uml
check-uml:
	@$(CHECK)/check-uml.sh

.PHONY: check-coverage
check-coverage:
	@$(CHECK)/check-coverage.sh

.PHONY: kunit
kunit:
	@$(CHECK)/kunit.sh

.PHONY: check-debug
check-debug:
	@$(CHECK)/check-debug.sh

.PHONY: check-kcsan
check-kcsan:
	@FLAVOUR=kcsan $(CHECK)/check-debug.sh

.PHONY: check-qemu
check-qemu:
	@$(CHECK)/check-qemu.sh

.PHONY: check-fuzz
check-fuzz:
	@$(CHECK)/check-fuzz.sh

.PHONY: reliability
reliability:
	@$(CHECK)/reliable.sh

.PHONY: check-mtty
check-mtty:
	@$(CHECK)/check-mtty.sh

.PHONY: conformance
conformance:
	@DESTRUCTIVE='$(DESTRUCTIVE)' $(CHECK)/conformance.sh '$(DEVICE)'

.PHONY: check-model
check-model:
	@$(CHECK)/check-model.sh

.PHONY: check-mutants
check-mutants:
	@$(CHECK)/mutants.sh

.PHONY: check-suites
check-suites:
	@$(CHECK)/check-suites.sh

# Each of the targets above is one of its list.
.PHONY: check-all
check-all:
	@TARGETS='$(TARGETS)' $(CHECK)/check-all.sh

.PHONY: clean
clean:
	rm -rf $(BUILD)
