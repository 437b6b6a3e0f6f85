#!/usr/bin/env bash
# Ranks that differ (seed, corpus, program), in turn: figure = how many were ended with the field named,
# and the slowest, from mpirun's start to its end.
set -euo pipefail
. "$(dirname "$0")/runs.sh"

head -c 2000000 corpora/kjv.txt > "$folder/other.txt"
{ cat "$apus" && echo; } > "$folder/other-apus"
chmod +x "$folder/other-apus"
set_mpirun_options 2
named=0
slowest=0
for turn in $(seq 20); do
  other=$apus
  case $((turn % 3)) in
    0) change=run.seed=2 field=run.seed ;;
    1) change=data.corpus=$folder/other.txt field=corpus ;;
    2) change= other=$folder/other-apus field=program ;;
  esac
  run=(pretrain "${small[@]}" --set run.name="differs-$turn" --set training.steps=5)
  started=$(date +%s%N)
  status=0
  timeout -k 1 20 mpirun "${mpirun_options[@]}" -n 1 "$apus" "${run[@]}" : \
    -n 1 "$other" "${run[@]}" ${change:+--set "$change"} \
    > "$folder/output" 2>&1 < /dev/null || status=$?
  took=$((($(date +%s%N) - started) / 1000000))
  cat "$folder/output" >&2
  [ "$took" -le "$slowest" ] || slowest=$took
  if [ "$status" -ge 1 ] && [ "$status" -le 125 ] && [ "$status" -ne 124 ] &&
    grep -a "must be equal on all ranks" "$folder/output" | grep -q "$field"; then
    named=$((named + 1))
  fi
done
echo "$named of 20 named and ended, the slowest in $slowest ms"
[ "$named" -eq 20 ] && [ "$slowest" -le 5000 ]
