"""Runs apus compare on simulated series of known truth and counts what it recommends and what its intervals hold.

Usage: Scripts/calibration.py [--apus FILE] [--series 100] [--kinds a,b] [--jobs 2] [--minutes M] [--output FILE]
       [--table]

On random walks, AR(1), seasonal series and GARCH with t noise no model can be better than the right baseline: a
recommendation is wrong. On threshold autoregressions, Mackey-Glass, a noisy logistic map and two seasons with a trend
a model can be better. Whether it is, the mean advantage over the series of a kind says: where models are truly
better by 5 %, they should be recommended in at least 80 %.

The quantile levels asked for are those of intervals of 50, 80, 90 and 95 %; what they hold on test is that of the
forecaster that is recommended, the model or else the baseline to use. What FILE, JSON, already holds is not run again;
--minutes begins no run after that time; --table prints what FILE holds as Markdown.
"""
import argparse
import concurrent.futures
import json
import math
import os
import pathlib
import random
import subprocess
import tempfile
import time

TOP = pathlib.Path(__file__).resolve().parent.parent
LEVELS = "0.025,0.05,0.1,0.25,0.5,0.75,0.9,0.95,0.975"
NOMINAL = (0.5, 0.8, 0.9, 0.95)


def noise(generator, scale=1.0):
    return generator.gauss(0, scale)


def student(generator, degrees):
    chi = sum(generator.gauss(0, 1) ** 2 for _ in range(degrees))
    return generator.gauss(0, 1) / math.sqrt(chi / degrees)


def random_walk(g, n):
    level, out = 100.0, []
    for _ in range(n):
        level += noise(g)
        out.append(level)
    return out


def ar1(g, n):
    x, out = 0.0, []
    for _ in range(n):
        x = 0.7 * x + noise(g)
        out.append(x)
    return out


def seasonal(g, n):
    pattern = [g.uniform(-5, 5) for _ in range(7)]
    return [50 + pattern[i % 7] + noise(g) for i in range(n)]


def garch(g, n):
    variance, out, level = 1.0, [], 100.0
    for _ in range(n):
        move = math.sqrt(variance) * student(g, 6) * math.sqrt(4 / 6)
        variance = 0.05 + 0.1 * move * move + 0.85 * variance
        level += move
        out.append(level)
    return out


def threshold(g, n):
    x, out = 0.0, []
    for _ in range(n):
        x = (-1.0 - 0.9 * x if x > 0 else 1.5 - 0.5 * x) + noise(g, 0.3)
        out.append(x)
    return out


def mackey_glass(g, n):
    step, delay = 10, 170  # of a tenth each
    past = [1.2 + noise(g, 0.05) for _ in range(delay + 1)]
    out = []
    for _ in range(n + 50):
        for _ in range(step * 3):
            x, old = past[-1], past[-1 - delay]
            past.append(x + 0.1 * (0.2 * old / (1 + old**10) - 0.1 * x))
        out.append(past[-1])
    return [10 * x + noise(g, 0.05) for x in out[50:]]


def logistic(g, n):
    x, out = g.random(), []
    for _ in range(n):
        x = min(max(3.9 * x * (1 - x), 0.001), 0.999)
        out.append(x + noise(g, 0.02))
    return out


