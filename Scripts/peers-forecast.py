#!/usr/bin/env python3
"""What apus compare recommends beside neuralforecast, statsforecast and LightGBM, on eight sets.

Usage: Scripts/peers-forecast.py --data FOLDER [--apus FILE] [--only SET,...] [--entrants NAME,...] [--minutes M]
       Scripts/peers-forecast.py --table

FOLDER holds ett/ETTh1*.csv and ETTm2*.csv, exchange/exchange_rate.csv, m4/Hourly-train.csv and Weekly-train.csv,
market/fx/USDJPY_h1.csv and GBPUSD_h1.csv, market/sp500_panel.csv; the retail panel is simulated. Each set has one
horizon, one season and one error, and its last rows are test: origins a horizon apart, the same for all. What lies
before is in train.csv, and nothing else is fitted to. Apus is run once as a stranger would, `apus compare train.csv`,
and what it recommends is judged by `apus backtest`. Peers (Benchmarks/peers/forecasters.py) choose weights by the last
rows of train.csv, each in a process of its own with the same cores and a limit of processor time (--limit): training
ends there, and a model that is not fitted by then has failed.
They live in a virtual environment that is made where it is missing (--peers).

The error is absolute, of the median where a forecaster has one, in a unit of each series: its deviation in training
(ETT, Exchange), its mean seasonal step in training (M4, retail: MASE) or 1 (logarithms: volume, variance), and the
mean over series. Results are kept in --output; what is there is not run again. --minutes begins no run after that
time. Of M4 and the S&P panel a part of the series is taken, the same for all: `every` below.
"""

import argparse
import csv
import datetime
import json
import math
import os
import pathlib
import platform
import random
import resource
import statistics
import subprocess
import sys
import tempfile
import time

TOP = pathlib.Path(__file__).resolve().parent.parent
PEERS = ["NHITS", "PatchTST", "LSTM", "NLinear", "AutoETS", "AutoTheta", "AutoARIMA", "LightGBM"]
PACKAGES = ["neuralforecast", "statsforecast", "lightgbm", "torch"]
# What is asked of each set. `inputs`: rows that peers read at once, 2 to 5 horizons as their authors advise, more where
# a horizon is shorter than a season. `recent`: the last rows that statsforecast is fitted to, so that ARIMA ends.
SETS = {
    "ETTh1": dict(horizon=96, season=24, windows=30, unit="deviation", inputs=288, recent=960),
    "ETTm2": dict(horizon=96, season=96, windows=120, unit="deviation", inputs=288, recent=960),
    "Exchange": dict(horizon=96, season=1, windows=15, unit="deviation", inputs=192, recent=2000),
    "M4-hourly": dict(horizon=48, season=24, windows=1, unit="step", inputs=192, recent=960, every=4),
    "M4-weekly": dict(horizon=13, season=1, windows=1, unit="step", inputs=52, recent=2600, every=3),
    "retail": dict(horizon=14, season=7, windows=4, unit="step", inputs=56, recent=730, known=["promo"]),
    "FX-volume": dict(horizon=24, season=24, windows=100, unit="one", inputs=120, recent=1440),
    "SP500-variance": dict(horizon=5, season=1, windows=20, unit="one", inputs=60, recent=1100, every=4),
}


# The sets: a dictionary from the name of a series to its rows, (time, value, numbers known ahead).

def columns(path, first):
    """A wide table of times and channels."""
    with open(path, newline="") as file:
        rows = list(csv.reader(file))
    times = [datetime.datetime.strptime(row[0], first) for row in rows[1:]]
    return {name: [(at, float(row[place]), []) for at, row in zip(times, rows[1:])]
            for place, name in enumerate(rows[0]) if place > 0}


def competition(path, step, every):
    """A file of M4 with a row per series; all end at one time, as the file tells none."""
    end = datetime.datetime(2017, 1, 1)
    with open(path, newline="") as file:
        rows = [[cell for cell in row if cell] for row in csv.reader(file)][1:]
    return {row[0]: [(end - step * (len(row) - 1 - place), float(cell), []) for place, cell in enumerate(row) if place]
            for row in rows[::every]}


def volume(folder):
    """Logarithms of ticks in each hour of two currencies, of hours that both have."""
    result = {}
    for name in ("USDJPY", "GBPUSD"):
        with open(folder / f"{name}_h1.csv", newline="") as file:
            result[name] = [
                (datetime.datetime.fromisoformat(row["Date"]), math.log(max(1, float(row["tick_volume"]))), [])
                for row in csv.DictReader(file)]
    both = set.intersection(*({at for at, _, _ in rows} for rows in result.values()))
    return {name: [row for row in rows if row[0] in both] for name, rows in result.items()}


