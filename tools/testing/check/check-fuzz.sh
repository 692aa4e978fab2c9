#!/bin/bash
# SPDX-License-Identifier: GPL-2.0-only
#
# make check-fuzz: the parser of migration streams under libFuzzer, in user space, and
# the syzkaller descriptions against the headers. ROUNDS=N does N times as much,
# VFM_SEED=N something else.
#
# The fuzzer has to find each defect of tools/testing/fuzz/defects/ as well, patches to
# the core that only begin with a line "Defect: what is wrong"; with SHORT=1 the first of
# them, to show that it finds something. Prints KTAP.

# shellcheck source=tools/testing/check/lib.sh
. "$(dirname "$0")/lib.sh"
cd "$TOP" || exit 1
out=$TOP/build/check-fuzz
fuzz=$TOP/tools/testing/fuzz
core=drivers/vfio/migration
runs=$((${FUZZ_RUNS:-50000} * ${VFM_ROUNDS:-1}))
seed=$((${VFM_SEED:-1} & 0xffffffff))
defect_runs=30000

tools/testing/vm/deps.sh || exit 1
rm -rf "$out" "$RELIABILITY/check-fuzz.json"
mkdir -p "$out"

# Freed memory that is kept to be guarded, or else caches hold little else.
export ASAN_OPTIONS=quarantine_size_mb=8:thread_local_quarantine_size_kb=64:malloc_context_size=4

# run FOLDER OPTIONS...: the fuzzer of that folder, which leaves log, artefacts and
# what is new there; the corpus stays what it is
run()
{
	local dir=$1
	shift

	mkdir -p "$dir/new"
	"$dir/stream_fuzz" -max_len=8192 -timeout=60 -verbosity=0 \
		-print_final_stats=1 -seed="$seed" -artifact_prefix="$dir/" \
		"$@" "$dir/new" "$fuzz/corpus" > "$dir/log" 2>&1
}

# tried FOLDER: inputs that were tried
tried() { awk '/number_of_executed_units/ { n = $2 } END { print n + 0 }' "$1/log"; }

# found FOLDER: what the fuzzer said when it stopped, in a line
found()
{
	grep -m 1 -aE 'found: |ERROR: (Addr|lib)|runtime error' "$1/log" ||
		tail -n 1 "$1/log"
}

# fuzz NAME OPTIONS...: nothing may be found
fuzz()
{
	local name=$1 artefact
	shift

	if run "$out" "$@"; then
		echo "# $(tried "$out") inputs"
		result ok "fuzz:$name"
		return
	fi
	tail -n 40 "$out/log" | sed 's/^/# /'
	artefact=$(find "$out" -maxdepth 1 -name '*-*' -size -1M -newer "$out/begun" \
		! -name '*.log' | head -n 1)
	result not "fuzz:$name" "$(found "$out"); again by: $out/stream_fuzz ${artefact:-?}"
}

# plant NAME PATCH: a fuzzer of its own; the harness is the same
plant()
{
	local dir=$out/defects/$1

	mkdir -p "$dir/src"
	cp -r "$core" "$dir/src/"
	# The patch is to the tree, the copy is of this folder.
	patch -d "$dir/src/migration" -p4 -N -F0 --no-backup-if-mismatch < "$2" &&
	cp -a "$out"/harness/. "$dir" &&
	make -C "$fuzz" O="$dir" SRC="$dir/src/migration"
}

# defect PATCH: has to be found, and by more than a fuzzer that does not work
defect()
{
	local name dir

	name=$(basename "$1" .patch)
	dir=$out/defects/$name
	mkdir -p "$dir"
	if ! plant "$name" "$1" > "$dir/build.log" 2>&1; then
		tail -n 20 "$dir/build.log" | sed 's/^/# /'
		result not "fuzz:defect-$name" "does not build, see $dir/build.log"
	elif run "$dir" -runs="$defect_runs"; then
		result not "fuzz:defect-$name" "not found in $(tried "$dir") inputs"
	elif ! grep -qaE 'found: |ERROR: AddressSan|runtime error' "$dir/log"; then
		result not "fuzz:defect-$name" "$(found "$dir"), see $dir/log"
	else
		echo "# $(sed -n 's/^Defect: *//p' "$1"): after $(tried "$dir") inputs:" \
			"$(found "$dir")"
		result ok "fuzz:defect-$name"
	fi
}

explore()
{
	fuzz stream -runs="$runs"
	cat > "$out/fuzz.tap" <<-COUNTS
	# count fuzz_execs $(tried "$out")
	# count stream_mutations $(awk '/^# mutations/ { n = $3 } END { print n + 0 }' "$out/log")
	COUNTS
	cat "$out/fuzz.tap"
	grep -q 'mutations [1-9]' "$out/fuzz.tap" ||
		result not fuzz:mutations "the fuzzer does not know the format"
}

echo "TAP version 13"
quiet_step fuzzer make -C "$fuzz" O="$out"
# The objects of the harness, for the defects.
mkdir "$out/harness"
cp -a "$out"/*.[od] "$out/include" "$out/shim" "$out/harness/"
: > "$out/begun"

echo "# VFM_SEED=$seed, $runs inputs"
fuzz corpus -runs=0
explore
defects=("$fuzz"/defects/*.patch)
[ -z "${SHORT:-}" ] || defects=("${defects[0]}")
for patch in "${defects[@]}"; do
	defect "$patch"
done
tools/testing/syzkaller/check.sh > "$out/syzkaller.log" 2>&1
results "$out/syzkaller.log" syzkaller $?
tools/testing/check/reliability.sh check-fuzz "$out" || result not fuzz:counts

echo "1..$NUMBER"
totals
