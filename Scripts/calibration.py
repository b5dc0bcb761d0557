"""Runs apus compare on simulated series of known truth and counts what it recommends.

On random walks, AR(1), seasonal series and GARCH with t noise no model can be better than the right
baseline: a recommendation is wrong. On threshold autoregressions, Mackey-Glass, a noisy logistic map and
two seasons with a trend a model can be better: a recommendation is right.
"""
import argparse
import json
import math
import os
import random
import subprocess
import tempfile


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


KINDS = {  # maker, rows, seconds between rows, whether a model can be better
    "random walk": (random_walk, 400, 86_400, False),
    "AR(1)": (ar1, 400, 86_400, False),
    "seasonal": (seasonal, 400, 86_400, False),
    "GARCH-t": (garch, 400, 86_400, False),
    "threshold AR": (threshold, 1500, 86_400, True),
    "Mackey-Glass": (mackey_glass, 1500, 86_400, True),
    "logistic map": (logistic, 1500, 86_400, True),
    "two seasons with trend": (two_seasons, 2000, 3_600, True),
}


def compare(apus, values, spacing, folder, options):
    path = os.path.join(folder, "series.csv")
    with open(path, "w") as file:
        file.write("time,value\n")
        for row, value in enumerate(values):
            file.write(f"{1_600_000_000 // 86_400 * 86_400 + row * spacing},{value:.6f}\n")
    done = subprocess.run(
        [apus, "compare", path, "--measure", "level", "--seeds", "1", "--quiet", "--output",
         os.path.join(folder, "out"), "--json"] + options, capture_output=True, text=True)
    if done.returncode != 0:
        raise SystemExit(done.stderr)
    return json.loads(done.stdout)


def main():
    parser = argparse.ArgumentParser()
    parser.add_argument("--apus", default=".build/release/apus")
    parser.add_argument("--series", type=int, default=100)
    parser.add_argument("--kinds", default=",".join(KINDS))
    parser.add_argument("--models", default="mamba,lstm")
    parser.add_argument("--steps", default="150")
    parser.add_argument("--horizon", default="1")
    parser.add_argument("--output")
    options = parser.parse_args()
    results = []
    for kind in options.kinds.split(","):
        maker, rows, spacing, possible = KINDS[kind]
        recommended, better = 0, 0
        for seed in range(options.series):
            values = maker(random.Random(f"{kind} {seed}"), rows)
            with tempfile.TemporaryDirectory() as folder:
                board = compare(
                    options.apus, values, spacing, folder,
                    ["--models", options.models, "--steps", options.steps, "--horizon",
                     options.horizon])
            verdict = board["verdict"]
            recommended += verdict["recommended"] is not None
            better += (verdict["effect"] or 0) > 0.05
        row = {"kind": kind, "series": options.series, "recommended": recommended,
               "better_by_5_percent": better, "a_model_can_win": possible}
        results.append(row)
        print(json.dumps(row), flush=True)
    if options.output:
        with open(options.output, "w") as file:
            json.dump({"models": options.models, "steps": int(options.steps),
                       "horizon": int(options.horizon), "kinds": results}, file, indent=2)
            file.write("\n")


main()
