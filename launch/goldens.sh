#!/bin/sh
# Makes a large set of golden cases from transformers: launch/goldens.sh DIR [PYTHON]
# PYTHON is one that has torch and transformers; without it an environment is made in DIR-python
# (about 6 GB and 5 minutes). Then: APUS_GOLDENS=DIR launch/test.sh
set -eu
directory=${1:?usage: launch/goldens.sh DIR [PYTHON]}
here=$(cd "$(dirname "$0")/.." && pwd)/Tests/Goldens
mkdir -p "$directory"
directory=$(cd "$directory" && pwd)

if [ $# -ge 2 ]; then
  python=$2
else
  python=$directory-python/bin/python
  if [ ! -x "$python" ]; then
    python3 -m venv "$directory-python" || {
      echo "goldens: python3 cannot make an environment; on Debian: apt install python3-venv" >&2
      exit 1
    }
  fi
  echo "goldens: installing torch, transformers and tokenizers into $directory-python"
  "$directory-python/bin/pip" install --quiet torch transformers tokenizers safetensors numpy || {
    echo "goldens: pip found no package: without network name a PYTHON that has transformers" >&2
    exit 1
  }
fi
"$python" -c 'import torch, transformers; print("torch", torch.__version__, "transformers", transformers.__version__)'

"$python" "$here/make.py" "$directory" --set large
tokenizer() { "$python" "$here/make_tokenizer.py" "$directory/tokenizer-$1" --style "$2" --seed "$3" $4; }
tokenizer gpt2 gpt2 21 ""
tokenizer gpt2-strings gpt2 22 "--merges strings --vocabulary 777"
tokenizer gpt2-after gpt2 23 "--special after --vocabulary 600"
tokenizer qwen qwen 24 ""
tokenizer qwen-strings-after qwen 25 "--merges strings --special after --vocabulary 1500"
tokenizer words words 26 ""
tokenizer words-after words 27 "--special after --vocabulary 300"

"$python" "$here/check.py" "$directory"
echo "goldens: APUS_GOLDENS=$directory launch/test.sh compares Apus with them"
