"""Times Apus and its Python peers on the same work, one right after the other, and prints ratios.

Usage: compare.py [--works gpt2 mamba attention] [--contexts T ...] [--output FILE.json]
Run it by `make bench`, which builds Apus and prepares Python. A ratio above 1 means that Apus is
faster. The absolute figures hold for this machine and this minute only.
"""

import argparse
import importlib.metadata
import json
import pathlib
import sys
import tempfile

import torch

import peers
from timing import TOP, apus_bench, faster, has_bf16, machine

GPT2 = dict(model_type="gpt2", vocab_size=1024, n_embd=256, n_layer=4, n_head=4, resid_pdrop=0.0,
            embd_pdrop=0.0, attn_pdrop=0.0, bos_token_id=0, eos_token_id=0)
MAMBA = dict(model_type="mamba", vocab_size=1024, hidden_size=256, num_hidden_layers=8,
             state_size=16, conv_kernel=4, expand=2, tie_word_embeddings=True)
HEADS, HEAD_SIZE = 8, 64
TOKENS = 2048  # of a batch, until one sequence alone is longer


def train_row(config: dict, peer: str, context: int, precision: str, runs: int) -> dict:
    """One optimizer step of a random-weight model. Apus goes before and after its peer, and the
    better counts, so that a neighbour on the machine does not decide."""
    if config["model_type"] == "gpt2":
        config = {**config, "n_positions": context}
    batch = max(1, TOKENS // context)
    with tempfile.TemporaryDirectory() as folder:
        file = pathlib.Path(folder, "config.json")
        file.write_text(json.dumps(config))
        arguments = ["train", "--config", str(file), "--batch", str(batch),
                     "--context", str(context), "--precision", precision]
        before = apus_bench(*arguments)
        seconds = peers.train_seconds(config, batch, context, precision, runs)
        ours = faster(before, apus_bench(*arguments))
    theirs = batch * context / seconds
    return {"work": f"train {config['model_type']}", "batch": batch, "context": context,
            "precision": precision, "unit": "tokens/s", "apus": ours["tokens_per_second"],
            "peer": theirs, "peer_name": peer, "ratio": ours["tokens_per_second"] / theirs,
            "details": ours}


def attention_rows(context: int, runs: int) -> list[dict]:
    """Causal attention in float32, forward and, where Apus reports it, forward with backward."""
    arguments = ["attention", "--batch", "1", "--heads", str(HEADS), "--head-size",
                 str(HEAD_SIZE), "--context", str(context)]
    before = apus_bench(*arguments)
    forward, both = peers.attention_seconds(HEADS, HEAD_SIZE, context, runs)
    ours = faster(before, apus_bench(*arguments))
    rows = []
    for work, key, seconds in (("attention, forward", "forward_milliseconds", forward),
                               ("attention, both ways", "milliseconds", both)):
        if key in ours:
            rows.append({"work": work, "batch": 1, "context": context, "precision": "f32",
                         "unit": "ms", "apus": ours[key], "peer": seconds * 1e3,
                         "peer_name": "torch", "ratio": seconds * 1e3 / ours[key],
                         "details": ours})
    return rows


def show(row: dict) -> None:
    print(f"{row['work']:<22}{row['batch']:>5} x {row['context']:<6}{row['precision']:<5}"
          f"{row['apus']:>12,.1f}{row['peer']:>12,.1f} {row['unit']:<9}{row['peer_name']:<9}"
          f"{row['ratio']:>8.2f}", flush=True)


def main() -> int:
    parser = argparse.ArgumentParser(description="Apus beside its Python peers.")
    parser.add_argument("--works", nargs="+", choices=["gpt2", "mamba", "attention"],
                        default=["gpt2", "mamba", "attention"])
    parser.add_argument("--contexts", type=int, nargs="+", default=[256, 1024, 4096])
    parser.add_argument("--runs", type=int, default=3,
                        help="timed steps of a peer; the best counts")
    parser.add_argument("--output", type=pathlib.Path,
                        default=TOP / "Benchmarks/Results/latest.json")
    options = parser.parse_args()

    precisions = ["f32", "bf16"] if has_bf16() else ["f32"]
    cases = []
    for context in options.contexts:
        if "gpt2" in options.works:
            cases += [lambda t=context, p=p: [train_row(GPT2, "torch", t, p, options.runs)]
                      for p in precisions]
        if "mamba" in options.works:
            cases.append(lambda t=context: [train_row(MAMBA, "mambapy", t, "f32", 1)])
        if "attention" in options.works:
            cases.append(lambda t=context: attention_rows(t, options.runs))

    facts = machine()
    facts["threads"] = torch.get_num_threads()
    facts["versions"] = {name: importlib.metadata.version(name)
                         for name in ("torch", "transformers", "mambapy")}
    print(f"{facts['cpu']}, {facts['cores']} cores, {' '.join(facts['vectors'])}; "
          + ", ".join(f"{k} {v}" for k, v in facts["versions"].items()))
    print(f"{'work':<22}{'batch x context':<16}{'':<2}{'apus':>11}{'peer':>12}{'':<11}"
          f"{'':<8}{'ratio':>8}")
    rows, failures = [], []
    for case in cases:
        try:
            for row in case():
                rows.append(row)
                show(row)
        except RuntimeError as problem:
            failures.append(str(problem))
            print(f"failed: {problem}", file=sys.stderr)
    options.output.parent.mkdir(parents=True, exist_ok=True)
    report = {"command": "Benchmarks/peers/compare.py", "machine": facts, "rows": rows,
              "failures": failures}
    options.output.write_text(json.dumps(report, indent=2) + "\n")
    print(f"written: {options.output}", file=sys.stderr)
    return 1 if failures else 0


if __name__ == "__main__":
    sys.exit(main())
