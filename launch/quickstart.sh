#!/usr/bin/env bash
# From nothing to a trained mixture of experts: installs, builds, trains on the King James Bible on
# two ranks, and shows what the model writes. About ten minutes on two cores; can be run again.
set -euo pipefail
. "$(dirname "$0")/environment.sh"

start=$SECONDS
require_swift
install_packages "${packages[@]}" bible-kjv
"$apus_root/launch/build.sh" --product apus
cd "$apus_root"
launch/corpus.sh kjv
[ -f corpora/kjv-4096.json ] ||
  "$apus" tokenizer train corpora/kjv.txt --vocabulary 4096 --output corpora/kjv-4096.json

# A run of last time is kept: this one gets the first name without checkpoints.
name=quickstart
number=1
while compgen -G "checkpoints/$name/step-*" > /dev/null; do
  number=$((number + 1))
  name=quickstart-$number
done
run=checkpoints/$name
[ "$number" -eq 1 ] || say "what was trained before stays in checkpoints; this run goes to $run"
say "training on 2 ranks; Ctrl-C saves and stops"
launch/local.sh 2 "$apus" pretrain configs/quickstart.yaml --set run.name="$name"

say "what the model writes:"
for prompt in "In the beginning" "And it came to pass" "Blessed are"; do
  "$apus" generate "$run" --prompt "$prompt" --length 96
  echo
done
say "done in $((SECONDS - start)) s"
say "curve:      $run/curve.svg"
say "checkpoint: $(ls -d "$run"/step-* | tail -n 1)"
