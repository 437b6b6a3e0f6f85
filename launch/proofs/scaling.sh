#!/usr/bin/env bash
# Weak scaling on set b, 8 sequences a rank: figure = tokens/s of 2 ranks x 1 thread over 1 rank x 1
# thread, median of five pairs in turn. Strong scaling (8 sequences in all) is told beside it.
set -euo pipefail
. "$(dirname "$0")/../environment.sh"
cd "$apus_root"
rate() { # rate RANKS BATCH
  set_mpirun_options "$1"
  mpirun "${mpirun_options[@]}" --bind-to core -n "$1" "$apus" benchmark configs/bench-b.yaml \
    --set run.threads=1 --set training.batch="$2" --steps 6 --warmup 2 --json |
    sed -n 's/.*"tokens_per_second": *\([0-9.]*\).*/\1/p'
}
for round in 1 2 3 4 5; do
  one=$(rate 1 8) weak=$(rate 2 16) strong=$(rate 2 8)
  echo "round $round: 1 rank $one, 2 ranks weak $weak, strong $strong tokens/s" >&2
  echo "$one $weak $strong"
done | awk '{ weak[NR] = $2 / $1; strong[NR] = $3 / $1 }
  function median(a, n,   i, j, t) {
    for (i = 1; i <= n; i++) for (j = i + 1; j <= n; j++) if (a[j] < a[i]) { t = a[i]; a[i] = a[j]; a[j] = t }
    return a[int((n + 1) / 2)] }
  END { w = median(weak, NR); printf "weak %.3f, strong %.3f\n", w, median(strong, NR); exit !(w >= 1.80) }'
