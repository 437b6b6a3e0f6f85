#!/usr/bin/env bash
# What rank 0 of four sends in a step, as it counts, over what the formulas of docs/parallelism.md allow at
# the least: figure = the farthest from 1. Experts by exchange send what the router happens to choose: that
# is shown beside even routing; that it is the true count, and no more, is held by GroupedExchangeTests.
set -euo pipefail
. "$(dirname "$0")/runs.sh"

# told NAME: bytes and their least over steps 2 to 6, over all groups that have a formula.
told() {
  grep -a '"kind":"step"' "$folder/$1/metrics.jsonl" | sed 1d |
    grep -a -o '"bytes":[0-9]*,"minimum":[0-9]*' | tr -c '0-9\n' ' ' |
    awk '{ bytes += $1; least += $2 } END { printf "%.4f\n", (least > 0 ? bytes / least : 0) }'
}

worst=0
exchanged=
number=0
for layout in data=4 tensor=4 tensor=2 'expert=4 gather' 'tensor=2,expert=2,expert-tensor=2 gather' \
  'expert=4 exchange'; do
  read -r layout dispatch <<< "$layout"
  number=$((number + 1))
  start 4 configs/toy.yaml --layout "$layout" --set layout.dispatch="${dispatch:-automatic}" \
    --set run.folder="$folder" --set run.name="bytes-$number" --set run.threads=1 \
    --set model.width=256 --set training.steps=6 --set evaluation.every=0 \
    --set evaluation.windows=1 --set samples.tokens=0 --set checkpoint.every=0
  finish
  ratio=$(told "bytes-$number")
  echo "$layout $dispatch: $ratio" >&2
  if [ "$dispatch" = exchange ]; then
    exchanged=$ratio
  else
    worst=$(awk -v a="$ratio" -v w="$worst" 'BEGIN { d = a - 1; if (d < 0) d = -d; print (d > w ? d : w) }')
  fi
done
awk -v worst="$worst" -v e="$exchanged" 'BEGIN {
  printf "within %.2f %% of the formulas; experts by exchange %.3f of even routing\n", 100 * worst, e
  exit !(worst <= 0.01 && e > 0) }'
