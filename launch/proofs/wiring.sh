#!/usr/bin/env bash
# The handshake and the test of who sums which gradient, at 8 ranks under three layouts, 3 times each:
# figure = the slowest, as the run itself says.
set -euo pipefail
. "$(dirname "$0")/runs.sh"

slowest=0
number=0
for layout in data=8 tensor=2,expert=4 tensor=2,expert=2,expert-tensor=2; do
  for _ in 1 2 3; do
    number=$((number + 1))
    launch/local.sh 8 "$apus" pretrain "${small[@]}" --layout "$layout" --set training.batch=8 \
      --set training.steps=1 --set run.name="wired-$number" > "$folder/output" < /dev/null
    took=$(sed -n 's/^ranks: handshake and wiring test passed in \([0-9]*\) ms.*/\1/p' "$folder/output")
    echo "$layout: ${took:?the run does not say} ms" >&2
    [ "$took" -le "$slowest" ] || slowest=$took
  done
done
echo "the slowest of 9 took $slowest ms"
[ "$slowest" -le 500 ]
