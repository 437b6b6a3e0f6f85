#!/usr/bin/env bash
# Gives the command everything that it must refuse, and damages, fills and kills what it works on:
# figure = refusals and faults that end as they must, each one message, a status other than 0, nothing
# of an older run lost. launch/proofs/faults.sh times single commands against 5 s.
set -euo pipefail
. "$(dirname "$0")/../environment.sh"
command -v mpirun > /dev/null || fail "mpirun is missing; launch/build.sh installs it"
log=$(mktemp)
trap 'rm -f "$log"' EXIT
status=0
"$apus_root/.build/release/ApusPackageTests.xctest" --testing-library swift-testing \
  --filter 'CommandTests\.' > "$log" 2>&1 || status=$?
cat "$log" >&2
# A test of many cases says how many; one without says nothing.
passed=$(sed -n -E 's/^✔ Test .* with ([0-9]+) test cases? passed.*/\1/p; s/^✔ Test ".*" passed.*/1/p' \
  "$log" | awk '{ sum += $1 } END { print sum + 0 }')
failed=$(grep -c -E '^✘ Test .*recorded an issue' "$log" || true)
skipped=$(grep -c -E '^➜ Test .* skipped' "$log" || true)
echo "$passed refusals, faults and whole runs end as they must, $failed checks fail, $skipped tests skipped"
[ "$status" -eq 0 ] && [ "$passed" -gt 0 ]
