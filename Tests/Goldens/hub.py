"""transformers' side of the goldens: configurations, per-expert tensor names, float32 runs, AdamW.

transformers 5 keeps a layer's experts fused in memory (`gate_up_proj` [E, 2I, H] with gate rows first,
`down_proj` [E, H, I]) while files on the hub have one tensor an expert; `split` goes from one to the other.
"""

import torch
import transformers

CLASSES = {
    "mixtral": (transformers.MixtralConfig, transformers.MixtralForCausalLM),
    "olmoe": (transformers.OlmoeConfig, transformers.OlmoeForCausalLM),
    "qwen3_moe": (transformers.Qwen3MoeConfig, transformers.Qwen3MoeForCausalLM),
}
# The family's own names of the number of experts and of their width.
SIZES = {
    "mixtral": ("num_local_experts", "intermediate_size"),
    "olmoe": ("num_experts", "intermediate_size"),
    "qwen3_moe": ("num_experts", "moe_intermediate_size"),
}


def configuration(family, model):
    """transformers' configuration of a case's `model` table."""
    settings = dict(model)
    experts, width = SIZES[family]
    settings[experts], settings[width] = settings.pop("experts"), settings.pop("expert_width")
    theta = settings.pop("rope_theta")
    return CLASSES[family][0](
        **settings, rope_parameters={"rope_type": "default", "rope_theta": theta}, use_cache=False,
        bos_token_id=None, eos_token_id=None, architectures=[CLASSES[family][1].__name__],
        dtype="float32")


def older_style(config):
    """A `config.json` dictionary of transformers 5 as version 4 wrote it."""
    older = dict(config)
    rotary, precision = older.pop("rope_parameters"), older.pop("dtype")
    older |= {"rope_theta": rotary["rope_theta"], "rope_scaling": None, "torch_dtype": precision}
    older["transformers_version"] = "4.51.0"
    if older["model_type"] == "qwen3_moe" and "num_local_experts" in older:
        older["num_experts"] = older.pop("num_local_experts")
    return older


def build(config, weights=None, experts="eager"):
    """A model in evaluation mode, with plain attention; per-expert `weights` are copied in."""
    model = CLASSES[config.model_type][1]._from_config(
        config, experts_implementation=experts, attn_implementation="eager")
    if weights is not None:
        targets = split(config.model_type, model.named_parameters())
        assert targets.keys() == weights.keys(), targets.keys() ^ weights.keys()
        with torch.no_grad():
            for name, target in targets.items():
                target.copy_(weights[name])
    return model.eval()


def split(family, named):
    """Checkpoint names and views of fused tensors (parameters, or their gradients), in model order."""
    result = {}
    for name, tensor in named:
        prefix, _, leaf = name.rpartition("experts.")
        if family == "mixtral":
            prefix = prefix.replace(".mlp.", ".block_sparse_moe.")
            name = name.replace(".mlp.gate.", ".block_sparse_moe.gate.")
            gate, up, down = "w1", "w3", "w2"
        else:
            gate, up, down = "gate_proj", "up_proj", "down_proj"
        if leaf == "gate_up_proj":
            for expert, both in enumerate(tensor):
                half = both.shape[0] // 2
                result[f"{prefix}experts.{expert}.{gate}.weight"] = both[:half]
                result[f"{prefix}experts.{expert}.{up}.weight"] = both[half:]
        elif leaf == "down_proj":
            for expert, one in enumerate(tensor):
                result[f"{prefix}experts.{expert}.{down}.weight"] = one
        else:
            result[name] = tensor
    return result


def sparse_layers(config):
    """Numbers of the layers that have a router."""
    if config.model_type != "qwen3_moe":
        return list(range(config.num_hidden_layers))
    return [
        i for i in range(config.num_hidden_layers)
        if i not in config.mlp_only_layers and (i + 1) % config.decoder_sparse_step == 0
    ]


def forward(model, batch):
    """One pass with everything recorded: logits, hidden states, router logits, both losses.

    `output.loss` of transformers is cross-entropy + coefficient · aux_loss; the parts are apart here.
    """
    output = model(
        input_ids=batch["input_ids"], attention_mask=batch.get("attention_mask"),
        output_router_logits=True, output_hidden_states=True)
    loss = torch.nn.functional.cross_entropy(
        output.logits[:, :-1].flatten(0, 1), batch["labels"][:, 1:].flatten(), ignore_index=-100)
    total = loss + model.config.router_aux_loss_coef * output.aux_loss
    return output, loss, total


def routing(model, output):
    """By layer: router logits [T, E], choices [T, K], their weights [T, K]."""
    result = {}
    for layer, logits in zip(sparse_layers(model.config), output.router_logits, strict=True):
        weight, index = logits.softmax(-1).topk(model.config.num_experts_per_tok, -1)
        if model.config.model_type == "mixtral" or getattr(model.config, "norm_topk_prob", False):
            weight = weight / weight.sum(-1, keepdim=True)
        result[layer] = (logits, index, weight)
    return result


def smallest_gap(routings, choices, mask):
    """Smallest distance between the k-th and the next router probability of any unmasked token."""
    smallest = float("inf")
    for logits, _, _ in routings.values():
        ordered = logits.detach().softmax(-1).sort(-1, descending=True).values
        if choices < ordered.shape[-1]:
            gap = ordered[:, choices - 1] - ordered[:, choices]
            smallest = min(smallest, (gap if mask is None else gap[mask.bool().flatten()]).min().item())
    return smallest


ADAMW = {"lr": 1e-3, "betas": (0.9, 0.95), "eps": 1e-8, "weight_decay": 0.1}


def train(model, batch, steps=6):
    """Six AdamW steps on one batch, clipped at norm 1: losses [steps + 1], norms [steps], smallest gap."""
    optimiser = torch.optim.AdamW(model.parameters(), **ADAMW)
    losses, norms, gap = [], [], float("inf")
    for step in range(steps + 1):
        output, _, total = forward(model, batch)
        losses.append(total.item())
        gap = min(gap, smallest_gap(
            routing(model, output), model.config.num_experts_per_tok, batch.get("attention_mask")))
        if step < steps:
            optimiser.zero_grad()
            total.backward()
            norms.append(torch.nn.utils.clip_grad_norm_(model.parameters(), 1.0).item())
            optimiser.step()
    return losses, norms, gap
