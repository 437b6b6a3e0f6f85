#!/usr/bin/env python3
"""One PPO iteration of the sort task in PyTorch, as its advocate would write it: ppo_peer.py [--threads 2].

Policy, critic and frozen reference of 2 layers, width 64, 4 heads, 4 experts top-2 of width 128, 15 tokens.
256 answers an iteration by a key-value cache, whose log-probabilities are the old ones; all experts in two
products, since choosing among four costs more than it saves; exact KL to the reference in the loss; one fused
AdamW over both models. Runs eagerly and compiled, each in turn, and prints one JSON object with seconds of the
faster one, medians over iterations; the mean reward of each iteration goes to standard error.
"""

import argparse
import json
import os
import statistics
import sys
import time

PAD, END, BEGIN, EQUALS, DIGIT, VOCABULARY = 0, 1, 2, 3, 4, 15
LAYERS, WIDTH, HEADS, EXPERTS, CHOSEN, HIDDEN = 2, 64, 4, 4, 2, 128
PROMPT, ANSWER, MOST_DIGITS = 10, 9, 8
BATCH, EPOCHS, MINIBATCHES = 256, 4, 4
CLIP, BETA, LAMBDA, RATE = 0.2, 0.01, 0.95, 3e-4


def main():
    parser = argparse.ArgumentParser(description=__doc__.splitlines()[0])
    parser.add_argument("--threads", type=int, default=2)
    parser.add_argument("--iterations", type=int, default=30)
    parser.add_argument("--warmup", type=int, default=3)
    parser.add_argument("--seed", type=int, default=0)
    parser.add_argument("--modes", nargs="+", default=["eager", "compiled"])
    parser.add_argument("--profile", action="store_true", help="print torch.profiler's table, too")
    arguments = parser.parse_args()
    os.environ["OMP_NUM_THREADS"] = str(arguments.threads)
    import torch
    torch.set_num_threads(arguments.threads)
    found = {mode: measure(arguments, mode) for mode in arguments.modes}
    best = min(found, key=lambda mode: found[mode]["seconds_per_iteration"])
    print(json.dumps(dict(
        found[best], mode=best,
        tried={mode: result["seconds_per_iteration"] for mode, result in found.items()},
        threads=arguments.threads, preload=os.path.basename(os.environ.get("LD_PRELOAD", "")),
        torch=torch.__version__)))


def measure(arguments, mode):
    import torch
    torch.manual_seed(arguments.seed)
    ppo = make_ppo(mode == "compiled")
    started = ppo.fine_tune()
    say(f"{mode}: reward {started:.3f} after fine-tuning")
    times = []
    for iteration in range(arguments.warmup + arguments.iterations):
        reward, seconds = ppo.iterate()
        say(f"{mode}: iteration {iteration + 1}, reward {reward:.3f}, {sum(seconds) * 1e3:.0f} ms")
        if iteration >= arguments.warmup:
            times.append((sum(seconds), *seconds, reward))
    if arguments.profile:
        with torch.profiler.profile(activities=[torch.profiler.ProfilerActivity.CPU]) as profile:
            for _ in range(3):
                ppo.iterate()
        print(profile.key_averages().table(sort_by="self_cpu_time_total", row_limit=25))
    whole, rollout, scoring, update, reward = zip(*times)
    return dict(
        seconds_per_iteration=statistics.median(whole), rollout=statistics.median(rollout),
        scoring=statistics.median(scoring), update=statistics.median(update),
        reward_before=started, reward_after=statistics.mean(reward[-3:]))


def say(text):
    print(text, file=sys.stderr, flush=True)


