"""Writes the golden fixture of Chronos-Bolt: a tiny model of random weights in a folder, and what the
package makes of some contexts.

Usage: make-chronos-fixture.py [FOLDER]
FOLDER is Tests/ApusModelsTests/Fixtures/pretrained/chronos-bolt by default.
Needs: pip install torch==2.13.0 transformers==5.23.0 safetensors==0.8.0 chronos-forecasting==2.3.2.
The project itself needs no Python; the output is committed.

The folder holds config.json and model.safetensors as published ones do, and case.safetensors:
context.<name> float32 [L] with not-a-number for missing values, and quantiles.<name> float32 [Q, P].
"""

import json
import pathlib
import sys

import chronos
import torch
import transformers
from chronos.chronos_bolt import ChronosBoltModelForForecasting, ChronosBoltPipeline
from safetensors.torch import save_file
from transformers import T5Config

LEVELS = [0.1, 0.3, 0.5, 0.7, 0.9]


def main() -> None:
    default = "Tests/ApusModelsTests/Fixtures/pretrained/chronos-bolt"
    folder = pathlib.Path(sys.argv[1] if len(sys.argv) > 1 else default)
    torch.manual_seed(7)
    config = T5Config(
        d_model=16, d_kv=5, d_ff=24, num_layers=2, num_decoder_layers=1, num_heads=3,
        relative_attention_num_buckets=8, relative_attention_max_distance=12,
        feed_forward_proj="relu", vocab_size=2, pad_token_id=0, decoder_start_token_id=0,
        architectures=["ChronosBoltModelForForecasting"],
        chronos_config=dict(context_length=160, prediction_length=6, input_patch_size=4,
                            input_patch_stride=4, quantiles=LEVELS, use_reg_token=True))
    model = ChronosBoltModelForForecasting(config).eval()
    generator = torch.Generator().manual_seed(8)
    with torch.no_grad():
        for name, parameter in model.named_parameters():
            noise = torch.randn(parameter.shape, generator=generator)
            is_gain = parameter.dim() == 1 and name.endswith("weight")
            parameter.copy_(1 + 0.2 * noise if is_gain else 0.3 * noise)
    model.save_pretrained(folder)
    (folder / "generation_config.json").unlink(missing_ok=True)

    wave = torch.sin(torch.arange(400) * 0.3) * 5 + 100
    noise = torch.randn(400, generator=generator)
    gaps = (wave + noise)[:150].clone()
    gaps[20:40] = torch.nan
    gaps[::7] = torch.nan
    contexts = {
        "full": (wave + noise)[:160], "long": wave + noise, "short": (wave + noise)[:3],
        "one": torch.tensor([42.0]), "odd": (wave + noise)[:101], "gaps": gaps,
        "constant": torch.full((30,), 7.0), "small": 1e-3 * noise[:64],
    }
    pipeline = ChronosBoltPipeline(model)
    case = {}
    for name, context in contexts.items():
        # Six steps are one block of the model; 15 go on from every quantile.
        steps = 15 if name in ("odd", "long") else 6
        case[f"context.{name}"] = context.float().contiguous()
        case[f"quantiles.{name}"] = pipeline.predict(context[None], steps)[0].float().contiguous()
    save_file(case, folder / "case.safetensors")
    facts = {
        "script": "Scripts/make-chronos-fixture.py",
        "versions": {"torch": torch.__version__, "transformers": transformers.__version__,
                     "chronos-forecasting": chronos.__version__},
    }
    (folder / "versions.json").write_text(json.dumps(facts, indent=2) + "\n")
    for path in folder.iterdir():
        path.chmod(0o644)
        print(path.name, path.stat().st_size)


if __name__ == "__main__":
    main()
