#!/usr/bin/env bash
# A model trained here and each committed golden model, imported and exported: transformers runs the
# exported folder, launch/check-export.py compares logits, losses, hidden states, router logits and
# every gradient with `apus dump`. Figure = the worst tensor. PYTHON names a Python with torch and
# transformers; without it one is made in .build/python (about 6 GB).
set -euo pipefail
. "$(dirname "$0")/runs.sh"
require_python torch transformers safetensors

# check NAME BATCH: what transformers and `apus dump` say of the folder NAME.
worst=0
within=0
models=0
check() {
  local found
  "$apus" dump --model "$folder/$1" --batch "$2" --output "$folder/$1.dump" >&2
  models=$((models + 1))
  if "$python" launch/check-export.py "$folder/$1" "$2" "$folder/$1.dump" > "$folder/$1.log" 2>&1; then
    within=$((within + 1))
  fi
  sed "s/^/$1: /" "$folder/$1.log" >&2
  found=$(sed -n 's/^ *worst tensor .*: \([0-9.e+-]*\) at entry.*/\1/p' "$folder/$1.log")
  worst=$(printf '%s\n' "$worst" ${found:-inf} | sort -g | tail -n 1)
}

for case in Tests/Goldens/cases/*/golden.safetensors; do
  name=$(basename "$(dirname "$case")")
  "$apus" import "$(dirname "$case")" --name "$name" --runs "$folder/imported" >&2
  "$apus" export "$folder/imported/$name" "$folder/$name" >&2
  check "$name" "$case"
done

"$apus" pretrain "${small[@]}" --set run.name=run --set training.steps=60 >&2
"$apus" export "$folder/run" "$folder/trained" >&2
"$apus" tokenizer encode corpora/kjv-1024.json --text "$(tail -n 12 corpora/kjv.txt)" |
  "$python" -c '
import sys, safetensors.torch, torch
ids = torch.tensor([int(word) for word in sys.stdin.read().split()][:4 * 64]).reshape(4, 64)
safetensors.torch.save_file({"input_ids": ids, "labels": ids.clone()}, sys.argv[1])' \
    "$folder/batch.safetensors"
check trained "$folder/batch.safetensors"

echo "$within of $models models within, the worst tensor of all by $worst"
[ "$within" -eq "$models" ] && [ "$models" -eq 4 ]
