#!/usr/bin/env bash
# Collectives, meshes and placements on 1, 2, 3, 4 and 8 ranks under mpirun: figure = runs that passed.
set -euo pipefail
. "$(dirname "$0")/../environment.sh"
cd "$apus_root"
passed=0
for ranks in 1 2 3 4 8; do
  set_mpirun_options "$ranks"
  if timeout -k 5 300 mpirun "${mpirun_options[@]}" -n "$ranks" \
    .build/release/ApusPackageTests.xctest --testing-library swift-testing --no-parallel \
    --filter 'ParallelTests\.' >&2; then
    passed=$((passed + 1))
  fi
done
echo "$passed of 5 runs"
[ "$passed" -eq 5 ]
