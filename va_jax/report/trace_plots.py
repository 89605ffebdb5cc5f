"""Traces as pictures: predictions against labels over time, a recording at a time or a few."""

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
from va_jax.report.plots import LABEL, LATER, PALE, PREDICTION, encoded, png, write_bytes
from va_jax.types import LABEL_RANGE, Trace

PICTURED = 6
"""Recordings in a sheet, spread evenly over the split."""

ROW_S = 300.0
"""A longer recording goes on in further rows, of at most this length.."""

MOST_ROWS = 8
"""..unless it would take more rows than these."""

COLUMNS = 1000
"""Points along a row: about as many as it has pixels."""

BAND, GREY = "#8fb3dc77", "#e0e0e0"
WIDTH, LEFT, RIGHT = 11.4, 0.5, 0.12  # inches
HEAD, TITLE, PANEL, TICKS = 0.3, 0.3, 1.15, 0.3


class TraceFigure:
    """Draws one recording after the other; what they have in common is drawn once.

    `rmse` is the half width of the band around the labels, one per dimension; it and `dims` are the
    same for all recordings, and so is whether post-processed predictions are drawn.
    """

    def __init__(self, dims: Sequence[str], rmse: Sequence[float], band: str, processed: bool):
        self._dims, self._rmse = dims, rmse
        self._legend = [
            Line2D([], [], color=LABEL, lw=1.3, label="label"),
            Patch(color=BAND, label=band),
            Line2D([], [], color=PREDICTION, lw=1.3, label="prediction"),
            Patch(color=GREY, label="does not count"),
        ]
        if processed:
            later = Line2D([], [], color=LATER, lw=1.3, ls="--", label="post-processed")
            self._legend.insert(3, later)
        self._made: dict[int, tuple[Figure, list[_Panel], Any]] = {}

    def draw(
        self, trace: Trace, titles: Sequence[str], processed: Float[np.ndarray, "_ dims"] | None
    ) -> bytes:
        """The PNG of a recording; its panels have the titles given, one for each dimension."""
        start, end = _span(trace.time_s)
        rows = min(math.ceil((end - start) / ROW_S), MOST_ROWS)
        if rows not in self._made:
            self._made[rows] = self._make(rows)
        figure, panels, background = self._made[rows]
        figure.canvas.restore_region(background)
        figure.texts[0].set_text(_short(trace.track.track_id))
        figure.draw_artist(figure.texts[0])
        borders = np.linspace(start, end, rows + 1)
        for number, panel in enumerate(panels):
            row, dim = divmod(number, len(self._dims))
            name = titles[dim] if row == 0 else self._dims[dim]
            first = max(int(np.searchsorted(trace.time_s, borders[row])) - 1, 0)  # lines go on
            behind = int(np.searchsorted(trace.time_s, borders[row + 1], "right")) + 1
            inside = slice(first, behind)
            later = None if processed is None else processed[inside, dim]
            panel.show(
                name, (borders[row], borders[row + 1]), trace.time_s[inside],
                trace.target[inside, dim], trace.pred[inside, dim], later, trace.mask[inside],
                self._rmse[dim],
            )  # fmt: skip
            panel.draw()
        return encoded(figure.canvas)

    def _make(self, rows: int) -> tuple[Figure, list["_Panel"], Any]:
        dims = len(self._dims)
        height = HEAD + rows * (dims * (TITLE + PANEL) + TICKS)
        figure = Figure(figsize=(WIDTH, height), dpi=100)
        FigureCanvasAgg(figure)
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
            above = HEAD + row * (dims * (TITLE + PANEL) + TICKS) + dim * (TITLE + PANEL) + TITLE
            place = (LEFT, height - above - PANEL, WIDTH - LEFT - RIGHT, PANEL)
            scale = (WIDTH, height, WIDTH, height)
            axes = figure.add_axes([a / b for a, b in zip(place, scale, strict=True)])
            panels.append(_Panel(axes, ticks=dim == dims - 1))
            panels[-1].leave_out_what_changes()
        figure.canvas.draw()
        return figure, panels, figure.canvas.copy_from_bbox(figure.bbox)


