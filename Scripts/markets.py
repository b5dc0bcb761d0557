#!/usr/bin/env python3
"""Volatility of the S&P panel and hourly volume of currencies: models beside the linear bars of the literature.

Usage: Scripts/markets.py --data FOLDER [--apus FILE] [--output FILE] [--models lstm,mamba] [--steps 600] [--only NAME]

FOLDER holds sp500_panel.csv (date, open, high, low, close, volume, Name) and fx/*_h1.csv (Date, open, high, low,
close, tick_volume). Two questions:

- panel: the variance of Parkinson (1980), ln(high/low)²/(4 ln 2), of every ticker one day ahead, the last fifth of the
  rows of each. The bar is the pooled log-HAR (Corsi, 2009) with the same three inputs of the market, the mean of the
  logarithms over tickers. All forecast the logarithm; a forecast becomes a variance as exp(·) times the mean of
  exp(residual) over the first tenth of the test dates (Duan, 1983), which are not judged. Losses are QLIKE; the test
  of Diebold and Mariano is on means over dates, with the variance of Newey and West over 5 lags.
- volume: the logarithm of the ticks of an hour, one hour ahead, the last fifth of the rows. The bar is least squares
  on the last 24 hours, hours 48, 72, 96, 120 and 168 back and a level for each hour of the week. The loss is the mean
  absolute error; the test is on single errors with 24 lags.

Models are those of `apus backtest`, fitted to the rows before the first origin alone; their medians are judged. Needs
numpy.
"""

import argparse
import csv
import datetime
import json
import math
import os
import pathlib
import subprocess
import sys
import tempfile
import time

try:
    import numpy as np
except ImportError:
    sys.exit("numpy is missing: python3 -m pip install numpy")

TOP = pathlib.Path(__file__).resolve().parent.parent
TEST = 0.2


def mean_test(differences, lags):
    """The mean, its standard error by Newey and West, and the two-sided p-value."""
    d = np.asarray(differences) - np.mean(differences)
    variance = d @ d / len(d)
    for lag in range(1, lags + 1):
        variance += 2 * (1 - lag / (lags + 1)) * (d[lag:] @ d[:-lag]) / len(d)
    error = math.sqrt(max(variance, 1e-300) / len(d))
    mean = float(np.mean(differences))
    return mean, error, math.erfc(abs(mean / error) / math.sqrt(2))


def qlike(variance, forecast):
    ratio = variance / forecast
    return ratio - np.log(ratio) - 1


def backtest(options, path, folder, model, words):
    """Predictions of a model, {(id, time): median}, and the seconds that it took."""
    output = os.path.join(folder, f"backtest-{model}")
    begin = time.monotonic()
    done = subprocess.run(
        [options.apus, "backtest", "--model", model, "--data", path, "--measure", "level", "--horizon", "1", "--step",
         "1", "--test", str(TEST), "--steps", str(options.steps), "--quiet", "--output", output] + words,
        capture_output=True, text=True)
    if done.returncode != 0:
        sys.exit(f"{model}: {done.stderr.strip()}")
    with open(os.path.join(output, "predictions.csv")) as file:
        rows = list(csv.DictReader(file))
    column = next(name for name in rows[0] if name not in ("unique_id", "ds", "cutoff", "y") and "-q-" not in name
                  and "-lo-" not in name and "-hi-" not in name)
    medians = [name for name in rows[0] if name.endswith("-q-50") or name.endswith("-q-0.5")]
    return ({(row.get("unique_id", ""), row["ds"][:19].replace("T", " ")): float(row[(medians or [column])[0]])
             for row in rows}, round(time.monotonic() - begin, 1))


# The panel


def read_panel(path):
    """Each ticker's dates, log variances, returns and log volumes; rows without a range are left out."""
    tickers = {}
    with open(path) as file:
        for row in csv.DictReader(file):
            try:
                high, low, close, volume = (float(row[name]) for name in ("high", "low", "close", "volume"))
            except ValueError:
                continue
            if high > low > 0 and volume > 0:
                variance = math.log(high / low) ** 2 / (4 * math.log(2))
                tickers.setdefault(row["Name"], []).append((row["date"], math.log(variance), close, math.log(volume)))
    return {name: sorted(rows) for name, rows in tickers.items() if len(rows) > 300}


