#!/usr/bin/env python3
"""Time and memory of training a forecaster with a long context.

Usage: Scripts/long-forecaster.py --data FILE [--apus FILE] [--model mamba] [--context 16384] [--rows 200000]
       [--steps 4] [--batch 1] [--output FILE]

FILE is a table of minutes, gzip or not, of which the last rows are taken. `apus train` trains with the context, as much
of it as said in every one of the windows of a step, and writes what it says of its time; the most memory that the
process had is that of the operating system.
"""

import argparse
import gzip
import json
import os
import pathlib
import platform
import resource
import subprocess
import sys
import tempfile
import time

TOP = pathlib.Path(__file__).resolve().parent.parent


def main():
    parser = argparse.ArgumentParser(description=__doc__, formatter_class=argparse.RawDescriptionHelpFormatter)
    parser.add_argument("--data", type=pathlib.Path, required=True)
    parser.add_argument("--apus", default=str(TOP / ".build/release/apus"))
    parser.add_argument("--model", default="mamba")
    parser.add_argument("--context", type=int, default=16384)
    parser.add_argument("--rows", type=int, default=200_000)
    parser.add_argument("--steps", type=int, default=4)
    parser.add_argument("--batch", type=int, default=1)
    parser.add_argument("--output", type=pathlib.Path)
    options = parser.parse_args()
    opener = gzip.open if options.data.suffix == ".gz" else open
    with opener(options.data, "rt") as file:
        lines = file.readlines()
    with tempfile.TemporaryDirectory() as folder:
        table = f"{folder}/minutes.csv"
        with open(table, "w") as file:
            file.writelines([lines[0]] + lines[1:][-options.rows:])
        words = [options.apus, "train", "--model", options.model, "--data", table, "--target", "close", "--context",
                 str(options.context), "--horizon", "1", "--steps", str(options.steps), "--batch", str(options.batch),
                 "--output", f"{folder}/model", "--json", "--quiet"]
        begin = time.monotonic()
        done = subprocess.run(words, capture_output=True, text=True)
        seconds = time.monotonic() - begin
        if done.returncode:
            sys.exit(f"{' '.join(words)}\n{done.stderr.strip()[-600:]}")
    found = json.loads(done.stdout)
    usage = resource.getrusage(resource.RUSAGE_CHILDREN)
    result = {
        "command": f"Scripts/long-forecaster.py --model {options.model} --context {options.context} --rows "
                   f"{options.rows} --steps {options.steps} --batch {options.batch}",
        "date": time.strftime("%Y-%m-%d"), "machine": f"{platform.machine()}, {os.cpu_count()} cores",
        "parameters": found["parameters"], "steps": found["steps"],
        "rows_of_a_step": found["units"] // found["steps"], "rows_per_second": round(found["units_per_second"]),
        "seconds_of_a_step": round(found["units"] / found["steps"] / found["units_per_second"], 2),
        "tensors_MiB": round(found["peak_bytes"] / 2**20), "process_MiB": round(usage.ru_maxrss / 1024),
        "seconds": round(seconds, 1)}
    text = json.dumps(result, indent=1)
    print(text)
    if options.output:
        options.output.write_text(text + "\n")


if __name__ == "__main__":
    main()
