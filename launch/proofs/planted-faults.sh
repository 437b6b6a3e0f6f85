#!/usr/bin/env bash
# Expert gradients times ranks, a missing sum over tensor ranks, a divided auxiliary loss, a norm without
# experts, a detached router, the wrong group; and a rank that never leaves the making of a group: figure =
# planted faults that were found.
set -euo pipefail
. "$(dirname "$0")/../environment.sh"
cd "$apus_root"
log=$(mktemp)
trap 'rm -f "$log"' EXIT
status=0
.build/release/ApusPackageTests.xctest --testing-library swift-testing --filter 'PlantedFaultTests' \
  > "$log" 2>&1 || status=$?
cat "$log" >&2
# Without a fault nothing is found: that test is not of a fault.
found=$(grep -a -E '✔.* Test "' "$log" | grep -a -c -v 'without a fault' || true)
echo "$found of 7 planted faults found"
[ "$status" -eq 0 ] && [ "$found" -eq 7 ]
