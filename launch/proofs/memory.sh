#!/usr/bin/env bash
# Peak resident memory of sets a, b, c with 2 threads, and of set a after 10,000 steps against 20:
# figure = MB of each, and the growth.
set -euo pipefail
. "$(dirname "$0")/../environment.sh"
cd "$apus_root"
peak() { # peak SET STEPS
  "$apus" benchmark "configs/bench-$1.yaml" --set run.threads=2 --steps "$2" --warmup 1 --json |
    sed -n 's/.*"peak_megabytes": *\([0-9.]*\).*/\1/p'
}
a=$(peak a 20) b=$(peak b 5) c=$(peak c 3)
echo "a $a, b $b, c $c MB; now 10,000 steps of a" >&2
long=$(peak a 10000)
awk -v a="$a" -v b="$b" -v c="$c" -v long="$long" 'BEGIN {
  printf "a %.0f, b %.0f, c %.0f MB; a after 10,000 steps %.0f MB\n", a, b, c, long
  exit !(a <= 324 && b <= 1011 && c <= 2243 && long <= a + 4) }'
