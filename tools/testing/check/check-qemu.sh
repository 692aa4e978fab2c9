#!/bin/bash
# SPDX-License-Identifier: GPL-2.0-only
#
# make check-qemu: stock QEMU migrates machines with migsim devices, inside of a
# machine: on Debian's kernel through a group of type1, and on the newest with
# default options by group and by cdev, where the devices log their DMA. Besides, what
# the user's guide says is done on the first, and the selftests of that log on the second.
# ATTACH names some of these three, SCENARIOS some of guest-qemu.py's and nothing besides;
# FLAVOUR=kasan has the newest kernel watch, which takes long. Prints KTAP as check.sh does.

# shellcheck source=tools/testing/check/lib.sh
. "$(dirname "$0")/lib.sh"
cd "$TOP" || exit 1
out=$TOP/build/check-qemu
read -ra attach <<< "${ATTACH:-type1 group cdev}"
read -ra scenarios <<< "${SCENARIOS:-}"
flavour=${FLAVOUR:-plain}
# The newest kernel has all that a test may need.
EXPECTED_SKIPS=$SELFTESTS/expected-skips.kasan
programs=(migsim_log_test migsim_log_edge_test conf_logging_test)
limit=$([ "$flavour" = kasan ] && echo 2400 || echo 900)

declare -A modules

# on_newest: the machines of this subshell
on_newest() { export VM_KERNEL=$newest/image VM_APPEND=sysctl.kernel.watchdog_thresh=60; }

# migrate ATTACH: all scenarios, in a machine of their own
migrate()
{
	local how=$1 kernel=newest

	[ "$how" = type1 ] && kernel=debian
	[ $kernel = debian ] || on_newest
	mkdir "$out/$how"
	VM_CONSOLE=console "$RUN" -M "${modules[$kernel]}" -m 3G -t "$limit" \
		-o "$out/$how" -- "$CHECK_DIR/guest-qemu.py" "$qemu" "$how" \
		"${scenarios[@]}" > "$out/$how.tap"
	echo $? > "$out/$how.rc"
}

# guide: somebody follows it, from no modules to what it promises
guide()
{
	mkdir "$out/guide"
	VM_CONSOLE=console "$RUN" -n -m 3G -t "$limit" -o "$out/guide" -- \
		"$CHECK_DIR/guest-guide.sh" "$qemu" "${modules[debian]}" > "$out/guide.tap"
	echo $? > "$out/guide.rc"
}

# selftests: of the log of DMA
selftests()
{
	on_newest
	RUN_FLAGS=(-m 3G -M "${modules[newest]}")
	run_tests 1 "$out/selftests" 300 "${programs[@]}"
}

# job COMMAND...: two at a time, as each keeps a CPU busy
job()
{
	[ "$(jobs -rp | wc -l)" -lt 2 ] || wait -n
	"$@" &
}

tools/testing/vm/deps.sh || exit 1
rm -rf "$out"
mkdir -p "$out/selftests"

echo "TAP version 13"
step qemu tools/testing/vm/qemu-fetch.sh
qemu=$(tools/testing/vm/qemu-fetch.sh)/qemu || exit 1
besides=()
if [[ " ${attach[*]} " = *' type1 '* ]]; then
	step kernel-debian tools/testing/vm/kernel.sh all
	# The same as "make check" has built.
	step modules-debian make modules W=1
	modules[debian]=$TOP/build/modules/$(tools/testing/vm/kernel.sh release) || exit 1
	besides+=(guide)
fi
if [[ " ${attach[*]} " =~ ' group '|' cdev ' ]]; then
	step kernel-newest tools/testing/vm/x86-build.sh "$flavour"
	newest=$(tools/testing/vm/x86-build.sh "$flavour") || exit 1
	modules[newest]=$out/modules-newest
	quiet_step modules-newest make modules W=1 KDIR="$newest" CFLAGS_KCSAN= \
		MODULES="${modules[newest]}" FARM="$TOP/build/farm/check-qemu-newest"
	step programs make programs
	besides+=(selftests)
fi
[ ${#scenarios[@]} -eq 0 ] || besides=()

for how in "${attach[@]}"; do
	job migrate "$how"
done
for what in "${besides[@]}"; do
	job "$what"
done
wait
for how in "${attach[@]}" "${besides[@]}"; do
	if [ "$how" = selftests ]; then
		collect_selftests
		continue
	fi
	echo "# $how"
	grep '^# ' "$out/$how.tap"
	results "$out/$how.tap" "$how" "$(cat "$out/$how.rc")"
done

echo "1..$NUMBER"
totals
