#!/usr/bin/env bash
# One PPO iteration of the sort task (256 answers, 4 epochs of 4 minibatches) beside the same in PyTorch, in
# turn, two ranks of a thread against two threads: APUS_PEERS names a Python environment made by ../shared/peers/setup.sh, whose
# mkl_avx512.so is preloaded. PyTorch's side is the faster of eager and compiled. Figure = medians of rounds.
set -euo pipefail
. "$(dirname "$0")/stages.sh"
[ -x "${APUS_PEERS:-}/bin/python" ] && [ -f "$APUS_PEERS/mkl_avx512.so" ] ||
  fail "set APUS_PEERS to an environment of ../shared/peers/setup.sh"
rounds=${APUS_ROUNDS:-3}
stage_settings ppo
settings+=(--set training.steps=10 --set rollout.epochs=4)
stage=ppo
# Two ranks of one thread: small steps leave a second thread waiting.
ours() {
  start 2 "${settings[@]}" --set run.name="speed-$1"
  finish
  sed -n 's/^{"kind":"step",.*"seconds":\([0-9.e-]*\).*/\1/p' "$folder/speed-$1/metrics.jsonl" |
    tail -n 7 | sort -g | sed -n 4p
}
# seconds MODE
peer() {
  LD_PRELOAD=$APUS_PEERS/mkl_avx512.so "$APUS_PEERS/bin/python" Benchmarks/ppo_peer.py --threads 2 \
    --modes "$1" --iterations 6 --warmup 3 | tee -a /dev/stderr |
    sed -n 's/.*"seconds_per_iteration": *\([0-9.]*\).*/\1/p' | tail -n 1
}
for round in $(seq "$rounds"); do
  echo "$(ours "$round") $(peer eager) $(peer compiled)"
done > "$folder/figures"
cat "$folder/figures" >&2
median() { awk -v f="$1" '{ print $f }' "$folder/figures" | sort -g | sed -n "$(((rounds + 1) / 2))p"; }
awk -v a="$(median 1)" -v b="$(median 2)" -v c="$(median 3)" '
  BEGIN {
    best = (b < c ? b : c)
    printf "%.3f s an iteration; PyTorch %.3f s eager, %.3f s compiled: %.2f x\n", a, b, c, best / a
    exit !(best >= 5 * a)
  }'
