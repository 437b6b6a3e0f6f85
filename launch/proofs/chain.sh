#!/usr/bin/env bash
# The whole chain on natural text, and a toy chain, one command each: figure = minutes of each, tokenizer and
# evaluations included, the making of the text (launch/natural.sh) not; the tables go to the log.
set -euo pipefail
. "$(dirname "$0")/../environment.sh"
cd "$apus_root"
folder=$(mktemp -d)
trap 'rm -rf "$folder"' EXIT
launch/natural.sh >&2
minutes() {
  local began
  began=$(date +%s)
  [[ $1 != *natural* ]] ||
    "$apus" tokenizer train corpora/wordnet/text.txt --vocabulary 2048 --output "$folder/tokenizer.json" \
      --special '<|endoftext|>' '<|im_start|>' '<|im_end|>' >&2
  # In a folder of its own, so that all is made anew; the configurations beside it come along.
  mkdir -p "$folder/configs"
  cp -r "$(dirname "$1")" "$folder/configs/"
  local file=$folder/$1
  sed -i -e "1i folder: $folder/runs" -e "s|corpora/wordnet/tokenizer.json|$folder/tokenizer.json|" "$file"
  "$apus" pipeline "$file" >&2 || return 1
  awk -v s=$(($(date +%s) - began)) 'BEGIN { printf "%.1f", s / 60 }'
}
toy=$(minutes configs/coloured-words/pipeline.yaml)
natural=$(minutes configs/natural/pipeline.yaml)
echo "natural text $natural minutes, coloured words $toy"
awk -v a="$natural" -v b="$toy" 'BEGIN { exit !(a <= 30 && b <= 5) }'
