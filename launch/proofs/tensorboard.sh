#!/usr/bin/env bash
# The event files of a run that was killed before its first save, started again, killed between saves,
# resumed, stopped and resumed, read by TensorBoard itself (launch/check-tensorboard.py): figure = values
# that agree with metrics.jsonl. PYTHON names a Python with tensorboard; without it one is made in
# .build/python.
set -euo pipefail
. "$(dirname "$0")/runs.sh"
require_python tensorboard

settings=("${small[@]}" --set run.name=run --set training.steps=120 --set checkpoint.every=25)
settings=("${settings[@]/evaluation.every=0/evaluation.every=30}")
settings=("${settings[@]/routerEvery=0/routerEvery=10}")
for end in KILL-10 KILL-40 USR1-60; do
  start 1 "${settings[@]}" --resume
  await_step run "${end#*-}"
  # mpirun passes USR1 on; what must die at once is the rank.
  case $end in
    KILL-*) kill -KILL $(cat /proc/"$job"/task/*/children) || true ;;
    *) kill -USR1 "$job" ;;
  esac
  finish || true
  echo "$end: ended after step $(steps_done run)" >&2
done
start 1 "${settings[@]}" --resume
finish
ls "$folder"/run/events.out.tfevents.* >&2
"$python" launch/check-tensorboard.py "$folder/run" > "$folder/seen" 2>&1 || status=$?
cat "$folder/seen" >&2
values=$(sed -n 's/^\([0-9]*\) values agree with .*/\1/p' "$folder/seen")
echo "${values:-no} values agree over $(grep -c steps "$folder/seen") tags and $(steps_done run) steps"
[ "${status:-0}" -eq 0 ] && [ "${values:-0}" -gt 0 ] && [ "$(steps_done run)" -eq 120 ]
