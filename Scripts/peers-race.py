#!/usr/bin/env python3
"""Processor seconds of training until a loss: models of Apus beside those of neuralforecast, set by set.

Usage: Scripts/peers-race.py --data FOLDER [--apus FILE] [--only SET,...] [--models lstm,mamba] [--steps 25,50,100,200]
       [--minutes M]

Of each network of neuralforecast, Scripts/peers-forecast.py has kept the error on the test rows and the processor
seconds of fitting until its best loss on validation (--peers, its results). Here `apus train` trains models on the same
train.csv for a few numbers of optimizer steps, and `apus backtest` forecasts the same test rows. What counts of a model
are the processor seconds of the whole command, reading and saving included, of the shortest run whose error is at most
that of the network. Results are kept in --output; what is there is not run again.
"""

import argparse
import importlib.util
import json
import pathlib
import resource
import subprocess
import sys
import tempfile
import time

TOP = pathlib.Path(__file__).resolve().parent.parent
spec = importlib.util.spec_from_file_location("peers_forecast", TOP / "Scripts/peers-forecast.py")
forecast = importlib.util.module_from_spec(spec)
spec.loader.exec_module(forecast)
NETWORKS = ["NHITS", "PatchTST", "LSTM", "NLinear"]


def spent(run):
    """Processor seconds of fitting until the best loss on validation was found."""
    trace = run.get("training") or []
    return min(trace, key=lambda one: one[1])[0] if trace else run["fit_seconds"]


def train(options, name, model, steps):
    """One training: its processor seconds, and the error on the test rows."""
    ask, folder = forecast.SETS[name], options.work / name
    series = forecast.load(name, options.data)
    folder.mkdir(parents=True, exist_ok=True)
    forecast.write(folder / "full.csv", series, ask.get("known", []))
    forecast.write(folder / "train.csv", series, ask.get("known", []), -ask["windows"] * ask["horizon"])
    with tempfile.TemporaryDirectory() as scratch:
        words = [options.apus, "train", "--model", model, "--data", str(folder / "train.csv"), "--target", "y", "--id",
                 "unique_id", "--time", "ds", "--measure", "level", "--horizon", str(ask["horizon"]), "--steps",
                 str(steps), "--output", f"{scratch}/model", "--quiet"]
        if ask.get("known"):
            words += ["--future", ",".join(ask["known"])]
        before = resource.getrusage(resource.RUSAGE_CHILDREN)
        done = subprocess.run(words, capture_output=True, text=True)
        after = resource.getrusage(resource.RUSAGE_CHILDREN)
        if done.returncode:
            sys.exit(f"{' '.join(words)}\n{done.stderr.strip()[-600:]}")
        seconds = after.ru_utime + after.ru_stime - before.ru_utime - before.ru_stime
        found = forecast.apus_backtest(options.apus, ask, pathlib.Path(folder), f"{scratch}/model")
    return {"set": name, "model": model, "steps": steps, "seconds": round(seconds, 2),
            "error": forecast.errors(series, ask, found[model])["error"]}


def summary(peers, runs):
    """Of every network: the shortest training of Apus with at most its error."""
    rows = []
    for peer in peers:
        if peer["entrant"] not in NETWORKS or "error" not in peer:
            continue
        equal = [run for run in runs if run["set"] == peer["set"] and run["error"] <= peer["error"]]
        row = {"set": peer["set"], "network": peer["entrant"], "error": peer["error"], "seconds": spent(peer)}
        if equal:
            best = min(equal, key=lambda run: run["seconds"])
            row.update(model=best["model"], steps=best["steps"], own_error=best["error"], own_seconds=best["seconds"],
                       ratio=round(spent(peer) / best["seconds"], 1))
        rows.append(row)
    return rows


def main():
    parser = argparse.ArgumentParser(description=__doc__, formatter_class=argparse.RawDescriptionHelpFormatter)
    parser.add_argument("--data", type=pathlib.Path, required=True)
    parser.add_argument("--apus", default=str(TOP / ".build/release/apus"))
    parser.add_argument("--peers", type=pathlib.Path, default=TOP / "Benchmarks/Results/peers-forecast.json")
    parser.add_argument("--output", type=pathlib.Path, default=TOP / "Benchmarks/Results/peers-race.json")
    parser.add_argument("--work", type=pathlib.Path, default=pathlib.Path(tempfile.gettempdir()) / "apus-peers")
    parser.add_argument("--only", default=",".join(forecast.SETS), help="sets")
    parser.add_argument("--models", default="lstm,mamba")
    parser.add_argument("--steps", default="25,50,100,200")
    parser.add_argument("--minutes", type=float, default=1e9)
    options = parser.parse_args()
    peers = json.loads(options.peers.read_text())["runs"]
    runs = json.loads(options.output.read_text())["runs"] if options.output.exists() else []
    end = time.monotonic() + 60 * options.minutes
    for name in options.only.split(","):
        for steps in map(int, options.steps.split(",")):
            for model in options.models.split(","):
                if any((run["set"], run["model"], run["steps"]) == (name, model, steps) for run in runs):
                    continue
                if time.monotonic() > end:
                    continue
                runs.append(train(options, name, model, steps))
                print(json.dumps(runs[-1]), flush=True)
                text = json.dumps({"command": "Scripts/peers-race.py", "date": time.strftime("%Y-%m-%d")})[:-1]
                for key, rows in (("table", summary(peers, runs)), ("runs", runs)):
                    text += f',\n"{key}": [\n' + ",\n".join(json.dumps(row) for row in rows) + "\n]"
                options.output.write_text(text + "}\n")
    for row in summary(peers, runs):
        print(json.dumps(row))


if __name__ == "__main__":
    main()
