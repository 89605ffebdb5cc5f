"""Plot: one picture of all predictions for a source, over time and in the valence-arousal plane."""

import pathlib

import numpy as np
from jaxtyping import Bool, Float
from matplotlib.axes import Axes
from matplotlib.backends.backend_agg import FigureCanvasAgg
from matplotlib.figure import Figure
from matplotlib.gridspec import SubplotSpec
from matplotlib.patches import Circle

from va_jax.io import write_bytes
from va_jax.predict.results import TrackResult, VideoResult
from va_jax.report.plots import DIM_COLOURS, PALE, render_png
from va_jax.types import DIMS, LABEL_RANGE

MOST_TRACKS = 24  # faces in a picture: those that are shown longest
MOST_POINTS = 3000  # in a plane, spread evenly over the frames; more would hide each other

WIDTH, ROW, MIN_BLOCK, HEAD, FOOT = 11.4, 1.2, 2.7, 0.5, 0.35  # inches
LEFT, RIGHT = 0.45, 0.12  # margins, inches
GAP = 0.55  # between the blocks of two faces, inches
WARNING, HIDDEN = "#b3441e", "#e0e0e0"


def write(path: pathlib.Path, result: VideoResult) -> None:
    """Write a PNG atomically: for every face one panel per dimension beside its plane."""
    write_bytes(path, render_png(figure(result)))


def figure(result: VideoResult) -> Figure:
    """Return the figure of a result.

    Frames in which a face is not shown are grey and have no values. Without valence or arousal
    there is no plane.
    """
    longest = sorted(result.tracks, key=lambda track: -int(track.shown.sum()))[:MOST_TRACKS]
    tracks = sorted(longest, key=lambda track: track.number)
    block = max(ROW * len(result.dims), MIN_BLOCK if set(DIMS) <= set(result.dims) else ROW)
    head = HEAD + (0.2 if result.note else 0)
    height = head + max(len(tracks), 0.2) * (block + GAP) - GAP + FOOT + 0.3
    out = Figure(figsize=(WIDTH, height), dpi=100)
    FigureCanvasAgg(out)
    left, right = LEFT / WIDTH, 1 - RIGHT / WIDTH
    title = pathlib.Path(result.source).name if result.source else ""
    look = {"va": "center", "parse_math": False}
    top = 1 - HEAD / 2 / height
    out.text(left, top, title, size=12, weight="bold", color="0.15", **look)
    summary = result.summary()
    if len(tracks) < len(result.tracks):
        summary += f", the {len(tracks)} that are shown longest are drawn"
    out.text(right, top, summary, size=9, color=PALE, ha="right", **look)
    if result.note:
        out.text(left, top - 0.26 / height, result.note, size=9, color=WARNING, **look)
    if tracks:
        grid = out.add_gridspec(
            len(tracks), 1, left=left, right=right, bottom=FOOT / height,
            top=1 - (head + 0.3) / height, hspace=GAP / block,
        )  # fmt: skip
        for row, track in enumerate(tracks):
            _draw_track(out, grid[row, 0], track, result)
    return out


def _draw_track(out: Figure, place: SubplotSpec, track: TrackResult, result: VideoResult) -> None:
    """Draw the panels of one face, and its plane if there is one."""
    columns = [list(result.dims).index(dim) for dim in DIMS if dim in result.dims]
    both = len(columns) == len(DIMS)
    parts = place.subgridspec(
        len(result.dims), 2 if both else 1, width_ratios=(3.4, 1) if both else (1,),
        hspace=0.35, wspace=0.09,
    )  # fmt: skip
    span = _span(result.time_s)
    for row, dim in enumerate(result.dims):
        axes = out.add_subplot(parts[row, 0])
        values = np.where(track.shown, track.values[:, row], np.nan)
        _draw_trace(axes, result.time_s, values, span, DIM_COLOURS[row % len(DIM_COLOURS)])
        _shade(axes, result.time_s, ~track.shown, span)
        name = f"face {track.number}: {dim}" if len(result.tracks) > 1 else dim
        axes.set_title(name, loc="left", pad=3, size=9, color="0.25", parse_math=False)
        axes.tick_params(labelbottom=row == len(result.dims) - 1)
    if both:
        axes = out.add_subplot(parts[:, 1])
        shown = np.flatnonzero(track.shown & np.isfinite(track.values[:, columns]).all(-1))
        _draw_plane(axes, result.time_s[shown], track.values[shown][:, columns], span)


