#!/usr/bin/env bash
# Expert gradients times ranks, a missing sum over tensor ranks, a divided auxiliary loss, a norm without
# experts, a detached router, the wrong group: figure = planted faults that verification found.
set -euo pipefail
. "$(dirname "$0")/../environment.sh"
cd "$apus_root"
log=$(mktemp)
trap 'rm -f "$log"' EXIT
status=0
.build/release/ApusPackageTests.xctest --testing-library swift-testing --filter 'PlantedFault' \
  > "$log" 2>&1 || status=$?
cat "$log" >&2
grep -a -o -E 'Test run with .*' "$log" | tail -n 1
[ "$status" -eq 0 ]
