#!/usr/bin/env bash
# From text to an aligned policy in one command: launch/chain.sh [natural|toy]
# natural: WordNet's definitions, half an hour on 2 cores; toy: coloured words, two minutes. Each ends
# with one table; a chain that was stopped goes on where it was.
set -euo pipefail
. "$(dirname "$0")/environment.sh"

chain=${1:-natural}
case $chain in
  natural | toy) ;;
  *) fail "usage: launch/chain.sh [natural|toy], not '$chain'" ;;
esac
"$apus_root/launch/build.sh" >&2
cd "$apus_root"
if [ "$chain" = toy ]; then
  exec "$apus" pipeline configs/coloured-words/pipeline.yaml
fi
launch/natural.sh
[ -f corpora/wordnet/tokenizer.json ] ||
  "$apus" tokenizer train corpora/wordnet/text.txt --vocabulary 2048 \
    --output corpora/wordnet/tokenizer.json --special '<|endoftext|>' '<|im_start|>' '<|im_end|>'
exec "$apus" pipeline configs/natural/pipeline.yaml
