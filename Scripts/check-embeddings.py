"""Compares the sentence vectors of `apus embed` with those of transformers on the same folder, and the
time that both take for 100 sentences.

Usage: check-embeddings.py --model FOLDER [--apus .build/release/apus] [--threads N]
FOLDER is a BERT or MiniLM folder with mean pooling and vectors of length one.
Needs: pip install torch==2.13.0 transformers==5.23.0. The project itself needs no Python.
"""

import argparse
import importlib
import json
import pathlib
import subprocess
import time

import torch
import torch.nn.functional as F
import transformers

ROOT = pathlib.Path(__file__).parent.parent
ALLOWED = 1e-5


def limit(folder: pathlib.Path) -> int:
    path = folder / "sentence_bert_config.json"
    return json.loads(path.read_text())["max_seq_length"] if path.exists() else 512


def vectors(model, tokenizer, texts: list[str], longest: int) -> torch.Tensor:
    batch = tokenizer(texts, padding=True, truncation=True, max_length=longest, return_tensors="pt")
    with torch.no_grad():
        states = model(**batch).last_hidden_state
    mask = batch["attention_mask"].unsqueeze(-1).float()
    return F.normalize((states * mask).sum(1) / mask.sum(1).clamp(min=1e-9), dim=1)


def apus(arguments, texts: list[str]) -> torch.Tensor:
    done = subprocess.run(
        [arguments.apus, "embed", "--model", arguments.model, "--threads", str(arguments.threads)],
        input="\n".join(texts) + "\n", capture_output=True, text=True, check=True)
    return torch.tensor(json.loads(done.stdout))


def seconds(body) -> float:
    times = []
    for _ in range(5):
        start = time.perf_counter()
        body()
        times.append(time.perf_counter() - start)
    return min(times)


def main() -> None:
    parser = argparse.ArgumentParser()
    parser.add_argument("--model", required=True)
    parser.add_argument("--apus", default=str(ROOT / ".build/release/apus"))
    parser.add_argument("--threads", type=int, default=2)
    arguments = parser.parse_args()
    transformers.logging.set_verbosity_error()
    transformers.logging.disable_progress_bar()
    torch.set_num_threads(arguments.threads)
    folder = pathlib.Path(arguments.model)
    model = transformers.AutoModel.from_pretrained(folder, dtype=torch.float32).eval()
    tokenizer = transformers.AutoTokenizer.from_pretrained(folder)
    longest = limit(folder)

    # Lines end where a text file's do, so texts with line feeds in them are left out.
    texts = [t for t in importlib.import_module("make-wordpiece-fixture").TEXTS if "\n" not in t]
    texts.append("swifts sleep on the wing " * 100)
    ours, theirs = apus(arguments, texts), vectors(model, tokenizer, texts, longest)
    away = (ours - theirs).abs().amax(1)
    print(f"{len(texts)} texts: vectors {away.max():.1e} away at most")
    for text, distance in zip(texts, away):
        if distance > ALLOWED:
            print(f"  {distance:.1e} {ascii(text)[:80]}")

    words = "the swift stays in air for ten months and sleeps on its wing above towns".split()
    sentences = [" ".join(words[(i * j) % len(words)] for j in range(1, 6 + i % 25)) + "."
                 for i in range(100)]
    one = seconds(lambda: apus(arguments, sentences[:1]))
    hundred = seconds(lambda: apus(arguments, sentences))
    print(f"apus: {hundred:.3f} s for 100 sentences with the start of the process, "
          f"{one:.3f} s for one; {hundred - one:.3f} s between")
    print(f"transformers: {seconds(lambda: vectors(model, tokenizer, sentences, longest)):.3f} s, "
          f"loaded before, in one padded batch")


if __name__ == "__main__":
    main()
