#!/usr/bin/env bash
# The whole chain on natural text, and a toy chain, one command each: figure = minutes of each, all of it
# included but the download.
set -euo pipefail
. "$(dirname "$0")/../environment.sh"
cd "$apus_root"
folder=$(mktemp -d)
trap 'rm -rf "$folder"' EXIT
launch/natural.sh >&2
minutes() {
  local began
  began=$(date +%s)
  "$apus" pipeline "$1" --folder "$folder" >&2 || return 1
  awk -v s=$(($(date +%s) - began)) 'BEGIN { printf "%.1f", s / 60 }'
}
toy=$(minutes configs/coloured-words/pipeline.yaml)
natural=$(minutes configs/natural/pipeline.yaml)
echo "natural text $natural minutes, coloured words $toy"
awk -v a="$natural" -v b="$toy" 'BEGIN { exit !(a <= 30 && b <= 5) }'
