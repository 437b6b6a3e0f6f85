#!/usr/bin/env bash
# 1, 2 and 4 ranks over MPI, 2 and 4 in process, against one rank without MPI: initial weights bit for
# bit, the losses of 20 steps, and curves of 200 steps against the spread of one-rank runs whose initial
# weights differ in the last bit. Routing makes rounding grow: such runs part after some 50 steps.
set -euo pipefail
. "$(dirname "$0")/runs.sh"

status=0

# everywhere NAME ARGUMENTS …: the same run in six ways; the array runs gets the folders.
everywhere() {
  local name=$1
  shift
  "$apus" pretrain "$@" --set run.name="$name-one" >&2
  runs=("$folder/$name-one")
  for ranks in 1 2 4; do
    start "$ranks" "$@" --set run.name="$name-mpi-$ranks"
    finish
    runs+=("$folder/$name-mpi-$ranks")
  done
  for ranks in 2 4; do
    "$apus" pretrain "$@" --set run.name="$name-threads-$ranks" --ranks-in-process "$ranks" >&2
    runs+=("$folder/$name-threads-$ranks")
  done
}

# compare FIELD ARGUMENTS …: a figure of `apus compare`; a bar that is missed is kept in status.
compare() {
  local field=$1
  shift
  "$apus" compare --json "$@" > "$folder/compared" || status=1
  cat "$folder/compared" >&2
  figure=$(sed -n "s/.*\"$field\": *\([-+.0-9e]*\).*/\1/p" "$folder/compared")
}

# Without a learning rate the weights after a step are the initial ones; exported, they are one file.
equal=0
for precision in float32 float64; do
  everywhere "initial-$precision" "${small[@]}" --set run.precision=$precision \
    --set training.steps=1 --set optimizer.learningRate=0
  for run in "${runs[@]}"; do
    "$apus" export "$run" "$run-exported" >&2
    ! cmp "$run-exported/model.safetensors" "${runs[0]}-exported/model.safetensors" >&2 ||
      equal=$((equal + 1))
  done
done
[ "$equal" -eq 12 ] || status=1

everywhere float64 "${small[@]}" --set run.precision=float64 --set training.steps=20
compare first_difference "${runs[@]}" --first 20 --first-within 1e-11
double=$figure

spread=()
for index in 1 2 3 4 5; do
  "$apus" pretrain "${small[@]}" --set training.steps=200 --set run.name="last-bit-$index" \
    --set model.initialDeviation="$(last_bit "$index")" >&2
  spread+=(--spread "$folder/last-bit-$index")
done
everywhere float32 "${small[@]}" --set training.steps=200
compare first_difference "${runs[@]}" --first 20 --first-within 1e-5
single=$figure
compare distance_in_spreads "${runs[@]}" "${spread[@]}" --first 20 --first-within 1e-5 --within 2
LC_ALL=C printf '%d of 12 initial weights equal; 20 losses %.1e, %.1e in float64; 200 losses %.2f spreads\n' \
  "$equal" "$single" "$double" "$figure"
[ "$status" -eq 0 ]
