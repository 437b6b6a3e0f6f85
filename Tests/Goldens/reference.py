"""A second opinion on the three families: forward pass and losses in float64, written from the papers.

transformers rounds norms, rotary angles, attention and router probabilities to float32 whatever the
model's precision, so it cannot say what the exact loss is. This file shares no code with it. Works on
the tensors of a checkpoint (per-expert names), and lets torch's autograd give the gradients.
"""

import math

import torch
import torch.nn.functional as F

IGNORED = -100


class Family:
    """What tells Mixtral, OLMoE and Qwen3-MoE apart, read from a `config.json` of either style."""

    def __init__(self, config):
        kind = config["model_type"]
        if kind not in ("mixtral", "olmoe", "qwen3_moe"):
            raise ValueError(f"model_type is '{kind}'; mixtral, olmoe and qwen3_moe are known")
        for key, known in (("hidden_act", "silu"), ("sliding_window", None), ("rope_scaling", None)):
            if config.get(key, known) != known:
                raise ValueError(f"{key} is {config[key]!r}; only {known!r} is known here")
        self.layers = config["num_hidden_layers"]
        self.heads = config["num_attention_heads"]
        self.key_value_heads = config.get("num_key_value_heads") or self.heads
        self.head_size = config.get("head_dim") or config["hidden_size"] // self.heads
        self.experts = config.get("num_local_experts") or config["num_experts"]
        self.choices = config["num_experts_per_tok"]
        self.epsilon = config["rms_norm_eps"]
        rotary = config.get("rope_parameters") or {}
        self.theta = rotary.get("rope_theta") or config["rope_theta"]
        self.balance = config.get("router_aux_loss_coef", 0.0)
        self.tied = bool(config.get("tie_word_embeddings"))
        self.padding = config.get("pad_token_id")
        self.renormalises = kind == "mixtral" or bool(config.get("norm_topk_prob"))
        self.clip = config.get("clip_qkv") if kind == "olmoe" else None
        self.norm_scope = {"mixtral": None, "olmoe": "projection", "qwen3_moe": "head"}[kind]
        self.router = "block_sparse_moe" if kind == "mixtral" else "mlp"
        self.expert_names = ("w1", "w3", "w2") if kind == "mixtral" else (
            "gate_proj", "up_proj", "down_proj")
        every = config.get("decoder_sparse_step", 1)
        dense = set(config.get("mlp_only_layers") or [])
        self.dense = [
            kind == "qwen3_moe" and (i in dense or (i + 1) % every != 0) for i in range(self.layers)
        ]


def rms_norm(x, weight, epsilon):
    return x * torch.rsqrt(x.square().mean(-1, keepdim=True) + epsilon) * weight


def rotate(x, theta):
    """Turns the pairs (i, i + half) of x [B, heads, S, D] by position · theta^(−2i/D)."""
    length, size = x.shape[-2:]
    half = size // 2
    speed = theta ** (-torch.arange(half, dtype=torch.float64) * 2 / size)
    angle = torch.arange(length, dtype=torch.float64)[:, None] * speed
    first, second = x[..., :half], x[..., half:]
    cosine, sine = angle.cos(), angle.sin()
    return torch.cat((first * cosine - second * sine, second * cosine + first * sine), -1)


def attention(family, weights, prefix, x, mask):
    batch, length, _ = x.shape

    def project(name, heads):
        y = F.linear(x, weights[f"{prefix}{name}_proj.weight"], weights.get(f"{prefix}{name}_proj.bias"))
        norm = weights[f"{prefix}{name}_norm.weight"] if family.norm_scope and name != "v" else None
        if norm is not None and family.norm_scope == "projection":
            y = rms_norm(y, norm, family.epsilon)
        if family.clip is not None:
            y = y.clamp(-family.clip, family.clip)
        y = y.view(batch, length, heads, family.head_size)
        if norm is not None and family.norm_scope == "head":
            y = rms_norm(y, norm, family.epsilon)
        return y.transpose(1, 2)

    query = rotate(project("q", family.heads), family.theta)
    key = rotate(project("k", family.key_value_heads), family.theta)
    value = project("v", family.key_value_heads)
    repeat = family.heads // family.key_value_heads
    key, value = key.repeat_interleave(repeat, 1), value.repeat_interleave(repeat, 1)
    scores = query @ key.transpose(-1, -2) / math.sqrt(family.head_size)
    seen = torch.ones(length, length, dtype=torch.bool).tril()[None, None]
    if mask is not None:
        # A padded query's row is never used: any row that is not empty will do.
        seen = seen & mask.bool()[:, None, None, :]
    mixed = scores.masked_fill(~seen, -math.inf).softmax(-1) @ value
    mixed = mixed.transpose(1, 2).reshape(batch, length, -1)
    return F.linear(mixed, weights[f"{prefix}o_proj.weight"], weights.get(f"{prefix}o_proj.bias"))


