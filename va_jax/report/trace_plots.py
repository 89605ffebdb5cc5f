"""Pictures of traces: predictions against labels over time, one recording at a time or a few."""

import dataclasses
import math
import pathlib
from collections.abc import Sequence
from typing import Any

import numpy as np
from jaxtyping import Bool, Float
from matplotlib.axes import Axes
from matplotlib.backends.backend_agg import FigureCanvasAgg
from matplotlib.collections import PolyCollection
from matplotlib.figure import Figure
from matplotlib.lines import Line2D
from matplotlib.patches import Patch

from va_jax.evaluation.metrics import Moments
from va_jax.io import write_bytes
from va_jax.report.plots import LABEL, PALE, PREDICTION, PROCESSED, encode_png, render_png
from va_jax.types import LABEL_RANGE, Trace

OVERVIEW_RECORDINGS = 6
"""Recordings in the overview of a split, spread evenly over it."""

ROW_S = 300.0
"""A longer recording continues in further rows of at most this length ..."""

MOST_ROWS = 8
"""... but never in more rows than these."""

COLUMNS = 1000
"""Points along a row: about its width in pixels."""

BAND, GREY = "#8fb3dc77", "#e0e0e0"
WIDTH, LEFT, RIGHT = 11.4, 0.5, 0.12  # inches
HEAD, TITLE, PANEL, TICKS = 0.3, 0.3, 1.15, 0.3


class TraceFigure:
    """Draws one recording after the other on a figure whose unchanging parts are drawn once.

    Args:
        dims: names of the dimensions, each of which has a panel.
        rmse: half the width of the band around the labels, for each dimension.
        band: the name of the band in the legend.
        processed: whether the legend names post-processed predictions.
    """

    def __init__(self, dims: Sequence[str], rmse: Sequence[float], band: str, processed: bool):
        self._dims, self._rmse = dims, rmse
        self._legend = [
            Line2D([], [], color=LABEL, lw=1.3, label="label"),
            Patch(color=BAND, label=band),
            Line2D([], [], color=PREDICTION, lw=1.3, label="prediction"),
            Patch(color=GREY, label="not scored"),
        ]
        if processed:
            line = Line2D([], [], color=PROCESSED, lw=1.3, ls="--", label="post-processed")
            self._legend.insert(3, line)
        self._figures: dict[int, tuple[FigureCanvasAgg, list[_Panel], Any]] = {}  # by rows

    def draw(
        self, trace: Trace, titles: Sequence[str], processed: Float[np.ndarray, "_ dims"] | None
    ) -> bytes:
        """Return the PNG of a recording, with one title for each dimension."""
        start, end = time_span(trace.time_s)
        rows = min(math.ceil((end - start) / ROW_S), MOST_ROWS)
        if rows not in self._figures:
            self._figures[rows] = self._make_figure(rows)
        canvas, panels, background = self._figures[rows]
        canvas.restore_region(background)
        name = canvas.figure.texts[0]
        name.set_text(_shorten(trace.track.track_id))
        canvas.figure.draw_artist(name)
        borders = np.linspace(start, end, rows + 1).tolist()
        for number, panel in enumerate(panels):
            row, dim = divmod(number, len(self._dims))
            title = titles[dim] if row == 0 else self._dims[dim]
            span = (borders[row], borders[row + 1])
            panel.show(title, span, _Curves.of(trace, dim, processed).near(span), self._rmse[dim])
            panel.draw()
        return encode_png(canvas)

    def _make_figure(self, rows: int) -> tuple[FigureCanvasAgg, list["_Panel"], Any]:
        """Return a canvas, its panels, and the pixels of everything that never changes."""
        dims = len(self._dims)
        row_height = dims * (TITLE + PANEL) + TICKS
        height = HEAD + rows * row_height
        figure = Figure(figsize=(WIDTH, height), dpi=100)
        canvas = FigureCanvasAgg(figure)
        look = {"size": 10, "weight": "bold", "va": "center", "parse_math": False, "animated": True}
        figure.text(LEFT / WIDTH, 1 - HEAD / 2 / height, "", **look)
        figure.legend(
            handles=self._legend, loc="center right", ncols=len(self._legend), frameon=False,
            fontsize=8.5, bbox_to_anchor=(1 - RIGHT / WIDTH, 1 - HEAD / 2 / height),
            borderpad=0, borderaxespad=0, handlelength=1.6, columnspacing=1.4,
        )  # fmt: skip
        panels = []
        for number in range(rows * dims):
            row, dim = divmod(number, dims)
            bottom = height - HEAD - row * row_height - (dim + 1) * (TITLE + PANEL)
            size = ((WIDTH - LEFT - RIGHT) / WIDTH, PANEL / height)
            axes = figure.add_axes((LEFT / WIDTH, bottom / height, *size))
            panels.append(_Panel(axes, ticks=dim == dims - 1))
            panels[-1].exclude_from_background()
        canvas.draw()
        return canvas, panels, canvas.copy_from_bbox(figure.bbox)


