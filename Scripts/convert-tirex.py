"""Turns a checkpoint of TiRex, which is published in PyTorch's own form, into a folder that Apus reads.

Usage: convert-tirex.py CHECKPOINT FOLDER
CHECKPOINT is the file model.ckpt of NX-AI/TiRex; FOLDER gets config.json and model.safetensors.
Needs: pip install torch safetensors. Apus reads no files of this form, as they can hold programs; this
script reads them with weights_only, which refuses everything but tensors and plain values.
"""

import json
import pathlib
import sys

import torch
from safetensors.torch import save_file


def main() -> None:
    if len(sys.argv) != 3:
        sys.exit(__doc__)
    checkpoint = torch.load(sys.argv[1], map_location="cpu", weights_only=True)
    folder = pathlib.Path(sys.argv[2])
    folder.mkdir(parents=True, exist_ok=True)
    facts = dict(checkpoint["hyper_parameters"])
    # Older files have what is asked of the model one by one, newer ones under one key.
    nested = facts.pop("model_config", {})
    settings = {"model_type": "tirex", **facts, **nested}
    (folder / "config.json").write_text(json.dumps(settings, indent=2) + "\n")
    tensors = {
        name.replace("block_stack.", ""): tensor.float().contiguous().clone()
        for name, tensor in checkpoint["state_dict"].items()
    }
    save_file(tensors, folder / "model.safetensors", metadata={"format": "pt"})
    print(f"{folder}: {len(tensors)} tensors, {sum(t.numel() for t in tensors.values())} parameters")


if __name__ == "__main__":
    main()
