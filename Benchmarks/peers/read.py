"""Times `apus bench read` beside polars on a table of a million rows, one right after the other.

Usage: read.py [--rows 1000000] [--series 1000] [--rounds 5] [--apus FILE] [--output FILE.json]

The table is made here: unique_id, ds, y, a series after the other, hours in ISO 8601. polars reads it twice, with
dates as text and with dates parsed; Apus reads, finds and checks roles, frequency and seasons, and makes the rows from
which windows are cut. Rounds alternate, the best of each counts. The absolute figures hold for this machine only.
"""

import argparse
import datetime
import importlib.metadata
import json
import pathlib
import random
import tempfile

import polars

import timing


def write(path: pathlib.Path, rows: int, series: int) -> None:
    generator = random.Random(0)
    start = datetime.datetime(2023, 1, 1)
    each = rows // series
    times = [f"{start + datetime.timedelta(hours=hour):%Y-%m-%d %H:%M:%S}" for hour in range(each)]
    with open(path, "w") as file:
        file.write("unique_id,ds,y\n")
        for number in range(series):
            value = 100.0
            for time in times:
                value += generator.gauss(0, 1)
                file.write(f"S{number:04},{time},{value:.4f}\n")


def main() -> None:
    parser = argparse.ArgumentParser(description=__doc__, formatter_class=argparse.RawDescriptionHelpFormatter)
    parser.add_argument("--rows", type=int, default=1_000_000)
    parser.add_argument("--series", type=int, default=1000)
    parser.add_argument("--rounds", type=int, default=5)
    parser.add_argument("--apus", type=pathlib.Path, default=timing.APUS)
    parser.add_argument("--output", type=pathlib.Path)
    options = parser.parse_args()
    timing.APUS = options.apus
    best: dict[str, float] = {}

    def keep(name: str, seconds: float) -> None:
        best[name] = min(best.get(name, seconds), seconds)

    with tempfile.TemporaryDirectory() as folder:
        path = pathlib.Path(folder, "million.csv")
        write(path, options.rows, options.series)
        size = path.stat().st_size
        for _ in range(options.rounds):
            found = timing.apus_bench("read", str(path), "--runs", "1")
            keep("table_seconds", found["table_seconds"])
            keep("rows_seconds", found["table_seconds"] + found["frame_seconds"])
            keep("windows_seconds", found["window_seconds"])
            keep("polars_text_seconds", timing.best_seconds(lambda: polars.read_csv(path), 1))
            keep("polars_dates_seconds",
                 timing.best_seconds(lambda: polars.read_csv(path, try_parse_dates=True), 1))
    result = {
        "command": "Benchmarks/peers/read.py", "machine": timing.machine(), "bytes": size, "rows": options.rows,
        "series": options.series, "polars": importlib.metadata.version("polars"),
        **{name: round(seconds, 3) for name, seconds in best.items()},
        "ratio_dates": round(best["rows_seconds"] / best["polars_dates_seconds"], 2),
        "ratio_text": round(best["rows_seconds"] / best["polars_text_seconds"], 2),
    }
    text = json.dumps(result, indent=1)
    if options.output:
        options.output.write_text(text + "\n")
    print(text)


main()
