#!/usr/bin/env bash
# PPO on the rule of the sort task, three seeds: demonstrations with three digits of ten at random, fine-tuning on
# them, 30 iterations. Figure = the worst of the seeds, on 2,000 prompts that no training saw.
set -euo pipefail
. "$(dirname "$0")/../environment.sh"
cd "$apus_root"
folder=$(mktemp -d)
trap 'rm -rf "$folder"' EXIT
worth() {
  "$apus" task evaluate sort "$1" --prompts 2000 --json | tee -a /dev/stderr |
    sed 's/.*"drawn":{"gold":{"mean":\([0-9.]*\).*"exact":{"mean":\([0-9.]*\).*"greedy".*/\1 \2/'
}
for seed in 1 2 3; do
  "$apus" task write sort --skill 0.7 --seed "$seed" --folder "$folder/data$seed" --examples 20000 \
    --prompts 20000 >&2
  settings=(--set run.folder="$folder/seed$seed" --set run.seed="$seed" --set run.threads=2)
  "$apus" sft configs/sort/sft.yaml "${settings[@]}" --set data.tokenizer="$folder/data$seed/tokenizer.json" \
    --set examples.training="$folder/data$seed/sft.jsonl" \
    --set examples.evaluation="$folder/data$seed/evaluation.jsonl" >&2
  began=$(date +%s.%N)
  "$apus" ppo configs/sort/ppo.yaml "${settings[@]}" --set data.start="$folder/seed$seed/sort-sft" \
    --set examples.training="$folder/data$seed/prompts.jsonl" >&2
  seconds=$(awk -v a="$began" -v b="$(date +%s.%N)" 'BEGIN { print b - a }')
  echo "$(worth "$folder/seed$seed/sort-sft") $(worth "$folder/seed$seed/sort-ppo") $seconds"
done > "$folder/figures"
cat "$folder/figures" >&2
awk '
  NR == 1 { low = $3; lowest = $1; rise = $4 - $2; slow = $5 }
  { if ($1 < lowest) lowest = $1; if ($1 > highest) highest = $1; if ($3 < low) low = $3
    if ($4 - $2 < rise) rise = $4 - $2; if ($5 > slow) slow = $5 }
  END {
    printf "gold from %.3f..%.3f to %.3f, exact + %.3f, %.1f s\n", lowest, highest, low, rise, slow
    exit !(lowest >= 0.70 && highest <= 0.74 && low >= 0.90 && rise >= 0.35 && slow <= 8)
  }' "$folder/figures"