def _draw_trace(
    axes: Axes, time_s: Float[np.ndarray, " frames"], values: Float[np.ndarray, " frames"],
    span: tuple[float, float], colour: str,
) -> None:  # fmt: skip
    axes.axhline(0, color="0.6", lw=0.6)
    values = np.clip(values, *LABEL_RANGE)
    known = np.concatenate([[False], np.isfinite(values), [False]])
    alone = known[1:-1] & ~known[:-2] & ~known[2:]  # no line would show these
    axes.plot(time_s, values, color=colour, lw=1.3)
    axes.plot(time_s[alone], values[alone], ".", color=colour, ms=3)
    axes.set(xlim=span, ylim=(LABEL_RANGE[0] - 0.05, LABEL_RANGE[1] + 0.05), yticks=(-1, 0, 1))
    axes.xaxis.set_major_formatter("{x:g} s")
    _style(axes)


def _shade(
    axes: Axes, time_s: Float[np.ndarray, " frames"], flags: Bool[np.ndarray, " frames"],
    span: tuple[float, float],
) -> None:  # fmt: skip
    """Draw grey from halfway before each run of True to halfway after it."""
    edges = np.concatenate([span[:1], (time_s[1:] + time_s[:-1]) / 2, span[1:]])
    turns = np.flatnonzero(np.diff(np.concatenate([[False], flags, [False]])))
    bars = np.stack([edges[turns[::2]], edges[turns[1::2]] - edges[turns[::2]]], -1)
    low, high = axes.get_ylim()
    axes.broken_barh(bars.tolist(), (low, high - low), facecolor=HIDDEN, lw=0, zorder=0)


def _draw_plane(
    axes: Axes, time_s: Float[np.ndarray, " shown"], pairs: Float[np.ndarray, "shown 2"],
    span: tuple[float, float],
) -> None:  # fmt: skip
    """Draw the frames as points, later ones darker."""
    axes.add_patch(Circle((0, 0), 1, fill=False, color="0.55", lw=0.8))
    axes.axhline(0, color="0.7", lw=0.6, zorder=0)
    axes.axvline(0, color="0.7", lw=0.6, zorder=0)
    if len(pairs):
        chosen = np.unique(np.linspace(0, len(pairs) - 1, MOST_POINTS).round().astype(int))
        points = np.clip(pairs[chosen], *LABEL_RANGE)
        axes.scatter(
            *points.T, c=time_s[chosen], vmin=span[0], vmax=span[1], cmap="viridis_r", s=9, lw=0,
            alpha=0.8, clip_on=False,
        )  # fmt: skip
    ticks = (-1, 0, 1)
    axes.set(xlim=LABEL_RANGE, ylim=LABEL_RANGE, aspect="equal", xticks=ticks, yticks=ticks)
    axes.set_title("from the first frame (pale) to the last", loc="left", pad=3, size=8, color=PALE)
    axes.set_xlabel(DIMS[0], size=9, color=PALE, labelpad=1)
    axes.set_ylabel(DIMS[1], size=9, color=PALE, labelpad=-4)
    _style(axes)


def _span(time_s: Float[np.ndarray, " frames"]) -> tuple[float, float]:
    """Return the times of the first and the last frame; a second around a single one."""
    start, end = float(time_s[0]), float(time_s[-1])
    return (start, end) if end > start else (start - 0.5, start + 0.5)


def _style(axes: Axes) -> None:
    axes.tick_params(labelsize=8, color=PALE, labelcolor=PALE, length=2.5)
    axes.spines[["top", "right"]].set_visible(False)
    axes.spines[["left", "bottom"]].set_color("0.7")
