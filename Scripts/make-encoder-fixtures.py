"""Writes the golden fixtures of the encoders: tiny random weights, and what the reference
implementation makes of them.

Usage: make-encoder-fixtures.py [--to FOLDER]
FOLDER is Tests/ApusModelsTests/Fixtures/encoders by default.
Needs: pip install torch==2.13.0 transformers==5.23.0 safetensors==0.8.0. The project itself needs
no Python; the output is committed.

Each fixture is a folder:
  config.json         the configuration, as published checkpoints have it
  model.safetensors   the weights, under their published names
  case.safetensors    `input_ids`, `attention_mask`, `token_type_ids` int32 [B, T]; then, of a model
                      with a masked-language head, `labels` int32 [B, T] (negative: not asked),
                      `logits` float32 [B, T, V], of which the rows of padding mean nothing, and
                      `loss` [1], the mean cross-entropy of the labels; of a model without a head
                      `vectors` [B, D], the normalized mean of each row's states, `pooled` [B, D],
                      and `seed.vectors`, `seed.pooled`, whose products with them, summed, are the
                      loss; `grad.<parameter>`, the gradient of the loss for every parameter
  versions.json       what made it, and the tolerances of a comparison in float32

Logits, loss and gradients are computed in float64 from weights stored in float32.
"""

import argparse
import importlib
import json
import pathlib
import platform

import safetensors
import torch
import torch.nn.functional as F
import transformers
from safetensors.torch import save_file
from transformers import BertConfig, BertForMaskedLM, BertModel

shake = importlib.import_module("make-fixtures").shake

DROP = dict(hidden_dropout_prob=0.0, attention_probs_dropout_prob=0.0)
# name: (class, configuration, lengths of the rows, whether there are two segments, seed)
FIXTURES = {
    "bert": (
        BertForMaskedLM,
        BertConfig(vocab_size=61, hidden_size=24, num_hidden_layers=2, num_attention_heads=3,
                   intermediate_size=40, max_position_embeddings=32, **DROP),
        [17, 9, 1], True, 21,
    ),
    # Nothing divides anything, the head has weights of its own.
    "bert-odd": (
        BertForMaskedLM,
        BertConfig(vocab_size=53, hidden_size=15, num_hidden_layers=3, num_attention_heads=5,
                   intermediate_size=37, max_position_embeddings=19, hidden_act="gelu_new",
                   layer_norm_eps=1e-3, type_vocab_size=3, tie_word_embeddings=False, **DROP),
        [19, 5], False, 22,
    ),
    "minilm": (
        BertModel,
        BertConfig(vocab_size=47, hidden_size=20, num_hidden_layers=2, num_attention_heads=4,
                   intermediate_size=33, max_position_embeddings=24, **DROP),
        [11, 11, 3, 24], False, 23,
    ),
}


def evaluate(model, inputs, labels, seeds):
    """What the model makes of the inputs, the loss, and its gradients by name."""
    model.zero_grad()
    if labels is not None:
        logits = model(**inputs).logits
        loss = F.cross_entropy(logits.flatten(0, 1), labels.flatten(), ignore_index=-100)
        outputs = {"logits": logits}
    else:
        result = model(**inputs)
        mask = inputs["attention_mask"].unsqueeze(-1).to(result.last_hidden_state.dtype)
        mean = (result.last_hidden_state * mask).sum(1) / mask.sum(1).clamp(min=1e-9)
        outputs = {"vectors": F.normalize(mean, dim=1), "pooled": result.pooler_output}
        loss = sum((outputs[k] * seeds[k]).sum() for k in outputs)
    loss.backward()
    # With weights of its own, the decoder has the bias that counts, and the head's is of no use.
    gradients = {name: p.grad.clone() for name, p in model.named_parameters()
                 if p.grad is not None}
    return {k: v.detach() for k, v in outputs.items()}, loss.detach(), gradients


def make(name: str, folder: pathlib.Path) -> None:
    kind, config, lengths, has_segments, seed = FIXTURES[name]
    generator = torch.Generator().manual_seed(seed)
    torch.manual_seed(seed)
    config._attn_implementation = "eager"
    model = kind(config).eval()
    shake(model, generator)
    model.tie_weights()
    batch, time = len(lengths), max(lengths)
    shape = (batch, time)
    # Id 0 is padding, whose embedding gets no gradient there.
    ids = torch.randint(1, config.vocab_size, shape, generator=generator)
    mask = (torch.arange(time) < torch.tensor(lengths)[:, None]).long()
    types = torch.randint(config.type_vocab_size, shape, generator=generator)
    inputs = {"input_ids": ids, "attention_mask": mask,
              "token_type_ids": types if has_segments else torch.zeros_like(ids)}
    labels, seeds = None, {}
    if kind is BertForMaskedLM:
        asked = (torch.rand(shape, generator=generator) < 0.4) & (mask == 1)
        labels = torch.where(asked, torch.randint(config.vocab_size, shape, generator=generator), -100)
    else:
        seeds = {k: 0.2 * torch.randn(batch, config.hidden_size, generator=generator)
                 for k in ("vectors", "pooled")}
    single = evaluate(model, inputs, labels, seeds)
    outputs, loss, gradients = evaluate(
        model.double(), inputs, labels, {k: v.double() for k, v in seeds.items()})
    away = max((a.double() - b).abs().max().item() for a, b in
               [*((single[0][k], v) for k, v in outputs.items()),
                *((single[2][k], v) for k, v in gradients.items())])
    assert away < 5e-6, f"{name}: float32 and float64 differ by {away}"

    folder.mkdir(parents=True, exist_ok=True)
    model.float()
    model.config.dtype = torch.float32
    model.save_pretrained(folder)
    (folder / "generation_config.json").unlink(missing_ok=True)
    with safetensors.safe_open(folder / "model.safetensors", "pt") as file:
        stored = set(file.keys())
    assert stored - set(gradients) <= {"cls.predictions.bias"} and set(gradients) <= stored
    case = {k: v.int() for k, v in inputs.items()}
    if labels is not None:
        case["labels"] = labels.int()
    case.update({k: v.float() for k, v in outputs.items()})
    case.update({f"seed.{k}": v for k, v in seeds.items()})
    case["loss"] = loss.float().reshape(1)
    case.update({f"grad.{k}": g.float() for k, g in gradients.items()})
    save_file({k: v.contiguous() for k, v in case.items()}, folder / "case.safetensors")
    facts = {
        "script": "Scripts/make-encoder-fixtures.py",
        "seed": seed,
        "versions": {"python": platform.python_version(), "torch": torch.__version__,
                     "transformers": transformers.__version__,
                     "safetensors": safetensors.__version__},
        "tolerance": {"float32": {"logits": 1e-5, "loss": 2e-6, "gradients": 2e-6}},
    }
    (folder / "versions.json").write_text(json.dumps(facts, indent=2) + "\n")
    path = folder / "config.json"
    path.write_text(json.dumps(json.loads(path.read_text()), indent=2) + "\n")
    for path in folder.iterdir():
        path.chmod(0o644)
    print(f"{name}: loss {loss.item():.4f}, {len(gradients)} parameters, float32 is away by "
          f"{away:.1e}, {sum(p.stat().st_size for p in folder.iterdir())} bytes")


def main() -> None:
    parser = argparse.ArgumentParser()
    parser.add_argument(
        "--to", default="Tests/ApusModelsTests/Fixtures/encoders", type=pathlib.Path)
    arguments = parser.parse_args()
    for name in FIXTURES:
        make(name, arguments.to / name)


if __name__ == "__main__":
    main()
