"""Traces as files: a csv per track and a picture of predictions against labels."""

import os
import pathlib
from collections.abc import Sequence

import numpy as np
from matplotlib.backends.backend_agg import FigureCanvasAgg
from matplotlib.figure import Figure

from va_jax.card import Trace
from va_jax.config import write_atomically
from va_jax.metrics import Moments

PICTURED = 6
"""Tracks in a picture, spread evenly over the split."""


def write_traces(folder: pathlib.Path, traces: Sequence[Trace], dims: Sequence[str]) -> None:
    """`folder`/TRACK.csv for every trace: a row a frame, also where it does not count.

    Columns: frame, time_s, a column per dimension, its label (empty where there is none) as
    DIM_target, and valid (1 where the frame shows the face and is labelled).
    """
    folder.mkdir(parents=True, exist_ok=True)
    header = ["frame", "time_s", *dims, *(f"{dim}_target" for dim in dims), "valid"]
    for trace in traces:
        lines = [",".join(header)]
        for i in range(len(trace.pred)):
            labels = ["" if np.isnan(x) else f"{x:.6f}" for x in trace.target[i]]
            preds = [f"{x:.6f}" for x in trace.pred[i]]
            valid = str(int(trace.mask[i]))
            lines.append(",".join([str(i), f"{trace.time_s[i]:.4f}", *preds, *labels, valid]))
        name = trace.track.track_id.replace("/", "__")
        write_atomically(folder / f"{name}.csv", "\n".join(lines) + "\n")


def plot_traces(path: pathlib.Path, traces: Sequence[Trace], dims: Sequence[str]) -> None:
    """A PNG with a row per track and a column per dimension; grey where a frame does not count."""
    chosen = sorted(set(np.linspace(0, len(traces) - 1, PICTURED).round().astype(int)))
    figure = Figure(figsize=(6.5 * len(dims), 1.9 * len(chosen) + 0.6), layout="constrained")
    FigureCanvasAgg(figure)
    axes = figure.subplots(len(chosen), len(dims), squeeze=False, sharey=True)
    for row, index in zip(axes, chosen, strict=True):
        trace = traces[index]
        ccc = Moments.of(trace.pred, trace.target, trace.mask).ccc()
        for i, (axis, dim) in enumerate(zip(row, dims, strict=True)):
            axis.plot(trace.time_s, trace.target[:, i], color="0.25", lw=1.2, label="label")
            axis.plot(trace.time_s, trace.pred[:, i], color="C3", lw=1.2, label="prediction")
            axis.fill_between(
                trace.time_s, -1, 1, where=~trace.mask, color="0.85", lw=0, label="does not count"
            )
            axis.axhline(0, color="0.8", lw=0.6, zorder=0)
            axis.set(ylim=(-1, 1), xlim=(trace.time_s[0], max(trace.time_s[-1], 1e-3)))
            axis.set_title(f"{trace.track.track_id}: {dim}, CCC {ccc[i]:.2f}", fontsize=9)
    for axis in axes[-1]:
        axis.set_xlabel("time, s")
    axes[0, 0].legend(loc="upper right", fontsize=7, ncols=3)
    temporary = path.with_name(f".{path.name}.tmp")
    figure.savefig(temporary, format="png", dpi=110)
    os.replace(temporary, path)
