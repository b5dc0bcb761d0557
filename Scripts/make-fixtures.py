"""Writes the golden fixtures of the language models: tiny random weights, and what the reference
implementation makes of them.

Usage: make-fixtures.py [--to FOLDER] [NAME ...]
FOLDER is Tests/ApusModelsTests/Fixtures by default; without a name all are made.
Needs: pip install torch==2.13.0 transformers==5.23.0 safetensors==0.8.0. The project itself needs
no Python; the output is committed.

Each module of Scripts/fixtures has a table FIXTURES, from the name to (model class, configuration,
batch, time, seed). It may have a function `prepare(model)` that is called before anything else, a
function `finish(model, folder)` that is called at the end, a set LOOSE of names whose float32
reference is not to be trusted, and a set STEPWISE of names whose logits a token at a time are stored
as well, because the reference implementation makes them differ from those of all tokens at once.

Each fixture is a folder:
  config.json         the configuration, as published checkpoints have it
  model.safetensors   the weights, under their published names
  case.safetensors    `input_ids` int32 [B, T]; `logits` float32 [B, T, V]; `loss` float32 [1], the
                      mean cross-entropy of each token from the ones before it; `grad.<parameter>`,
                      the gradient of that loss, for every parameter the file of weights names;
                      `step_logits` [B, T, V] where they differ from `logits`
  versions.json       what made it, and the tolerances of a comparison in float32

Weights are stored in float32; logits, loss and gradients are computed from them in float64 where
the implementation allows, so that a comparison measures our error and not the reference's.
"""

import argparse
import importlib
import json
import pathlib
import platform
import tempfile

import safetensors
import torch
import torch.nn.functional as F
import transformers
from safetensors.torch import load_file, save_file
from torch.overrides import TorchFunctionMode

LARGEST = 200_000  # bytes of a fixture's largest file

def shake(model: torch.nn.Module, generator: torch.Generator) -> None:
    """Moves every parameter away from its start, so that no gain is one, no bias zero, and no term
    of a gradient too small to be seen. A state space keeps its decay rates but for a tremble, and
    takes long steps, so that its state weighs as much as its skip connection."""
    with torch.no_grad():
        for name, parameter in model.named_parameters():
            noise = torch.randn(parameter.shape, generator=generator)
            if name.endswith(("A_log", ".D")):
                parameter += 0.1 * noise
            elif name.endswith(("dt_proj.bias", "dt_bias")):
                parameter.copy_(0.5 * noise - 1)
            elif (parameter.dim() == 1 and name.endswith("weight")
                  and ("norm" in name or ".ln_" in name)):
                parameter.copy_(1 + 0.2 * noise)
            else:
                parameter.copy_(0.2 * noise)


class KeepDouble(TorchFunctionMode):
    """Computes in float64 throughout: implementations turn to float32 for a while, in norms and
    routers, which then rounds the truth that we are compared with."""

    def __torch_function__(self, function, types, args=(), kwargs=None):
        kwargs = kwargs or {}
        if args and isinstance(args[0], torch.Tensor) and args[0].dtype == torch.float64:
            rounds = function is torch.Tensor.to and args[1:] == (torch.float32,)
            if rounds or function is torch.Tensor.float:
                return args[0]
            if kwargs.get("dtype") is torch.float32:
                kwargs = {**kwargs, "dtype": torch.float64}
        return function(*args, **kwargs)


def evaluate(model: torch.nn.Module, ids: torch.Tensor) -> tuple[torch.Tensor, torch.Tensor, dict]:
    """Logits, loss and gradients by name of a full forward pass, without a cache."""
    model.zero_grad()
    logits = model(input_ids=ids, use_cache=False).logits
    loss = F.cross_entropy(logits[:, :-1].flatten(0, 1), ids[:, 1:].flatten())
    loss.backward()
    return logits, loss, {name: p.grad for name, p in model.named_parameters()}


def stepwise(model: torch.nn.Module, ids: torch.Tensor) -> torch.Tensor:
    """Logits of one token at a time, with a cache."""
    parts, cache = [], None
    with torch.no_grad():
        for t in range(ids.shape[1]):
            output = model(input_ids=ids[:, t:t + 1], past_key_values=cache, use_cache=True)
            cache = output.past_key_values
            parts.append(output.logits)
    return torch.cat(parts, dim=1)


def largest_difference(a: torch.Tensor, b: torch.Tensor) -> float:
    return (a.double() - b.double()).abs().max().item()


