"""Writes the golden fixtures of pretrained forecasters: tiny models of random weights in folders, and what
their packages make of some contexts.

Usage: make-pretrained-fixtures.py [FOLDER]
FOLDER is Tests/ApusModelsTests/Fixtures/pretrained by default.
Needs: pip install torch==2.13.0 transformers==5.23.0 safetensors==0.8.0 chronos-forecasting==2.3.2
tirex-ts==1.4.2 granite-tsfm==0.3.11. The project itself needs no Python; the output is committed.

A folder holds config.json and model.safetensors as published ones do, and case.safetensors:
context.<name> float32 [L] with not-a-number for missing values, and quantiles.<name> float32 [Q, P]. A group
of Chronos-2 has context.<name> [series, L], future.<name> [series, P] and quantiles.<name> [series, Q, P].
"""

import importlib.metadata
import json
import pathlib
import sys

import torch
from safetensors.torch import save_file

LEVELS = [0.1, 0.3, 0.5, 0.7, 0.9]


def randomize(model: torch.nn.Module, seed: int, deviation: float = 0.3) -> None:
    """Fills all parameters by chance; gains lie around one."""
    generator = torch.Generator().manual_seed(seed)
    with torch.no_grad():
        for name, parameter in model.named_parameters():
            noise = torch.randn(parameter.shape, generator=generator)
            is_gain = parameter.dim() == 1 and name.endswith("weight") and "group_norm" not in name
            parameter.copy_(1 + 0.2 * noise if is_gain else deviation * noise)


def series() -> dict[str, torch.Tensor]:
    generator = torch.Generator().manual_seed(8)
    noise = torch.randn(400, generator=generator)
    wave = torch.sin(torch.arange(400) * 0.3) * 5 + 100 + noise
    gaps = wave[:150].clone()
    gaps[20:40] = torch.nan
    gaps[::7] = torch.nan
    return {
        "full": wave[:160], "long": wave, "short": wave[:3], "one": torch.tensor([42.0]),
        "odd": wave[:101], "gaps": gaps, "constant": torch.full((30,), 7.0),
        "small": 1e-3 * noise[:64],
    }


def finish(folder: pathlib.Path, case: dict[str, torch.Tensor], *packages: str) -> None:
    tensors = {name: t.float().contiguous().clone() for name, t in case.items()}
    save_file(tensors, folder / "case.safetensors")
    facts = {
        "script": "Scripts/make-pretrained-fixtures.py",
        "versions": {name: importlib.metadata.version(name) for name in packages},
    }
    (folder / "generation_config.json").unlink(missing_ok=True)
    (folder / "versions.json").write_text(json.dumps(facts, indent=2) + "\n")
    for path in sorted(folder.iterdir()):
        path.chmod(0o644)
        print(folder.name, path.name, path.stat().st_size)


def chronos_bolt(folder: pathlib.Path) -> None:
    from chronos.chronos_bolt import ChronosBoltModelForForecasting, ChronosBoltPipeline
    from transformers import T5Config

    torch.manual_seed(7)
    config = T5Config(
        d_model=16, d_kv=5, d_ff=24, num_layers=2, num_decoder_layers=1, num_heads=3,
        relative_attention_num_buckets=8, relative_attention_max_distance=12,
        feed_forward_proj="relu", vocab_size=2, pad_token_id=0, decoder_start_token_id=0,
        architectures=["ChronosBoltModelForForecasting"],
        chronos_config=dict(context_length=160, prediction_length=6, input_patch_size=4,
                            input_patch_stride=4, quantiles=LEVELS, use_reg_token=True))
    model = ChronosBoltModelForForecasting(config).eval()
    randomize(model, 8)
    model.save_pretrained(folder)
    pipeline = ChronosBoltPipeline(model)
    case = {}
    for name, context in series().items():
        # Six steps are one block of the model; 15 go on from every quantile.
        steps = 15 if name in ("odd", "long") else 6
        case[f"context.{name}"] = context
        case[f"quantiles.{name}"] = pipeline.predict(context[None], steps)[0]
    finish(folder, case, "torch", "transformers", "chronos-forecasting")


def chronos_2(folder: pathlib.Path) -> None:
    from chronos.chronos2 import Chronos2Model, Chronos2Pipeline
    from chronos.chronos2.config import Chronos2CoreConfig

    torch.manual_seed(9)
    config = Chronos2CoreConfig(
        d_model=12, d_kv=4, d_ff=20, num_layers=2, num_heads=3, feed_forward_proj="relu",
        rope_theta=100.0, architectures=["Chronos2Model"],
        chronos_config=dict(context_length=160, output_patch_size=4, input_patch_size=4,
                            input_patch_stride=4, quantiles=[l / 10 for l in range(1, 10)] + [0.95],
                            use_reg_token=True, use_arcsinh=True, max_output_patches=2,
                            time_encoding_scale=50))
    model = Chronos2Model(config).eval()
    randomize(model, 10)
    model.save_pretrained(folder)
    pipeline = Chronos2Pipeline(model)
    case = {}
    contexts = series()
    for name, context in contexts.items():
        # Eight steps are two patches, which is what is forecast at once; 15 go on from every decile.
        steps = 15 if name in ("odd", "long") else 5 if name == "gaps" else 8
        case[f"context.{name}"] = context
        case[f"quantiles.{name}"] = pipeline.predict([context], steps)[0][0]
    pair = torch.stack([contexts["long"][:90], contexts["long"][100:190] * 3])
    pair[1, 10:25] = torch.nan
    case["context.pair"], case["quantiles.pair"] = pair, pipeline.predict([pair], 13)[0]
    case["future.pair"] = torch.full((2, 13), torch.nan)
    # A target with a covariate of the past, and one whose future is known; the package answers for the
    # target alone.
    known = torch.sin(torch.arange(73) * 0.5)
    past = torch.cos(torch.arange(60) * 0.2) * 40
    question = {
        "target": contexts["full"][:60], "past_covariates": {"past": past, "known": known[:60]},
        "future_covariates": {"known": known[60:]},
    }
    case["context.known"] = torch.stack([contexts["full"][:60], past, known[:60]])
    case["future.known"] = torch.stack(
        [torch.full((13,), torch.nan), torch.full((13,), torch.nan), known[60:]])
    case["quantiles.known"] = pipeline.predict([question], 13)[0]
    finish(folder, case, "torch", "transformers", "chronos-forecasting")


