#!/usr/bin/env bash
# The quickstart's run with 3 seeds: figure = the worst held-out bits a character, the longest run.
set -euo pipefail
. "$(dirname "$0")/runs.sh"

[ -f corpora/kjv-4096.json ] ||
  "$apus" tokenizer train corpora/kjv.txt --vocabulary 4096 --output corpora/kjv-4096.json >&2
worst=0
longest=0
for seed in 1 2 3; do
  started=$SECONDS
  start 2 configs/quickstart.yaml --set run.folder="$folder" --set run.name=seed-$seed \
    --set run.seed=$seed --set evaluation.windows=0 --set evaluation.every=0
  finish
  took=$((SECONDS - started))
  bits=$("$apus" evaluate "$folder/seed-$seed" --part held-out --json | tee /dev/stderr |
    sed -n 's/.*"bits_per_character" *: *\([0-9.]*\).*/\1/p')
  worst=$(printf '%s\n' "$worst" "${bits:-99}" | sort -g | tail -n 1)
  [ "$took" -le "$longest" ] || longest=$took
done
echo "$worst bits a character, $longest s"
awk -v bits="$worst" -v took="$longest" 'BEGIN { exit !(bits <= 1.55 && took <= 300) }'
