#!/usr/bin/env bash
# Ranks over namespaces as hosts, over TCP: the layouts verified on 2 and 3 hosts, training against 4
# local ranks, and a host cut off, with and without a word: figure = the longest until both sides end.
set -euo pipefail
. "$(dirname "$0")/runs.sh"
[ "$(id -u)" -eq 0 ] || fail "network namespaces need root"
name=proof$$
trap '[ -z "$job" ] || kill -TERM "$job" 2> /dev/null; launch/hosts.sh down "$name"; rm -rf "$folder"' EXIT

verified=0
equal=0
start 4 "${small[@]}" --set training.steps=20 --set run.name=local
finish
[ "$(losses local | wc -l)" -eq 20 ] || fail "the local run tells no 20 losses"
for hosts in 2 3; do
  launch/hosts.sh up "$name" "$hosts"
  if launch/hosts.sh run --on "$name" --ranks 4 "$apus" verify layouts configs/layouts.yaml --mpi >&2; then
    verified=$((verified + 1))
  fi
  launch/hosts.sh run --on "$name" --ranks 4 \
    "$apus" pretrain "${small[@]}" --set training.steps=20 --set run.name="hosts-$hosts" >&2
  [ "$(losses "hosts-$hosts")" != "$(losses local)" ] || equal=$((equal + 1))
  launch/hosts.sh down "$name"
done

# processes: how many are left on the hosts.
processes() {
  local host
  for host in $(seq "$hosts"); do ip netns pids "$name-$host"; done | wc -l
}

longest=0
ended=0
left=0
for cut in "2 loudly" "2 silently" "3 loudly" "3 silently"; do
  read -r hosts way <<< "$cut"
  launch/hosts.sh up "$name" "$hosts"
  run=cut-$hosts-$way
  launch/hosts.sh run --on "$name" --ranks 4 "$apus" pretrain "${small[@]}" \
    --set training.steps=100000 --set run.name="$run" < /dev/null >&2 &
  job=$!
  await_step "$run" 10
  kill -0 "$job" || fail "the run ended before the cut"
  started=$(date +%s%N)
  launch/hosts.sh cut "$name" "$hosts" "$way"
  until [ "$(processes)" -eq 0 ] || [ $(($(date +%s%N) - started)) -gt 20000000000 ]; do sleep 0.05; done
  took=$((($(date +%s%N) - started) / 1000000))
  left=$((left + $(processes)))
  echo "$hosts hosts, the last cut off $way: ended on both sides in $took ms" >&2
  [ "$took" -le "$longest" ] || longest=$took
  launch/hosts.sh down "$name"
  status=0
  finish || status=$?
  echo "status $status" >&2
  [ "$status" -eq 0 ] || ended=$((ended + 1))
done
echo "verified on $verified of 2, losses equal on $equal of 2;" \
  "$ended of 4 cuts end both sides, non-zero, in ≤ $longest ms, $left processes left"
[ "$verified" -eq 2 ] && [ "$equal" -eq 2 ] && [ "$ended" -eq 4 ] && [ "$left" -eq 0 ] &&
  [ "$longest" -le 15000 ]
