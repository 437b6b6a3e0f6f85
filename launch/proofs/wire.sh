#!/usr/bin/env bash
# What two ranks send over a wire: the network counters of two namespaces over 100 steps against the
# bytes in metrics.jsonl, for three layouts; and a step of set b at 1 Gbit/s against the larger of
# compute and wire time. Figure = the worst difference, and the ratio.
set -euo pipefail
. "$(dirname "$0")/runs.sh"
[ "$(id -u)" -eq 0 ] || fail "network namespaces need root"
name=proof$$
trap 'launch/hosts.sh down "$name"; rm -rf "$folder"' EXIT

# count COMMAND …: runs it on two hosts and adds what host 1 sent meanwhile to the array sent.
count() {
  local before
  before=$(counter)
  launch/hosts.sh run --on "$name" --ranks 2 "$@" < /dev/null
  sent+=($(($(counter) - before)))
}
counter() { ip -n "$name-1" -s -j link show eth0 | sed -n 's/.*"tx":{"bytes":\([0-9]*\).*/\1/p'; }

# told NAME: bytes that rank 0 sent in steps 2 to 101, as it told, over all groups.
told() {
  sed -n 's/^{"kind":"step","step":\([0-9]*\),.*"collectives":{\(.*\)},"time":.*/\1 \2/p' \
    "$folder/$1/metrics.jsonl" | awk '$1 > 1 {
      while (match($0, /"bytes":[0-9]+/)) {
        sum += substr($0, RSTART + 8, RLENGTH - 8); $0 = substr($0, RSTART + RLENGTH)
      }
    } END { printf "%.0f\n", sum }'
}

worst=0
launch/hosts.sh up "$name" 2
for axis in data tensor expert; do
  sent=()
  # What both runs send at start and end is no part of the difference.
  for steps in 1 101; do
    count "$apus" pretrain "${small[@]}" --layout "$axis=2" --set schedule.warmup=1 \
      --set training.steps="$steps" --set run.name="$axis-$steps" >&2
  done
  counted=$((sent[1] - sent[0]))
  bytes=$(told "$axis-101")
  echo "$axis=2: $counted bytes counted in 100 steps, $bytes told" >&2
  worst=$(awk -v a="$bytes" -v b="$counted" -v worst="$worst" 'BEGIN {
    d = 100 * (a - b) / b; if (d < 0) d = -d; printf "%.2f", (d > worst ? d : worst) }')
done
launch/hosts.sh down "$name"

# A rank's compute time is that of half the batch on one rank alone; its wire time is what it sends at
# 1 Gbit/s, headers counted, while it receives as much.
milliseconds() { sed -n 's/.*"milliseconds": *\([0-9.]*\).*/\1/p' "$folder/output"; }
benchmark=("$apus" benchmark configs/bench-b.yaml --set run.threads=1 --json --warmup 1)
"${benchmark[@]}" --set training.batch=4 --steps 5 > "$folder/output"
compute=$(milliseconds)
launch/hosts.sh up "$name" 2 1gbit
sent=()
for steps in 2 10; do count "${benchmark[@]}" --steps "$steps" > "$folder/output"; done
step=$(milliseconds)
wire=$(((sent[1] - sent[0]) / 8 / 125000))
ratio=$(awk -v step="$step" -v compute="$compute" -v wire="$wire" 'BEGIN {
  printf "%.2f", step / (compute > wire ? compute : wire) }')
echo "a step of set b at 1 Gbit/s $step ms, compute $compute ms, wire $wire ms" >&2
echo "counters differ by ≤ $worst %; at 1 Gbit/s a step takes $ratio x the larger of compute and wire time"
awk -v worst="$worst" -v ratio="$ratio" 'BEGIN { exit !(worst <= 5 && ratio <= 1.15) }'
