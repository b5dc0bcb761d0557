"""Fails every file operation of train, convert, compose and compare in turn, and kills train at random.

Usage: Scripts/faults.py APUS SHIM [SCENARIO...]

After each failure the command has ended with a status other than 0, or its result is that of an
undisturbed run; what stood in the folder before stands, or the new result does, whole; and the same command
once more gives the result of an undisturbed run. Prints counts as JSON; ends with 1 when any of it does
not hold.
"""

import json
import math
import os
import random
import shutil
import signal
import subprocess
import sys
import tempfile
import time

KINDS = os.environ.get("FAULT_KINDS", "kill torn enospc full eio short eintr").split()
KILLS = int(os.environ.get("FAULT_KILLS", "200"))
apus, shim = os.path.abspath(sys.argv[1]), os.path.abspath(sys.argv[2])
work = tempfile.mkdtemp(prefix="apus-faults-")
root = work + "/root"
problems = []


def run(arguments, fault=None, log=None, limit=120):
    environment = dict(os.environ)
    if fault or log:
        environment.update(LD_PRELOAD=shim, FAULT_ROOT=root)
    if fault:
        environment.update(FAULT_KIND=fault[0], FAULT_AT=str(fault[1]))
    if log:
        environment.update(FAULT_LOG=log)
    done = subprocess.run([apus, *arguments, "--threads", "1"], env=environment, cwd=work,
                          capture_output=True, timeout=limit)
    return done.returncode, done.stdout, done.stderr


def checked(arguments):
    status, output, errors = run(arguments)
    if status != 0:
        sys.exit(f"apus {' '.join(arguments)} ends with {status}: {errors.decode()}")
    return output


def series(path, seed):
    noise = random.Random(seed)
    rows = ["time,value"]
    for day in range(220):
        when = time.strftime("%Y-%m-%d", time.gmtime(1577836800 + day * 86400))
        rows.append(f"{when},{10 + 3 * math.sin(day * 2 * math.pi / 7) + noise.random():.4f}")
    open(path, "w").write("\n".join(rows) + "\n")


def place(name):
    """A file of a comparison where a commit has it."""
    pending = f"{root}/out/.saved/{name}"
    return pending if os.path.exists(pending) else f"{root}/out/{name}"


def forecast(folder=None):
    status, output, errors = run(["forecast", "--model", folder or root + "/out", "--data", data])
    return output if status == 0 else ("error", status)


def score():
    status, output, errors = run(["score", "--model", root + "/out", "--tokens", work + "/ids.json"])
    return output if status == 0 else ("error", status)


def composition():
    """The forecast and the experts, which two compositions differ by."""
    found = forecast()
    if isinstance(found, tuple):
        return found
    return repr((found, [one["name"] for one in json.load(open(place("coe.json")))["experts"]]))


def comparison():
    """Losses of both tables and the winner's forecast: parts of one run, or not."""
    found = []
    for name in ("leaderboard.json", "record.json"):
        try:
            table = json.load(open(place(name)))
        except FileNotFoundError:
            found.append(None)
            continue
        found.append(sorted((row["name"], row["loss"]) for row in table["rows"]
                            if row["kind"] == "model"))
    found.append(forecast(root + "/out/winner"))
    return repr(found)


TRAIN = ["train", "--model", "lstm", "--steps", "4", "--width", "8", "--layers", "1", "--context",
         "16", "--horizon", "2", "--quiet", "--output", root + "/out"]


def prepare_train():
    return [TRAIN + ["--data", data], TRAIN + ["--data", data, "--resume"], forecast]


def prepare_resume():
    checked(TRAIN + ["--data", other])
    shutil.rmtree(root + "/out/checkpoints")
    shutil.copytree(root + "/out", work + "/kept")
    shutil.rmtree(root + "/out")
    checked(TRAIN + ["--data", data])
    runs = root + "/out/checkpoints"
    shutil.rmtree(f"{runs}/{open(runs + '/LATEST').read().strip()}")
    shutil.move(runs, work + "/kept/checkpoints")
    shutil.rmtree(root + "/out")
    shutil.move(work + "/kept", root + "/out")
    again = TRAIN + ["--data", data, "--resume"]
    return [again, again, forecast]


def prepare_convert():
    for name, text in (("one", "abcabd " * 300), ("two", "dcba cab " * 300)):
        open(f"{work}/{name}.txt", "w").write(text)
        checked(["train", "--model", "transformer", "--data", f"{work}/{name}.txt", "--steps", "2",
                 "--width", "8", "--layers", "1", "--context", "16", "--batch", "2", "--quiet",
                 "--output", f"{work}/{name}"])
    open(work + "/ids.json", "w").write("[0, 1, 2, 3]")
    checked(["convert", work + "/two", "--output", root + "/out"])
    command = ["convert", work + "/one", "--output", root + "/out", "--shard-size", "1KB"]
    return [command, command, score]


