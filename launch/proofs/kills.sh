#!/usr/bin/env bash
# A random rank killed at 20 random moments, 5 of them at least during a save; each run is resumed
# and compared with one that was never killed.
set -euo pipefail
. "$(dirname "$0")/runs.sh"

steps=60
settings=("${small[@]}" --set training.steps=$steps --set checkpoint.every=6)
start 2 "${settings[@]}" --set run.name=whole
finish
expected=$(digest whole)

equal=0
in_save=0
left=0
for moment in $(seq 20); do
  name=killed-$moment
  start 2 "${settings[@]}" --set run.name="$name"
  await_step "$name" "$(random 1 $((steps - 12)))"
  if [ $((moment % 2)) -eq 0 ]; then
    # A save is under way while its folder has the name of an unfinished one.
    until compgen -G "$folder/$name/.step-*.partial" > /dev/null; do
      kill -0 "$job" 2> /dev/null || break
    done
  else
    sleep "0.0$(random 0 99)"
  fi
  ranks=($(cat /proc/"$job"/task/*/children 2> /dev/null)) || true
  [ ${#ranks[@]} -eq 0 ] || kill -KILL "${ranks[$(random 0 $((${#ranks[@]} - 1)))]}" || true
  finish || true
  if compgen -G "$folder/$name/.step-*.partial" > /dev/null; then in_save=$((in_save + 1)); fi
  sleep 0.2
  for rank in "${ranks[@]}"; do
    # What is dead already and only waits to be counted by its parent is not left over.
    state=$(sed -n 's/^State:[[:space:]]*\(.\).*/\1/p' "/proc/$rank/status" 2> /dev/null) || true
    case $state in '' | Z | X) ;; *) left=$((left + 1)) ;; esac
  done
  echo "killed after step $(steps_done "$name")" >&2
  start 2 "${settings[@]}" --set run.name="$name" --resume
  finish || true
  if [ "$(digest "$name")" = "$expected" ]; then equal=$((equal + 1)); fi
  rm -rf "${folder:?}/$name"
done
echo "$equal of 20 equal bit for bit, $in_save killed during a save, $left processes left"
[ "$equal" -eq 20 ] && [ "$in_save" -ge 5 ] && [ "$left" -eq 0 ]
