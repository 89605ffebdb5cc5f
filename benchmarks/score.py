"""Measure the time and the peak memory of `va_jax score` on folders of random numbers.

    python -m benchmarks.score [--recordings=300] [--frames=4000] [--rounds=3] [--faults] [-- FLAGS]

Two folders of csv files with the columns frame, time_s, valence and arousal are written to a
temporary folder. `va_jax score` runs on them in a fresh process, alternating with its imports alone
and with numpy reading the same files. FLAGS are passed to `va_jax score`. With --faults, one cell
of every file is empty. The command prints medians, and the largest peak over all rounds.
"""

import argparse
import os
import pathlib
import statistics
import subprocess
import sys
import tempfile
import time
from collections.abc import Sequence

import numpy as np

FPS = 25

READING = """
import pathlib, sys
import numpy as np
for folder in sys.argv[1:]:
    for path in pathlib.Path(folder).glob("*.csv"):
        np.genfromtxt(path, delimiter=",", skip_header=1) if FAULTS else np.loadtxt(
            path, delimiter=",", skiprows=1
        )
"""


def write(folder: pathlib.Path, recordings: int, frames: int, faults: bool) -> None:
    """Write labels that move between -1 and 1, and predictions that follow them with noise."""
    for side in ("predictions", "labels"):
        (folder / side).mkdir()
    for recording in range(recordings):
        rng = np.random.default_rng(recording)
        labels = np.sin(np.cumsum(rng.normal(size=(frames, 2)), 0) / 50)
        predictions = 0.6 * labels + 0.2 * rng.normal(size=labels.shape)
        for side, values in (("predictions", predictions), ("labels", labels)):
            lines = [f"{i},{i / FPS:.3f},{v:.6f},{a:.6f}" for i, (v, a) in enumerate(values)]
            if faults:
                lines[-1] = lines[-1].rpartition(",")[0] + ","
            text = "\n".join(["frame,time_s,valence,arousal", *lines]) + "\n"
            (folder / side / f"{recording:04}.csv").write_text(text)


def measure(command: Sequence[str]) -> tuple[float, float, float]:
    """Return the wall-clock seconds, CPU seconds and peak memory (MB) of a command."""
    started = time.perf_counter()
    process = subprocess.Popen(command, stdout=subprocess.DEVNULL)
    _, status, usage = os.wait4(process.pid, 0)
    seconds = time.perf_counter() - started
    process.returncode = os.waitstatus_to_exitcode(status)
    if process.returncode:
        raise SystemExit(f"{' '.join(command)} failed")
    return seconds, usage.ru_utime + usage.ru_stime, usage.ru_maxrss / 1024


def main() -> None:
    parser = argparse.ArgumentParser(description=__doc__.splitlines()[0])
    parser.add_argument("--recordings", type=int, default=300, help="files in a folder")
    parser.add_argument("--frames", type=int, default=4000, help="rows in a file")
    parser.add_argument("--rounds", type=int, default=3, help="runs of each command")
    parser.add_argument("--faults", action="store_true", help="empty one cell of every file")
    parser.add_argument("flags", nargs="*", help="flags of va_jax score, after --")
    args = parser.parse_args()
    with tempfile.TemporaryDirectory() as place:
        write(pathlib.Path(place), args.recordings, args.frames, args.faults)
        sides = [f"{place}/predictions", f"{place}/labels"]
        reading = READING.replace("FAULTS", str(args.faults))
        commands = {
            "score": [sys.executable, "-m", "va_jax", "score", *sides, *args.flags],
            "imports": [sys.executable, "-c", "import va_jax.cli.score"],
            "numpy reads the files": [sys.executable, "-c", reading, *sides],
        }
        measured = {name: [] for name in commands}
        for _ in range(args.rounds):
            for name, command in commands.items():
                measured[name].append(measure(command))
    print(f"{args.recordings} recordings of {args.frames} frames, {args.rounds} rounds\n")
    print("| | seconds | seconds of CPU | peak memory, MB |\n|---|---|---|---|")
    for name, rounds in measured.items():
        seconds, busy, peaks = zip(*rounds, strict=True)
        times = f"{statistics.median(seconds):.1f} | {statistics.median(busy):.1f}"
        print(f"| {name} | {times} | {max(peaks):.0f} |")


if __name__ == "__main__":
    main()