def variance(path, every, rows):
    """Logarithms of Parkinson's variance of single days, of tickers that have all of the last rows; a day whose high
    is its low has the smallest one of its ticker."""
    series = {}
    with open(path, newline="") as file:
        for row in csv.DictReader(file):
            if row["high"] and row["low"]:
                span = math.log(max(float(row["high"]) / float(row["low"]), 1))
                at = datetime.datetime.fromisoformat(row["date"])
                series.setdefault(row["Name"], []).append((at, span * span / (4 * math.log(2))))
    last = sorted({at for one in series.values() for at, _ in one})[-rows:]
    result = {}
    for name in sorted(series)[::every]:
        one = sorted(series[name])
        if [at for at, _ in one[-rows:]] == last and len(one) > 4 * rows:
            floor = min(value for _, value in one[:-rows] if value > 0)
            result[name] = [(at, math.log(max(value, floor)), []) for at, value in one]
    return result


def retail(products=60, days=730, seed=10):
    """Sales of products: level, trend, weekdays, noise in proportion, and promotions that are known ahead."""
    draw = random.Random(seed)
    start, result = datetime.datetime(2023, 1, 2), {}
    for product in range(products):
        level, trend = math.exp(draw.gauss(4, 0.8)), draw.gauss(0, 0.3) / 365
        weekdays = [draw.gauss(0, 0.25) + (0.3 if day >= 4 else 0) for day in range(7)]
        lift, noise, wave = abs(draw.gauss(0.5, 0.15)), draw.uniform(0.1, 0.3), 0.0
        promoted, rows = 0, []
        for day in range(days):
            promoted = promoted - 1 if promoted > 0 else (draw.randint(3, 7) if draw.random() < 0.03 else 0)
            wave = 0.95 * wave + draw.gauss(0, 0.04)
            mean = level * math.exp(trend * day + weekdays[day % 7] + lift * (promoted > 0) + wave)
            sold = max(0, round(mean * math.exp(draw.gauss(0, noise) - noise * noise / 2)))
            rows.append((start + datetime.timedelta(days=day), float(sold), [int(promoted > 0)]))
        result[f"P{product + 1:02}"] = rows
    return result


def load(name, data):
    ask = SETS[name]
    def found(pattern):
        files = sorted(data.glob(pattern))
        return files[0] if files else sys.exit(f"There is no {pattern} in '{data}'.")
    if name in ("ETTh1", "ETTm2"):
        return columns(found(f"ett/{name}*.csv"), "%Y-%m-%d %H:%M:%S")
    if name == "Exchange":
        return columns(found("exchange/exchange_rate.csv"), "%Y/%m/%d %H:%M")
    if name == "M4-hourly":
        return competition(found("m4/Hourly-train.csv"), datetime.timedelta(hours=1), ask["every"])
    if name == "M4-weekly":
        return competition(found("m4/Weekly-train.csv"), datetime.timedelta(weeks=1), ask["every"])
    if name == "FX-volume":
        return volume(found("market/fx/USDJPY_h1.csv").parent)
    if name == "SP500-variance":
        return variance(found("market/sp500_panel.csv"), ask["every"], ask["windows"] * ask["horizon"])
    return retail()


def write(path, series, known, end=None):
    with open(path, "w", newline="") as file:
        writer = csv.writer(file)
        writer.writerow(["unique_id", "ds", "y"] + known)
        for name, rows in series.items():
            for at, value, numbers in rows[:end]:
                writer.writerow([name, at, value] + numbers)


def units(series, ask):
    """What errors of each series are divided by."""
    test, result = ask["windows"] * ask["horizon"], {}
    for name, rows in series.items():
        values = [value for _, value, _ in rows[:-test]]
        steps = [abs(a - b) for a, b in zip(values[ask["season"]:], values)]
        result[name] = {"deviation": statistics.pstdev(values), "step": statistics.fmean(steps), "one": 1}[ask["unit"]]
        result[name] = result[name] or 1
    return result


def errors(series, ask, forecasts):
    """The mean absolute and mean squared error of forecasts, by name and time, over the test rows of all series."""
    test, unit, means = ask["windows"] * ask["horizon"], units(series, ask), []
    for name, rows in series.items():
        own = [(value - forecasts[name, at]) / unit[name] for at, value, _ in rows[-test:]]
        means.append((statistics.fmean(map(abs, own)), statistics.fmean(error * error for error in own)))
    return {"error": round(statistics.fmean(a for a, _ in means), 6),
            "squared": round(statistics.fmean(b for _, b in means), 6)}


# Apus and the peers.

