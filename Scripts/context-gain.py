#!/usr/bin/env python3
"""What longer contexts gain: the error of architectures by the rows that they read, as a figure.

Usage: Scripts/context-gain.py --data FILE --output NAME [--apus FILE] [--models a,b] [--contexts 24,48,96,168,336]
       [--steps 300]

FILE is an hourly table with the columns Date and tick_volume, as Scripts/markets.py reads; the question is its second:
the logarithm of an hour's ticks, one hour ahead, the last fifth of the rows. Every run has the same steps. Writes
NAME.json and NAME.svg; what NAME.json already holds is not run again. Needs numpy.
"""

import argparse
import json
import pathlib
import tempfile
import types

from markets import TOP, read_ticks, backtest, write_ticks

COLORS = ["#4361b8", "#c2571a", "#2e8555", "#8a4fa3"]


def measure(options, rows, model, context):
    with tempfile.TemporaryDirectory() as folder:
        path = write_ticks(rows, folder, "ticks")
        run = types.SimpleNamespace(apus=options.apus, steps=options.steps)
        found, seconds = backtest(run, path, folder, model, ["--context", str(context)])
    found = {date: value for (_, date), value in found.items()}
    errors = [abs(found[date] - value) for date, value in rows if date in found]
    return {"model": model, "context": context, "mae": round(sum(errors) / len(errors), 5), "points": len(errors),
            "seconds": seconds}


def draw(runs, contexts, models):
    """A line for each model over the contexts, on a logarithmic axis of equal steps."""
    width, height, left, top, right, bottom = 640, 360, 64, 24, 120, 52
    low, high = min(run["mae"] for run in runs), max(run["mae"] for run in runs)
    pad = (high - low) * 0.08 or 0.01
    low, high = low - pad, high + pad
    x = lambda context: left + contexts.index(context) * (width - left - right) / max(1, len(contexts) - 1)
    y = lambda error: top + (high - error) / (high - low) * (height - top - bottom)
    parts = [f'<svg xmlns="http://www.w3.org/2000/svg" viewBox="0 0 {width} {height}" font-family="sans-serif" '
             'font-size="13" role="img" aria-label="Error by rows read">',
             f'<rect width="{width}" height="{height}" fill="#fff"/>']
    for step in range(5):
        error = low + (high - low) * step / 4
        parts.append(f'<line x1="{left}" x2="{width - right}" y1="{y(error):.1f}" y2="{y(error):.1f}" stroke="#ddd"/>'
                     f'<text x="{left - 8}" y="{y(error) + 4:.1f}" text-anchor="end" fill="#444">{error:.3f}</text>')
    for context in contexts:
        parts.append(f'<text x="{x(context):.1f}" y="{height - bottom + 20}" text-anchor="middle" fill="#444">'
                     f'{context}</text>')
    parts.append(f'<text x="{(left + width - right) / 2}" y="{height - 10}" text-anchor="middle" fill="#222">'
                 'rows read</text>')
    ends = sorted((y(run["mae"]), run["model"]) for run in runs if run["context"] == contexts[-1])
    places, last = {}, -100.0
    for place, model in ends:
        last = max(place, last + 16)
        places[model] = last
    for model, color in zip(models, COLORS):
        own = sorted((run["context"], run["mae"]) for run in runs if run["model"] == model)
        line = " ".join(f"{x(context):.1f},{y(error):.1f}" for context, error in own)
        parts.append(f'<polyline points="{line}" fill="none" stroke="{color}" stroke-width="2"/>')
        parts += [f'<circle cx="{x(context):.1f}" cy="{y(error):.1f}" r="3" fill="{color}"/>' for context, error in own]
        if model in places:
            parts.append(f'<text x="{width - right + 10}" y="{places[model] + 4:.1f}" fill="{color}">{model}</text>')
    return "\n".join(parts + ["</svg>\n"])


def main():
    parser = argparse.ArgumentParser(description=__doc__, formatter_class=argparse.RawDescriptionHelpFormatter)
    parser.add_argument("--data", type=pathlib.Path, required=True)
    parser.add_argument("--apus", default=str(TOP / ".build/release/apus"))
    parser.add_argument("--models", default="mamba,jamba,megalodon,transformer")
    parser.add_argument("--contexts", default="24,48,96,168,336")
    parser.add_argument("--steps", type=int, default=300)
    parser.add_argument("--output", type=pathlib.Path, required=True, help="the files' name without its end")
    options = parser.parse_args()
    models, contexts = options.models.split(","), [int(one) for one in options.contexts.split(",")]
    file = options.output.with_suffix(".json")
    runs = json.loads(file.read_text())["runs"] if file.exists() else []
    rows = read_ticks(options.data)
    for context in contexts:
        for model in models:
            if any((run["model"], run["context"]) == (model, context) for run in runs):
                continue
            runs.append(measure(options, rows, model, context))
            print(json.dumps(runs[-1]), flush=True)
            lines = ",\n".join(json.dumps(run) for run in runs)
            file.write_text(f'{{\n"command": "Scripts/context-gain.py --steps {options.steps}", '
                            f'"data": "{options.data.stem}",\n"runs": [\n{lines}\n]\n}}\n')
    if runs:
        options.output.with_suffix(".svg").write_text(draw(runs, contexts, models))


if __name__ == "__main__":
    main()
