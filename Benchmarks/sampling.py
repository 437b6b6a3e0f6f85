#!/usr/bin/env python3
"""Sampling speed of transformers' Mixtral on the model of set b: sampling.py --batch N [--threads 2].

Key-value cache, inference mode, random weights and prompts, temperature 1 over the whole vocabulary;
prints one JSON object with new tokens a second, the median over runs. Each expert implementation
that transformers has is tried for a moment, and the fastest of them is measured.
"""

import argparse
import json
import os
import statistics
import time

# configs/bench-b.yaml in transformers' words.
MODEL = dict(
    vocab_size=4096, hidden_size=256, intermediate_size=512, num_hidden_layers=6,
    num_attention_heads=8, num_key_value_heads=4, num_local_experts=16, num_experts_per_tok=2,
    max_position_embeddings=512, bos_token_id=None, eos_token_id=None, pad_token_id=0)


def main():
    parser = argparse.ArgumentParser(description=__doc__.splitlines()[0])
    parser.add_argument("--batch", type=int, required=True)
    parser.add_argument("--prompt-tokens", type=int, default=16)
    parser.add_argument("--new-tokens", type=int, default=64)
    parser.add_argument("--threads", type=int, default=2)
    parser.add_argument("--runs", type=int, default=5)
    parser.add_argument("--experts", nargs="+", default=["eager", "batched_mm", "grouped_mm"])
    arguments = parser.parse_args()
    os.environ["OMP_NUM_THREADS"] = str(arguments.threads)
    import torch
    import transformers
    torch.set_num_threads(arguments.threads)
    transformers.logging.set_verbosity_error()

    prompts = torch.randint(
        0, MODEL["vocab_size"], (arguments.batch, arguments.prompt_tokens),
        generator=torch.Generator().manual_seed(1))
    asked = dict(
        attention_mask=torch.ones_like(prompts), do_sample=True, temperature=1.0, top_k=0, top_p=1.0,
        min_new_tokens=arguments.new_tokens, max_new_tokens=arguments.new_tokens, use_cache=True)

    def model(experts):
        torch.manual_seed(0)
        return transformers.MixtralForCausalLM._from_config(
            transformers.MixtralConfig(**MODEL), experts_implementation=experts,
            attn_implementation="sdpa").float().eval()

    def seconds(model):
        start = time.perf_counter()
        with torch.inference_mode():
            found = model.generate(prompts, **asked)
        assert found.shape[1] == arguments.prompt_tokens + arguments.new_tokens, found.shape
        return time.perf_counter() - start

    tried = {}
    for experts in arguments.experts:
        candidate = model(experts)
        seconds(candidate)
        tried[experts] = seconds(candidate)
    best = min(tried, key=tried.get)
    candidate = model(best)
    seconds(candidate)
    median = statistics.median(seconds(candidate) for _ in range(arguments.runs))
    tokens = arguments.batch * arguments.new_tokens
    print(json.dumps(dict(
        tokens_per_second=tokens / median, milliseconds=median * 1e3, sequences=arguments.batch,
        experts=best, tried={k: tokens / v for k, v in tried.items()},
        threads=arguments.threads, preload=os.path.basename(os.environ.get("LD_PRELOAD", "")),
        torch=torch.__version__, transformers=transformers.__version__)))


if __name__ == "__main__":
    main()