@dataclasses.dataclass(frozen=True)
class _Curves:
    """One dimension of a recording; every array has one value for each frame."""

    time_s: np.ndarray
    target: np.ndarray
    pred: np.ndarray
    processed: np.ndarray  # NaN if there is none
    mask: np.ndarray

    @classmethod
    def of(cls, trace: Trace, dim: int, processed: np.ndarray | None) -> "_Curves":
        pred = trace.pred[:, dim]
        later = np.full_like(pred, np.nan) if processed is None else processed[:, dim]
        return cls(trace.time_s, trace.target[:, dim], pred, later, trace.mask)

    def near(self, span: tuple[float, float]) -> "_Curves":
        """Return the frames within `span` and one on each side, to which the lines continue."""
        first = max(int(np.searchsorted(self.time_s, span[0])) - 1, 0)
        end = int(np.searchsorted(self.time_s, span[1], "right")) + 1
        fields = (getattr(self, field.name) for field in dataclasses.fields(self))
        return _Curves(*(values[first:end] for values in fields))


class _Panel:
    """The axes of one dimension of a recording, or of one row of it."""

    def __init__(self, axes: Axes, ticks: bool):
        self._axes = axes
        self._not_scored = PolyCollection([], facecolor=GREY, lw=0, zorder=0)
        self._band = PolyCollection([], facecolor=BAND, lw=0, zorder=1)
        axes.add_collection(self._not_scored)
        axes.add_collection(self._band)
        zero = axes.axhline(0, color="0.6", lw=0.6, zorder=2)
        (self._label,) = axes.plot([], [], color=LABEL, lw=1.3, zorder=3)
        (self._pred,) = axes.plot([], [], color=PREDICTION, lw=1.2, zorder=4)
        (self._processed,) = axes.plot([], [], color=PROCESSED, lw=1.2, ls=(0, (4, 2)), zorder=5)
        self._lines = (self._label, self._pred, self._processed)
        self._dots = [
            axes.plot([], [], ".", color=line.get_color(), ms=3, zorder=6)[0]
            for line in self._lines
        ]
        axes.set(ylim=(LABEL_RANGE[0] - 0.05, LABEL_RANGE[1] + 0.05), yticks=(-1, 0, 1))
        axes.tick_params(labelsize=8, color=PALE, labelcolor=PALE, length=2.5, labelbottom=ticks)
        axes.xaxis.set_major_formatter("{x:g} s")
        axes.spines[["top", "right"]].set_visible(False)
        axes.spines[["left", "bottom"]].set_color("0.7")
        self._title = axes.set_title(
            "", loc="left", y=1.0, pad=3, size=9, color="0.25", parse_math=False
        )
        self._changing = [
            self._not_scored, self._band, zero, *self._lines, *self._dots, *axes.spines.values(),
            axes.xaxis, self._title,
        ]  # fmt: skip

    def exclude_from_background(self) -> None:
        """Leave everything that changes to `draw`, so that the figure does not draw it."""
        for artist in self._changing:
            artist.set_animated(True)

    def draw(self) -> None:
        for artist in self._changing:
            self._axes.draw_artist(artist)

    def show(self, title: str, span: tuple[float, float], curves: _Curves, rmse: float) -> None:
        """Set the title, the time axis and all curves; `rmse` is half the width of the band."""
        self._title.set_text(title)
        self._axes.set_xlim(*span)
        every = (curves.target, curves.pred, curves.processed)
        for line, dots, values in zip(self._lines, self._dots, every, strict=True):
            where, low, high = thin(curves.time_s, np.clip(values, *LABEL_RANGE), span)
            if low is high:
                line.set_data(where, low)
            elif line is self._processed:  # dashes would run together
                line.set_data(where, (low + high) / 2)
            else:
                line.set_data(np.repeat(where, 2), np.stack([low, high], 1).ravel())
            alone = _alone(low)
            dots.set_data(where[alone], low[alone])
        where, low, high = thin(curves.time_s, curves.target, span)
        self._band.set_verts(
            [
                np.concatenate([np.stack([where[a:b], low[a:b] - rmse], 1),
                                np.stack([where[a:b], high[a:b] + rmse], 1)[::-1]])
                for a, b in _runs(np.isfinite(low))
            ]
        )  # fmt: skip
        where, scored, _ = thin(curves.time_s, curves.mask.astype(np.float32), span)
        edges = np.concatenate([where[:1], (where[1:] + where[:-1]) / 2, where[-1:]])
        edges[0], edges[-1] = span if len(where) == 1 else (edges[0], edges[-1])
        bottom, top = self._axes.get_ylim()
        self._not_scored.set_verts(
            [
                [(edges[a], bottom), (edges[a], top), (edges[b], top), (edges[b], bottom)]
                for a, b in _runs(scored < 1)
            ]
        )


