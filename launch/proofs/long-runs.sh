#!/usr/bin/env bash
# 300 steps of configs/toy.yaml on one rank and under six layouts, beside five one-rank runs whose first
# weights differ in the last bit: figure = how far the curves lie apart. Drawn in Benchmarks/layouts.svg.
set -euo pipefail
. "$(dirname "$0")/runs.sh"

steps=${APUS_STEPS:-300}
train() { # RANKS NAME SETTING …
  local ranks=$1 name=$2
  shift 2
  start "$ranks" configs/toy.yaml --set run.folder="$folder" --set run.name="$name" \
    --set training.steps="$steps" --set run.threads=1 --set evaluation.every=0 \
    --set evaluation.windows=1 --set samples.tokens=0 --set checkpoint.every=0 "$@"
  finish
}

train 1 one-rank
spread=()
for index in 1 2 3 4 5; do
  train 1 "last-bit-$index" --set model.initialDeviation="$(last_bit "$index")"
  spread+=(--spread "$folder/last-bit-$index")
done
runs=("$folder/one-rank")
while read -r ranks layout; do
  name=${layout//=/-}
  train "$ranks" "${name//,/_}" --layout "$layout"
  runs+=("$folder/${name//,/_}")
done << 'LAYOUTS'
2 data=2
2 tensor=2
2 expert=2
4 tensor=2,expert=2
4 tensor=2,expert=2,expert-tensor=2
8 tensor=2,expert=4
LAYOUTS
"$apus" compare "${runs[@]}" "${spread[@]}" --first 20 --output Benchmarks/layouts.svg
