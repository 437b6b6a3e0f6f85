#!/usr/bin/env bash
# Every stage after pretraining, stopped and resumed at 3 points, on 1 and on 4 ranks, against one that
# never stopped: weights and moments of all its models, and losses. Figure = runs that are equal.
set -euo pipefail
. "$(dirname "$0")/stages.sh"
equal=0
stops=0
for stage in "${stage_names[@]}"; do
  stage_settings "$stage"
  steps=24
  [ "$stage" != sft ] || steps=240
  [ "$stage" != reward ] || steps=120
  [ "$stage" != dpo ] || steps=120
  # A coefficient that moves.
  [ "$stage" != ppo ] || settings+=(--set ppo.klTarget=0.5)
  settings+=(--set training.steps=$steps)
  for ranks in 1 4; do
    layout=()
    [ "$ranks" -eq 1 ] || layout=(--layout tensor=2,expert=4)
    start "$ranks" "${settings[@]}" "${layout[@]}" --set run.name="$stage-whole-$ranks"
    finish
    name=$stage-stopped-$ranks
    start "$ranks" "${settings[@]}" "${layout[@]}" --set run.name="$name"
    for part in 0 1 2; do
      await_step "$name" "$((steps * part / 4 + 2))"
      kill -USR1 "$job"
      status=0
      finish || status=$?
      echo "$stage on $ranks ranks stopped at step $(steps_done "$name") with status $status" >&2
      [ "$status" -ne 75 ] || stops=$((stops + 1))
      start "$ranks" "${settings[@]}" "${layout[@]}" --set run.name="$name" --resume
    done
    finish
    [ "$(digest "$name")" != "$(digest "$stage-whole-$ranks")" ] || equal=$((equal + 1))
  done
done
echo "$equal of 10 runs of 5 stages equal bit for bit after $stops stops"
[ "$equal" -eq 10 ] && [ "$stops" -eq 30 ]
