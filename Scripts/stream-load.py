#!/usr/bin/env python3
"""Rows a second and memory of `apus stream` over many series, for as many rows as asked.

Usage: Scripts/stream-load.py [--apus FILE] [--rows 10000000] [--series 1000] [--model mamba] [--width 64] [--layers 2]
       [--output FILE]

A forecaster is trained for a few steps on hours of simulated series, as its speed hangs on its size alone, and then
reads rows of all of them, an hour after the other, made by a second process. Every tenth of the rows the resident
memory of the stream is looked at. Prints and writes JSON.
"""

import argparse
import datetime
import json
import pathlib
import platform
import random
import subprocess
import sys
import tempfile
import time

TOP = pathlib.Path(__file__).resolve().parent.parent
START = datetime.datetime(2020, 1, 1)
TRAINING = 240  # rows of each series


def lines(series, first, count):
    """Rows of all series, an hour after the other; numbers come round, as their values cost the stream nothing."""
    draw = random.Random(first)
    values = [[f"{10 + draw.gauss(0, 1):.3f}" for _ in range(97)] for _ in range(16)]
    names = [f"S{number:04}," for number in range(series)]
    for hour in range(first, first + count):
        at = f"{START + datetime.timedelta(hours=hour):%Y-%m-%d %H:%M:%S},"
        row = values[hour % 16]
        yield "".join([f"{name}{at}{row[place % 97]}\n" for place, name in enumerate(names)])


def feed(series, rows):
    """What the second process does."""
    sys.stdout.write("unique_id,ds,y\n")
    for text in lines(series, TRAINING, rows // series):
        sys.stdout.write(text)


def resident(process):
    """Resident memory of a process in MiB; 0 where it has ended."""
    try:
        for line in pathlib.Path(f"/proc/{process}/status").read_text().splitlines():
            if line.startswith("VmRSS"):
                return round(int(line.split()[1]) / 1024)
    except OSError:
        pass
    return 0


def main():
    parser = argparse.ArgumentParser(description=__doc__, formatter_class=argparse.RawDescriptionHelpFormatter)
    parser.add_argument("--apus", default=str(TOP / ".build/release/apus"))
    parser.add_argument("--rows", type=int, default=10_000_000)
    parser.add_argument("--series", type=int, default=1000)
    parser.add_argument("--model", default="mamba")
    parser.add_argument("--width", type=int, default=64)
    parser.add_argument("--layers", type=int, default=2)
    parser.add_argument("--output", type=pathlib.Path)
    parser.add_argument("--feed", action="store_true", help=argparse.SUPPRESS)
    options = parser.parse_args()
    if options.feed:
        return feed(options.series, options.rows)
    with tempfile.TemporaryDirectory() as folder:
        table, model = f"{folder}/table.csv", f"{folder}/model"
        with open(table, "w") as file:
            file.write("unique_id,ds,y\n")
            file.writelines(lines(options.series, 0, TRAINING))
        size = ["--model", options.model, "--width", str(options.width), "--layers", str(options.layers)]
        subprocess.run([options.apus, "train", *size, "--data", table, "--target", "y", "--id", "unique_id", "--time",
                        "ds", "--measure", "level", "--horizon", "1", "--steps", "3", "--output", model, "--quiet"],
                       check=True, stdout=subprocess.DEVNULL, stderr=subprocess.DEVNULL)
        source = subprocess.Popen(
            [sys.executable, __file__, "--feed", "--rows", str(options.rows), "--series", str(options.series)],
            stdout=subprocess.PIPE)
        stream = subprocess.Popen([options.apus, "stream", "--model", model], stdin=source.stdout,
                                  stdout=subprocess.PIPE)
        source.stdout.close()
        begin, count, memory = time.monotonic(), 0, []
        while chunk := stream.stdout.read(1 << 20):
            count += chunk.count(b"\n")
            if count >= options.rows * (len(memory) + 1) // 10 and len(memory) < 10:
                memory.append({"rows": count, "seconds": round(time.monotonic() - begin, 1),
                               "MiB": resident(stream.pid)})
                print(json.dumps(memory[-1]), flush=True)
        seconds = time.monotonic() - begin
        if stream.wait() or source.wait() or count != options.rows:
            sys.exit(f"{count} of {options.rows} rows were forecast; the stream ended with {stream.returncode}.")
    result = {
        "command": f"Scripts/stream-load.py --rows {options.rows} --series {options.series} --model {options.model} "
                   f"--width {options.width} --layers {options.layers}",
        "date": time.strftime("%Y-%m-%d"), "machine": platform.machine(), "rows": count,
        "seconds": round(seconds, 1), "rows_per_second": round(count / seconds), "memory": memory}
    head = json.dumps({key: value for key, value in result.items() if key != "memory"})[:-1]
    text = head + ',\n"memory": [\n' + ",\n".join(map(json.dumps, memory)) + "\n]}"
    print(text)
    if options.output:
        options.output.write_text(text + "\n")


if __name__ == "__main__":
    main()
