#!/usr/bin/env python3
"""Makes golden cases from transformers: make.py DIR [NAME …]. Format and names: README.md, cases.py.

Weights are drawn by tensor name and batches by draw number, both from the seed, so a case does not depend
on torch's generators. Of several batches the one is kept whose routing is least a matter of rounding.
"""

import argparse
import json
import pathlib
import sys
import zlib

import numpy
import safetensors.torch
import torch
import transformers

import cases
import hub
import reference

# Router probabilities closer than this could order differently in another float32 program.
FAIR_GAP = 1e-4
FAIR_TRAINING_GAP = 1e-5
# float64 and transformers' float32 must agree this well (of a tensor's largest entry) for a fair case.
FAIR_GRADIENT = 2e-5
DRAWS = 40


def drawn_weights(case, config):
    """Random weights by checkpoint name, scaled so that routing, clipping and norms all matter."""
    shapes = hub.split(case.family, hub.build(config).named_parameters())
    width, weights = case.model["hidden_size"], {}
    for name, parameter in shapes.items():
        generator = numpy.random.default_rng([case.seed, zlib.crc32(name.encode())])
        noise = generator.standard_normal(parameter.shape)
        if "norm.weight" in name:
            value = 1 + 0.2 * noise
        elif name.endswith("bias"):
            value = 0.1 * noise
        elif name == "model.embed_tokens.weight":
            value = (1.2 / width**0.5 if case.model["tie_word_embeddings"] else 0.5) * noise
        elif name.endswith(("mlp.gate.weight", "block_sparse_moe.gate.weight")):
            value = 2.4 / width**0.5 * noise
        elif name == "lm_head.weight" or name.endswith("o_proj.weight"):
            value = 0.9 / width**0.5 * noise
        else:
            value = 1.2 / width**0.5 * noise
        weights[name] = torch.from_numpy(value.astype(numpy.float32))
    return weights


def drawn_batch(case, draw):
    """input_ids, labels and, where rows are padded, attention_mask."""
    generator = numpy.random.default_rng([case.seed, 1, draw])
    vocabulary, padding = case.model["vocab_size"], case.model["pad_token_id"]
    shape = (case.batch, case.length)
    ids = generator.integers(0, vocabulary, shape)
    if padding is not None and not case.pad_in_text:
        ids = numpy.where(ids == padding, (ids + 1) % vocabulary, ids)
    if case.pad_in_text:
        ids[0, 2] = padding
    labels, batch = ids.copy(), {}
    if case.lengths is not None:
        mask = (numpy.arange(case.length)[None] < numpy.array(case.lengths)[:, None]).astype(numpy.int64)
        ids = numpy.where(mask == 1, ids, padding if padding is not None else 0)
        labels = numpy.where(mask == 1, ids, reference.IGNORED)
        batch["attention_mask"] = torch.from_numpy(mask)
    for row, count in enumerate(case.prompts or []):
        labels[row, :count] = reference.IGNORED
    return {"input_ids": torch.from_numpy(ids), "labels": torch.from_numpy(labels)} | batch


def worst(ours, exact):
    """Largest difference of any gradient, of that tensor's largest entry (never below 1e-6 of the model's)."""
    floor = 1e-6 * max(g.abs().max().item() for g in exact.values())
    return max(
        ((ours[n].double() - exact[n]).abs().max().item() / max(exact[n].abs().max().item(), floor), n)
        for n in exact)


def fair_batch(case, config, settings, weights):
    """The drawn batch with the clearest routing in float64 that stays clear over the AdamW steps.

    Returns it with its float64 run and gradients, and with AdamW's losses, norms and smallest gap.
    """
    exact_weights = {n: w.double() for n, w in weights.items()}
    found = []
    for draw in range(DRAWS):
        batch = drawn_batch(case, draw)
        with torch.no_grad():
            run = reference.evaluate(settings, exact_weights, *inputs(batch))
        found.append((hub.smallest_gap(
            run["routings"], case.model["num_experts_per_tok"], batch.get("attention_mask")), draw))
    for gap, draw in sorted(found, reverse=True):
        if gap < FAIR_GAP:
            break
        batch = drawn_batch(case, draw)
        training = hub.train(hub.build(config, weights), batch)
        if training[2] >= FAIR_TRAINING_GAP:
            return batch, *reference.gradients(settings, weights, *inputs(batch)), training
    sys.exit(f"{case.name}: none of {DRAWS} batches routes clearly; widest gap {max(found)[0]:.1e}")


def inputs(batch):
    return batch["input_ids"], batch["labels"], batch.get("attention_mask")


def save(tensors, path):
    safetensors.torch.save_file(
        {n: t.detach().contiguous() for n, t in tensors.items()}, path, metadata={"format": "pt"})
    path.chmod(0o644)


