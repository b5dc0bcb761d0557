"""Trains nanoGPT's small CPU recipe on a text by characters, and times it on torch.

Usage: nanogpt_char.py --data FILE.txt [--target 1.88] [--json]
Needs: pip install torch (the CPU build).

The recipe is the one that nanoGPT's README gives for a CPU, written anew: 4 layers, 4 heads, width
128, 64 characters of context, batches of 12, 2000 steps of AdamW (betas 0.9 and 0.99, weight decay
0.1 on matrices, gradients clipped at norm 1), learning rate 1e-3 falling to 1e-4 along a cosine
after 100 steps of warm-up, no dropout, no biases, input and output embedding tied.
The first nine tenths of the text are for training. The loss is in nats a character, over every
whole window of the rest, and the clock stands still while it is measured.
"""

import argparse
import json
import math
import pathlib
import time

import torch
import torch.nn as nn
import torch.nn.functional as F

LAYERS, HEADS, WIDTH, CONTEXT, BATCH = 4, 4, 128, 64, 12
STEPS, WARMUP, HIGHEST, LOWEST = 2000, 100, 1e-3, 1e-4
EVERY = 100  # steps between two measurements


class Block(nn.Module):
    def __init__(self):
        super().__init__()
        self.norm1 = nn.LayerNorm(WIDTH, bias=False)
        self.qkv = nn.Linear(WIDTH, 3 * WIDTH, bias=False)
        self.project = nn.Linear(WIDTH, WIDTH, bias=False)
        self.norm2 = nn.LayerNorm(WIDTH, bias=False)
        self.widen = nn.Linear(WIDTH, 4 * WIDTH, bias=False)
        self.narrow = nn.Linear(4 * WIDTH, WIDTH, bias=False)

    def forward(self, x):  # [B, T, D]
        b, t, d = x.shape
        q, k, v = self.qkv(self.norm1(x)).view(b, t, 3, HEADS, d // HEADS).permute(2, 0, 3, 1, 4)
        mixed = F.scaled_dot_product_attention(q, k, v, is_causal=True)
        x = x + self.project(mixed.transpose(1, 2).reshape(b, t, d))
        return x + self.narrow(F.gelu(self.widen(self.norm2(x))))


class GPT(nn.Module):
    def __init__(self, vocabulary: int):
        super().__init__()
        self.tokens = nn.Embedding(vocabulary, WIDTH)
        self.positions = nn.Embedding(CONTEXT, WIDTH)
        self.blocks = nn.Sequential(*[Block() for _ in range(LAYERS)])
        self.norm = nn.LayerNorm(WIDTH, bias=False)
        for name, parameter in self.named_parameters():
            if parameter.dim() == 2:
                residual = name.endswith(("project.weight", "narrow.weight"))
                nn.init.normal_(parameter, std=0.02 / math.sqrt(2 * LAYERS) if residual else 0.02)

    def forward(self, ids):
        x = self.tokens(ids) + self.positions.weight[: ids.shape[1]]
        return F.linear(self.norm(self.blocks(x)), self.tokens.weight)


def learning_rate(step: int) -> float:
    if step < WARMUP:
        return HIGHEST * (step + 1) / (WARMUP + 1)
    done = min(1.0, (step - WARMUP) / (STEPS - WARMUP))
    return LOWEST + 0.5 * (1 + math.cos(math.pi * done)) * (HIGHEST - LOWEST)


def loss_of(model, inputs, targets):
    return F.cross_entropy(model(inputs).flatten(0, 1), targets.flatten())


@torch.no_grad()
def validation_loss(model, ids) -> float:
    """Mean loss over every whole window, each starting where the last one ended."""
    count = (len(ids) - 1) // CONTEXT
    inputs = ids[: count * CONTEXT].view(count, CONTEXT)
    targets = ids[1 : count * CONTEXT + 1].view(count, CONTEXT)
    model.eval()
    total = sum(loss_of(model, i, t).item() * len(i)
                for i, t in zip(inputs.split(256), targets.split(256)))
    model.train()
    return total / count


def main() -> None:
    parser = argparse.ArgumentParser(description="nanoGPT's CPU recipe on torch, timed.")
    parser.add_argument("--data", type=pathlib.Path, required=True)
    parser.add_argument("--target", type=float, default=1.88)
    parser.add_argument("--seed", type=int, default=1337)
    parser.add_argument("--threads", type=int, default=0, help="0 leaves it to torch")
    parser.add_argument("--json", action="store_true")
    options = parser.parse_args()
    if options.threads:
        torch.set_num_threads(options.threads)
    torch.manual_seed(options.seed)

    text = options.data.read_text(encoding="utf-8")
    alphabet = sorted(set(text))
    number = {character: i for i, character in enumerate(alphabet)}
    ids = torch.tensor([number[character] for character in text])
    cut = len(ids) * 9 // 10
    train, held_out = ids[:cut], ids[cut:]

    model = GPT(len(alphabet))
    matrices = [p for p in model.parameters() if p.dim() >= 2]
    vectors = [p for p in model.parameters() if p.dim() < 2]
    optimizer = torch.optim.AdamW(
        [{"params": matrices, "weight_decay": 0.1}, {"params": vectors, "weight_decay": 0.0}],
        lr=HIGHEST, betas=(0.9, 0.99))
    offsets = torch.arange(CONTEXT)

    seconds, cpu_seconds, reached, curve = 0.0, 0.0, None, []
    for step in range(STEPS + 1):
        if step % EVERY == 0:
            loss = validation_loss(model, held_out)
            curve.append({"step": step, "seconds": round(seconds, 2),
                          "cpu_seconds": round(cpu_seconds, 2), "loss": round(loss, 4)})
            if reached is None and loss <= options.target:
                reached = seconds
            if not options.json:
                print(f"step {step:>5}  {seconds:>7.1f} s  validation loss {loss:.4f}", flush=True)
        if step == STEPS:
            break
        start, cpu_start = time.perf_counter(), time.process_time()
        for group in optimizer.param_groups:
            group["lr"] = learning_rate(step)
        starts = torch.randint(len(train) - CONTEXT, (BATCH, 1)) + offsets
        optimizer.zero_grad(set_to_none=True)
        loss_of(model, train[starts], train[starts + 1]).backward()
        nn.utils.clip_grad_norm_(model.parameters(), 1.0)
        optimizer.step()
        seconds += time.perf_counter() - start
        cpu_seconds += time.process_time() - cpu_start

    result = {"torch": torch.__version__, "threads": torch.get_num_threads(),
              "parameters": sum(p.numel() for p in model.parameters()),
              "target": options.target, "seconds_to_target": reached, "seconds": seconds,
              "cpu_seconds": cpu_seconds, "loss": curve[-1]["loss"],
              "tokens_per_second": STEPS * BATCH * CONTEXT / seconds, "curve": curve}
    if options.json:
        print(json.dumps(result, indent=2))
    else:
        when = f"after {reached:.1f} s" if reached is not None else "never"
        print(f"loss {options.target} reached {when}; {loss:.4f} after {seconds:.1f} s, "
              f"{result['tokens_per_second']:,.0f} characters a second, "
              f"{cpu_seconds:.1f} s of processor time")


if __name__ == "__main__":
    main()
