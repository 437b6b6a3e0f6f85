#!/usr/bin/env bash
# Kills a random rank of two at random moments, resumes: figure = ends that equal the uninterrupted
# run's bit for bit, kills that fell into a save, processes left over.
set -euo pipefail
. "$(dirname "$0")/small-run.sh"
kills=20 equal=0 saves=0 left=0
small_run 2 whole > /dev/null
final_state whole > "$work/expected"
for try in $(seq "$kills"); do
  name=killed-$try
  small_run 2 "$name" > "$work/log" 2>&1 &
  job=$!
  # Wait for a random step, then for a random moment or, every third time, for a save.
  at=$((RANDOM % (small_steps - 10) + 2))
  until grep -q "\"step\",\"step\":$at," "$work/$name/metrics.jsonl" 2> /dev/null ||
    ! kill -0 "$job" 2> /dev/null; do sleep 0.01; done
  if [ $((try % 3)) -eq 0 ]; then
    for _ in $(seq 2000); do
      if compgen -G "$work/$name/.step-*.partial" > /dev/null; then break; fi
    done
  else
    sleep "0.0$((RANDOM % 100))"
  fi
  ranks=($(pgrep -f "apus pretrain .*run.name=$name" | while read -r id; do
    [ "$(cat "/proc/$id/comm" 2> /dev/null)" = apus ] && echo "$id"; done))
  [ ${#ranks[@]} -gt 0 ] && kill -KILL "${ranks[RANDOM % ${#ranks[@]}]}" || true
  wait "$job" || true
  during=no
  if compgen -G "$work/$name/.step-*.partial" > /dev/null; then during=yes saves=$((saves + 1)); fi
  sleep 0.2
  if pgrep -f "apus pretrain .*run.name=$name" > /dev/null; then left=$((left + 1)); fi
  echo "$name: after step $at, ${#ranks[@]} ranks seen, in a save: $during" >&2
  small_run 2 "$name" --resume > /dev/null
  if final_state "$name" | diff "$work/expected" - >&2; then equal=$((equal + 1)); fi
  rm -rf "${work:?}/$name"
done
echo "$equal of $kills equal, $saves in a save, $left processes left over"
[ "$equal" -eq "$kills" ] && [ "$saves" -ge 5 ] && [ "$left" -eq 0 ]
