#!/usr/bin/env bash
# What splitting the model costs on two ranks, on set b: figure = tokens/s of expert = 2 and tensor = 2
# over those of data = 2, the medians of rounds in turn.
set -euo pipefail
. "$(dirname "$0")/../environment.sh"
cd "$apus_root"

rounds=${APUS_ROUNDS:-5}
results=$(mktemp)
trap 'rm -f "$results"' EXIT
rate() {
  launch/local.sh 2 "$apus" benchmark configs/bench-b.yaml --set run.threads=1 --steps 6 --warmup 2 \
    --json --layout "$1" | sed 's/.*"tokens_per_second" *: *\([0-9.]*\).*/\1/'
}
for _ in $(seq "$rounds"); do
  echo "$(rate data=2) $(rate expert=2) $(rate tensor=2)" | tee -a "$results" >&2
done
median() { awk -v a="$1" '{ print $a / $1 }' "$results" | sort -g | sed -n "$(((rounds + 1) / 2))p"; }
expert=$(median 2)
tensor=$(median 3)
echo "expert = 2: $expert, tensor = 2: $tensor of data = 2 ($rounds rounds)"
awk -v expert="$expert" -v tensor="$tensor" 'BEGIN { exit !(expert >= 0.90 && tensor >= 0.80) }'
