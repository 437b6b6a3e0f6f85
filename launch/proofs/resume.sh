#!/usr/bin/env bash
# Stops runs at random steps by USR1 and resumes them: figure = ends that equal the uninterrupted
# run's, weights, moments and losses bit for bit, on 1 and 2 ranks.
set -euo pipefail
. "$(dirname "$0")/small-run.sh"
equal=0 stopped=0 tries=0
for ranks in 1 2; do
  small_run "$ranks" "whole-$ranks" > /dev/null
  final_state "whole-$ranks" > "$work/expected-$ranks"
  for try in 1 2 3 4 5; do
    tries=$((tries + 1))
    name=stopped-$ranks-$try
    at=$((RANDOM % (small_steps - 10) + 5))
    set_mpirun_options "$ranks"
    small_run "$ranks" "$name" --set display.every=1 > "$work/log" 2>&1 &
    job=$!
    until grep -q "\"step\",\"step\":$at," "$work/$name/metrics.jsonl" 2> /dev/null ||
      ! kill -0 "$job" 2> /dev/null; do sleep 0.02; done
    # The job is a subshell of this one; mpirun is its child.
    pkill -USR1 -P "$job" mpirun || true
    status=0
    wait "$job" || status=$?
    [ "$status" -ne 75 ] || stopped=$((stopped + 1))
    echo "$name: asked after step $at, status $status" >&2
    small_run "$ranks" "$name" --resume > /dev/null
    if final_state "$name" | diff "$work/expected-$ranks" - >&2; then equal=$((equal + 1)); fi
    rm -rf "${work:?}/$name"
  done
done
echo "$equal of $tries equal, $stopped of them stopped by USR1 with status 75"
[ "$equal" -eq "$tries" ] && [ "$stopped" -eq "$tries" ]
