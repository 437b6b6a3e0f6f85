#!/usr/bin/env bash
# Ranks that stand still: one stopped by SIGSTOP (a random one of 4, in a run), one that skips a
# collective, one that computes for ever (planted in the test program); 5 times each. Figure = how many
# were ended with the rank named, no process left, and the slowest beyond the watchdog's time.
set -euo pipefail
. "$(dirname "$0")/runs.sh"

named=0
left=0
slowest=0

# judge RANK WORDS STARTED SECONDS STATUS: counts a job that is over.
judge() {
  local rank=$1 words=$2 took=$((($(date +%s%N) - $3) / 1000000 - $4 * 1000)) status=$5
  cat "$folder/output" >&2
  [ "$took" -le "$slowest" ] || slowest=$took
  if [ "$status" -ge 1 ] && [ "$status" -le 125 ] && [ "$status" -ne 124 ] &&
    grep -a -q "^apus: rank $rank of 4 $words.*no rank has gone on for $4 s" "$folder/output"; then
    named=$((named + 1))
  fi
}

# count_left PROCESS …: those that neither are gone nor wait to be counted by their parent.
count_left() {
  local process state
  for process in "$@"; do
    state=$(sed -n 's/^State:[[:space:]]*\(.\).*/\1/p' "/proc/$process/status" 2> /dev/null) || true
    case $state in '' | Z | X) ;; *) left=$((left + 1)) ;; esac
  done
}

set_mpirun_options 4
for turn in $(seq 5); do
  name=stopped-$turn
  timeout -k 1 60 mpirun "${mpirun_options[@]}" -n 4 "$apus" pretrain "${small[@]}" \
    --set run.name="$name" --set run.watchdogSeconds=2 --set training.steps=100000 \
    > "$folder/output" 2>&1 < /dev/null &
  job=$!
  await_step "$name" "$(random 3 30)"
  launcher=$(cat /proc/"$job"/task/*/children)
  ranks=($(cat /proc/${launcher// /}/task/*/children))
  victim=$(random 0 3)
  started=$(date +%s%N)
  kill -STOP "${ranks[$victim]}"
  status=0
  wait "$job" || status=$?
  job=
  judge "$victim" "is stopped" "$started" 2 "$status"
  sleep 0.2
  count_left "${ranks[@]}"
done

for fault in skips computes; do
  case $fault in
    skips) words="waits in maximum" ;;
    computes) words="is in no collective, while the others wait" ;;
  esac
  for turn in $(seq 5); do
    started=$(date +%s%N)
    status=0
    APUS_PLANTED_FAULT=$fault APUS_PLANTED_FOLDER=$folder/$fault-$turn \
      timeout -k 1 60 mpirun "${mpirun_options[@]}" -n 4 .build/release/ApusPackageTests.xctest \
      --testing-library swift-testing --no-parallel --filter PlantedFaults \
      > "$folder/output" 2>&1 < /dev/null || status=$?
    judge 3 "$words" "$started" 1 "$status"
  done
done
echo "$named of 15 named and ended, the slowest $slowest ms after its time, $left processes left"
[ "$named" -eq 15 ] && [ "$slowest" -le 5000 ] && [ "$left" -eq 0 ]