def panel(options, folder):
    tickers = read_panel(options.data / "sp500_panel.csv")
    by_date = {}
    for rows in tickers.values():
        for row in rows:
            by_date.setdefault(row[0], []).append(row[1])
    market = {date: sum(values) / len(values) for date, values in by_date.items()}
    path = os.path.join(folder, "panel.csv")
    with open(path, "w") as file:
        file.write("date,ticker,variance,market,fall,volume\n")
        for name, rows in tickers.items():
            usual = None
            for place, (date, variance, close, volume) in enumerate(rows):
                move = math.log(close / rows[place - 1][2]) if place else 0.0
                fall = max(min(move, 0) / math.exp(variance / 2), -5)
                usual = volume if usual is None else 0.95 * usual + 0.05 * volume
                file.write(f"{date},{name},{variance:.5f},{market[date]:.5f},{fall:.4f},{volume - usual:.4f}\n")

    # Inputs of the bar: last, mean of five and of 22 days of variances, own and the market's, in logarithms.
    dates = sorted(market)
    def trailing(values, count):
        sums = np.concatenate([[0], np.cumsum(values)])
        found = np.full(len(values), np.nan)
        found[count - 1:] = (sums[count:] - sums[:-count]) / count
        return found
    wide = np.array([market[date] for date in dates])
    shared = dict(zip(dates, np.column_stack([wide, trailing(wide, 5), trailing(wide, 22)])))
    train, test, keys = [], [], []
    for name, rows in tickers.items():
        logs = np.array([row[1] for row in rows])
        own = np.column_stack([logs] + [np.log(trailing(np.exp(logs), count)) for count in (5, 22)])
        begin = len(rows) - int(math.ceil(TEST * len(rows)))
        for place in range(21, len(rows) - 1):
            inputs = shared[rows[place][0]]
            if not np.isfinite(inputs).all():
                continue
            line = np.concatenate([[1.0], own[place], inputs, [logs[place + 1]]])
            if place + 1 < begin:
                train.append(line)
            else:
                test.append(line)
                keys.append((name, rows[place + 1][0]))
    train, test = np.array(train), np.array(test)
    weights, *_ = np.linalg.lstsq(train[:, :-1], train[:, -1], rcond=None)
    forecasts = {"pooled log-HAR with market": dict(zip(keys, np.exp(test[:, :-1] @ weights))),
                 "last variance": dict(zip(keys, np.exp(test[:, 1])))}
    truth = dict(zip(keys, np.exp(test[:, -1])))
    seconds = {}
    for model in options.models.split(","):
        words = ["--time", "date", "--id", "ticker", "--target", "variance", "--covariates", "market,fall,volume"]
        found, seconds[model] = backtest(options, path, folder, model, words)
        found = {(name, date[:10]): value for (name, date), value in found.items()}
        shared_keys = [key for key in keys if key in found]
        forecasts[model] = {key: math.exp(found[key]) for key in shared_keys}
    keys = [key for key in keys if all(key in one for one in forecasts.values())]
    order = sorted({date for _, date in keys})
    border = order[len(order) // 10]
    learn, judge = [key for key in keys if key[1] < border], [key for key in keys if key[1] >= border]
    losses, table = {}, []
    for name, values in forecasts.items():
        ratio = np.mean([truth[key] / values[key] for key in learn])
        # QLIKE asks for means, and a forecast in logarithms is nearer to a median.
        losses[name] = qlike(np.array([truth[key] for key in judge]), np.array([values[key] for key in judge]) * ratio)
    bar = losses["pooled log-HAR with market"]
    place = {date: number for number, date in enumerate(order)}
    when = np.array([place[date] for _, date in judge])
    for name, loss in losses.items():
        sums, counts = np.bincount(when, loss - bar), np.bincount(when)
        mean, error, p = mean_test((sums / np.maximum(counts, 1))[counts > 0], 5)
        table.append({"model": name, "qlike": round(float(loss.mean()), 4), "difference": round(mean, 4),
                      "standard_error": round(error, 4), "p_value": p if name != "pooled log-HAR with market" else None,
                      "seconds": seconds.get(name)})
    return {"name": "S&P panel, Parkinson variance, 1 day ahead", "loss": "QLIKE", "tickers": len(tickers),
            "points": len(judge), "dates": int((np.bincount(when) > 0).sum()), "table": table}


# Volume


def read_ticks(file):
    """The time and the logarithm of the ticks of each hour that has some."""
    with open(file) as handle:
        rows = [(row["Date"][:19], float(row["tick_volume"])) for row in csv.DictReader(handle)]
    return [(date, math.log(ticks)) for date, ticks in rows if ticks > 0]


def write_ticks(rows, folder, name):
    path = os.path.join(folder, name + ".csv")
    with open(path, "w") as handle:
        handle.write("time,ticks\n")
        handle.writelines(f"{date},{value:.5f}\n" for date, value in rows)
    return path


def volume(options, folder, file):
    rows = read_ticks(file)
    path = write_ticks(rows, folder, file.stem)
    values = np.array([value for _, value in rows])
    hours = [datetime.datetime.fromisoformat(date) for date, _ in rows]
    slots = np.array([hour.weekday() * 24 + hour.hour for hour in hours])
    begin = len(rows) - int(math.ceil(TEST * len(rows)))
    lags = list(range(1, 25)) + [48, 72, 96, 120, 168]
    inputs = np.column_stack([values[168 - lag:len(values) - lag] for lag in lags] + [
        (slots[168:, None] == np.unique(slots)[None, :]).astype(float)])
    fitted = begin - 168
    moments = inputs[:fitted].T @ inputs[:fitted] + 1e-6 * np.eye(inputs.shape[1])
    weights = np.linalg.solve(moments, inputs[:fitted].T @ values[168:begin])
    keys = [date for date, _ in rows[begin:]]
    truth = values[begin:]
    forecasts = {"linear AR with season": (inputs @ weights)[fitted:], "last": values[begin - 1:-1]}
    seconds = {}
    for model in options.models.split(","):
        found, seconds[model] = backtest(
            options, path, folder, model, ["--context", "168"])
        found = {date: value for (_, date), value in found.items()}
        forecasts[model] = np.array([found.get(key, math.nan) for key in keys])
    known = np.all([np.isfinite(one) for one in forecasts.values()], axis=0)
    bar = np.abs(truth - forecasts["linear AR with season"])[known]
    table = []
    for name, one in forecasts.items():
        loss = np.abs(truth - one)[known]
        mean, error, p = mean_test(loss - bar, 24) if name != "linear AR with season" else (0.0, 0.0, None)
        table.append({"model": name, "mae": round(float(loss.mean()), 5),
                      "against_bar": round(float(loss.mean() / bar.mean() - 1), 4), "p_value": p,
                      "seconds": seconds.get(name)})
    return {"name": file.stem + ", log ticks, 1 hour ahead", "loss": "MAE", "points": int(known.sum()), "table": table}


def main():
    parser = argparse.ArgumentParser(description=__doc__, formatter_class=argparse.RawDescriptionHelpFormatter)
    parser.add_argument("--data", type=pathlib.Path, required=True)
    parser.add_argument("--apus", default=str(TOP / ".build/release/apus"))
    parser.add_argument("--models", default="lstm,mamba")
    parser.add_argument("--steps", type=int, default=600)
    parser.add_argument("--only", help="panel, or the name of a pair such as USDJPY")
    parser.add_argument("--output", type=pathlib.Path)
    options = parser.parse_args()
    results = []
    with tempfile.TemporaryDirectory() as folder:
        if options.only in (None, "panel"):
            results.append(panel(options, folder))
            print(json.dumps(results[-1], indent=1), flush=True)
        for file in sorted((options.data / "fx").glob("*_h1.csv")):
            if options.only in (None, file.stem.split("_")[0]):
                results.append(volume(options, folder, file))
                print(json.dumps(results[-1], indent=1), flush=True)
    if options.output:
        lines = ",\n".join(json.dumps(one) for one in results)
        options.output.write_text(f'{{\n"command": "Scripts/markets.py --steps {options.steps}", "date": '
                                  f'"{time.strftime("%Y-%m-%d")}",\n"results": [\n{lines}\n]\n}}\n')


if __name__ == "__main__":
    main()