def make_ppo(compiles):
    import torch
    from torch import nn
    from torch.nn import functional

    size = WIDTH // HEADS
    length = PROMPT + ANSWER
    frequencies = 10000 ** (-torch.arange(0, size, 2) / size)

    def rotation(positions):
        """cos and sin of each position [.., 1, size / 2]."""
        angles = positions[..., None, None] * frequencies
        return angles.cos(), angles.sin()

    def rotated(x, cosine, sine):
        low, high = x.chunk(2, -1)
        return torch.cat((low * cosine - high * sine, high * cosine + low * sine), -1)

    class Block(nn.Module):
        def __init__(self):
            super().__init__()
            self.first, self.second = nn.RMSNorm(WIDTH, 1e-5), nn.RMSNorm(WIDTH, 1e-5)
            self.inputs = nn.Linear(WIDTH, 3 * WIDTH, bias=False)
            self.output = nn.Linear(WIDTH, WIDTH, bias=False)
            self.router = nn.Linear(WIDTH, EXPERTS, bias=False)
            self.gate_up = nn.Linear(WIDTH, 2 * EXPERTS * HIDDEN, bias=False)
            self.down = nn.Linear(EXPERTS * HIDDEN, WIDTH, bias=False)

        def attend(self, x, cosine, sine, mask, cache=None, places=None):
            rows, count = x.shape[:2]
            q, k, v = self.inputs(self.first(x)).view(rows, count, 3, HEADS, size).unbind(2)
            q, k = rotated(q, cosine, sine), rotated(k, cosine, sine)
            q, k, v = q.transpose(1, 2), k.transpose(1, 2), v.transpose(1, 2)
            if cache is not None:
                k, v = (kept.index_copy_(2, places, new) for kept, new in zip(cache, (k, v)))
            y = functional.scaled_dot_product_attention(q, k, v, attn_mask=mask)
            return x + self.output(y.transpose(1, 2).reshape(rows, count, WIDTH))

        def mix(self, x):
            y = self.second(x)
            weights, chosen = self.router(y).softmax(-1).topk(CHOSEN, -1)
            weights = weights / weights.sum(-1, keepdim=True)
            share = torch.zeros(*y.shape[:-1], EXPERTS).scatter(-1, chosen, weights)
            gate, up = self.gate_up(y).chunk(2, -1)
            hidden = (functional.silu(gate) * up).unflatten(-1, (EXPERTS, HIDDEN))
            return x + self.down((hidden * share[..., None]).flatten(-2))

    class Model(nn.Module):
        def __init__(self, outputs):
            super().__init__()
            self.table = nn.Embedding(VOCABULARY, WIDTH)
            self.blocks = nn.ModuleList(Block() for _ in range(LAYERS))
            self.norm = nn.RMSNorm(WIDTH, 1e-5)
            self.head = nn.Linear(WIDTH, outputs, bias=False)
            for parameter in self.parameters():
                if parameter.dim() > 1:
                    nn.init.normal_(parameter, std=0.08)

        def forward(self, tokens, positions, mask, first=0, caches=None, places=None):
            """Outputs from place `first` on: what stands before it is asked for nothing."""
            x = self.table(tokens)
            cosine, sine = rotation(positions)
            for index, block in enumerate(self.blocks):
                cache = None if caches is None else caches[index]
                x = block.mix(block.attend(x, cosine, sine, mask, cache, places))
            return self.head(self.norm(x[:, first:]))

    policy, critic = Model(VOCABULARY), Model(1)
    reference = Model(VOCABULARY).requires_grad_(False)
    slots = torch.arange(length)
    causal = slots[None, :] <= slots[:, None]

    def draw_prompts():
        """Prompts to the right of their padding [256, 10], paddings, digits sorted [256, 8], counts."""
        counts = torch.randint(4, MOST_DIGITS + 1, (BATCH,))
        digits = torch.randint(0, 10, (BATCH, MOST_DIGITS))
        is_digit = torch.arange(MOST_DIGITS) >= MOST_DIGITS - counts[:, None]
        prompts = torch.full((BATCH, PROMPT), PAD)
        prompts[:, 1:-1] = torch.where(is_digit, digits + DIGIT, PAD)
        prompts[:, -1] = EQUALS
        paddings = MOST_DIGITS - counts
        prompts[torch.arange(BATCH), paddings] = BEGIN
        solution = torch.where(is_digit, digits, 99).sort(-1).values
        return prompts, paddings, solution, counts

    def layout(paddings):
        """Positions [256, 19], and which keys each query sees [256, 1, 19, 19]."""
        positions = (slots - paddings[:, None]).clamp(min=0)
        seen = causal & (slots >= paddings[:, None])[:, None, :]
        # Padding sees itself: a row without keys would give NaN.
        return positions.float(), (seen | torch.eye(length, dtype=torch.bool))[:, None]

    def truth(solution, counts):
        """The right answers [256, 9]: sorted digits, then the end."""
        answers = torch.where(
            torch.arange(ANSWER) < counts[:, None],
            functional.pad(solution, (0, 1)) + DIGIT, PAD)
        answers[torch.arange(BATCH), counts] = END
        return answers

    def rewards(answers, solution, counts):
        """0.9 of the share of right places, 0.1 for an end that stands right."""
        before = (answers == END).int().cumsum(-1) == 0
        asked = torch.arange(ANSWER) < counts[:, None]
        right = ((answers == truth(solution, counts)) & asked & before).sum(-1) / counts
        lengths = before.sum(-1)
        return 0.9 * right + 0.1 * ((lengths == counts) & (lengths < ANSWER))

    def step(tokens, positions, mask, caches, places):
        """log p of the next token, all of them."""
        last = tokens.shape[1] - 1
        return policy(tokens, positions, mask, last, caches, places)[:, 0].log_softmax(-1)

    def policy_terms(tokens, positions, mask, answers, alive, old, advantages, frozen, total):
        logs = policy(tokens, positions, mask, PROMPT - 1).log_softmax(-1)
        own = logs.gather(-1, answers[..., None])[..., 0]
        ratio = (own - old).exp()
        gain = torch.minimum(ratio * advantages, ratio.clamp(1 - CLIP, 1 + CLIP) * advantages)
        divergence = (logs.exp() * (logs - frozen)).sum(-1)
        return ((BETA * divergence - gain) * alive).sum() / total

    def critic_terms(tokens, positions, mask, alive, old, returns, total):
        values = critic(tokens, positions, mask, PROMPT - 1)[..., 0]
        near = old + (values - old).clamp(-CLIP, CLIP)
        error = torch.maximum((values - returns) ** 2, (near - returns) ** 2)
        return 0.5 * (error * alive).sum() / total

    def losses(tokens, positions, mask, answers, alive, old, advantages, frozen, values, returns):
        total = alive.sum()
        return policy_terms(
            tokens, positions, mask, answers, alive, old, advantages, frozen, total
        ) + critic_terms(tokens, positions, mask, alive, values, returns, total)

    def scored(tokens, positions, mask):
        """The reference's log p of all tokens, and values, at the answers' places."""
        frozen = reference(tokens, positions, mask, PROMPT - 1).log_softmax(-1)
        return frozen, critic(tokens, positions, mask, PROMPT - 1)[..., 0]

    def advantages_of(reward, values, alive):
        """GAE with γ = 1, whitened over what is alive, and returns."""
        last = torch.cat((alive[:, 1:], torch.zeros(BATCH, 1)), -1) == 0
        given = torch.where(last & (alive > 0), reward[:, None], 0.0)
        found = torch.zeros(BATCH, ANSWER)
        ahead = torch.zeros(BATCH)
        for place in reversed(range(ANSWER)):
            next_value = values[:, place + 1] * alive[:, place + 1] if place + 1 < ANSWER else 0
            delta = given[:, place] + next_value - values[:, place]
            ahead = (delta + LAMBDA * ahead) * alive[:, place]
            found[:, place] = ahead
        total = alive.sum()
        mean = (found * alive).sum() / total
        deviation = (((found - mean) ** 2 * alive).sum() / total).sqrt()
        return (found - mean) / (deviation + 1e-8), found + values

    if compiles:
        step, losses, scored, advantages_of = (
            torch.compile(f, dynamic=False) for f in (step, losses, scored, advantages_of))

    parameters = [*policy.parameters(), *critic.parameters()]
    optimizer = torch.optim.AdamW(parameters, lr=RATE, weight_decay=0, fused=True)

    def sample(prompts, positions, mask):
        """Answers [256, 9] and their log-probabilities."""
        caches = [
            tuple(torch.zeros(BATCH, HEADS, length, size) for _ in range(2)) for _ in range(LAYERS)]
        answers = torch.empty(BATCH, ANSWER, dtype=torch.long)
        logs = torch.empty(BATCH, ANSWER)
        draws = torch.rand(BATCH, ANSWER)
        tokens, place = prompts, 0
        for index in range(ANSWER):
            end = place + tokens.shape[1]
            every = step(
                tokens, positions[:, place:end], mask[:, :, place:end], caches, slots[place:end])
            reached = every.exp().cumsum(-1)
            token = (reached < draws[:, index:index + 1] * reached[:, -1:]).sum(-1, keepdim=True)
            answers[:, index] = token[:, 0]
            logs[:, index] = every.gather(-1, token)[:, 0]
            tokens, place = token, end
        return answers, logs

    class PPO:
        def fine_tune(self):
            """Demonstrations until sampled answers are worth 0.70; their mean reward."""
            tuner = torch.optim.AdamW(policy.parameters(), lr=3e-3, weight_decay=0, fused=True)
            worth = 0.0
            for index in range(400):
                prompts, paddings, solution, counts = draw_prompts()
                positions, mask = layout(paddings)
                answers = truth(solution, counts)
                logits = policy(
                    torch.cat((prompts, answers), -1)[:, :-1], positions[:, :-1],
                    mask[:, :, :-1, :-1], PROMPT - 1)
                loss = functional.cross_entropy(
                    logits.flatten(0, 1), answers.flatten(), ignore_index=PAD)
                loss.backward()
                tuner.step()
                tuner.zero_grad()
                if index % 5 == 4:
                    with torch.inference_mode():
                        found, _ = sample(prompts, positions, mask)
                        worth = rewards(found, solution, counts).mean().item()
                    if worth >= 0.70:
                        break
            reference.load_state_dict(policy.state_dict())
            return worth

        def iterate(self):
            """One iteration: its mean reward, and seconds of rollout, scoring and update."""
            times = [time.perf_counter()]
            with torch.no_grad():
                prompts, paddings, solution, counts = draw_prompts()
                positions, mask = layout(paddings)
                answers, old = sample(prompts, positions, mask)
                times.append(time.perf_counter())
                # The end counts, what follows it does not; no output is asked of the last token.
                alive = ((answers == END).int().cumsum(-1) - (answers == END).int() == 0).float()
                tokens = torch.cat((prompts, answers), -1)[:, :-1]
                positions, mask = positions[:, :-1], mask[:, :, :-1, :-1].contiguous()
                frozen, values = scored(tokens, positions, mask)
                reward = rewards(answers, solution, counts)
                advantages, returns = advantages_of(reward, values, alive)
                times.append(time.perf_counter())
            rows = (tokens, positions, mask, answers, alive, old, advantages, frozen, values, returns)
            for _ in range(EPOCHS):
                for part in torch.randperm(BATCH).chunk(MINIBATCHES):
                    losses(*(row[part] for row in rows)).backward()
                    optimizer.step()
                    optimizer.zero_grad()
            times.append(time.perf_counter())
            return reward.mean().item(), [b - a for a, b in zip(times, times[1:])]

    return PPO()


if __name__ == "__main__":
    main()
