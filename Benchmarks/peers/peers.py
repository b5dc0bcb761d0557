"""What a user would run instead of Apus, as functions that time one case."""

import contextlib

import torch
import torch.nn as nn
import torch.nn.functional as F

from timing import best_seconds


class MambaLanguageModel(nn.Module):
    """mambapy's blocks between an embedding and the same matrix as the head."""

    def __init__(self, config: dict):
        super().__init__()
        from mambapy.mamba import Mamba, MambaConfig

        self.embedding = nn.Embedding(config["vocab_size"], config["hidden_size"])
        self.blocks = Mamba(MambaConfig(
            d_model=config["hidden_size"], n_layers=config["num_hidden_layers"],
            d_state=config["state_size"], d_conv=config["conv_kernel"],
            expand_factor=config["expand"]))
        self.norm = nn.RMSNorm(config["hidden_size"], eps=1e-5)

    def forward(self, ids):
        return F.linear(self.norm(self.blocks(self.embedding(ids))), self.embedding.weight)


def language_model(config: dict):
    """A random-weight model for a Hugging Face configuration, and its map from ids to logits."""
    if config["model_type"] == "gpt2":
        from transformers import GPT2Config, GPT2LMHeadModel

        model = GPT2LMHeadModel(GPT2Config(**config, attn_implementation="sdpa"))
        return model, lambda ids: model(input_ids=ids, use_cache=False).logits
    model = MambaLanguageModel(config)
    return model, model


def train_seconds(config: dict, batch: int, context: int, precision: str, runs: int) -> float:
    """Seconds of one optimizer step: forward, cross-entropy, backward, AdamW."""
    torch.manual_seed(0)
    model, logits_of = language_model(config)
    model.train()
    optimizer = torch.optim.AdamW(model.parameters(), lr=1e-3)
    ids = torch.randint(config["vocab_size"], (batch, context + 1))
    cast = (torch.autocast("cpu", dtype=torch.bfloat16) if precision == "bf16"
            else contextlib.nullcontext())

    def step():
        optimizer.zero_grad(set_to_none=True)
        with cast:
            logits = logits_of(ids[:, :-1])
            loss = F.cross_entropy(logits.flatten(0, 1), ids[:, 1:].flatten())
        loss.backward()
        optimizer.step()

    return best_seconds(step, runs)


def attention_seconds(heads: int, head_size: int, context: int, runs: int) -> tuple[float, float]:
    """Seconds of causal attention in float32: forward alone, and forward with backward."""
    torch.manual_seed(0)
    q, k, v = (torch.randn(1, heads, context, head_size, requires_grad=True) for _ in range(3))
    gradient = torch.randn(1, heads, context, head_size)

    def forward():
        with torch.no_grad():
            F.scaled_dot_product_attention(q, k, v, is_causal=True)

    def both():
        out = F.scaled_dot_product_attention(q, k, v, is_causal=True)
        torch.autograd.grad(out, (q, k, v), gradient)

    return best_seconds(forward, runs), best_seconds(both, runs)