def two_seasons(g, n):
    short = [g.uniform(-4, 4) for _ in range(24)]
    long = [g.uniform(-6, 6) for _ in range(7)]
    return [
        100 + 0.01 * i + short[i % 24] * (1 + 0.5 * (i // 24 % 7 >= 5)) + long[i // 24 % 7] + noise(g)
        for i in range(n)
    ]


NULL = ["--models", "mamba,lstm", "--steps", "150"]
POWER = ["--models", "lstm", "--steps", "1500", "--context", "16"]
KINDS = {  # maker, rows, seconds between rows, options, whether a model can be better
    "random walk": (random_walk, 400, 86_400, NULL, False),
    "AR(1)": (ar1, 400, 86_400, NULL, False),
    "seasonal": (seasonal, 400, 86_400, NULL, False),
    "GARCH-t": (garch, 400, 86_400, NULL, False),
    "threshold AR": (threshold, 6000, 86_400, POWER, True),
    "Mackey-Glass": (mackey_glass, 6000, 86_400, POWER, True),
    "logistic map": (logistic, 6000, 86_400, POWER, True),
    "two seasons with trend": (two_seasons, 6000, 3_600, POWER, True),
}


def compare(apus, kind, seed):
    """One comparison: what was recommended, the advantage of the model on test, what intervals held."""
    maker, rows, spacing, options, _ = KINDS[kind]
    values = maker(random.Random(f"{kind} {seed}"), rows)
    with tempfile.TemporaryDirectory() as folder:
        path = os.path.join(folder, "series.csv")
        with open(path, "w") as file:
            file.write("time,value\n")
            for row, value in enumerate(values):
                file.write(f"{1_600_000_000 // 86_400 * 86_400 + row * spacing},{value:.6f}\n")
        output = os.path.join(folder, "out")
        done = subprocess.run(
            [apus, "compare", path, "--measure", "level", "--horizon", "1", "--seeds", "1", "--threads", "1",
             "--levels", LEVELS, "--quiet", "--output", output, "--json"] + options, capture_output=True, text=True)
        if done.returncode != 0:
            return {"kind": kind, "seed": seed, "error": done.stderr.strip()[-300:]}
        verdict = json.loads(done.stdout)["verdict"]
        with open(os.path.join(output, "record.json")) as file:
            rows = json.load(file)["rows"]
    held = {}
    used = verdict["use"]
    for name in {verdict["model"], used}:
        found = next(row for row in rows if row["name"] == name)["intervals"]
        near = lambda share, which: next(
            (round(one.get(which, one["measured"]), 4) for one in found if abs(one["nominal"] - share) < 1e-6), None)
        held["model" if name == verdict["model"] else "used"] = [near(share, "measured") for share in NOMINAL]
        if name == verdict["model"]:
            held["model_uncorrected"] = [near(share, "uncorrected") for share in NOMINAL]
    held.setdefault("used", held["model"])
    return {"kind": kind, "seed": seed, "recommended": verdict["recommended"] is not None,
            "effect": verdict["effect"] and round(verdict["effect"], 5), "baseline": verdict["baseline"],
            "used_name": used, **held}


def summary(runs):
    """A row for each kind."""
    rows = []
    for kind, (_, length, _, options, possible) in KINDS.items():
        own = [run for run in runs if run["kind"] == kind and "error" not in run]
        if not own:
            continue
        logs = [math.log(1 - run["effect"]) for run in own if run["effect"] is not None and run["effect"] < 1]
        mean = lambda which, place: round(100 * sum(run[which][place] for run in own) / len(own), 1)
        rows.append({
            "kind": kind, "rows": length, "series": len(own), "a_model_can_win": possible,
            "recommended": sum(run["recommended"] for run in own),
            "error_in_percent": round(100 * math.exp(sum(logs) / len(logs)), 1),
            "better_by_5_percent_on_test": sum((run["effect"] or 0) > 0.05 for run in own),
            **{f"{which}_{round(100 * share)}": mean(which, place) for place, share in enumerate(NOMINAL)
               for which in ("used", "model", "model_uncorrected")}})
    return rows


def table(rows):
    """The rows as Markdown, with the comment by which a test compares its figures with the file."""
    keys = ["recommended", "series", "error_in_percent"] + [f"used_{round(100 * share)}" for share in NOMINAL]
    claims, lines = [], []
    for place, row in enumerate(rows):
        form = f"| {row['kind']} | # of # | # % | # | # | # | # |"
        source = ", ".join(f"kinds[{place}].{key}" for key in keys)
        claims.append(f"{form} = calibration.json {source}")
        for key in keys:
            form = form.replace("#", str(row[key]), 1)
        lines.append(form)
    heads = ["series", "recommended", "error of the best baseline's", "half", "four fifths", "nine tenths",
             "nineteen twentieths"]
    return "\n".join(["<!-- figures", *claims, "-->", "", "| " + " | ".join(heads) + " |", "|---" * 7 + "|", *lines])


def main():
    parser = argparse.ArgumentParser(description=__doc__, formatter_class=argparse.RawDescriptionHelpFormatter)
    parser.add_argument("--apus", default=str(TOP / ".build/release/apus"))
    parser.add_argument("--series", type=int, default=100)
    parser.add_argument("--kinds", default=",".join(KINDS))
    parser.add_argument("--jobs", type=int, default=os.cpu_count() or 1)
    parser.add_argument("--minutes", type=float, default=1e9)
    parser.add_argument("--output", type=pathlib.Path, default=TOP / "Benchmarks/Results/calibration.json")
    parser.add_argument("--table", action="store_true")
    options = parser.parse_args()
    runs = json.loads(options.output.read_text())["runs"] if options.output.exists() else []
    if options.table:
        print(table(summary(runs)))
        return
    known = {(run["kind"], run["seed"]) for run in runs if "error" not in run}
    runs = [run for run in runs if "error" not in run]
    waiting = [(kind, seed) for seed in range(options.series) for kind in options.kinds.split(",")
               if (kind, seed) not in known]
    end = time.monotonic() + 60 * options.minutes

    def save():
        runs.sort(key=lambda run: (list(KINDS).index(run["kind"]), run["seed"]))
        rows = ",\n".join(json.dumps(row) for row in summary(runs))
        lines = ",\n".join(json.dumps(run) for run in runs)
        options.output.write_text(
            f'{{\n"command": "Scripts/calibration", "date": "{time.strftime("%Y-%m-%d")}",\n"nominal": {list(NOMINAL)},'
            f'\n"kinds": [\n{rows}\n],\n"runs": [\n{lines}\n]\n}}\n')

    with concurrent.futures.ThreadPoolExecutor(options.jobs) as pool:
        def work(one):
            return compare(options.apus, *one) if time.monotonic() < end else None
        for number, task in enumerate(concurrent.futures.as_completed([pool.submit(work, one) for one in waiting]), 1):
            if task.result() is None:
                continue
            runs.append(task.result())
            print(f"{number}/{len(waiting)}", json.dumps(task.result()), flush=True)
            if number % 10 == 0:
                save()
    save()


if __name__ == "__main__":
    main()
