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
[ -f corpora/kjv-2048.json ] ||
  "$apus" tokenizer train corpora/kjv.txt --vocabulary 2048 --output corpora/kjv-2048.json

run=checkpoints/quickstart
[ ! -d "$run" ] || say "replacing the run of last time in $run"
rm -rf "$run"
say "training on 2 ranks; Ctrl-C saves and stops"
launch/local.sh 2 "$apus" pretrain configs/quickstart.yaml

say "what the model writes:"
for prompt in "In the beginning" "And it came to pass" "Blessed are"; do
  "$apus" generate "$run" --prompt "$prompt" --length 96
  echo
done
say "done in $((SECONDS - start)) s"
say "curve:      $run/curve.svg"
say "checkpoint: $(ls -d "$run"/step-* | tail -n 1)"
