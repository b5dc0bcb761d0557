#!/usr/bin/env python3
"""Walks the way from a table to a forecast that runs, and times each step: compare, then every line that it prints.

Usage: Scripts/flows.py [--apus FILE] [--data FOLDER] [--budget 5s] [--seeds 1] [--only "a;b"] [--keep FOLDER]
       [--output FILE]

Five tables are made here, each with the traps of its kind: 50 monthly products with a promotion that is known ahead, a
daily shop, 30 yearly rows, 10 hourly sensors side by side, 20,000 minutes. With --data the folder also holds
m4/Hourly-train.csv, m4/Weekly-train.csv (Makridakis, Spiliotis and Assimakopoulos, 2018) and
market/sp500_panel.csv, and these three are walked too.

What is printed under "What to do next" is run as it stands, by a shell, in the folder where compare ran: forecast,
backtest, stream. A line that fails, or prints nothing, ends the walk with its words and exit code 1.
"""

import argparse
import datetime
import json
import math
import os
import pathlib
import random
import re
import subprocess
import sys
import tempfile
import time

TOP = pathlib.Path(__file__).resolve().parent.parent


def products(file):
    """Months of 50 products in different units; a promotion in some months, known for half a year ahead."""
    g = random.Random(1)
    file.write("product,month,units,promotion\n")
    for product in range(50):
        size, season = 10 ** g.uniform(1, 4), [g.uniform(0.6, 1.4) for _ in range(12)]
        effect = g.uniform(0.2, 0.6)
        for month in range(78):
            promotion = int(g.random() < 0.2)
            level = size * (1 + month / 200) * season[month % 12]
            units = level * (1 + effect * promotion) * math.exp(g.gauss(0, 0.08))
            known = "" if month >= 72 else f"{units:.0f}"
            file.write(f"P{product:03},{2018 + month // 12}-{month % 12 + 1:02}-01,{known},{promotion}\n")


def shop(file):
    """Three years of a shop that is shut on Sundays, written as a European spreadsheet writes them."""
    g = random.Random(2)
    file.write("Datum;Umsatz\n")
    day = datetime.date(2021, 1, 4)
    for number in range(1095):
        if (date := day + datetime.timedelta(number)).weekday() < 6:
            sales = 900 * (1 + 0.15 * date.weekday()) * (1 + 0.2 * math.sin(number / 58)) * math.exp(g.gauss(0, 0.1))
            file.write(f"{date:%d.%m.%Y};" + f"{sales:.2f}".replace(".", ",") + "\n")


def yearly(file):
    g, value = random.Random(3), 120.0
    file.write("year,visitors\n")
    for year in range(1994, 2024):
        value *= math.exp(g.gauss(0.03, 0.06))
        file.write(f"{year},{value:.1f}\n")


def sensors(file):
    """Ten sensors side by side, hourly, with a day's wave, some missing values and one fault code."""
    g = random.Random(4)
    levels, waves = [g.uniform(10, 30) for _ in range(10)], [g.uniform(1, 6) for _ in range(10)]
    noise = [0.0] * 10
    file.write("time," + ",".join(f"sensor{number}" for number in range(10)) + "\n")
    start = datetime.datetime(2023, 3, 1)
    for hour in range(1500):
        noise = [0.9 * one + g.gauss(0, 0.3) for one in noise]
        wave = [math.sin(math.tau * (hour % 24) / 24 + k) for k in range(10)]
        cells = [f"{levels[k] + waves[k] * wave[k] + noise[k]:.2f}" for k in range(10)]
        if g.random() < 0.01:
            cells[g.randrange(10)] = ""
        file.write(f"{start + datetime.timedelta(hours=hour):%Y-%m-%d %H:%M}," + ",".join(cells) + "\n")


def minutes(file):
    g, value = random.Random(5), 50.0
    file.write("timestamp,load\n")
    start = datetime.datetime(2024, 1, 1)
    for minute in range(20_000):
        value += 0.1 * (50 - value) + g.gauss(0, 0.5)
        wave = 10 * math.sin(math.tau * minute / 1440)
        file.write(f"{start + datetime.timedelta(minutes=minute):%Y-%m-%dT%H:%M:%S},{value + wave:.3f}\n")


