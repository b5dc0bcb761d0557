"""One forecaster of neuralforecast, statsforecast or LightGBM on a set of Scripts/peers-forecast.py, which runs this.

    python forecasters.py NAME ASK FOLDER OUTPUT SECONDS

ASK is JSON: horizon, season, windows, inputs, recent, known. FOLDER holds full.csv (unique_id, ds, y, and columns that
are known ahead); all but its last windows x horizon rows teach. Forecasts at origins a horizon apart go to OUTPUT,
(unique_id, ds, NAME); a line of JSON with seconds to standard output. Training ends after SECONDS of processor time, of
all cores together, so that a busy machine is no disadvantage.
"""
import json
import logging
import os
import sys
import time
import warnings

os.environ.setdefault("NIXTLA_ID_AS_COL", "1")
warnings.filterwarnings("ignore")
logging.disable(logging.WARNING)

import numpy
import pandas

STEPS, CHECK, PATIENCE = 1000, 100, 3
LONGEST_VALIDATION = 5  # horizons


def split(frame, ask):
    """Of each series the rows that teach and those of test."""
    test = ask["windows"] * ask["horizon"]
    return {name: (rows.iloc[:-test], rows) for name, rows in frame.groupby("unique_id", sort=False)}


def neural(name, frame, ask, seconds):
    """Networks of neuralforecast, with its absolute error, each series in its standard units of training."""
    import neuralforecast
    import neuralforecast.models
    import pytorch_lightning
    import torch
    torch.manual_seed(0)
    torch.set_num_threads(os.cpu_count() or 1)

    class Clock(pytorch_lightning.Callback):
        """Processor seconds and loss of every validation; the end when they are spent."""
        trace = []

        def on_fit_start(self, trainer, model):
            self.start = time.process_time()

        def on_train_batch_end(self, trainer, model, *rest):
            trainer.should_stop = trainer.should_stop or time.process_time() - self.start > seconds

        def on_validation_end(self, trainer, model):
            loss = trainer.callback_metrics.get("ptl/val_loss")
            if loss is not None and not trainer.sanity_checking:
                self.trace.append((round(time.process_time() - self.start, 2), round(float(loss), 5)))

    parts, pieces = split(frame, ask), []
    test = ask["windows"] * ask["horizon"]
    moments = {}
    for key, (train, rows) in parts.items():
        mean, deviation = train.y.mean(), train.y.std(ddof=0) or 1.0
        moments[key] = (mean, deviation)
        # Rows are counted, so that a weekend is no gap; the origins of all series are the last ones.
        pieces.append(rows.assign(ds=numpy.arange(len(rows)), y=(rows.y - mean) / deviation))
    shortest = min(len(train) for train, _ in parts.values())
    validation = max(ask["horizon"], min(shortest // 5, LONGEST_VALIDATION * ask["horizon"]))
    clock = Clock()
    common = dict(
        h=ask["horizon"], input_size=ask["inputs"], max_steps=STEPS, val_check_steps=CHECK,
        early_stop_patience_steps=PATIENCE, windows_batch_size=256, inference_windows_batch_size=256, random_seed=0,
        learning_rate=1e-3, alias=name, accelerator="cpu", callbacks=[clock],
        enable_progress_bar=False, enable_model_summary=False, enable_checkpointing=False, logger=False)
    known = ask.get("known") or []
    if name in ("NHITS", "LSTM"):  # the other two take no inputs that are known ahead
        common.update(scaler_type="robust", futr_exog_list=known or None)
    model = getattr(neuralforecast.models, name)(**common)
    forecaster = neuralforecast.NeuralForecast(models=[model], freq=1)
    start = time.process_time()
    found = forecaster.cross_validation(
        pandas.concat(pieces), val_size=validation, test_size=test, step_size=ask["horizon"], n_windows=None)
    facts = dict(training=clock.trace, fit_seconds=round(time.process_time() - start, 1))
    result = []
    for key, rows in found.groupby("unique_id"):
        mean, deviation = moments[key]
        values = rows.sort_values("ds")[name].to_numpy() * deviation + mean
        result.append((key, parts[key][1].ds.to_numpy()[-test:], values))
    return result, facts


def classical(name, frame, ask, seconds):
    """Automatic models of statsforecast: fitted once to the last rows of each series, read on from origin to origin."""
    import statsforecast.models
    start, result, horizon = time.process_time(), [], ask["horizon"]
    known = ask.get("known") or []
    test = ask["windows"] * horizon
    for key, (train, rows) in split(frame, ask).items():
        def inputs(first, last):
            takes = known and name == "AutoARIMA" and rows[known].iloc[:len(train)].to_numpy().std() > 0
            return rows[known].iloc[first:last].to_numpy(dtype=float) if takes else None
        y = rows.y.to_numpy(dtype=float)
        first = max(0, len(train) - ask["recent"])
        model = getattr(statsforecast.models, name)(season_length=ask["season"])
        model.fit(y[first:len(train)], X=inputs(first, len(train)))
        values = []
        for window in range(ask["windows"]):
            origin = len(train) + window * horizon
            begin = max(0, origin - ask["recent"])
            values.append(
                model.forward(y[begin:origin], horizon, X=inputs(begin, origin),
                              X_future=inputs(origin, origin + horizon))["mean"])
        if time.process_time() - start > seconds:
            raise SystemExit(f"{len(result) + 1} of {frame.unique_id.nunique()} series took {seconds:g} seconds")
        result.append((key, rows.ds.to_numpy()[-test:], numpy.concatenate(values)))
    return result, {}


def lags(y, origin, step, ask):
    """What trees see of one target, relative to the last season's mean and spread: values, seasonal ones, means."""
    span = max(ask["season"], 10)
    window = y[origin - ask["inputs"]:origin]
    level, spread = window[-span:].mean(), window.std() + 1e-9
    back = ask["season"] * -(-step // ask["season"])
    seasonal = []
    for turn in range(4):
        distance = back + ask["season"] * turn
        seen = distance <= ask["inputs"] + step - 1
        seasonal.append(y[origin + step - 1 - distance] if seen else numpy.nan)
    recent = window[-min(len(window), 24):]
    means = [window[-size:].mean() for size in (3, 7, 28, len(window))]
    return level, spread, (numpy.concatenate([recent, seasonal, means]) - level) / spread


def trees(name, frame, ask, seconds):
    """LightGBM: one model for all series and steps, of lags, means, the step, the calendar and what is known ahead."""
    import lightgbm
    horizon, draw = ask["horizon"], numpy.random.default_rng(0)
    parts, known = split(frame, ask), ask.get("known") or []
    places = ("hour", "minute", "dayofweek", "day", "month")
    calendar = {key: numpy.stack([getattr(rows.ds.dt, place) for place in places], 1)
                for key, (_, rows) in parts.items()}
    most = 300_000

    def examples(key, origins, steps):
        train, rows = parts[key]
        y, ahead = rows.y.to_numpy(dtype=float), rows[known].to_numpy(dtype=float)
        inputs, outputs, scales = [], [], []
        for origin, step in zip(origins, steps):
            level, spread, seen = lags(y, origin, step, ask)
            row = origin + step - 1
            now = ahead[row].tolist() + ahead[origin - 7:origin].mean(0).tolist() if known else []
            inputs.append(numpy.concatenate([seen, [step, number[key]], calendar[key][row], now]))
            outputs.append((y[row] - level) / spread)
            scales.append((level, spread))
        return numpy.array(inputs), numpy.array(outputs), numpy.array(scales)

    number = {key: place for place, key in enumerate(parts)}
    start, sets = time.process_time(), {"early": [], "late": []}
    each = max(1, most // len(parts))
    for key, (train, _) in parts.items():
        end, first = len(train) - horizon, ask["inputs"]
        if end <= first:
            continue
        border = max(first + 1, len(train) - max(horizon, min(len(train) // 5, LONGEST_VALIDATION * horizon)))
        for part, low, high, count in (("early", first, max(first + 1, border - horizon + 1), each),
                                       ("late", border, end + 1, each // 4)):
            if high <= low:
                continue
            places = draw.integers(low, high, min(count, (high - low) * horizon))
            sets[part].append(examples(key, places, draw.integers(1, horizon + 1, len(places))))
    early, late = [tuple(map(numpy.concatenate, zip(*sets[part]))) for part in ("early", "late")]
    options = dict(objective="l1", learning_rate=0.05, num_leaves=63, min_data_in_leaf=50, verbose=-1, seed=0,
                   num_threads=os.cpu_count() or 1)
    def limit(env):
        if time.process_time() - start > seconds:
            raise lightgbm.callback.EarlyStopException(env.iteration, env.evaluation_result_list)
    place = early[0].shape[1] - 6 - 2 * len(known)
    model = lightgbm.train(
        options, lightgbm.Dataset(early[0], early[1], categorical_feature=[place]), num_boost_round=1500,
        valid_sets=[lightgbm.Dataset(late[0], late[1])], callbacks=[lightgbm.early_stopping(50, verbose=False), limit])
    result = []
    for key, (train, rows) in parts.items():
        values = []
        for window in range(ask["windows"]):
            origin = len(train) + window * horizon
            steps = numpy.arange(1, horizon + 1)
            inputs, _, scales = examples(key, numpy.full(horizon, origin), steps)
            values.append(model.predict(inputs) * scales[:, 1] + scales[:, 0])
        result.append((key, rows.ds.to_numpy()[len(train):], numpy.concatenate(values)))
    return result, dict(trees=model.num_trees(), examples=len(early[1]))


def main():
    name, ask, folder, output, seconds = sys.argv[1:]
    ask, seconds = json.loads(ask), float(seconds)
    frame = pandas.read_csv(os.path.join(folder, "full.csv"), parse_dates=["ds"], dtype={"unique_id": str})
    start = time.monotonic()
    kind = neural if name in ("NHITS", "PatchTST", "LSTM", "NLinear") else trees if name == "LightGBM" else classical
    found, facts = kind(name, frame, ask, seconds)
    facts["work_seconds"] = round(time.monotonic() - start, 1)
    pieces = [pandas.DataFrame({"unique_id": key, "ds": times, name: values}) for key, times, values in found]
    pandas.concat(pieces).to_csv(output, index=False)
    print(json.dumps(facts))


main()
