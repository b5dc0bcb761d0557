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
        folder, dtype=torch.float32, attn_implementation="eager", output_loading_info=True)
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
"""Checks that transformers reads a saved model as Apus does: loads each folder there and compares the
logits.
"""Checks that transformers reads a saved model as Apus does: loads each folder there and compares
the logits.

Usage: check-transformers.py FOLDER...
Each FOLDER holds a model and `check.safetensors` with `input_ids` int32 [B, T] and the `logits`
float32 [B, T, V] that Apus makes of them. To have such folders written, one for every architecture:

    APUS_CHECK_FOLDERS=/tmp/check swift test -c release --filter PublishedFolderTests
    python Scripts/check-transformers.py /tmp/check/*

Needs: pip install torch==2.13.0 transformers==5.23.0 safetensors==0.8.0. The project itself needs
no Python.
"""

import pathlib
import sys

import torch
from safetensors.torch import load_file
from transformers import AutoModelForCausalLM

TOLERANCE = 1e-4  # of the largest logit; both sides compute in float32


def check(folder: pathlib.Path) -> bool:
    case = load_file(folder / "check.safetensors")
    model, report = AutoModelForCausalLM.from_pretrained(
        folder, dtype=torch.float32, attn_implementation="eager", output_loading_info=True)
    unmatched = {key: sorted(value) for key, value in report.items() if value}
    with torch.no_grad():
        logits = model.eval()(input_ids=case["input_ids"].long(), use_cache=False).logits
    largest = logits.abs().max().item()
    away = (logits - case["logits"]).abs().max().item()
    good = not unmatched and away <= TOLERANCE * largest
    print(f"{'same' if good else 'DIFFERENT'}: {folder.name}, {type(model).__name__}, "
          f"away by {away:.1e} of {largest:.2f}", unmatched or "")
    return good


def main() -> None:
    folders = [pathlib.Path(name) for name in sys.argv[1:]]
    if not folders:
        sys.exit(__doc__)
    results = [check(folder) for folder in folders]
    sys.exit(0 if all(results) else 1)


if __name__ == "__main__":
    main()