def swiglu(x, gate, up, down):
    return F.linear(F.silu(F.linear(x, gate)) * F.linear(x, up), down)


def mixture(family, weights, prefix, x):
    """Returns the mixed output, router logits [T, E], choices [T, K] and their weights [T, K]."""
    logits = F.linear(x, weights[f"{prefix}gate.weight"])
    probability = logits.softmax(-1)
    weight, index = probability.topk(family.choices, -1)
    if family.renormalises:
        weight = weight / weight.sum(-1, keepdim=True)
    output = torch.zeros_like(x)
    for expert in range(family.experts):
        token, slot = (index == expert).nonzero(as_tuple=True)
        parts = [weights[f"{prefix}experts.{expert}.{n}.weight"] for n in family.expert_names]
        output = output.index_add(0, token, swiglu(x[token], *parts) * weight[token, slot][:, None])
    return output, logits, index, weight


def pooled_balance(family, routings, mask):
    """E · Σ_e share_e · p_e with all layers' tokens in one pool; perfect balance gives k, not 1."""
    probability = torch.cat([logits.softmax(-1) for logits, _ in routings])
    index = torch.cat([index for _, index in routings])
    counted = torch.ones(len(index), dtype=torch.bool) if mask is None else (
        mask.bool().reshape(-1).repeat(len(routings)))
    load = torch.bincount(index[counted].reshape(-1), minlength=family.experts).to(probability.dtype)
    return family.experts * (load / counted.sum() * probability[counted].mean(0)).sum()


def cross_entropy(logits, labels):
    """Mean over the counted labels; position t predicts label t + 1."""
    return F.cross_entropy(
        logits[:, :-1].reshape(-1, logits.shape[-1]), labels[:, 1:].reshape(-1),
        ignore_index=IGNORED)


def evaluate(config, weights, ids, labels, mask=None):
    """Logits, hidden states, routings by layer, loss, aux_loss and total_loss, in the weights' precision."""
    family = Family(config)
    batch, length = ids.shape
    x = F.embedding(ids, weights["model.embed_tokens.weight"], padding_idx=family.padding)
    hidden, routings = [x], {}
    for layer in range(family.layers):
        prefix = f"model.layers.{layer}."
        normed = rms_norm(x, weights[prefix + "input_layernorm.weight"], family.epsilon)
        x = x + attention(family, weights, prefix + "self_attn.", normed, mask)
        normed = rms_norm(x, weights[prefix + "post_attention_layernorm.weight"], family.epsilon)
        if family.dense[layer]:
            parts = [weights[f"{prefix}mlp.{n}.weight"] for n in ("gate_proj", "up_proj", "down_proj")]
            x = x + swiglu(normed, *parts)
        else:
            flat = normed.reshape(batch * length, -1)
            mixed, logits, index, weight = mixture(family, weights, f"{prefix}{family.router}.", flat)
            routings[layer] = (logits, index, weight)
            x = x + mixed.view_as(x)
        hidden.append(x)
    hidden[-1] = x = rms_norm(x, weights["model.norm.weight"], family.epsilon)
    logits = F.linear(
        x, weights["model.embed_tokens.weight" if family.tied else "lm_head.weight"])
    loss = cross_entropy(logits, labels)
    aux = pooled_balance(family, [r[:2] for r in routings.values()], mask)
    return {
        "logits": logits, "hidden": hidden, "routings": routings, "loss": loss, "aux_loss": aux,
        "total_loss": loss + family.balance * aux,
    }


def gradients(config, weights, ids, labels, mask=None):
    """`evaluate` in float64, and the gradient of total_loss by tensor name."""
    exact = {name: w.double().requires_grad_() for name, w in weights.items()}
    result = evaluate(config, exact, ids, labels, mask)
    result["total_loss"].backward()
    return result, {name: w.grad if w.grad is not None else torch.zeros_like(w) for name, w in exact.items()}
