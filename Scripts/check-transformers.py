"""Checks that what Apus saves is read by transformers as what it was: every golden fixture is loaded
and saved by `apus convert`, in one file and in shards, loaded by transformers, and its logits (or, of
an encoder without a head, its states) compared with those of the fixture itself.

Usage: check-transformers.py [--apus .build/release/apus] [FIXTURE ...]
Needs: pip install torch==2.13.0 transformers==5.23.0. The project itself needs no Python.
"""

import argparse
import pathlib
import subprocess
import sys
import tempfile

import torch
import transformers
from safetensors.torch import load_file

ROOT = pathlib.Path(__file__).parent.parent
FIXTURES = ROOT / "Tests/ApusModelsTests/Fixtures"
ALLOWED = 1e-6


def load(folder: pathlib.Path) -> torch.nn.Module:
    config = transformers.AutoConfig.from_pretrained(folder)
    kind = getattr(transformers, config.architectures[0])
    model, info = kind.from_pretrained(
        folder, dtype=torch.float32, attn_implementation="eager", experts_implementation="eager",
        output_loading_info=True)
    # A head without weights of its own is no loss, nor is the bias that an untied decoder replaces.
    lost = [k for k in info["missing_keys"]
            if "decoder" not in k and "lm_head" not in k and k != "cls.predictions.bias"]
    assert not lost and not info["unexpected_keys"], (lost, info["unexpected_keys"])
    return model.eval()


def outputs(model: torch.nn.Module, case: dict) -> torch.Tensor:
    inputs = {k: case[k].long() for k in ("input_ids", "attention_mask", "token_type_ids") if k in case}
    with torch.no_grad():
        result = model(**inputs)
    return result.logits if "logits" in result else result.last_hidden_state


def main() -> None:
    parser = argparse.ArgumentParser()
    parser.add_argument("--apus", default=str(ROOT / ".build/release/apus"))
    parser.add_argument("names", nargs="*")
    arguments = parser.parse_args()
    transformers.logging.set_verbosity_error()
    transformers.logging.disable_progress_bar()
    folders = [p.parent for p in sorted(FIXTURES.glob("**/case.safetensors"))]
    failures = 0
    for folder in folders:
        name = str(folder.relative_to(FIXTURES))
        if arguments.names and name not in arguments.names:
            continue
        case = load_file(folder / "case.safetensors")
        try:
            expected = outputs(load(folder), case)
        except Exception as error:
            print(f"{name}: transformers does not read the fixture itself ({error!s:.80}); skipped")
            continue
        for more in ([], ["--shard-size", "5KB"]):
            with tempfile.TemporaryDirectory() as target:
                done = subprocess.run(
                    [arguments.apus, "convert", str(folder), "--output", target, *more],
                    capture_output=True, text=True)
                assert done.returncode == 0, done.stderr
                again = load(pathlib.Path(target))
                ours = transformers.AutoConfig.from_pretrained(target).to_dict()
                theirs = transformers.AutoConfig.from_pretrained(folder).to_dict()
                changed = {k for k in ours.keys() | theirs.keys()
                           if k not in ("_name_or_path",) and ours.get(k) != theirs.get(k)}
                away = (outputs(again, case) - expected).abs().max().item()
                files = len(list(pathlib.Path(target).glob("*.safetensors")))
                wrong = away > ALLOWED or changed
                failures += bool(wrong)
                print(f"{name}: {files} files, logits {away:.1e} away, "
                      f"{'WRONG ' + str(sorted(changed)) if wrong else 'the same configuration'}")
    sys.exit(1 if failures else 0)


if __name__ == "__main__":
    main()
