#!/usr/bin/env python3
"""Makes tokenizer cases with the tokenizers library: make_tokenizer.py DIR --style gpt2|qwen|words.

Trains a byte-level BPE on a text, or lists its words, writes DIR/tokenizer.json and DIR/cases.json: texts and the ids that the
library gives them with its defaults (a special token's string in a text becomes its id).
"""

import argparse
import collections
import json
import pathlib
import random
import sys

import tokenizers
from tokenizers import decoders, models, normalizers, pre_tokenizers, processors, trainers

# The pattern of Qwen's published tokenizer.json files; GPT-2's is built into the library.
QWEN_PATTERN = (
    r"(?i:'s|'t|'re|'ve|'m|'ll|'d)|[^\r\n\p{L}\p{N}]?\p{L}+|\p{N}"
    r"| ?[^\s\p{L}\p{N}]+[\r\n]*|\s*[\r\n]+|\s+(?!\S)|\s+")
SPECIAL = {
    "gpt2": ["<|endoftext|>", "<|padding|>"],
    "qwen": ["<|endoftext|>", "<|im_start|>", "<|im_end|>"],
    "words": ["<|pad|>", "<|endoftext|>"],
}

# Each is a way to get byte-level BPE wrong.
TEXTS = [
    "", " ", "  ", "     ", "\n", "\n\n\n", "\t", "\r", "\r\n", "\r\n\r\n", " \n", "\n ", " \n ", "\t \t",
    "\v\f", "\u00a0", "a\u00a0b", "\u1680\u2002\u200a\u202f\u205f\u3000", "\u2028\u2029\u0085", "\ufeff",
    "x ", " x", "  x", "x  y", "x   y", "x \n y", "x\n\n  y", "x\t\ty", "end of line \n", "   \n   x",
    "we're I'm you've he'll she'd it's don't", "WE'RE I'M YOU'VE", "'s's 's 'S 'tis 'Re", "''s \"'d\"",
    "rock\u2019n\u2019roll it\u2019s", "'", "''", "ſ's K'm it'ſ",
    "0", "42", "007", "1234567890123", "3.14", "1,000,000.5", "-1e-9", "0xFF", "v2.0rc1", "½ ¾ ² Ⅻ ④",
    "٣٤٥ ४५६ ௧௨", "a1b2c3", "1st 2nd",
    "!", "?!", "...", "--", "———", "(a)", "[1]{2}<3>", "a+b=c", "x*y**z", "$5 €5 £5", "100 %", "#tag @name",
    "C:\\dir\\file", "/usr/lib", "https://example.net/p?q=1&r=2#s", "a_b __c__", "\\n is not \n", "`code`",
    "if (x<0) { return -x; }\n", "def f():\n    return 1\n\n\n", "\tfor i in a:\n\t\tprint(i)", "{\"k\":[1,null]}",
    "<p class=\"x\">&lt;</p>", "/* c */ // d", "a;b;;c",
    "é", "e\u0301", "ñandú \u0061\u0308\u0301 Å Å Å", "\u1e69 \u0073\u0323\u0307 \u0073\u0307\u0323", "ﬀ ﬃ ﬅ",
    "ẞß", "İıŞş", "Ǆ ǅ ǆ", "\u0301 alone", "a\u0300\u0301\u0302\u0303", "각 \u1100\u1161\u11a8 가\u11a8",
    "\u0958 \u0915\u093c", "\u212b \u2126 \u2f81a".replace("\u2f81a", "\U0002f81a"),
    "Γειά σου Κόσμε", "Здравствуй, мир", "שָׁלוֹם", "السَّلامُ عليكم", "हिन्दी में", "தமிழ்", "ภาษาไทย", "ქართული",
    "中文，标点。", "日本語テスト", "ｆｕｌｌ ｗｉｄｔｈ １２３", "한국어 문장", "ꦗꦮ", "𐌰𐌱 𝔘𝔫𝔦 𝟙𝟚", "𠜎𠜱",
    "🙂", "👩\u200d🔬", "👋🏿", "🇫🇷🇩🇪", "❤️ ❤", "1️⃣", "a🙂b 🙂 c", "🏴\U000e0067\U000e0062\U000e007f",
    "\x00", "\x01\x7f", "\x1b[0m", "\ue000\uf8ff", "\ufffd\ufffe\uffff", "\U0010ffff", "a\u200bb\u200cc\u200dd",
    "<|endoftext|>", "<|endoftext|><|endoftext|>", "a<|endoftext|>b", " <|endoftext|> ", "<|endoftext|", "<|end|>",
    "<|im_start|>user\nhello<|im_end|>\n", "<|padding|>", "x\n<|im_end|>y", "<|ENDOFTEXT|>",
    "The quick brown fox jumps over the lazy dog.", "THE QUICK", "camelCaseWord snake_case", "antidisestablishment",
    "aaaaaaaaaaaaaaaaaaaaaaaaaaaaaaaaa", "abababababababab", "the the the", " the", "thethethe",
    "                                ", "................", "\n" * 20,
]


