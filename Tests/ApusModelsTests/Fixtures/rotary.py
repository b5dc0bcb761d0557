"""Makes rotary.json: frequencies of rotary positions in float64, straight from the formulas, and
held against what transformers makes of the same parameters in float32.

Run: python rotary.py > rotary.json
Needs: pip install torch==2.13.0 transformers==5.23.0
"""

import json
import math

import torch
import transformers
from transformers import LlamaConfig
from transformers.modeling_rope_utils import ROPE_INIT_FUNCTIONS

HEAD = 16


def plain(base):
    return [base ** (-2 * m / HEAD) for m in range(HEAD // 2)]


def linear(p, context, length):
    return [f / p["factor"] for f in plain(p["rope_theta"])], 1.0


def dynamic(p, context, length):
    n = max(length, context)
    stretch = p["factor"] * n / context - (p["factor"] - 1)
    return plain(p["rope_theta"] * stretch ** (HEAD / (HEAD - 2))), 1.0


def llama3(p, context, length):
    found = []
    n, low, high = (p["original_max_position_embeddings"], p["low_freq_factor"],
                    p["high_freq_factor"])
    for f in plain(p["rope_theta"]):
        wave = 2 * math.pi / f
        if wave < n / high:
            found.append(f)
        elif wave > n / low:
            found.append(f / p["factor"])
        else:
            s = (n / wave - low) / (high - low)
            found.append((1 - s) * f / p["factor"] + s * f)
    return found, 1.0


def yarn(p, context, length):
    n, base = p["original_max_position_embeddings"], p["rope_theta"]
    factor = p.get("factor") or context / n
    fast, slow = (HEAD * math.log(n / (2 * math.pi * turns)) / (2 * math.log(base))
                  for turns in (p.get("beta_fast", 32), p.get("beta_slow", 1)))
    if p.get("truncate", True):
        fast, slow = math.floor(fast), math.ceil(slow)
    low, high = max(fast, 0), min(slow, HEAD - 1)
    high += 0.001 if low == high else 0
    ramps = [min(max((m - low) / (high - low), 0), 1) for m in range(HEAD // 2)]
    found = [f / factor * r + f * (1 - r) for f, r in zip(plain(base), ramps)]
    scale = 0.1 * math.log(factor) + 1
    if "mscale" in p:
        scale = ((0.1 * p["mscale"] * math.log(factor) + 1)
                 / (0.1 * p["mscale_all_dim"] * math.log(factor) + 1))
    return found, p.get("attention_factor", scale)


def longrope(p, context, length):
    n = p["original_max_position_embeddings"]
    factors = p["long_factor"] if length > n else p["short_factor"]
    factor = p.get("factor") or context / n
    scale = math.sqrt(1 + math.log(factor) / math.log(n))
    found = [f / e for f, e in zip(plain(p["rope_theta"]), factors)]
    return found, p.get("attention_factor", scale)


SHORT, LONG = [1 + 0.1 * m for m in range(8)], [1 + 0.5 * m for m in range(8)]
CASES = [
    (lambda p, context, length: (plain(p["rope_theta"]), 1.0), 64, [1, 100],
     dict(rope_type="default", rope_theta=10000.0)),
    (linear, 64, [1, 100], dict(rope_type="linear", rope_theta=500.0, factor=2.5)),
    (dynamic, 64, [1, 64, 65, 1000],
     dict(rope_type="dynamic", rope_theta=10000.0, factor=4.0)),
    (llama3, 512, [1, 1000],
     dict(rope_type="llama3", rope_theta=500.0, factor=8.0, low_freq_factor=1.0,
          high_freq_factor=4.0, original_max_position_embeddings=256)),
    (yarn, 4096, [1, 5000],
     dict(rope_type="yarn", rope_theta=10000.0, factor=16.0,
          original_max_position_embeddings=256)),
    (yarn, 4096, [1], dict(rope_type="yarn", rope_theta=100.0, factor=16.0, beta_fast=2.0,
                           beta_slow=0.1, mscale=0.7, mscale_all_dim=1.3, truncate=False,
                           original_max_position_embeddings=64)),
    (yarn, 64, [1], dict(rope_type="yarn", rope_theta=10000.0, factor=2.0, attention_factor=1.5,
                         beta_fast=1.1, beta_slow=1.0, original_max_position_embeddings=6)),
    (longrope, 256, [1, 64, 65],
     dict(rope_type="longrope", rope_theta=10000.0, short_factor=SHORT, long_factor=LONG,
          original_max_position_embeddings=64)),
    (longrope, 256, [65],
     dict(rope_type="longrope", rope_theta=10000.0, short_factor=SHORT, long_factor=LONG,
          factor=8.0, original_max_position_embeddings=64)),
]


def main():
    cases = []
    for formula, context, lengths, parameters in CASES:
        for length in lengths:
            frequencies, scale = formula(parameters, context, length)
            kind = parameters["rope_type"]
            if kind != "default":
                config = LlamaConfig(hidden_size=2 * HEAD, num_attention_heads=2,
                                     max_position_embeddings=context,
                                     rope_parameters=dict(parameters))
                theirs, their_scale = ROPE_INIT_FUNCTIONS[kind](config, "cpu", seq_len=length)
                assert torch.allclose(theirs.double(), torch.tensor(frequencies).double(),
                                      rtol=2e-6, atol=0), (kind, length)
                assert abs(their_scale - scale) < 1e-9, (kind, length)
            cases.append(dict(parameters=parameters, context=context, length=length,
                              frequencies=frequencies, scale=scale))
    versions = dict(torch=torch.__version__, transformers=transformers.__version__)
    print(json.dumps(dict(versions=versions, head_size=HEAD, cases=cases), indent=1))


if __name__ == "__main__":
    main()
