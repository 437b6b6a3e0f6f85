#!/usr/bin/env bash
# Every golden case through `apus dump --layout` under mpirun, on 2, 4 and 8 ranks: figure = dumps that
# were compared, gradients included.
set -euo pipefail
. "$(dirname "$0")/../environment.sh"
cd "$apus_root"

folder=$(mktemp -d)
trap 'rm -rf "$folder"' EXIT
count=0
refused=0
errors=$folder/errors
for case in Tests/Goldens/cases/*/ "${APUS_GOLDENS:-../shared/goldens}"/*/; do
  [ -f "$case/golden.safetensors" ] || continue
  for layout in 'tensor=2 2' 'expert=2 2' 'tensor=2,expert=2 4' 'tensor=2,expert=4 8'; do
    read -r layout ranks <<< "$layout"
    if launch/local.sh "$ranks" "$apus" dump --model "$case" --batch "$case/golden.safetensors" \
      --precision float64 --layout "$layout" \
      --output "$folder/$(basename "$case").$layout.safetensors" 2> "$errors"; then
      count=$((count + 1))
    else
      # Five experts over two ranks, say: named and refused.
      cat "$errors" >&2
      grep -q 'layout.expert is .*; accepted: a divisor of' "$errors"
      refused=$((refused + 1))
    fi
  done
done
APUS_DUMPS=$folder .build/release/ApusPackageTests.xctest --testing-library swift-testing \
  --filter 'GoldenTests.*elsewhere' 2>&1 | tee /dev/stderr |
  grep -a -q 'Test run with 1 test in 1 suite passed' || fail "the dumps were not compared, or differ"
echo "$count dumps are transformers' own, $refused splits refused by name (experts not divisible)"