def make(case, folder):
    config = hub.configuration(case.family, case.model)
    folder.mkdir(parents=True, exist_ok=True)
    config.save_pretrained(folder)
    settings = json.loads((folder / "config.json").read_text())
    (folder / "config.v4.json").write_text(json.dumps(hub.older_style(settings), indent=2))

    weights = drawn_weights(case, config)
    batch, exact, exact_gradients, training = fair_batch(case, config, settings, weights)
    losses, norms, training_gap = training
    save(weights, folder / "model.safetensors")

    # Read back by transformers itself: the folder is one that it loads.
    model = hub.CLASSES[case.family][1].from_pretrained(
        folder, attn_implementation="eager", experts_implementation="eager").eval()
    output, loss, total = hub.forward(model, batch)
    total.backward()
    gradients = hub.split(
        case.family, ((n, p.grad if p.grad is not None else torch.zeros_like(p))
                      for n, p in model.named_parameters()))
    if case.fused_copy:
        model.save_pretrained(folder / "fused", save_original_format=False)
        (folder / "fused" / "model.safetensors").chmod(0o644)
        (folder / "fused" / "generation_config.json").unlink(missing_ok=True)
    routings = hub.routing(model, output)
    mask = batch.get("attention_mask")
    kept = slice(None) if mask is None else mask.bool()
    difference, tensor = worst(gradients, exact_gradients)
    if difference > FAIR_GRADIENT:
        sys.exit(f"{case.name}: float32 and float64 gradients of {tensor} differ by {difference:.1e}")

    golden = dict(batch) | {
        "logits": output.logits, "loss": loss[None], "aux_loss": output.aux_loss[None],
        "total_loss": total[None], "adamw.total_loss": torch.tensor(losses),
        "adamw.grad_norm": torch.tensor(norms)}
    golden |= {f"f64.{n}": exact[n][None] for n in ("loss", "aux_loss", "total_loss")}
    golden |= {f"grad.{n}": g for n, g in gradients.items()}
    for layer, (logits, index, weight) in routings.items():
        golden |= {f"router_logits.{layer}": logits, f"topk_index.{layer}": index,
                   f"topk_weight.{layer}": weight}
    if case.hidden:
        golden |= {f"hidden.{i}": h for i, h in enumerate(output.hidden_states)}
    save(golden, folder / "golden.safetensors")

    meta = {
        "name": case.name, "arch": type(model).__name__, "seed": case.seed, "B": case.batch,
        "S": case.length,
        "min_topk_gap": hub.smallest_gap(routings, config.num_experts_per_tok, mask),
        "min_topk_gap_over_adamw_steps": training_gap,
        "loss": loss.item(), "aux_loss": output.aux_loss.item(), "total_loss": total.item(),
        "router_aux_loss_coef": config.router_aux_loss_coef,
        "lengths": case.lengths, "prompt_mask": case.prompts,
        "expert_load": [
            torch.bincount(
                (i if mask is None else i[mask.bool().flatten()]).flatten(),
                minlength=case.model["experts"]).tolist()
            for _, i, _ in routings.values()],
        "adamw": hub.ADAMW | {
            "decay": "all parameters", "clip_global_norm": 1.0, "total_loss": losses,
            "grad_norm": norms},
        "torch": torch.__version__, "transformers": transformers.__version__,
        "checks": {
            "f64_vs_hf32_logits_maxabs": (output.logits - exact["logits"])[kept].abs().max().item(),
            "f64_vs_hf32_total_loss_abs": abs(total.item() - exact["total_loss"].item()),
            "f64_vs_hf32_aux_abs": abs(output.aux_loss.item() - exact["aux_loss"].item()),
            "f64_vs_hf32_grad_max_rel": difference, "f64_vs_hf32_grad_worst": tensor,
            "zero_grad_tensors": [n for n, g in exact_gradients.items() if not g.any()],
        },
    }
    (folder / "meta.json").write_text(json.dumps(meta, indent=1))
    print(
        f"{case.name:28} loss {loss.item():.4f}  aux {output.aux_loss.item():.4f}  "
        f"gap {meta['min_topk_gap']:.1e} → {training_gap:.1e}  "
        f"float32 − float64: {difference:.1e} ({tensor})", flush=True)


def main():
    known = list(cases.SMALL | cases.LARGE)
    parser = argparse.ArgumentParser(description=__doc__.splitlines()[0])
    parser.add_argument("directory", type=pathlib.Path)
    parser.add_argument("names", nargs="*", metavar="NAME", help="cases; all of --set when absent")
    parser.add_argument("--set", choices=["small", "large"], default="large", dest="chosen")
    parser.add_argument("--seed", type=int, help="other numbers than the table's, for every case")
    parser.add_argument(
        "--option", action="append", default=[], metavar="KEY=JSON",
        help="a model setting that wins over the table, e.g. --option experts=4")
    arguments = parser.parse_args()
    unknown = [n for n in arguments.names if n not in known]
    if unknown:
        parser.error(f"no case '{unknown[0]}'; there are {', '.join(known)}")
    overrides = {k: json.loads(v) for k, _, v in (o.partition("=") for o in arguments.option)}
    torch.set_num_threads(1)
    transformers.utils.logging.disable_progress_bar()
    names = arguments.names or list(cases.SMALL if arguments.chosen == "small" else cases.LARGE)
    for name in names:
        make(cases.Case(name, arguments.seed, overrides), arguments.directory / name)


if __name__ == "__main__":
    main()
