"""The cases: what each golden folder's model and batch are. Two sets: `small` is committed, `large` is made.

A case says only what differs from BASE and from its family's own base:
`model` goes to transformers' configuration, the rest describes the batch:
  batch, length   rows and positions
  lengths         true lengths of right-padded rows; gives the case an attention mask
  prompts         leading labels of each row that are ignored
  pad_in_text     rows of true text may hold the padding token too
  hidden          False leaves hidden states out of the golden file
  fused_copy      adds the folder fused/: the same model as transformers 5 keeps it in memory
"""

BASE = {
    "batch": 2, "length": 23, "lengths": None, "prompts": None, "pad_in_text": False, "hidden": True,
    "fused_copy": False,
    "model": {
        "vocab_size": 256, "hidden_size": 64, "num_hidden_layers": 2, "num_attention_heads": 4,
        "num_key_value_heads": 2, "experts": 8, "expert_width": 16, "num_experts_per_tok": 2,
        "max_position_embeddings": 512, "rope_theta": 10000.0, "router_aux_loss_coef": 0.02,
        "pad_token_id": None, "tie_word_embeddings": False,
    },
}

FAMILIES = {
    "mixtral": {"rms_norm_eps": 1e-5, "sliding_window": None},
    "olmoe": {"rms_norm_eps": 1e-5, "norm_topk_prob": False, "clip_qkv": None, "attention_bias": False},
    "qwen3_moe": {
        "rms_norm_eps": 1e-6, "norm_topk_prob": True, "attention_bias": False, "head_dim": 24,
        "intermediate_size": 48, "mlp_only_layers": [], "decoder_sparse_step": 1},
}

SMALL_MODEL = {"vocab_size": 64, "hidden_size": 32, "expert_width": 12}

SMALL = {
    "mixtral_small": ("mixtral", 11, {
        "batch": 3, "length": 13, "lengths": [13, 8, 5], "prompts": [3, 0, 2], "pad_in_text": True,
        "fused_copy": True,
        "model": SMALL_MODEL | {"experts": 5, "pad_token_id": 0, "router_aux_loss_coef": 0.05}}),
    "olmoe_small": ("olmoe", 12, {
        "length": 13,
        "model": SMALL_MODEL | {
            "experts": 6, "num_experts_per_tok": 3, "num_key_value_heads": 4, "clip_qkv": 1.2,
            "norm_topk_prob": True}}),
    "qwen3_moe_small": ("qwen3_moe", 13, {
        "length": 11,
        "model": SMALL_MODEL | {
            "num_hidden_layers": 3, "mlp_only_layers": [1], "intermediate_size": 20, "experts": 4,
            "num_key_value_heads": 1, "head_dim": 12, "tie_word_embeddings": True,
            "attention_bias": True}}),
}