MADE = {  # name: maker, options of compare
    "50 monthly products": (products, ["--future", "promotion", "--horizon", "6"]),
    "daily shop": (shop, ["--horizon", "12"]),
    "30 yearly rows": (yearly, ["--horizon", "3"]),
    "10 hourly sensors": (sensors, ["--target", "*", "--horizon", "24"]),
    "20,000 minutes": (minutes, ["--horizon", "30"]),
}
FOUND = {  # name: file, options of compare
    "M4 hourly": ("m4/Hourly-train.csv", ["--horizon", "48", "--season", "24", "--measure", "level"]),
    "M4 weekly": ("m4/Weekly-train.csv", ["--horizon", "13", "--measure", "level"]),
    "S&P panel": ("market/sp500_panel.csv", []),
}


def run(words, folder, shell=False):
    begin = time.monotonic()
    done = subprocess.run(words, cwd=folder, shell=shell, capture_output=True, text=True)
    return done, round(time.monotonic() - begin, 2)


def walk(apus, path, options, folder):
    words = [apus, "compare", path] + options
    done, seconds = run(words, folder)
    said = done.stdout + done.stderr
    if done.returncode != 0:
        sys.exit(f"{' '.join(words)}\nended with {done.returncode}: {said[-1500:]}")
    headline = done.stdout.strip().splitlines()[0]
    recommended = re.search(r"^Recommended: (.*?)(?:, in .*)?$", done.stdout, re.M)
    steps = [{"step": "compare", "seconds": seconds}]
    lines = done.stdout[done.stdout.index("What to do next"):].splitlines()
    for line in (line.strip() for line in lines if line.startswith("  ")):
        found, seconds = run(line, folder, shell=True)
        name = next((word for word in line.split() if word in ("forecast", "backtest", "stream")), "other")
        if found.returncode != 0 or not found.stdout.strip():
            sys.exit(f"{line}\nended with {found.returncode}: {found.stderr[-1500:]}")
        steps.append({"step": name, "seconds": seconds, "lines": len(found.stdout.splitlines()),
                      "said": found.stderr.strip().splitlines()[:2]})
    return {"headline": headline, "recommended": recommended and recommended.group(1), "steps": steps}


def main():
    parser = argparse.ArgumentParser(description=__doc__, formatter_class=argparse.RawDescriptionHelpFormatter)
    parser.add_argument("--apus", default=str(TOP / ".build/release/apus"))
    parser.add_argument("--data", type=pathlib.Path)
    parser.add_argument("--budget", default="5s")
    parser.add_argument("--seeds", default="1")
    parser.add_argument("--only", help="names of tables, separated by semicolons")
    parser.add_argument("--keep", type=pathlib.Path, help="a folder for tables and results; else they are removed")
    parser.add_argument("--output", type=pathlib.Path)
    options = parser.parse_args()
    apus = os.path.abspath(options.apus)
    wanted = options.only.split(";") if options.only else None
    results = []
    with tempfile.TemporaryDirectory() as scratch:
        top = str(options.keep or scratch)
        for name in [*MADE, *(FOUND if options.data else [])]:
            if wanted and name not in wanted:
                continue
            folder = os.path.join(top, re.sub(r"[^A-Za-z0-9]+", "-", name))
            os.makedirs(folder, exist_ok=True)
            if name in MADE:
                maker, words = MADE[name]
                path = "table.csv"
                with open(os.path.join(folder, path), "w") as file:
                    maker(file)
            else:
                file, words = FOUND[name]
                path = str((options.data / file).resolve())
            result = walk(apus, path, words + ["--budget", options.budget, "--seeds", options.seeds], folder)
            results.append({"name": name, **result})
            times = ", ".join(f"{step['step']} {step['seconds']} s" for step in result["steps"])
            print(f"{name}: {result['headline']}\n  {times}", flush=True)
    if options.output:
        lines = ",\n".join(json.dumps(one) for one in results)
        command = f"Scripts/flows.py --budget {options.budget} --seeds {options.seeds}"
        options.output.write_text(f'{{\n"command": "{command}", "date": "{time.strftime("%Y-%m-%d")}",\n'
                                  f'"tables": [\n{lines}\n]\n}}\n')


if __name__ == "__main__":
    main()