def apus_answer(program, ask, folder):
    """Compares on train.csv, then forecasts the test rows with what was recommended."""
    asked = [program, "compare", str(folder / "train.csv"), "--target", "y", "--id", "unique_id", "--time", "ds",
             "--measure", "level", "--horizon", str(ask["horizon"]), "--output", str(folder / "compare"), "--quiet"]
    if ask.get("known"):
        asked += ["--future", ",".join(ask["known"])]
    start = time.monotonic()
    done = subprocess.run(asked, capture_output=True, text=True)
    if done.returncode:
        raise RuntimeError(done.stderr.strip()[-400:])
    compared = time.monotonic() - start
    record = json.loads((folder / "compare" / "record.json").read_text())
    keys = ("name", "loss", "skill", "seconds", "status", "message")
    rows = [{key: row[key] for key in keys if row.get(key) is not None} for row in record["rows"]]
    forecasts = apus_backtest(program, ask, folder, str(folder / "compare" / "winner"))
    answer = record["recommendation"]["name"]
    return forecasts[answer], dict(answer=answer, compare_seconds=round(compared, 1), rows=rows)


def apus_backtest(program, ask, folder, model):
    """Forecasts of saved or named forecasters at the test origins, by forecaster, series and time."""
    out = folder / "backtest"
    done = subprocess.run(
        [program, "backtest", "--model", model, "--data", str(folder / "full.csv"), "--target", "y", "--id",
         "unique_id", "--time", "ds", "--measure", "level", "--horizon", str(ask["horizon"]), "--windows",
         str(ask["windows"]), "--test", "0.9", "--output", str(out), "--quiet"],
        capture_output=True, text=True)
    if done.returncode:
        raise RuntimeError(done.stderr.strip()[-400:])
    return read(out / "predictions.csv")


def read(path):
    """A file of forecasts: by forecaster, then by series and time. Empty cells are no forecasts."""
    result = {}
    with open(path, newline="") as file:
        for row in csv.DictReader(file):
            key = (row["unique_id"], datetime.datetime.fromisoformat(row["ds"]).replace(tzinfo=None))
            for name, cell in row.items():
                is_middle = name not in ("unique_id", "ds", "cutoff", "y") and "-lo-" not in name and "-hi-" not in name
                if is_middle and cell:
                    result.setdefault(name, {})[key] = float(cell)
    return result


def peer_answer(python, name, ask, folder, seconds):
    """Runs one peer in a process of its own."""
    out = folder / f"{name}.csv"
    out.unlink(missing_ok=True)
    done = subprocess.run(
        [python, str(TOP / "Benchmarks/peers/forecasters.py"), name, json.dumps(ask), str(folder), str(out),
         str(seconds)], capture_output=True, text=True, timeout=20 * seconds)
    if done.returncode:
        raise RuntimeError(done.stderr.strip()[-400:])
    return read(out)[name], json.loads(done.stdout.strip().splitlines()[-1])


def environment(folder):
    """The Python of the peers, made where it is missing."""
    python = folder / "bin/python"
    if not python.exists():
        print(f"making {folder} with " + ", ".join(PACKAGES), file=sys.stderr)
        subprocess.run([sys.executable, "-m", "venv", str(folder)], check=True)
        subprocess.run([str(python), "-m", "pip", "install", "--quiet", *PACKAGES], check=True)
    return str(python)


def versions(python):
    code = "import importlib.metadata as m, json; print(json.dumps({n: m.version(n) for n in %r}))" % PACKAGES
    return json.loads(subprocess.run([python, "-c", code], capture_output=True, text=True, check=True).stdout)


def run(entrant, name, data, options, python):
    ask, folder = SETS[name], options.work / name
    series = load(name, data)
    folder.mkdir(parents=True, exist_ok=True)
    write(folder / "full.csv", series, ask.get("known", []))
    write(folder / "train.csv", series, ask.get("known", []), -ask["windows"] * ask["horizon"])
    start, before = time.monotonic(), resource.getrusage(resource.RUSAGE_CHILDREN)
    row = dict(set=name, entrant=entrant)
    try:
        if entrant == "Apus":
            forecasts, facts = apus_answer(options.apus, ask, folder)
        else:
            forecasts, facts = peer_answer(python, entrant, ask, folder, options.limit)
        row.update(facts)
        row.update(errors(series, ask, forecasts))
    except subprocess.TimeoutExpired:
        row["failure"] = f"not done after {20 * options.limit:g} seconds"
    except (RuntimeError, KeyError, ValueError) as error:
        row["failure"] = str(error) or type(error).__name__
    after = resource.getrusage(resource.RUSAGE_CHILDREN)
    row["seconds"] = round(time.monotonic() - start, 1)
    row["cpu_seconds"] = round(after.ru_utime + after.ru_stime - before.ru_utime - before.ru_stime, 1)
    return row


