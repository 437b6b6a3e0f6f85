#!/usr/bin/env bash
# Coloured words with 3,000 preferences, three seeds: reward model, DPO, PPO with and without a pull to
# the first policy. The bars stood here before the first run. Figure = the worst of the seeds; draws
# Benchmarks/over-optimisation.svg of the first.
set -euo pipefail
. "$(dirname "$0")/../environment.sh"
cd "$apus_root"
folder=$(mktemp -d)
trap 'rm -rf "$folder"' EXIT
for seed in 1 2 3; do
  data=$folder/data$seed
  runs=$folder/runs$seed
  "$apus" task write coloured-words --seed "$seed" --folder "$data" --examples 20000 --prompts 20000 >&2
  common=(--set run.folder="$runs" --set run.seed="$seed" --set run.threads=2)
  "$apus" sft configs/coloured-words/sft.yaml "${common[@]}" --set data.tokenizer="$data/tokenizer.json" \
    --set examples.training="$data/sft.jsonl" --set examples.evaluation="$data/evaluation.jsonl" >&2
  first=$runs/coloured-words-sft
  "$apus" task pairs coloured-words "$first" --seed "$seed" --pairs 3000 --output "$data/pairs.jsonl" \
    --evaluation-pairs 2000 --evaluation-output "$data/evaluation-pairs.jsonl" | tee "$data/pairs.txt" >&2
  ceiling=$(sed -n 's/.*evaluation-pairs.jsonl.*labels \([0-9.]*\)$/\1/p' "$data/pairs.txt")
  common+=(--set data.start="$first")
  pairs=(--set examples.training="$data/pairs.jsonl"
    --set examples.evaluation="$data/evaluation-pairs.jsonl")
  "$apus" reward configs/coloured-words/reward.yaml "${common[@]}" "${pairs[@]}" >&2
  accuracy=$(sed -n 's/.*"part":"held_out".*"accuracy":\([0-9.]*\).*/\1/p' \
    "$runs/coloured-words-reward/metrics.jsonl" | tail -n 1)
  "$apus" dpo configs/coloured-words/dpo.yaml "${common[@]}" "${pairs[@]}" >&2
  dpo=$("$apus" task evaluate coloured-words "$runs/coloured-words-dpo" --against "$first" \
    --prompts 1000 --json | tee -a /dev/stderr | sed 's/.*"win_rate":{"rate":\([0-9.]*\).*/\1/')
  for run in ppo free; do
    "$apus" ppo configs/coloured-words/$run.yaml "${common[@]}" \
      --set examples.training="$data/prompts.jsonl" \
      --set rollout.rewardModel="$runs/coloured-words-reward" >&2
  done
  ppo=$("$apus" task evaluate coloured-words "$runs/coloured-words-ppo" --against "$first" \
    --prompts 1000 --json | tee -a /dev/stderr | sed 's/.*"win_rate":{"rate":\([0-9.]*\).*/\1/')
  "$apus" task curve coloured-words "$runs/coloured-words-free" "$runs/coloured-words-ppo" \
    --against "$first" --reward-model "$runs/coloured-words-reward" --output "$folder/curve$seed.svg" |
    tee "$folder/curve$seed.txt" >&2
  # Of the free run: how far gold ends below its peak, and what the proxy did since then.
  fall=$(awk '/coloured-words-free\/step/ {
      if (!seen || $3 > peak) { peak = $3; then_ = $4 } seen = 1; gold = $3; proxy = $4
    } END { print peak - gold, proxy - then_ }' "$folder/curve$seed.txt")
  echo "$accuracy $ceiling $dpo $ppo $fall"
done > "$folder/figures"
cat "$folder/figures" >&2
awk '
  {
    error = sqrt($2 * (1 - $2) / 2000)
    over = $1 - $2 - 2 * error
    if (NR == 1 || $1 < accuracy) accuracy = $1
    if (NR == 1 || over > leak) leak = over
    if (NR == 1 || $3 < dpo) dpo = $3
    if (NR == 1 || $4 < ppo) ppo = $4
    if (NR == 1 || $5 < fall) fall = $5
    if (NR == 1 || $6 < rise) rise = $6
    ceiling = ceiling (NR > 1 ? " " : "") $2
  }
  END {
    printf "reward accuracy ≥ %.3f (ceilings %s), DPO wins ≥ %.3f, PPO wins ≥ %.3f; free: gold falls ≥ %.2f, proxy ≥ %+.3f\n",
      accuracy, ceiling, dpo, ppo, fall, rise
    exit !(accuracy >= 0.62 && leak <= 0 && dpo >= 0.65 && ppo >= 0.70 && fall > 1 && rise >= 0)
  }' "$folder/figures"
cp "$folder/curve1.svg" Benchmarks/over-optimisation.svg
