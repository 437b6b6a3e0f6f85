#!/usr/bin/env bash
# The whole chain on natural text, and a toy chain, one command each: figure = minutes of each, all of it
# included but the download.
set -euo pipefail
. "$(dirname "$0")/../environment.sh"
cd "$apus_root"
folder=$(mktemp -d)
trap 'rm -rf "$folder"' EXIT
launch/natural.sh >&2
[ -f corpora/wordnet/tokenizer.json ] ||
  "$apus" tokenizer train corpora/wordnet/text.txt --vocabulary 2048 \
    --output corpora/wordnet/tokenizer.json --special '<|endoftext|>' '<|im_start|>' '<|im_end|>' >&2
minutes() {
  local began
  began=$(date +%s)
  # In a folder of its own, so that all is made anew; the configurations beside it come along.
  mkdir -p "$folder/configs"
  cp -r "$(dirname "$1")" "$folder/configs/"
  local file=$folder/$1
  sed -i "1i folder: $folder/runs" "$file"
  "$apus" pipeline "$file" >&2 || return 1
  awk -v s=$(($(date +%s) - began)) 'BEGIN { printf "%.1f", s / 60 }'
}
toy=$(minutes configs/coloured-words/pipeline.yaml)
natural=$(minutes configs/natural/pipeline.yaml)
echo "natural text $natural minutes, coloured words $toy"
awk -v a="$natural" -v b="$toy" 'BEGIN { exit !(a <= 30 && b <= 5) }'