def tirex(folder: pathlib.Path) -> None:
    from tirex.models.slstm.cell import sLSTMCell, sLSTMCellTorch
    from tirex.models.tirex import TiRexZero

    torch.manual_seed(11)
    settings = dict(
        input_patch_size=8, output_patch_size=8, quantiles=LEVELS, input_ff_dim=24,
        block_kwargs=dict(num_blocks=2, embedding_dim=12, num_heads=3, ffn_proj_factor=1.0))
    model = TiRexZero(backend="torch", model_config=settings, train_ctx_len=160).eval()
    randomize(model, 12)
    folder.mkdir(parents=True, exist_ok=True)
    (folder / "config.json").write_text(
        json.dumps({"model_type": "tirex", **settings, "train_ctx_len": 160}, indent=2) + "\n")
    save_file({name: t.contiguous() for name, t in model.state_dict().items()},
              folder / "model.safetensors")

    rounded = sLSTMCell._impl_torch

    def exact(cell: sLSTMCell, gates: torch.Tensor, state: torch.Tensor):
        """The cell of the package without its rounding of gates, states and weights to bfloat16."""
        heads, size = cell.config.num_heads, cell.config.head_dim
        bias = cell._bias_.reshape(heads, 4, size).permute(1, 0, 2).reshape(-1)
        gates = gates.reshape(gates.shape[0], gates.shape[1], -1)
        return sLSTMCellTorch.slstm_forward(gates, state, cell._recurrent_kernel_, bias)

    case = {}
    for name, context in series().items():
        # Eight steps are one patch; more follow behind patches that are missing.
        steps = {"odd": 15, "long": 20, "gaps": 5}.get(name, 8)
        case[f"context.{name}"] = context
        for kind, cell in (("quantiles", exact), ("rounded", rounded)):
            sLSTMCell._impl_torch = cell
            found, _ = model._forecast_quantiles(context[None], prediction_length=steps)
            case[f"{kind}.{name}"] = found[0].T
    finish(folder, case, "torch", "tirex-ts")


def flowstate(folder: pathlib.Path, **settings) -> None:
    from tsfm_public.models.flowstate import FlowStateConfig, FlowStateForPrediction

    torch.manual_seed(13)
    config = FlowStateConfig(
        context_length=160, embedding_feature_dim=10, encoder_num_layers=2, encoder_state_dim=8,
        encoder_num_hippo_blocks=2, decoder_patch_len=6, quantiles=LEVELS, **settings)
    model = FlowStateForPrediction(config).eval()
    names = {name for name, _ in model.named_parameters() if "Lambda" in name or "Delta" in name}
    kept = {name: p.detach().clone() for name, p in model.named_parameters() if name in names}
    randomize(model, 14)
    with torch.no_grad():
        for name, parameter in model.named_parameters():
            if name in kept:
                parameter.copy_(kept[name])
    model.save_pretrained(folder)
    case = {}
    for name, context in series().items():
        if name == "one":
            continue  # the package needs two values
        # Six steps are one patch at a scale of 1; 15 follow behind values that are missing.
        steps = 15 if name in ("odd", "long", "gaps") else 6
        with torch.no_grad():
            found = model(context[None, :, None], prediction_length=steps, batch_first=True)
        case[f"context.{name}"] = context
        case[f"quantiles.{name}"] = found.quantile_outputs[0, :, :, 0]
    # A season of twelve rows: steps are twice as long as those of the model's 24.
    with torch.no_grad():
        found = model(series()["odd"][None, :, None], prediction_length=7, batch_first=True,
                      scale_factor=2.0)
    case["context.season"] = series()["odd"]
    case["quantiles.season"] = found.quantile_outputs[0, :, :, 0]
    finish(folder, case, "torch", "transformers", "granite-tsfm")


def main() -> None:
    default = "Tests/ApusModelsTests/Fixtures/pretrained"
    folder = pathlib.Path(sys.argv[1] if len(sys.argv) > 1 else default)
    chronos_bolt(folder / "chronos-bolt")
    chronos_2(folder / "chronos-2")
    tirex(folder / "tirex")
    flowstate(folder / "flowstate", decoder_dim=9)
    flowstate(folder / "flowstate-gated", decoder_dim=7, decoder_type="four",
              mlp_type="transformer", out_gating=True)


if __name__ == "__main__":
    main()
