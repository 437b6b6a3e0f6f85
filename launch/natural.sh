#!/usr/bin/env bash
# Makes the data of configs/natural from two packages: launch/natural.sh [FOLDER]
# WordNet's definitions (Debian's wordnet-base) as running text and as answers to "Define: WORD", and
# the word list of vaderSentiment (Python package index). FOLDER is corpora/wordnet by default; what is
# there already is left alone. Headwords to evaluate on are in no other part.
set -euo pipefail
. "$(dirname "$0")/environment.sh"

[ $# -le 1 ] || fail "usage: launch/natural.sh [FOLDER]"
folder=${1:-$apus_root/corpora/wordnet}
names="text.txt sft.jsonl prompts.jsonl evaluation.jsonl evaluation-prompts.jsonl lexicon.txt"
missing=
for name in $names; do [ -s "$folder/$name" ] || missing="$missing $name"; done
if [ -z "$missing" ]; then
  say "$folder is there: $names"
  exit 0
fi
mkdir -p "$folder" || fail "the folder $folder cannot be made"
[ -w "$folder" ] || fail "the folder $folder cannot be written"
work=$(mktemp -d "$folder/.natural-XXXXXX")
trap 'rm -rf "$work"' EXIT

# WordNet's files, of the installed package or of one that is only unpacked.
wordnet=/usr/share/wordnet
if [ ! -r "$wordnet/data.noun" ]; then
  (cd "$work" && apt-get download -qq wordnet-base 2> apt.log) ||
    fail "the package wordnet-base could not be fetched: $(tail -n 1 "$work/apt.log"). Install it, or try again with network. Nothing was written"
  dpkg-deb -x "$work"/wordnet-base_*.deb "$work/wordnet"
  wordnet=$work/wordnet/usr/share/wordnet
fi

python3 -m pip --version > /dev/null 2>&1 || install_packages python3-pip
python3 -m pip download --quiet --disable-pip-version-check --retries 1 --no-deps \
  --dest "$work" vaderSentiment==3.3.2 >&2 ||
  fail "the package vaderSentiment could not be fetched: it needs network access to the Python package index. Nothing was written"

python3 - "$wordnet" "$work"/vaderSentiment-*.whl "$work" << 'PYTHON'
import hashlib, json, pathlib, random, re, sys, zipfile

wordnet, wheel, output = map(pathlib.Path, sys.argv[1:])

with zipfile.ZipFile(wheel) as package:
    lexicon = package.read("vaderSentiment/vader_lexicon.txt").decode("utf-8")
rows = [line.split("\t") for line in lexicon.splitlines() if line]
(output / "lexicon.txt").write_text("".join(f"{r[0]}\t{r[1]}\n" for r in rows), "utf-8")


def held_out(word):
    """Whether a headword belongs to the evaluation: one in 20, whatever else is in the file."""
    return hashlib.sha256(word.encode("utf-8")).digest()[0] % 20 == 0


synsets, senses = [], {}
for part in ["noun", "verb", "adj", "adv"]:
    glosses = {}
    for line in (wordnet / f"data.{part}").read_text("utf-8").splitlines():
        if line.startswith("  "):
            continue
        head, gloss = line.split(" | ", 1)
        fields = head.split()
        words = [re.sub(r"\(.*\)$", "", w).replace("_", " ") for w in fields[4:4 + 2 * int(fields[3], 16):2]]
        definition = re.split(r'; "', gloss.strip(), maxsplit=1)[0].strip().rstrip(";")
        examples = re.findall(r'"([^"]+)"', gloss)
        glosses[fields[0]] = definition
        synsets.append((words, definition, examples))
    for line in (wordnet / f"index.{part}").read_text("utf-8").splitlines():
        if line.startswith("  "):
            continue
        fields = line.split()
        # The first offset is of the commonest sense.
        offset = fields[-int(fields[2])]
        senses.setdefault(fields[0].replace("_", " "), glosses[offset])

text = []
for words, definition, examples in synsets:
    if any(held_out(word.lower()) for word in words):
        continue
    line = f"{', '.join(words)}: {definition}."
    for example in examples:
        example = example.strip()
        line += " " + example[:1].upper() + example[1:] + ("" if example[-1:] in ".!?" else ".")
    text.append(line)
random.Random(1).shuffle(text)
(output / "text.txt").write_text("\n".join(text) + "\n", "utf-8")

fit = [(w, d) for w, d in sorted(senses.items())
       if re.fullmatch(r"[a-z]+( [a-z]+)?", w) and 15 <= len(d) <= 110]
random.Random(2).shuffle(fit)
training = [pair for pair in fit if not held_out(pair[0])]
evaluation = [pair for pair in fit if held_out(pair[0])][:1000]


def write(name, pairs, answers):
    with open(output / name, "w", encoding="utf-8") as file:
        for word, definition in pairs:
            line = {"prompt": [{"role": "user", "content": f"Define: {word}"}]}
            if answers:
                line["completion"] = [{"role": "assistant", "content": definition}]
            file.write(json.dumps(line, ensure_ascii=False) + "\n")


write("sft.jsonl", training[:30000], True)
write("prompts.jsonl", training[30000:38000], False)
write("evaluation.jsonl", evaluation, True)
write("evaluation-prompts.jsonl", evaluation, False)
PYTHON
for name in $names; do
  [ -s "$work/$name" ] || fail "$name came out empty: a package has changed. Nothing was written"
done
for name in $names; do mv "$work/$name" "$folder/$name"; done
say "$folder: $(wc -c < "$folder/text.txt") bytes of text, $(wc -l < "$folder/sft.jsonl") definitions to learn, $(wc -l < "$folder/prompts.jsonl") words without, $(wc -l < "$folder/evaluation.jsonl") to evaluate, $(wc -l < "$folder/lexicon.txt") valences"