LARGE = {
    "mixtral_plain": ("mixtral", 101, {
        "length": 24, "fused_copy": True, "model": {"rope_theta": 1e6}}),
    "mixtral_padded": ("mixtral", 102, {
        "batch": 3, "length": 20, "lengths": [20, 13, 7], "prompts": [4, 5, 0],
        "model": {"pad_token_id": 0, "router_aux_loss_coef": 0.05}}),
    "mixtral_long": ("mixtral", 103, {
        "batch": 1, "length": 257, "hidden": False, "model": {"rope_theta": 7500.0}}),
    "mixtral_multi_query": ("mixtral", 104, {"length": 17, "model": {"num_key_value_heads": 1}}),
    "mixtral_multi_head": ("mixtral", 105, {"length": 31, "model": {"num_key_value_heads": 4}}),
    "mixtral_top1": ("mixtral", 106, {"length": 19, "model": {"num_experts_per_tok": 1}}),
    "mixtral_top4": ("mixtral", 107, {"length": 21, "model": {"num_experts_per_tok": 4}}),
    "mixtral_wide_heads": ("mixtral", 108, {"length": 15, "model": {"head_dim": 20}}),
    "mixtral_tied_pad_in_text": ("mixtral", 109, {
        "batch": 3, "length": 15, "lengths": [15, 15, 6], "pad_in_text": True,
        "model": {"tie_word_embeddings": True, "pad_token_id": 7, "num_hidden_layers": 1}}),
    "mixtral_odd_sizes": ("mixtral", 110, {
        "batch": 3, "length": 29,
        "model": {"vocab_size": 131, "hidden_size": 42, "num_attention_heads": 3,
                  "num_key_value_heads": 1, "experts": 7, "expert_width": 11,
                  "num_experts_per_tok": 3}}),
    "mixtral_full_mask": ("mixtral", 111, {"length": 16, "lengths": [16, 16]}),
    "olmoe_plain": ("olmoe", 201, {
        "length": 24, "fused_copy": True, "model": {"num_hidden_layers": 3}}),
    "olmoe_clip": ("olmoe", 202, {"length": 25, "model": {"clip_qkv": 1.0}}),
    "olmoe_clip_normtopk_padded": ("olmoe", 203, {
        "length": 20, "lengths": [20, 11],
        "model": {"clip_qkv": 1.5, "norm_topk_prob": True, "pad_token_id": 1}}),
    "olmoe_top1": ("olmoe", 204, {"length": 13, "model": {"num_experts_per_tok": 1}}),
    "olmoe_top4_multi_head": ("olmoe", 205, {
        "length": 27, "model": {"num_experts_per_tok": 4, "num_key_value_heads": 4}}),
    "olmoe_multi_query_bias": ("olmoe", 206, {
        "length": 18, "model": {"num_key_value_heads": 1, "attention_bias": True}}),
    "olmoe_tied": ("olmoe", 207, {"length": 22, "model": {"tie_word_embeddings": True}}),
    "olmoe_long": ("olmoe", 208, {"batch": 1, "length": 193, "hidden": False}),
    "qwen3_moe_plain": ("qwen3_moe", 301, {
        "length": 24, "fused_copy": True, "model": {"rope_theta": 1e6}}),
    "qwen3_moe_dense0_tied_bias": ("qwen3_moe", 302, {
        "length": 20,
        "model": {"num_hidden_layers": 3, "mlp_only_layers": [0], "tie_word_embeddings": True,
                  "attention_bias": True, "norm_topk_prob": False, "head_dim": 16}}),
    "qwen3_moe_sparse_step": ("qwen3_moe", 303, {
        "length": 17, "model": {"num_hidden_layers": 4, "decoder_sparse_step": 2}}),
    "qwen3_moe_top1": ("qwen3_moe", 304, {
        "length": 19, "model": {"num_experts_per_tok": 1, "norm_topk_prob": False}}),
    "qwen3_moe_top4_multi_query": ("qwen3_moe", 305, {
        "length": 21, "model": {"num_experts_per_tok": 4, "num_key_value_heads": 1}}),
    "qwen3_moe_multi_head": ("qwen3_moe", 306, {"length": 9, "model": {"num_key_value_heads": 4}}),
    "qwen3_moe_padded": ("qwen3_moe", 307, {
        "batch": 4, "length": 19, "lengths": [19, 1, 12, 5], "prompts": [0, 0, 3, 0],
        "model": {"pad_token_id": 3}}),
    "qwen3_moe_long": ("qwen3_moe", 308, {"batch": 1, "length": 257, "hidden": False}),
}


class Case:
    """One resolved case; `overrides` wins over the table, key by key."""

    def __init__(self, name, seed=None, overrides=None):
        self.name = name
        self.family, table_seed, change = (SMALL | LARGE)[name]
        self.seed = table_seed if seed is None else seed
        batch = BASE | change
        self.batch, self.length, self.lengths = batch["batch"], batch["length"], batch["lengths"]
        self.prompts, self.pad_in_text = batch["prompts"], batch["pad_in_text"]
        self.hidden, self.fused_copy = batch["hidden"], batch["fused_copy"]
        self.model = (
            BASE["model"] | FAMILIES[self.family] | change.get("model", {}) | (overrides or {}))
