#!/usr/bin/env python3
"""Loads an exported folder in transformers and compares it with what `apus dump` wrote for it.

  apus export CHECKPOINT DIR
  apus dump --model DIR --batch BATCH.safetensors --output OUT.safetensors
  launch/check-export.py DIR BATCH.safetensors OUT.safetensors

transformers runs in float32 and in float64 (its norms, rotary angles and router stay float32 inside).
Compared, where OUT has them: logits, hidden states and router logits of unmasked positions, losses, and
every gradient. Exit 1 when any differs by more than 1e-4 of its largest entry in transformers' float32 run.
"""

import argparse
import pathlib
import sys

import safetensors.torch
import torch
import transformers

sys.path.insert(0, str(pathlib.Path(__file__).resolve().parent.parent / "Tests" / "Goldens"))
import hub  # noqa: E402

TOLERANCE = 1e-4


def run(folder, batch, precision):
    """Everything that a dump may hold, by the names that it has there, from transformers."""
    model, report = transformers.AutoModelForCausalLM.from_pretrained(
        folder, dtype=precision, attn_implementation="eager", experts_implementation="eager",
        output_loading_info=True)
    for what in ("missing_keys", "unexpected_keys", "mismatched_keys"):
        if report[what]:
            sys.exit(f"{folder}: transformers reports {what.replace('_', ' ')}: {report[what]}")
    output, loss, total = hub.forward(model.eval(), batch)
    total.backward()
    gradients = hub.split(model.config.model_type, (
        (n, p.grad if p.grad is not None else torch.zeros_like(p))
        for n, p in model.named_parameters()))
    found = {"logits": output.logits, "loss": loss, "aux_loss": output.aux_loss, "total_loss": total}
    found |= {f"hidden.{i}": h for i, h in enumerate(output.hidden_states)}
    found |= {f"router_logits.{l}": r[0] for l, r in hub.routing(model, output).items()}
    found |= {f"grad.{n}": g for n, g in gradients.items()}
    return {n: t.detach() for n, t in found.items()}


def masked(name, tensor, mask):
    """Only unmasked positions, where the tensor has positions."""
    if mask is None or not name.startswith(("logits", "hidden.", "router_logits.")):
        return tensor
    return tensor.flatten(0, -2)[mask.bool().flatten()]


def compare(dumped, exact, mask):
    """Yields (name, relative difference, worst index, ours, theirs) for every tensor that both hold."""
    floor = 1e-6 * max(
        (t.abs().max().item() for n, t in exact.items() if n.startswith("grad.")), default=0)
    for name in exact.keys() & dumped.keys():
        ours = masked(name, dumped[name], mask).double().flatten()
        theirs = masked(name, exact[name], mask).double().flatten()
        if ours.shape != theirs.shape:
            sys.exit(f"{name}: apus wrote {tuple(dumped[name].shape)}, "
                     f"transformers has {tuple(exact[name].shape)}")
        difference = (ours - theirs).abs().nan_to_num(nan=float("inf"))
        worst = difference.argmax().item()
        scale = max(theirs.abs().max().item(), floor, 1e-30)
        yield name, difference[worst].item() / scale, worst, ours[worst].item(), theirs[worst].item()


def main():
    parser = argparse.ArgumentParser(description=__doc__.splitlines()[0])
    parser.add_argument("model", type=pathlib.Path, help="folder with config.json and model.safetensors")
    parser.add_argument("batch", type=pathlib.Path, help="the batch that apus dump was given")
    parser.add_argument("output", type=pathlib.Path, help="what apus dump wrote")
    arguments = parser.parse_args()
    transformers.utils.logging.disable_progress_bar()

    batch = safetensors.torch.load_file(arguments.batch)
    dumped = safetensors.torch.load_file(arguments.output)
    for path, tensors, names in (
        (arguments.batch, batch, ("input_ids", "labels")), (arguments.output, dumped, ("logits", "loss"))
    ):
        for name in names:
            if name not in tensors:
                sys.exit(f"{path} holds no {name}")
    good = True
    for precision in (torch.float32, torch.float64):
        exact = run(arguments.model, batch, precision)
        absent = sorted(exact.keys() - dumped.keys())
        unknown = sorted(n for n in dumped.keys() - exact.keys() if n.startswith("grad."))
        if unknown:
            sys.exit(f"{arguments.output}: transformers has no {unknown[0]}")
        rows = sorted(compare(dumped, exact, batch.get("attention_mask")), key=lambda r: -r[1])
        print(f"transformers {transformers.__version__} in {str(precision).removeprefix('torch.')}: "
              f"{len(rows)} tensors compared, {len(absent)} not in {arguments.output.name}"
              + (f" ({absent[0]} …)" if absent else ""))
        for name in ("loss", "aux_loss", "total_loss", "logits"):
            for row in rows:
                if row[0] == name:
                    print(f"  {name:10} {row[1]:.1e}  (worst entry {row[2]}: apus {row[3]:.9g}, "
                          f"transformers {row[4]:.9g})")
        name, difference, worst, ours, theirs = rows[0]
        within = difference <= TOLERANCE
        good &= within
        print(f"  worst tensor {name}: {difference:.1e} at entry {worst}, apus {ours:.9g}, "
              f"transformers {theirs:.9g}: {'within' if within else 'BEYOND'} {TOLERANCE:g}")
    sys.exit(0 if good else 1)


if __name__ == "__main__":
    main()
