#!/usr/bin/env python3
"""Checks golden folders against the float64 reference: check.py DIR [--like DIR]. Needs no transformers.

For each case: both configuration styles say the same; `f64.*` is what reference.py computes; the float32
losses, logits (where not padded) and every gradient agree with it. `--like` also compares which names,
shapes and types a case holds with a case of the same family, sizes and kind of batch in another folder.
"""

import argparse
import json
import pathlib
import re
import sys

import safetensors.torch
import torch

import reference

EXACT = 1e-12
SINGLE = 1e-4


def relative(a, b):
    return ((a.double() - b).abs().max() / b.abs().max().clamp_min(1e-300)).item()


def check(folder):
    golden = safetensors.torch.load_file(folder / "golden.safetensors")
    weights = safetensors.torch.load_file(folder / "model.safetensors")
    batch = (golden["input_ids"], golden["labels"], golden.get("attention_mask"))
    figures = {"f64": 0.0, "loss": 0.0, "logits": 0.0, "gradient": 0.0}
    for style in ("config.json", "config.v4.json"):
        config = json.loads((folder / style).read_text())
        run, gradients = reference.gradients(config, weights, *batch)
        kept = slice(None) if batch[2] is None else batch[2].bool()
        for name in ("loss", "aux_loss", "total_loss"):
            value = run[name].detach()
            figures["f64"] = max(figures["f64"], relative(golden["f64." + name], value))
            figures["loss"] = max(figures["loss"], relative(golden[name], value))
        figures["logits"] = relative(golden["logits"][kept], run["logits"].detach()[kept])
        floor = 1e-6 * max(g.abs().max() for g in gradients.values())
        assert {"grad." + n for n in gradients} == {n for n in golden if n.startswith("grad.")}
        for name, gradient in gradients.items():
            difference = (golden["grad." + name].double() - gradient).abs().max()
            figures["gradient"] = max(
                figures["gradient"], (difference / max(gradient.abs().max(), floor)).item())
    good = figures["f64"] <= EXACT and max(figures.values()) <= SINGLE
    print(f"{folder.name:28}", *(f"{k} {v:.1e}" for k, v in figures.items()), "ok" if good else "FAIL")
    return good


def layout(folder):
    """Names, with types and ranks, of both files; numbers of layers and experts left out."""
    result = set()
    for file in ("golden", "model"):
        for name, tensor in safetensors.torch.load_file(folder / f"{file}.safetensors").items():
            general = re.sub(r"\.\d+", ".#", name)
            result.add((file, general, str(tensor.dtype), tensor.dim()))
    return result


def kind(folder):
    """What decides which tensors a case holds."""
    config = json.loads((folder / "config.json").read_text())
    golden = safetensors.torch.load_file(folder / "golden.safetensors")
    return (
        config["model_type"], bool(config.get("tie_word_embeddings")),
        bool(config.get("attention_bias")), any(reference.Family(config).dense),
        "attention_mask" in golden, "hidden.0" in golden)


def compare(folder, other):
    """Compares with the first case of the same kind in `other`; True when there is none."""
    for twin in sorted(p.parent for p in other.glob("*/golden.safetensors")):
        if kind(twin) == kind(folder):
            difference = layout(folder) ^ layout(twin)
            keys = [
                set(json.loads((folder / f).read_text())) ^ set(json.loads((twin / f).read_text()))
                for f in ("config.json", "config.v4.json")]
            print(f"{'':28} like {twin.name}:", "same tensors" if not difference else difference,
                  "same settings" if not any(keys) else keys)
            return not difference and not any(keys)
    print(f"{'':28} no case of this kind in {other}")
    return True


def main():
    parser = argparse.ArgumentParser(description=__doc__.splitlines()[0])
    parser.add_argument("directory", type=pathlib.Path)
    parser.add_argument("--like", type=pathlib.Path)
    arguments = parser.parse_args()
    torch.set_num_threads(1)
    folders = sorted(p.parent for p in arguments.directory.glob("*/golden.safetensors"))
    if not folders:
        parser.error(f"{arguments.directory} holds no folder with a golden.safetensors")
    good = True
    for folder in folders:
        good &= check(folder)
        if arguments.like:
            good &= compare(folder, arguments.like)
    sys.exit(0 if good else 1)


if __name__ == "__main__":
    main()