def thin(
    time_s: Float[np.ndarray, " frames"],
    values: Float[np.ndarray, " frames"],
    span: tuple[float, float],
    columns: int = COLUMNS,
) -> tuple[np.ndarray, np.ndarray, np.ndarray]:
    """Return (time, lowest, highest value) of each of the `columns` equal parts of `span`.

    A picture of that many columns then looks as if every frame were drawn. Parts without frames are
    left out, and a value is NaN only if a part has no other. With at most two frames for each part,
    all frames are returned as they are, and the lowest values are the same array as the highest.
    """
    if len(values) <= 2 * columns:
        return time_s, values, values
    share = (time_s - span[0]) / (span[1] - span[0])
    part = np.clip((share * columns).astype(int), 0, columns - 1)
    starts = np.flatnonzero(np.diff(part, prepend=-1))
    ends = np.append(starts[1:], len(part)) - 1
    middle = (time_s[starts] + time_s[ends]) / 2
    return middle, np.fmin.reduceat(values, starts), np.fmax.reduceat(values, starts)


def plot_traces(path: pathlib.Path, traces: Sequence[Trace], dims: Sequence[str]) -> None:
    """Write a PNG of a few recordings: a row for each, a column for each dimension."""
    chosen = sorted(set(np.linspace(0, len(traces) - 1, OVERVIEW_RECORDINGS).round().astype(int)))
    figure = Figure(figsize=(6.5 * len(dims), 1.9 * len(chosen) + 0.6), dpi=100)
    FigureCanvasAgg(figure)
    axes = figure.subplots(len(chosen), len(dims), squeeze=False)
    figure.subplots_adjust(
        left=0.04, right=0.99, hspace=0.42, wspace=0.08, bottom=0.3 / figure.get_figheight(),
        top=1 - 0.6 / figure.get_figheight(),
    )  # fmt: skip
    for row, index in zip(axes, chosen, strict=True):
        trace = traces[index]
        ccc = Moments.of(trace.pred, trace.target, trace.mask).ccc()
        for i, (axis, dim) in enumerate(zip(row, dims, strict=True)):
            score = f"CCC {ccc[i]:.2f}" if trace.mask.any() else "not scored"
            title = f"{_shorten(trace.track.track_id)}: {dim}, {score}"
            curves = _Curves.of(trace, i, None)
            _Panel(axis, ticks=True).show(title, time_span(trace.time_s), curves, 0.0)
    handles = [
        Line2D([], [], color=LABEL, label="label"),
        Line2D([], [], color=PREDICTION, label="prediction"),
        Patch(color=GREY, label="not scored"),
    ]
    figure.legend(handles=handles, loc="upper right", ncols=3, frameon=False, fontsize=9)
    write_bytes(path, render_png(figure))


def time_span(time_s: Float[np.ndarray, " frames"]) -> tuple[float, float]:
    """Return the times of the first and the last frame; one second around a single frame."""
    start, end = float(time_s[0]), float(time_s[-1])
    return (start, end) if end > start else (start - 0.5, start + 0.5)


def _shorten(name: str) -> str:
    """Return a track id that fits beside the legend."""
    return name if len(name) <= 48 else f"{name[:22]} … {name[-22:]}"


def _runs(flags: Bool[np.ndarray, " _"]) -> list[tuple[int, int]]:
    """Return the first place of every run of True, and the one after its last."""
    turns = np.flatnonzero(np.diff(np.concatenate([[False], flags, [False]])))
    return list(zip(turns[::2].tolist(), turns[1::2].tolist(), strict=True))


def _alone(values: np.ndarray) -> np.ndarray:
    """Return where a value stands between two missing ones, so that no line would show it."""
    known = np.concatenate([[False], np.isfinite(values), [False]])
    return known[1:-1] & ~known[:-2] & ~known[2:]