def summary(runs):
    """For each set what Apus recommended beside the best peer."""
    rows = []
    for name in SETS:
        own = {run["entrant"]: run for run in runs if run["set"] == name}
        peers = sorted((run["error"], peer) for peer, run in own.items() if peer != "Apus" and "error" in run)
        if "error" not in own.get("Apus", {}) or not peers:
            continue
        apus, (best, peer) = own["Apus"]["error"], peers[0]
        rows.append({"set": name, "apus": apus, "answer": own["Apus"]["answer"], "best": best, "peer": peer,
                     "percent": round(100 * (apus / best - 1), 2),
                     **{one: own[one]["error"] for one in PEERS if "error" in own.get(one, {})},
                     "failures": [one for one in PEERS if "failure" in own.get(one, {})]})
    return rows


def table(rows):
    """The table as Markdown, with the comment by which a test compares its figures with the file."""
    claims, lines = [], []
    for row in rows:
        have = [one for one in PEERS if one in row]
        cells = [row["set"], f"{row['apus']:.4f}", row["answer"],
                 *(f"{row[one]:.4f}" if one in row else "" for one in PEERS), f"{row['percent']:+.1f} %"]
        marks = [row["set"], "#", row["answer"], *("#" if one in row else "" for one in PEERS), "# %"]
        paths = ["apus", *have, "percent"]
        lines.append("| " + " | ".join(cells) + " |")
        claims.append("| " + " | ".join(marks) + " | = peers-forecast.json "
                      + ", ".join(f"table[set={row['set']}].{path}" for path in paths))
    head = ["", "Apus", "its answer", *PEERS, "Apus against the best"]
    return "\n".join(["<!-- figures", *claims, "-->", "", "| " + " | ".join(head) + " |", "|---" * len(head) + "|",
                      *lines])


def main():
    parser = argparse.ArgumentParser(description=__doc__, formatter_class=argparse.RawDescriptionHelpFormatter)
    parser.add_argument("--data", type=pathlib.Path)
    parser.add_argument("--apus", default=str(TOP / ".build/release/apus"))
    parser.add_argument("--peers", type=pathlib.Path, default=TOP / ".venv", help="the peers' environment")
    parser.add_argument("--output", type=pathlib.Path, default=TOP / "Benchmarks/Results/peers-forecast.json")
    parser.add_argument("--work", type=pathlib.Path, default=pathlib.Path(tempfile.gettempdir()) / "apus-peers")
    parser.add_argument("--only", default=",".join(SETS), help="sets")
    parser.add_argument("--entrants", default=",".join(["Apus"] + PEERS))
    parser.add_argument("--limit", type=float, default=90, help="processor seconds of a peer")
    parser.add_argument("--minutes", type=float, default=1e9)
    parser.add_argument("--table", action="store_true")
    options = parser.parse_args()
    kept = json.loads(options.output.read_text()) if options.output.exists() else {"runs": []}
    runs = kept["runs"]
    if options.table:
        print(table(summary(runs)))
        return
    if not options.data:
        parser.error("--data is missing: the folder that holds the sets")
    python = environment(options.peers)
    known = {(one["set"], one["entrant"]) for one in runs}
    end = time.monotonic() + 60 * options.minutes
    for name in options.only.split(","):
        for entrant in options.entrants.split(","):
            if (name, entrant) in known or time.monotonic() > end:
                continue
            one = run(entrant, name, options.data, options, python)
            print(json.dumps({key: value for key, value in one.items() if key != "rows"}), flush=True)
            kept = json.loads(options.output.read_text()) if options.output.exists() else {"runs": []}
            runs = [old for old in kept["runs"] if (old["set"], old["entrant"]) != (name, entrant)] + [one]
            runs.sort(key=lambda one: (list(SETS).index(one["set"]), (["Apus"] + PEERS).index(one["entrant"])))
            save(options.output, runs, versions(python))


def save(path, runs, packages):
    machine = f"{platform.processor() or platform.machine()}, {os.cpu_count()} cores"
    head = {"command": "Scripts/peers-forecast.py", "date": time.strftime("%Y-%m-%d"), "machine": machine,
            "packages": packages, "sets": SETS}
    text = json.dumps(head)[:-1]
    for key, rows in (("table", summary(runs)), ("runs", runs)):
        text += f',\n"{key}": [\n' + ",\n".join(json.dumps(row) for row in rows) + "\n]"
    path.write_text(text + "}\n")


if __name__ == "__main__":
    main()