def prepare_compose():
    for name in ("one", "two"):
        train = TRAIN[:-1] + [f"{work}/expert-{name}", "--seed", str(len(name)), "--data",
                              other if name == "one" else data]
        checked(train)
    compose = ["compose", "--output", root + "/out", "--experts"]
    checked(compose + [work + "/expert-two", "--data", other])
    command = compose + [f"{work}/expert-one,{work}/expert-two", "--data", data]
    return [command, command, composition]


def prepare_compare():
    command = ["compare", data, "--models", "lstm", "--seeds", "1", "--steps", "3", "--width", "8",
               "--layers", "1", "--context", "16", "--horizon", "2", "--quiet", "--output",
               root + "/out"]
    checked(command + ["--seed", "5"])
    return [command, command, comparison]


def exercise(name, prepare):
    os.makedirs(root)
    command, again, answer = prepare()
    initial = work + "/initial"
    shutil.copytree(root, initial)
    old = answer()

    def reset():
        shutil.rmtree(root)
        shutil.copytree(initial, root)

    log = work + "/log"
    status, _, errors = run(command, log=log)
    new = answer()
    operations = len(open(log).read().splitlines())
    if status != 0 or isinstance(new, tuple) or new == old:
        sys.exit(f"{name}: an undisturbed run ends with {status}: {errors.decode()}")
    counts = {"operations": operations, "failures": 0, "refused": 0, "unharmed": 0}
    for kind in KINDS:
        for number in range(1, operations + 1):
            reset()
            status, _, errors = run(command, fault=(kind, number))
            found = answer()
            counts["failures"] += 1
            counts["refused" if status else "unharmed"] += 1
            where = f"{name}, {kind} at {number} of {operations}, status {status}"
            if status == 0 and found != new:
                problems.append(f"{where}: a wrong answer: {errors.decode()[-300:]}")
            elif found not in (old, new):
                problems.append(f"{where}: what stood before is lost: {found!r:.200}")
            if status > 0 and not errors.strip():
                problems.append(f"{where}: no sentence")
            if status < 0 and kind not in ("kill", "torn"):
                problems.append(f"{where}: a signal: {errors.decode()[-300:]}")
            if status == 0:
                continue
            status, _, errors = run(again)
            if status != 0 or answer() != new:
                problems.append(f"{where}: not to be done again ({status}): {errors.decode()[-300:]}")
    shutil.rmtree(root)
    shutil.rmtree(initial)
    os.remove(log)
    return counts


def kills():
    """Random kills of train, resumed until it ends: the same bytes as undisturbed."""
    command = ["train", "--model", "lstm", "--steps", "40", "--width", "8", "--layers", "1", "--context",
               "16", "--horizon", "2", "--quiet", "--data", data, "--resume", "--threads", "1",
               "--output"]
    calm = work + "/calm"
    start = time.monotonic()
    subprocess.run([apus, *command, calm], check=True, capture_output=True)
    length = time.monotonic() - start
    names = ["model.safetensors", "config.json", "apus.json"]
    wanted = {name: open(f"{calm}/{name}", "rb").read() for name in names}
    dice, done, runs, folder = random.Random(1), 0, 0, work + "/killed"
    while done < KILLS:
        shutil.rmtree(folder, ignore_errors=True)
        runs += 1
        while True:
            process = subprocess.Popen([apus, *command, folder], stdout=subprocess.DEVNULL,
                                       stderr=subprocess.PIPE)
            try:
                process.wait(dice.uniform(0, length))
            except subprocess.TimeoutExpired:
                process.send_signal(signal.SIGKILL)
                process.wait()
                done += 1
                continue
            if process.returncode != 0:
                problems.append(f"kills: {process.stderr.read().decode()[-300:]}")
            break
        for name in names:
            if open(f"{folder}/{name}", "rb").read() != wanted[name]:
                problems.append(f"kills: {name} has other bytes after run {runs}")
    return {"kills": done, "runs": runs}


data, other = work + "/series.csv", work + "/other.csv"
series(data, 1)
series(other, 2)
scenarios = {"train": prepare_train, "resume": prepare_resume, "convert": prepare_convert,
             "compose": prepare_compose, "compare": prepare_compare, "kills": None}
try:
    result = {}
    for name in sys.argv[3:] or scenarios:
        print(f"==> {name}", file=sys.stderr)
        result[name] = exercise(name, scenarios[name]) if scenarios[name] else kills()
        print(f"    {result[name]}", file=sys.stderr)
finally:
    shutil.rmtree(work, ignore_errors=True)
for problem in problems[:50]:
    print("problem: " + problem, file=sys.stderr)
print(json.dumps({"scenarios": result, "problems": len(problems)}, indent=2))
sys.exit(1 if problems else 0)
