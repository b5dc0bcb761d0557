"""What the scripts beside it share: timing, the machine's facts, and the call of `apus bench`."""

import datetime
import json
import os
import pathlib
import platform
import subprocess
import time

TOP = pathlib.Path(__file__).resolve().parents[2]
APUS = TOP / ".build/release/apus"


def best_seconds(step, runs: int) -> float:
    """The shortest of `runs` calls, after one that warms caches and pools."""
    step()
    best = float("inf")
    for _ in range(runs):
        start = time.perf_counter()
        step()
        best = min(best, time.perf_counter() - start)
    return best


def cpu_flags() -> set[str]:
    try:
        for line in pathlib.Path("/proc/cpuinfo").read_text().splitlines():
            if line.startswith("flags"):
                return set(line.split(":", 1)[1].split())
    except OSError:
        pass
    return set()


def has_bf16() -> bool:
    """Whether the CPU multiplies bfloat16 itself; elsewhere autocast only loses time."""
    return bool({"avx512_bf16", "amx_bf16"} & cpu_flags())


def cpu_name() -> str:
    try:
        for line in pathlib.Path("/proc/cpuinfo").read_text().splitlines():
            if line.startswith("model name"):
                return line.split(":", 1)[1].strip()
    except OSError:
        pass
    return platform.processor() or platform.machine()


def machine() -> dict:
    """The facts without which a figure says nothing."""
    flags = cpu_flags()
    pinned = hasattr(os, "sched_getaffinity")  # not on macOS
    cores = len(os.sched_getaffinity(0)) if pinned else os.cpu_count()
    wide = [f for f in ("avx2", "avx512f", "avx512_bf16", "avx512_vnni", "amx_bf16") if f in flags]
    return {
        "cpu": cpu_name(),
        "cores": cores,
        "vectors": wide,
        "load": round(os.getloadavg()[0], 2),
        "system": f"{platform.system()} {platform.release()}",
        "date": datetime.datetime.now(datetime.timezone.utc).strftime("%Y-%m-%dT%H:%MZ"),
    }


def apus_bench(*arguments: str) -> dict:
    """The JSON that `apus bench` prints. Raises with the command's own words when it fails."""
    command = [str(APUS), "bench", *arguments, "--json"]
    done = subprocess.run(command, capture_output=True, text=True)
    if done.returncode != 0:
        raise RuntimeError(f"{' '.join(command[1:])}: {done.stderr.strip() or done.returncode}")
    return json.loads(done.stdout)


def faster(a: dict, b: dict) -> dict:
    """The better of two results of the same work."""
    return a if a["milliseconds"] <= b["milliseconds"] else b
