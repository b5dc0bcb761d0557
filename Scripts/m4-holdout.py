"""MASE of our baselines beside statsforecast's on the last rows of every series of an M4 training file.

    pip install statsforecast
    python3 Scripts/m4-holdout.py Weekly-train.csv --season 1 --horizon 13
    python3 Scripts/m4-holdout.py Hourly-train.csv --season 24 --horizon 48 --every 20

The file is that of the competition (Makridakis, Spiliotis and Assimakopoulos, 2018): a row per series, its
name first. Both see the same rows; the scale is the mean seasonal step of the rows before the hold-out.
Ours is the median of the forecast, which the absolute error asks for, theirs the mean.
"""
import argparse
import csv
import json
import os
import subprocess
import tempfile
import time

PEERS = {"ets": "AutoETS", "theta": "Theta", "auto-theta": "AutoTheta", "arima": "AutoARIMA"}


def ours(apus, path, season, horizon, names):
    done = subprocess.run(
        [apus, "backtest", "--model", ",".join(names), "--data", path, "--measure", "level", "--windows",
         "1", "--horizon", str(horizon), "--season", str(season), "--quiet", "--json"],
        capture_output=True, text=True, check=True)
    found = json.loads(done.stdout)["models"]
    return {
        one["model"]: {metric["name"]: metric["value"] for metric in one["metrics"]}["MASE"]
        for one in found
    }


def theirs(series, season, horizon, names):
    import numpy
    import statsforecast.models as models

    result = {}
    for name in names:
        errors, start = [], time.time()
        for values in series:
            train, test = numpy.array(values[:-horizon]), numpy.array(values[-horizon:])
            model = getattr(models, PEERS[name])(season_length=season)
            mean = model.forecast(y=train, h=horizon)["mean"]
            scale = numpy.mean(numpy.abs(train[season:] - train[:-season]))
            errors.append(numpy.mean(numpy.abs(test - mean)) / scale)
        result[name] = (float(numpy.mean(errors)), (time.time() - start) / len(series))
    return result


def main():
    parser = argparse.ArgumentParser()
    parser.add_argument("file")
    parser.add_argument("--apus", default=".build/release/apus")
    parser.add_argument("--season", type=int, required=True)
    parser.add_argument("--horizon", type=int, required=True)
    parser.add_argument("--every", type=int, default=1, help="take one series in so many")
    parser.add_argument("--models", default="ets,theta")
    options = parser.parse_args()
    with open(options.file) as file:
        rows = [[cell for cell in row if cell] for row in csv.reader(file)]
    header, rows = rows[0], rows[1:][:: options.every]
    names = options.models.split(",")
    with tempfile.TemporaryDirectory() as folder:
        path = os.path.join(folder, "part.csv")
        with open(path, "w") as file:
            writer = csv.writer(file)
            writer.writerow(header)
            writer.writerows(row + [""] * (len(header) - len(row)) for row in rows)
        found = ours(options.apus, path, options.season, options.horizon, names)
    series = [[float(cell) for cell in row[1:]] for row in rows]
    peers = theirs(series, options.season, options.horizon, [n for n in names if n in PEERS])
    for name in names:
        line = f"{name}: MASE {found[name]:.4f} on {len(series)} series"
        if name in peers:
            mase, seconds = peers[name]
            line += f"; statsforecast {mase:.4f} ({100 * (found[name] / mase - 1):+.1f} %), {seconds:.2f} s a fit"
        print(line)


main()
