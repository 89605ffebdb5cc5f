"""Measure time and memory of `va_jax predict` for short and long videos."""

import itertools
import pathlib
import resource
import statistics
import sys
from typing import Any

import numpy as np

from benchmarks import build

BRIEF_MINUTES = 2 / 60  # length of the video from which the start-up is calculated


def spend(command: list[str]) -> tuple[float, float, float]:
    """Return the wall-clock seconds, CPU seconds and peak memory (MiB) of a command."""

    def cpu_s() -> float:
        usage = resource.getrusage(resource.RUSAGE_CHILDREN)
        return usage.ru_utime + usage.ru_stime

    before_s = cpu_s()
    wall_s, peak_mib = build.spend(command)
    return wall_s, cpu_s() - before_s, peak_mib


def measure(
    model: str, folder: pathlib.Path, minutes: list[float], pictures: Any, every: int, rounds: int
) -> dict[str, Any]:
    """Return the median wall-clock and CPU seconds and the largest peak memory, by video length.

    `start_s` is the time that a video without frames would take, extrapolated from the two
    shortest videos.
    """
    spent: dict[float, list[tuple[float, float, float]]] = {}
    for each in sorted({BRIEF_MINUTES, *minutes}):
        build.write_video(folder / f"{each:g}.mp4", pictures, round(60 * build.FPS * each))
        spent[each] = []
    for _, each in itertools.product(range(rounds), spent):
        command = [sys.executable, "-m", "va_jax", "predict", model, str(folder / f"{each:g}.mp4")]
        flags = [f"--out={folder}", "--overwrite", "--no-progress", f"--every={every}"]
        spent[each].append(spend([*command, *flags]))
    table = [
        {
            "minutes": each,
            "s": [statistics.median(column) for column in list(zip(*turns, strict=True))[:2]],
            "peak_mib": max(mib for *_, mib in turns),
        }
        for each, turns in spent.items()
    ]
    brief, short = table[0], table[1]
    rate = np.subtract(short["s"], brief["s"]) / (short["minutes"] - brief["minutes"])
    return {"table": table, "start_s": (brief["s"] - rate * brief["minutes"]).tolist()}


def table(spent: dict[str, Any]) -> str:
    """Return the table for all lengths, and the time for the longest relative to the shortest."""
    rows, start_s = spent["table"], np.array(spent["start_s"])
    lines = [f"{'minutes':<12}{'s':>9}{'CPU s':>9}{'peak, MiB':>11}"]
    for row in rows:
        wall_s, cpu_s = row["s"]
        lines.append(f"{row['minutes']:<12.3g}{wall_s:>9.1f}{cpu_s:>9.1f}{row['peak_mib']:>11.0f}")
    short, long = rows[1], rows[-1]
    whole = np.divide(long["s"], short["s"])
    less = (long["s"] - start_s) / (short["s"] - start_s)
    lines.append(f"start-up and compilation: {start_s[0]:.1f} s, of CPU {start_s[1]:.1f}")
    lines.append(
        f"{long['minutes'] / short['minutes']:.3g} x the length: {whole[0]:.2f} x the time, of CPU "
        f"{whole[1]:.2f} x; without start-up {less[0]:.2f} x, of CPU {less[1]:.2f} x; "
        f"{long['peak_mib'] / short['peak_mib']:.2f} x the memory"
    )
    return "\n".join(lines)
