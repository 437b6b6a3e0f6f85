#!/usr/bin/env bash
# Every legal layout of 1 to 8 ranks in process, and of 1, 2, 4 and 8 under mpirun, with each option of
# the model: figure = layouts compared and the worst relative difference in float64.
set -euo pipefail
. "$(dirname "$0")/../environment.sh"
cd "$apus_root"

configuration=configs/layouts.yaml
# name: settings over configs/layouts.yaml
variants=(
  'top-1: model.router.expertsPerToken=1'
  'top-2:'
  'top-4: model.router.expertsPerToken=4'
  'shared experts, dense layer: model.router.sharedExperts=1 model.denseLayers=[0] model.denseWidth=37'
  'norm per head, two key/value heads: model.queryKeyNorm=head model.keyValueHeads=2'
  'full norm, two key/value heads: model.queryKeyNorm=full model.keyValueHeads=2'
  'multi-query, biases, bounds: model.keyValueHeads=1 model.attentionBias=true model.clipQKV=0.5'
  'tied embedding: model.tiedEmbedding=true'
  'balance of sequences: model.router.balanceScope=sequence'
  'pooled balance: model.router.balanceScope=pooled'
  'bias balancing: model.router.biasRate=0.05 model.router.score=sigmoid'
  'accumulation: training.microBatch=1'
  'accumulation, balance of sequences: training.microBatch=1 model.router.balanceScope=sequence'
  'experts without tokens: model.router.experts=48 data.sequenceLength=3'
  'capacity: model.router.capacityFactor=0.7'
  'recomputed: training.recompute=block'
)

results=$(mktemp)
trap 'rm -f "$results"' EXIT
status=0
for variant in "${variants[@]}"; do
  set=()
  for setting in ${variant#*:}; do set+=(--set "$setting"); done
  echo "== ${variant%%:*}" >&2
  "$apus" verify layouts "$configuration" --ranks 8 --json --no-float32 "${set[@]}" |
    tee -a "$results" >&2 || status=1
done
for ranks in 1 2 4 8; do
  for variant in "${variants[@]}"; do
    set=()
    for setting in ${variant#*:}; do set+=(--set "$setting"); done
    echo "== mpirun, $ranks ranks, ${variant%%:*}" >&2
    launch/local.sh "$ranks" "$apus" verify layouts "$configuration" --mpi --json --no-float32 \
      "${set[@]}" < /dev/null | tee -a "$results" >&2 || status=1
  done
done
grep -a '"layouts"' "$results" | sed 's/.*"layouts":\([0-9]*\),"worst":\([^,]*\),.*/\1 \2/' |
  awk '{ count += $1; if ($2 == "null" || $2 + 0 > worst) worst = $2 }
    END { printf "%d layouts in 80 runs; worst relative difference %s\n", count, worst }'
[ "$status" -eq 0 ]