class _Panel:
    """One dimension of a recording, or of a row of it."""

    def __init__(self, axes: Axes, ticks: bool):
        self._axes = axes
        self._uncounted = axes.add_collection(PolyCollection([], facecolor=GREY, lw=0, zorder=0))
        self._band = axes.add_collection(PolyCollection([], facecolor=BAND, lw=0, zorder=1))
        zero = axes.axhline(0, color="0.6", lw=0.6, zorder=2)
        (self._label,) = axes.plot([], [], color=LABEL, lw=1.3, zorder=3)
        (self._pred,) = axes.plot([], [], color=PREDICTION, lw=1.2, zorder=4)
        (self._later,) = axes.plot([], [], color=LATER, lw=1.2, ls=(0, (4, 2)), zorder=5)
        self._lonely = [
            axes.plot([], [], ".", color=line.get_color(), ms=3, zorder=6)[0]
            for line in (self._label, self._pred, self._later)
        ]
        axes.set(ylim=(LABEL_RANGE[0] - 0.05, LABEL_RANGE[1] + 0.05), yticks=(-1, 0, 1))
        axes.tick_params(labelsize=8, color=PALE, labelcolor=PALE, length=2.5, labelbottom=ticks)
        axes.xaxis.set_major_formatter("{x:g} s")
        axes.spines[["top", "right"]].set_visible(False)
        axes.spines[["left", "bottom"]].set_color("0.7")
        look = {"size": 9, "color": "0.25", "parse_math": False}
        self._title = axes.set_title("", loc="left", y=1.0, pad=3, **look)
        self._changing = [
            self._uncounted, self._band, zero, self._label, self._pred, self._later, *self._lonely,
            *axes.spines.values(), axes.xaxis, self._title,
        ]  # fmt: skip

    def leave_out_what_changes(self) -> None:
        """From what the figure draws of itself; `draw` adds it."""
        for artist in self._changing:
            artist.set_animated(True)

    def draw(self) -> None:
        for artist in self._changing:
            self._axes.draw_artist(artist)

    def show(
        self, title: str, span: tuple[float, float], time_s: np.ndarray, target: np.ndarray,
        pred: np.ndarray, later: np.ndarray | None, mask: np.ndarray, rmse: float,
    ) -> None:  # fmt: skip
        self._title.set_text(title)
        self._axes.set_xlim(*span)
        for line, lonely, values in zip(
            (self._label, self._pred, self._later), self._lonely, (target, pred, later), strict=True
        ):
            values = np.full_like(pred, np.nan) if values is None else np.clip(values, *LABEL_RANGE)
            where, low, high = thin(time_s, values, span)
            if low is high:
                line.set_data(where, low)
            elif line is self._later:  # dashes would run together
                line.set_data(where, (low + high) / 2)
            else:
                line.set_data(np.repeat(where, 2), np.stack([low, high], 1).ravel())
            alone = _alone(low)
            lonely.set_data(where[alone], low[alone])
        where, low, high = thin(time_s, target, span)
        self._band.set_verts(
            [
                np.concatenate([np.stack([where[a:b], low[a:b] - rmse], 1),
                                np.stack([where[a:b], high[a:b] + rmse], 1)[::-1]])
                for a, b in _runs(np.isfinite(low))
            ]
        )  # fmt: skip
        where, counts, _ = thin(time_s, mask.astype(np.float32), span)
        edges = np.concatenate([where[:1], (where[1:] + where[:-1]) / 2, where[-1:]])
        edges[0], edges[-1] = span if len(where) == 1 else (edges[0], edges[-1])
        bottom, top = self._axes.get_ylim()
        self._uncounted.set_verts(
            [
                [(edges[a], bottom), (edges[a], top), (edges[b], top), (edges[b], bottom)]
                for a, b in _runs(counts < 1)
            ]
        )


def thin(
    time_s: Float[np.ndarray, " frames"],
    values: Float[np.ndarray, " frames"],
    span: tuple[float, float],
    columns: int = COLUMNS,
) -> tuple[np.ndarray, np.ndarray, np.ndarray]:
    """(time, lowest, highest value) of each of the `columns` equal parts of `span` that has frames.

    So a picture of that many columns shows what all frames would. Two frames a part or fewer are
    returned as they are. NaN only where a part has nothing else.
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
    """A PNG with a row per track and a column per dimension; grey where a frame does not count."""
    chosen = sorted(set(np.linspace(0, len(traces) - 1, PICTURED).round().astype(int)))
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
            told = f"CCC {ccc[i]:.2f}" if trace.mask.any() else "not scored"
            _Panel(axis, ticks=True).show(
                f"{_short(trace.track.track_id)}: {dim}, {told}", _span(trace.time_s),
                trace.time_s, trace.target[:, i], trace.pred[:, i], None, trace.mask, 0.0,
            )  # fmt: skip
    handles = [
        Line2D([], [], color=LABEL, label="label"),
        Line2D([], [], color=PREDICTION, label="prediction"),
        Patch(color=GREY, label="does not count"),
    ]
    figure.legend(handles=handles, loc="upper right", ncols=3, frameon=False, fontsize=9)
    write_bytes(path, png(figure))


def _span(time_s: np.ndarray) -> tuple[float, float]:
    """From the first frame to the last; a second around a single one."""
    start, end = float(time_s[0]), float(time_s[-1])
    return (start, end) if end > start else (start - 0.5, start + 0.5)


def _short(name: str) -> str:
    """A track id that fits beside the legend."""
    return name if len(name) <= 48 else f"{name[:22]} … {name[-22:]}"


def _runs(flags: Bool[np.ndarray, " _"]) -> list[tuple[int, int]]:
    """First place of every run of True, and the one behind its last."""
    turns = np.flatnonzero(np.diff(np.concatenate([[False], flags, [False]])))
    return list(zip(turns[::2].tolist(), turns[1::2].tolist(), strict=True))


def _alone(values: np.ndarray) -> np.ndarray:
    """Where a value stands between two that are missing, so that no line would show it."""
    known = np.concatenate([[False], np.isfinite(values), [False]])
    return known[1:-1] & ~known[:-2] & ~known[2:]
