#!/usr/bin/env bash
# A run stopped at 5 random steps and resumed, on 1 and on 2 ranks, against one that never stopped.
set -euo pipefail
. "$(dirname "$0")/runs.sh"

steps=300
settings=("${small[@]}" --set training.steps=$steps --set checkpoint.every=0)
equal=0
stops=0
for ranks in 1 2; do
  start "$ranks" "${settings[@]}" --set run.name=whole-"$ranks"
  finish
  name=stopped-$ranks
  start "$ranks" "${settings[@]}" --set run.name="$name"
  for part in 0 1 2 3 4; do
    await_step "$name" "$(random $((part * 50 + 2)) $((part * 50 + 45)))"
    kill -USR1 "$job"
    status=0
    finish || status=$?
    echo "stopped at step $(steps_done "$name") with status $status" >&2
    [ "$status" -ne 75 ] || stops=$((stops + 1))
    start "$ranks" "${settings[@]}" --set run.name="$name" --resume
  done
  finish
  [ "$(digest "$name")" != "$(digest whole-"$ranks")" ] || equal=$((equal + 1))
done
echo "$equal of 2 runs equal bit for bit after $stops stops"
[ "$equal" -eq 2 ] && [ "$stops" -eq 10 ]
