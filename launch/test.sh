#!/usr/bin/env bash
# Installs what is missing, builds, and runs every test: plainly, then those of ranks under mpirun,
# where every layout is compared with one rank as well.
# launch/test.sh [FILTER]: only tests whose name matches.
set -euo pipefail
. "$(dirname "$0")/environment.sh"

start=$SECONDS
"$apus_root/launch/build.sh" --build-tests
cd "$apus_root"
tests=.build/release/ApusPackageTests.xctest
summary=()

# run NAME COMMAND …: runs the tests and keeps their last line for the end.
run() {
  local name=$1 log status line
  shift
  log=$(mktemp)
  say "tests $name"
  set +e
  "$@" 2>&1 | tee "$log" | grep --line-buffered -v -a -E '◇|➜|↳|✔.*(Test "|Test .*\(\)|Suite|test case)'
  status=${PIPESTATUS[0]}
  set -e
  line=$(grep -a -o -E 'Test run with .*' "$log" | sort | uniq -c | sort -rn | head -n 1 |
    sed 's/^ *[0-9]* *//' || true)
  rm -f "$log"
  summary+=("$name: ${line:-no test ran}")
  [ "$status" -eq 0 ] || failed+=("$name (status $status)")
}

failed=()
filter=("$@")
[ $# -eq 0 ] || filter=(--filter "$1")
run "in one process" "$tests" --testing-library swift-testing "${filter[@]}"
for ranks in 2 4; do
  set_mpirun_options "$ranks"
  # Suites of ParallelTests, and those elsewhere whose names end in OnRanks.
  run "on $ranks ranks" timeout -k 5 300 mpirun "${mpirun_options[@]}" -n "$ranks" \
    "$tests" --testing-library swift-testing --no-parallel --filter 'ParallelTests\.|OnRanks'
  say "layouts of $ranks ranks"
  line=$(launch/local.sh "$ranks" "$apus" verify layouts configs/layouts.yaml --mpi --no-float32 |
    tail -n 1) || failed+=("layouts of $ranks ranks")
  summary+=("on $ranks ranks: ${line:-no layout was compared}")
done

printf 'apus: %s\n' "${summary[@]}"
if [ ${#failed[@]} -gt 0 ]; then
  fail "tests FAILED ${failed[*]}, after $((SECONDS - start)) s"
fi
echo "apus: all tests passed in $((SECONDS - start)) s, installing and building included"
