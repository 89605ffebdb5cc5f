"""Plots of traces: predictions and labels over time, for several recordings."""

from collections.abc import Sequence

import numpy as np
from jaxtyping import Bool, Float
from matplotlib.axes import Axes
from matplotlib.figure import Figure
from matplotlib.lines import Line2D
from matplotlib.patches import Patch

from va_jax.evaluation.metrics import Moments
from va_jax.report.plots import (
    LABEL,
    PREDICTION,
    TRACE_WIDTH,
    InlineFigure,
    fonts,
    render_png,
    style,
)
from va_jax.types import DIMS, LABEL_RANGE, Trace

OVERVIEW_RECORDINGS = 6
"""Number of recordings in the overview of a split, evenly spaced."""

GREY = "#e0e0e0"
HEAD = 0.62  # inches above the panels
LEGEND = {"loc": "upper right", "frameon": False, "fontsize": 8.5, "borderpad": 0.2}


def figure(trace: Trace, dims: Sequence[str] = DIMS) -> Figure:
    """Return a figure of a recording, with a panel for each dimension, which notebooks show.

    Args:
        trace: predictions and labels.
        dims: names of the dimensions in their columns.
    """
    ccc = Moments.of(trace.pred, trace.target, trace.mask).ccc()
    scores = [f"CCC {value:.3f}" if trace.mask.any() else "not scored" for value in ccc]
    drawn, panels = _figure(TRACE_WIDTH, len(dims), 1)
    for i, (axes, dim, score) in enumerate(zip(panels[:, 0], dims, scores, strict=True)):
        _draw_panel(axes, trace, i, f"{_shorten(trace.track.track_id)}: {dim}, {score}")
        axes.tick_params(labelbottom=i == len(dims) - 1)
    drawn.legend(handles=_handles(), ncols=3, **LEGEND)
    return drawn


def draw_traces(traces: Sequence[Trace], dims: Sequence[str]) -> bytes:
    """Return a PNG of several recordings, with a row for each and a column for each dimension."""
    chosen = sorted(set(np.linspace(0, len(traces) - 1, OVERVIEW_RECORDINGS).round().astype(int)))
    figure, panels = _figure(6.5 * len(dims), len(chosen), len(dims))
    for row, index in zip(panels, chosen, strict=True):
        trace = traces[index]
        ccc = Moments.of(trace.pred, trace.target, trace.mask).ccc()
        for i, (axes, dim) in enumerate(zip(row, dims, strict=True)):
            score = f"CCC {ccc[i]:.2f}" if trace.mask.any() else "not scored"
            _draw_panel(axes, trace, i, f"{_shorten(trace.track.track_id)}: {dim}, {score}")
    figure.legend(handles=_handles(), ncols=3, **LEGEND)
    return render_png(figure)


def set_up_trace(axes: Axes, title: str, time_s: Float[np.ndarray, " frames"]) -> None:
    """Set up axes for a trace: the time and label ranges, a zero line, and a title."""
    axes.axhline(0, color="0.6", lw=0.6)
    axes.set(xlim=_time_span(time_s), ylim=(LABEL_RANGE[0] - 0.05, LABEL_RANGE[1] + 0.05))
    axes.set_yticks((-1, 0, 1))
    axes.xaxis.set_major_formatter("{x:g} s")
    words = {"family": fonts(), "size": 9, "color": "0.25", "parse_math": False}
    axes.set_title(title, loc="left", pad=3, **words)
    style(axes)


def draw_curve(
    axes: Axes,
    time_s: Float[np.ndarray, " frames"],
    values: Float[np.ndarray, " frames"],
    colour: str,
) -> None:
    """Draw values as a curve, clipped to the label range; an isolated value is drawn as a dot."""
    values = np.clip(values, *LABEL_RANGE)
    axes.plot(time_s, values, color=colour, lw=1.3)
    alone = [first for first, end in runs(np.isfinite(values)) if end - first == 1]
    axes.plot(time_s[alone], values[alone], ".", color=colour, ms=3)


def shade(
    axes: Axes, time_s: Float[np.ndarray, " frames"], flags: Bool[np.ndarray, " frames"]
) -> None:
    """Shade each run of True in grey, up to halfway towards the neighbouring frames."""
    start, end = _time_span(time_s)
    edges = np.concatenate([[start], (time_s[1:] + time_s[:-1]) / 2, [end]])
    bars = [(edges[first], edges[last] - edges[first]) for first, last in runs(flags)]
    low, high = axes.get_ylim()
    axes.broken_barh(bars, (low, high - low), facecolor=GREY, lw=0, zorder=0)


def runs(flags: Bool[np.ndarray, " _"]) -> list[tuple[int, int]]:
    """Return the start and the end (exclusive) of every run of True."""
    turns = np.flatnonzero(np.diff(np.concatenate([[False], flags, [False]])))
    return list(zip(turns[::2].tolist(), turns[1::2].tolist(), strict=True))


def _figure(width: float, rows: int, columns: int) -> tuple[Figure, np.ndarray]:
    """Return a figure and its panels [rows, columns], with margins of a fixed size in inches."""
    height = HEAD + 1.45 * rows + 0.15
    figure = InlineFigure(figsize=(width, height), dpi=100)
    figure.subplots_adjust(
        left=0.45 / width, right=1 - 0.12 / width, bottom=0.3 / height, top=1 - HEAD / height,
        hspace=0.35, wspace=0.08,
    )  # fmt: skip
    return figure, figure.subplots(rows, columns, squeeze=False)


def _draw_panel(axes: Axes, trace: Trace, dim: int, title: str) -> None:
    """Draw the labels, the predictions, and shading for unscored frames."""
    set_up_trace(axes, title, trace.time_s)
    draw_curve(axes, trace.time_s, trace.target[:, dim], LABEL)
    draw_curve(axes, trace.time_s, trace.pred[:, dim], PREDICTION)
    shade(axes, trace.time_s, ~trace.mask)


def _handles() -> list[Line2D | Patch]:
    lines = [Line2D([], [], color=c, label=name) for c, name in
             ((LABEL, "label"), (PREDICTION, "prediction"))]  # fmt: skip
    return [*lines, Patch(color=GREY, label="not scored")]


def _time_span(time_s: Float[np.ndarray, " frames"]) -> tuple[float, float]:
    """Return the times of the first and last frames; for a single frame, one second around it."""
    start, end = float(time_s[0]), float(time_s[-1])
    return (start, end) if end > start else (start - 0.5, start + 0.5)


def _shorten(name: str) -> str:
    """Shorten a track id so that it fits next to the legend."""
    return name if len(name) <= 48 else f"{name[:22]} … {name[-22:]}"
