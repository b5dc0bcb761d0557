"""State space duality in plain torch, chunk by chunk, as a user without a GPU would write it.

Dao and Gu, 2024, arXiv:2405.21060, section 6: the chunked form of Mamba-2's recurrence, as products
of matrices that torch hands to its BLAS. Times the recurrence alone (`scan`) or an optimizer step of
a small language model (`train`):

    ssd_torch.py scan --states 128 --batch 8 --context 256 [--chunk 64] [--threads 2]
    ssd_torch.py train --states 128 --batch 8 --context 256 --width 256 --layers 8

Prints JSON: milliseconds and tokens per second, the best of several runs after a warm-up.
"""

import argparse
import json

import torch
import torch.nn as nn
import torch.nn.functional as F

from timing import best_seconds, machine


def chunked_ssd(x, step, rate, b, c, chunk):
    """x [B, T, H, P], step [B, T, H], rate [H] (negative), b and c [B, T, N]; returns [B, T, H, P].

    T must be a multiple of `chunk`; one group of heads."""
    batch, time, heads, size = x.shape
    states = b.shape[-1]
    chunks = time // chunk
    driven = (x * step.unsqueeze(-1)).view(batch, chunks, chunk, heads, size).transpose(2, 3)
    b = b.view(batch, chunks, chunk, states)
    c = c.view(batch, chunks, chunk, states)
    sums = (step * rate).view(batch, chunks, chunk, heads).transpose(2, 3).cumsum(-1)

    exponent = sums.unsqueeze(-1) - sums.unsqueeze(-2)
    later = torch.ones(chunk, chunk, dtype=torch.bool).triu(1)
    decay = exponent.masked_fill(later, float("-inf")).exp()  # [B, chunks, H, Q, Q]
    scores = (c @ b.transpose(-1, -2)).unsqueeze(2) * decay
    y = scores @ driven

    until = (sums[..., -1:] - sums).exp().unsqueeze(-1)
    left = b.transpose(-1, -2).unsqueeze(2) @ (driven * until)  # [B, chunks, H, N, P]
    whole = sums[..., -1].exp()[..., None, None]
    state = torch.zeros_like(left[:, 0])
    before = []
    for index in range(chunks):
        before.append(state)
        state = whole[:, index] * state + left[:, index]
    y = y + (c.unsqueeze(2) @ torch.stack(before, 1)) * sums.exp().unsqueeze(-1)
    return y.transpose(2, 3).reshape(batch, time, heads, size)


class Mixer(nn.Module):
    def __init__(self, width, states, head_size, chunk):
        super().__init__()
        self.inner, self.states, self.chunk = 2 * width, states, chunk
        self.heads, self.size = self.inner // head_size, head_size
        convolved = self.inner + 2 * states
        self.input = nn.Linear(width, self.inner + convolved + self.heads, bias=False)
        self.convolution = nn.Conv1d(convolved, convolved, 4, groups=convolved, padding=3)
        self.step_bias = nn.Parameter(torch.full((self.heads,), -4.0))
        self.log_rate = nn.Parameter(torch.rand(self.heads).mul(15).add(1).log())
        self.skip = nn.Parameter(torch.ones(self.heads))
        self.norm = nn.RMSNorm(self.inner, eps=1e-5)
        self.output = nn.Linear(self.inner, width, bias=False)

    def forward(self, u):
        batch, time, _ = u.shape
        z, xbc, dt = self.input(u).split(
            [self.inner, self.inner + 2 * self.states, self.heads], dim=-1)
        xbc = F.silu(self.convolution(xbc.transpose(1, 2))[..., :time].transpose(1, 2))
        x, b, c = xbc.split([self.inner, self.states, self.states], dim=-1)
        x = x.reshape(batch, time, self.heads, self.size)
        y = chunked_ssd(x, F.softplus(dt + self.step_bias), -self.log_rate.exp(), b, c, self.chunk)
        y = (y + self.skip[:, None] * x).reshape(batch, time, self.inner)
        return self.output(self.norm(y * F.silu(z)))


class LanguageModel(nn.Module):
    def __init__(self, vocabulary, width, layers, states, head_size, chunk):
        super().__init__()
        self.embedding = nn.Embedding(vocabulary, width)
        self.mixers = nn.ModuleList(Mixer(width, states, head_size, chunk) for _ in range(layers))
        self.norms = nn.ModuleList(nn.RMSNorm(width, eps=1e-5) for _ in range(layers + 1))

    def forward(self, ids):
        x = self.embedding(ids)
        for norm, mixer in zip(self.norms, self.mixers):
            x = x + mixer(norm(x))
        return F.linear(self.norms[-1](x), self.embedding.weight)


def time_scan(arguments):
    batch, time, states = arguments.batch, arguments.context, arguments.states
    heads, size = 2 * arguments.width // arguments.head_size, arguments.head_size
    leaves = [torch.randn(batch, time, heads, size), torch.rand(batch, time, heads) * 0.1,
              -torch.rand(heads) * 15 - 1, torch.randn(batch, time, states),
              torch.randn(batch, time, states)]
    gradient = torch.randn(batch, time, heads, size)

    def forward():
        with torch.no_grad():
            chunked_ssd(*leaves, arguments.chunk)

    def both():
        inputs = [leaf.requires_grad_() for leaf in leaves]
        torch.autograd.grad(chunked_ssd(*inputs, arguments.chunk), inputs, gradient)

    return best_seconds(both, arguments.runs), best_seconds(forward, arguments.runs)


def time_training(arguments):
    model = LanguageModel(arguments.vocabulary, arguments.width, arguments.layers,
                          arguments.states, arguments.head_size, arguments.chunk)
    optimizer = torch.optim.AdamW(model.parameters(), lr=1e-3)
    ids = torch.randint(arguments.vocabulary, (arguments.batch, arguments.context))

    def step():
        optimizer.zero_grad(set_to_none=True)
        F.cross_entropy(model(ids).flatten(0, 1), ids.flatten()).backward()
        optimizer.step()

    return best_seconds(step, arguments.runs), None


def main():
    parser = argparse.ArgumentParser()
    parser.add_argument("task", choices=["scan", "train"])
    for name, value in dict(batch=8, context=256, width=256, layers=8, states=128, head_size=64,
                            chunk=64, vocabulary=256, runs=5, threads=0).items():
        parser.add_argument("--" + name.replace("_", "-"), type=int, default=value)
    arguments = parser.parse_args()
    if arguments.threads:
        torch.set_num_threads(arguments.threads)
    torch.manual_seed(0)
    seconds, forward = {"scan": time_scan, "train": time_training}[arguments.task](arguments)
    result = {
        **vars(arguments), "milliseconds": seconds * 1e3,
        "tokens_per_second": arguments.batch * arguments.context / seconds,
        "torch": torch.__version__, "machine": machine(),
    }
    if forward is not None:
        result["forward_milliseconds"] = forward * 1e3
    print(json.dumps(result, indent=2))


if __name__ == "__main__":
    main()