def build(style, corpus, size, after):
    """A trained tokenizer; with `after` its special tokens stand behind the vocabulary, not in it."""
    if style == "words":
        return build_words(corpus, size, after)
    tokenizer = tokenizers.Tokenizer(models.BPE())
    if style == "gpt2":
        tokenizer.pre_tokenizer = pre_tokenizers.ByteLevel(add_prefix_space=False)
    else:
        tokenizer.normalizer = normalizers.NFC()
        tokenizer.pre_tokenizer = pre_tokenizers.Sequence([
            pre_tokenizers.Split(tokenizers.Regex(QWEN_PATTERN), behavior="isolated"),
            pre_tokenizers.ByteLevel(add_prefix_space=False, use_regex=False)])
    tokenizer.post_processor = processors.ByteLevel(trim_offsets=False)
    tokenizer.decoder = decoders.ByteLevel()
    special = SPECIAL[style]
    trainer = trainers.BpeTrainer(
        vocab_size=size - (len(special) if after else 0), show_progress=False,
        special_tokens=[] if after else special,
        initial_alphabet=sorted(pre_tokenizers.ByteLevel.alphabet()))
    tokenizer.train_from_iterator(corpus.splitlines(keepends=True), trainer)
    if after:
        tokenizer.add_special_tokens(special)
    return tokenizer


def build_words(corpus, size, after):
    """Whole words parted by white space, the commonest of the text; the last one stands for all others."""
    special = SPECIAL["words"]
    words = [] if after else list(special)
    counts = collections.Counter(corpus.split())
    words += [w for w, _ in counts.most_common(size - len(special) - 1)] + ["<unk>"]
    tokenizer = tokenizers.Tokenizer(models.WordLevel({w: i for i, w in enumerate(words)}, unk_token="<unk>"))
    tokenizer.pre_tokenizer = pre_tokenizers.WhitespaceSplit()
    tokenizer.add_special_tokens(special)
    return tokenizer


def sample(corpus, count, seed):
    """Every text above, then mixtures of them, slices of the corpus and runs of awkward characters."""
    generator = random.Random(seed)
    yield from TEXTS
    awkward = " \n\t\r\u00a0\u3000'sStTa1é\u0301😀.-_"
    for index in range(max(0, count - len(TEXTS))):
        if index % 3 == 0:
            yield "".join(generator.choices(TEXTS, k=3))[:160]
        elif index % 3 == 1:
            start = generator.randrange(max(1, len(corpus) - 100))
            yield corpus[start:start + generator.randrange(5, 100)]
        else:
            yield "".join(generator.choices(awkward, k=generator.randrange(3, 25)))


def main():
    parser = argparse.ArgumentParser(description=__doc__.splitlines()[0])
    parser.add_argument("directory", type=pathlib.Path)
    parser.add_argument("--style", choices=list(SPECIAL), required=True)
    parser.add_argument("--vocabulary", type=int, default=1024)
    parser.add_argument("--cases", type=int, default=500)
    parser.add_argument("--seed", type=int, default=1)
    parser.add_argument(
        "--text", type=pathlib.Path, nargs="+", default=[pathlib.Path("/usr/share/common-licenses/GPL-3")],
        help="UTF-8 files to train on (default: a licence that every Debian holds)")
    parser.add_argument(
        "--merges", choices=["pairs", "strings"], default="pairs",
        help="how tokenizer.json writes a merge: [\"a\", \"b\"], or \"a b\" as files before 2024 have it")
    parser.add_argument("--special", choices=["first", "after"], default="first")
    arguments = parser.parse_args()
    missing = [p for p in arguments.text if not p.is_file()]
    if missing:
        sys.exit(f"no text {missing[0]}; name UTF-8 files with --text")
    corpus = "".join(p.read_text() for p in arguments.text)

    tokenizer = build(arguments.style, corpus, arguments.vocabulary, arguments.special == "after")
    document = json.loads(tokenizer.to_str())
    if arguments.merges == "strings" and arguments.style != "words":
        document["model"]["merges"] = [" ".join(m) for m in document["model"]["merges"]]
    arguments.directory.mkdir(parents=True, exist_ok=True)
    path = arguments.directory / "tokenizer.json"
    path.write_text(json.dumps(document, ensure_ascii=False, separators=(",", ":")))

    tokenizer = tokenizers.Tokenizer.from_file(str(path))
    found = []
    for text in sample(corpus, arguments.cases, arguments.seed):
        ids = tokenizer.encode(text).ids
        decoded = tokenizer.decode(ids, skip_special_tokens=False)
        found.append({"text": text, "ids": ids} | ({} if decoded == text else {"decoded": decoded}))
    (arguments.directory / "cases.json").write_text(json.dumps({
        "tokenizers": tokenizers.__version__, "style": arguments.style,
        "special": SPECIAL[arguments.style], "vocab": tokenizer.get_vocab_size(),
        "normalizer": "NFC" if arguments.style == "qwen" else None, "cases": found,
    }, separators=(",", ":")))
    print(f"{arguments.directory.name}: {arguments.style}, vocabulary {tokenizer.get_vocab_size()}, "
          f"{len(found)} cases, {sum('decoded' in c for c in found)} of them not decoded to their text")


if __name__ == "__main__":
    main()