def stored_gradients(model: torch.nn.Module, gradients: dict) -> dict:
    """The gradients under the names, and in the pieces, in which the file has the weights: saved as
    if they were weights. Ends the use of the model."""
    with torch.no_grad():
        for name, parameter in model.named_parameters():
            parameter.copy_(gradients[name])
    with tempfile.TemporaryDirectory() as folder:
        model.save_pretrained(folder)
        return load_file(pathlib.Path(folder) / "model.safetensors")


def make(module, name: str, folder: pathlib.Path) -> None:
    kind, config, batch, time, seed = module.FIXTURES[name]
    generator = torch.Generator().manual_seed(seed)
    torch.manual_seed(seed)
    config._attn_implementation = "eager"
    config._experts_implementation = "eager"  # the others cannot do float64
    model = kind(config).eval()
    if hasattr(module, "prepare"):
        module.prepare(model)
    shake(model, generator)
    model.tie_weights()
    ids = torch.randint(config.vocab_size, (batch, time), generator=generator)

    single = evaluate(model, ids)
    single = (single[0].detach(), single[1].detach(), {k: v.clone() for k, v in single[2].items()})
    with KeepDouble():
        logits, loss, gradients = evaluate(model.double(), ids)
    steps = {}
    if name in getattr(module, "STEPWISE", ()):
        steps["step_logits"] = stepwise(model, ids).float().contiguous()
        assert largest_difference(steps["step_logits"], logits) > 1e-4, f"{name}: no difference"
    away = {
        "logits": largest_difference(single[0], logits),
        "loss": largest_difference(single[1], loss),
        "gradients": max(largest_difference(single[2][k], g) for k, g in gradients.items()),
    }
    for what, value in away.items():
        trusted = name not in getattr(module, "LOOSE", ())
        assert value < 5e-6 or not trusted, f"{name}: float32 and float64 differ by {value} in {what}"

    folder.mkdir(parents=True, exist_ok=True)
    model.float()
    model.config.dtype = torch.float32
    model.save_pretrained(folder)
    (folder / "generation_config.json").unlink(missing_ok=True)
    with safetensors.safe_open(folder / "model.safetensors", "pt") as file:
        stored = set(file.keys())
    gradients = stored_gradients(model, gradients)
    assert stored == set(gradients), f"{name}: {stored ^ set(gradients)}"
    save_file(
        {"input_ids": ids.int(), "logits": logits.detach().float().contiguous(),
         "loss": loss.detach().float().reshape(1), **steps,
         **{f"grad.{k}": g.float().contiguous() for k, g in gradients.items()}},
        folder / "case.safetensors",
    )
    facts = {
        "script": "Scripts/make-fixtures.py",
        "seed": seed,
        "versions": {
            "python": platform.python_version(),
            "torch": torch.__version__,
            "transformers": transformers.__version__,
            "safetensors": safetensors.__version__,
        },
        "tolerance": {"float32": {"logits": 1e-5, "loss": 2e-6, "gradients": 2e-6}},
    }
    (folder / "versions.json").write_text(json.dumps(facts, indent=2) + "\n")
    if hasattr(module, "finish"):
        module.finish(model, folder)
    config_path = folder / "config.json"
    config_path.write_text(json.dumps(json.loads(config_path.read_text()), indent=2) + "\n")
    for path in folder.iterdir():
        path.chmod(0o644)
    sizes = [path.stat().st_size for path in folder.iterdir()]
    assert max(sizes) < LARGEST
    print(f"{name}: loss {loss.item():.4f}, largest logit {logits.abs().max().item():.2f}, "
          f"{len(gradients)} parameters, {sum(sizes)} bytes, float32 is away by",
          {k: f"{v:.1e}" for k, v in away.items()})
    least = min((g.abs().max().item(), k) for k, g in gradients.items())
    print(f"  the least of the parameters' largest gradients: {least[0]:.1e}, {least[1]}")


def main() -> None:
    parser = argparse.ArgumentParser()
    parser.add_argument("--to", default="Tests/ApusModelsTests/Fixtures", type=pathlib.Path)
    parser.add_argument("names", nargs="*")
    arguments = parser.parse_args()
    for path in sorted((pathlib.Path(__file__).parent / "fixtures").glob("*.py")):
        module = importlib.import_module(f"fixtures.{path.stem}")
        for name in module.FIXTURES:
            if not arguments.names or name in arguments.names:
                make(module, name, arguments.to / name)


if __name__ == "__main__":
    main()
