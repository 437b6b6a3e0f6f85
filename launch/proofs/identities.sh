#!/usr/bin/env bash
# What must hold of every alignment loss, whatever the data, and every golden case of rl.json: figure = tests
# that passed.
set -euo pipefail
. "$(dirname "$0")/../environment.sh"
cd "$apus_root"
suites='StageIdentityTests|PolicyStageTests|AlignmentPolicyTests|AlignmentPreferenceTests|AlignmentGoldenTests|GenerationTests'
log=$(mktemp)
trap 'rm -f "$log"' EXIT
status=0
.build/release/ApusPackageTests.xctest --testing-library swift-testing \
  --filter "$suites" \
  > "$log" 2>&1 || status=$?
cat "$log" >&2
skipped=$(grep -c -E '^➜ Test .* skipped' "$log" || true)
echo "$(grep -a -o -E '[0-9]+ tests? in [0-9]+ suites? (passed|failed)' "$log" | tail -n 1), $skipped skipped"
for suite in ${suites//|/ }; do
  grep -q "Suite $suite passed" "$log" || { echo "no suite $suite" >&2; status=1; }
done
[ "$status" -eq 0 ] && [ "$skipped" -eq 0 ]
