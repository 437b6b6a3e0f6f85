#!/usr/bin/env bash
# Sampling on the model of set b beside transformers' generate, in turn, two threads each: APUS_PEERS
# names a Python environment with both, made by ../shared/peers/setup.sh; its mkl_avx512.so is
# preloaded. Figure = new tokens/s and their ratios, medians of rounds.
set -euo pipefail
. "$(dirname "$0")/../environment.sh"
cd "$apus_root"
[ -x "${APUS_PEERS:-}/bin/python" ] && [ -f "$APUS_PEERS/mkl_avx512.so" ] ||
  fail "set APUS_PEERS to an environment of ../shared/peers/setup.sh"

rounds=${APUS_ROUNDS:-3}
results=$(mktemp)
trap 'rm -f "$results"' EXIT
rate() { sed 's/.*"tokens_per_second" *: *\([0-9.]*\).*/\1/'; }
ours() {
  "$apus" benchmark configs/bench-b.yaml --set run.threads=2 --generate "$1" --steps 20 --warmup 2 \
    --json | tee -a /dev/stderr | rate
}
peer() {
  LD_PRELOAD=$APUS_PEERS/mkl_avx512.so "$APUS_PEERS/bin/python" Benchmarks/sampling.py --batch "$1" |
    tee -a /dev/stderr | rate
}
for _ in $(seq "$rounds"); do
  echo "$(ours 64) $(peer 64) $(ours 1) $(peer 1)" >> "$results"
done
median() { awk -v f="$1" '{ print $f }' "$results" | sort -g | sed -n "$(((rounds + 1) / 2))p"; }
awk -v a="$(median 1)" -v b="$(median 2)" -v c="$(median 3)" -v d="$(median 4)" '
  BEGIN {
    printf "batch 64: %.0f to %.0f, %.2f; batch 1: %.0f to %.0f, %.2f\n", a, b, a / b, c, d, c / d
    exit !(a >= 2.5 * b && c >= 5 * d)
  }'
