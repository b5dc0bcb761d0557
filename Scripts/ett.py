#!/usr/bin/env python3
"""Errors of every backbone on the four ETT sets by the protocol of the published tables.

Usage: Scripts/ett.py --data FOLDER [--apus FILE] [--output FILE] [--jobs 2] [--minutes M] [--models a,b] [--table 96]

FOLDER holds ETTh1, ETTh2, ETTm1 and ETTm2 as CSV (https://github.com/zhouhaoyi/ETDataset), the whole files or their
first 20 months, which are all that the protocol uses. Each run is `apus bench forecast` with one thread, 96 rows that
are read, 96 or 336 ahead, the defaults of the command, and the steps below. What FILE, JSON, already holds is not
run again, so that an interrupted table goes on; --minutes begins no run after that time. --table prints what FILE
holds as Markdown: the mean over seeds of the mean squared error, and the number of seeds.
"""

import argparse
import concurrent.futures
import json
import os
import pathlib
import platform
import subprocess
import sys
import time

TOP = pathlib.Path(__file__).resolve().parent.parent
SETS = {"ETTh1": ("ett-hourly", 200), "ETTh2": ("ett-hourly", 200), "ETTm1": ("ett-minutely", 300),
        "ETTm2": ("ett-minutely", 150)}
BASELINES = ["naive", "seasonal-naive", "ols", "nlinear"]
FIRST = "mamba"  # the backbone that is trained with three seeds at 96 rows
MODELS = ("mamba mamba2 jamba megalodon lstm xlstm s5 transformer llama gpt1 cohere mixtral dbrx reformer performer "
          "skyformer linear sliding").split()


def plan(models):
    """What to run, the most important first: (set, horizon, model, seed)."""
    first = [(name, 96, FIRST, seed) for seed in range(3) for name in SETS if FIRST in models]
    rest = [(name, horizon, model, 0) for horizon in (96, 336) for model in models for name in SETS]
    bars = [(name, horizon, "baselines", 0) for horizon in (96, 336) for name in SETS]
    return list(dict.fromkeys(bars[:4] + first + rest + bars[4:]))


def run(apus, folder, one):
    name, horizon, model, seed = one
    files = sorted(folder.glob(name + "*.csv"))
    if not files:
        sys.exit(f"There is no {name}*.csv in '{folder}'.")
    split, steps = SETS[name]
    words = [apus, "bench", "forecast", str(files[0]), "--split", split, "--horizon", str(horizon), "--models",
             ",".join(BASELINES) if model == "baselines" else model, "--threads", "1", "--json", "--quiet"]
    if model != "baselines":
        words += ["--steps", str(steps), "--seeds", "1", "--seed", str(seed)]
    start = time.monotonic()
    done = subprocess.run(words, capture_output=True, text=True)
    if done.returncode != 0:
        return [dict(set=name, horizon=horizon, model=model, seed=seed, error=done.stderr.strip()[-300:])]
    rows = json.loads(done.stdout)["rows"]
    return [dict(set=name, horizon=horizon, model=row["name"], seed=None if model == "baselines" else seed,
                 steps=None if model == "baselines" else steps, mse=round(row["score"]["mse"], 5),
                 mae=round(row["score"]["mae"], 5), parameters=row.get("parameters"),
                 training_seconds=round(sum(run["seconds"] for run in row["runs"]), 1) or None,
                 seconds=round(time.monotonic() - start, 1)) for row in rows]


def means(runs):
    """For each model the mean over seeds of its mean squared error on each set and horizon."""
    rows = []
    for model in dict.fromkeys(BASELINES + MODELS + [run["model"] for run in runs]):
        row = {"model": model}
        for horizon in (96, 336):
            for name in SETS:
                found = [run["mse"] for run in runs if "mse" in run
                         and (run["set"], run["horizon"], run["model"]) == (name, horizon, model)]
                if found:
                    row[f"{name}_{horizon}"] = round(sum(found) / len(found), 5)
                    row["seeds"] = max(len(found), row.get("seeds", 1))
        rows += [row] if len(row) > 1 else []
    return rows


def table(rows, horizon):
    """The table as Markdown, with the comment by which a test compares its figures with the file."""
    heads = [f"{name}_{horizon}" for name in SETS]
    claims, lines = [], []
    for row in rows:
        own = [head for head in heads if head in row]
        if not own:
            continue
        lines.append("| " + " | ".join([row["model"]] + [f"{row[head]:.3f}" if head in row else "" for head in heads])
                     + " |")
        claims.append("| " + " | ".join([row["model"]] + ["#" if head in row else "" for head in heads])
                      + " | = ett.json " + ", ".join(f"table[model={row['model']}].{head}" for head in own))
    return "\n".join(["<!-- figures", *claims, "-->", "", "| | " + " | ".join(SETS) + " |",
                      "|---" * (len(heads) + 1) + "|", *lines])


def main():
    parser = argparse.ArgumentParser(description=__doc__, formatter_class=argparse.RawDescriptionHelpFormatter)
    parser.add_argument("--data", type=pathlib.Path)
    parser.add_argument("--apus", default=str(TOP / ".build/release/apus"))
    parser.add_argument("--output", type=pathlib.Path, default=TOP / "Benchmarks/Results/ett.json")
    parser.add_argument("--jobs", type=int, default=os.cpu_count() or 1)
    parser.add_argument("--minutes", type=float, default=1e9)
    parser.add_argument("--models", default=",".join(MODELS))
    parser.add_argument("--table", type=int, choices=(96, 336), help="rows ahead")
    options = parser.parse_args()
    runs = json.loads(options.output.read_text())["runs"] if options.output.exists() else []
    if options.table:
        print(table(means(runs), options.table))
        return
    if not options.data:
        parser.error("--data is missing: the folder that holds the four files")
    known = {(run["set"], run["horizon"], run["model"], run["seed"] or 0) for run in runs if "mse" in run}
    known |= {(name, horizon, "baselines", 0) for name, horizon, model, _ in known if model == BASELINES[0]}
    waiting = [one for one in plan(options.models.split(",")) if one not in known]
    end = time.monotonic() + 60 * options.minutes

    def save():
        machine = f"{platform.processor() or platform.machine()}, {options.jobs} runs at a time, one thread each"
        runs.sort(key=lambda run: (run["horizon"], run["set"], run["model"], run["seed"] or 0))
        text = ",\n".join(json.dumps(run) for run in runs)
        rows = ",\n".join(json.dumps(row) for row in means(runs))
        options.output.write_text(
            "{\n" + f'"command": "Scripts/ett.py", "date": "{time.strftime("%Y-%m-%d")}", '
            + f'"machine": {json.dumps(machine)},\n"table": [\n{rows}\n],\n"runs": [\n{text}\n]\n' + "}\n")

    with concurrent.futures.ThreadPoolExecutor(options.jobs) as pool:
        def work(one):
            return run(options.apus, options.data, one) if time.monotonic() < end else []
        tasks = [pool.submit(work, one) for one in waiting]
        for number, task in enumerate(concurrent.futures.as_completed(tasks), 1):
            runs += task.result()
            for one in task.result():
                print(f"{number}/{len(waiting)}", json.dumps(one), flush=True)
            save()


if __name__ == "__main__":
    main()
