"""A picture of all that was predicted of a source: values over time, and in the plane."""

import pathlib

import numpy as np
from jaxtyping import Bool, Float
from matplotlib.axes import Axes
from matplotlib.backends.backend_agg import FigureCanvasAgg
from matplotlib.figure import Figure
from matplotlib.gridspec import SubplotSpec
from matplotlib.patches import Circle

from va_jax.predict.results import TrackResult, VideoResult
from va_jax.report.plots import LINES, PALE, png, write_bytes
from va_jax.report.trace_plots import GREY, thin
from va_jax.types import DIMS, LABEL_RANGE, InputError

MOST_TRACKS = 24
"""Faces in a picture: those that are shown longest."""

MOST_POINTS = 3000
"""In a plane, taken evenly from the frames; more would hide each other."""

WIDTH, ROW, LEAST_BLOCK, HEAD, FOOT = 11.4, 1.2, 2.7, 0.5, 0.35  # inches
GAP = 0.55  # between the blocks of two faces


def check(out: pathlib.Path, overwrite: bool) -> None:
    """Raises InputError where no picture may be written as `out`."""
    if out.suffix.lower() != ".png":
        raise InputError(f"{out}: a plot is a .png; let its name end so")
    if not out.parent.is_dir():
        raise InputError(f"{out}: the folder {out.parent} does not exist; make it first")
    if out.is_dir() or (out.exists() and not overwrite):
        raise InputError(f"{out} exists already; choose another name, or --overwrite")


def write(out: pathlib.Path, result: VideoResult, overwrite: bool) -> None:
    """The PNG `out`, whole or not at all: for every face a panel per dimension beside its plane.

    Grey is where the face is not shown; values of such frames are not drawn. The plane is left out
    where the result lacks valence or arousal. Raises InputError as `check` does.
    """
    check(out, overwrite)
    write_bytes(out, png(figure(result)))


def figure(result: VideoResult) -> Figure:
    """What `write` writes."""
    longest = sorted(result.tracks, key=lambda track: -int(track.shown.sum()))[:MOST_TRACKS]
    tracks = sorted(longest, key=lambda track: track.number)
    block = max(ROW * len(result.dims), LEAST_BLOCK if set(DIMS) <= set(result.dims) else ROW)
    height = HEAD + max(len(tracks), 0.2) * (block + GAP) - GAP + FOOT + 0.3
    out = Figure(figsize=(WIDTH, height), dpi=100)
    FigureCanvasAgg(out)
    title = pathlib.Path(result.source).name if result.source else ""
    left = 0.45 / WIDTH
    look = {"va": "center", "parse_math": False}
    out.text(left, 1 - HEAD / 2 / height, title, size=12, weight="bold", color="0.15", **look)
    frames, faces = len(result.time_s), len(result.tracks)
    told = f"{frames} frame{'s' * (frames != 1)}, {faces} face{'s' * (faces != 1)}"
    if len(tracks) < len(result.tracks):
        told += f", here the {len(tracks)} that are shown longest"
    out.text(1 - 0.12 / WIDTH, 1 - HEAD / 2 / height, told, size=9, color=PALE, ha="right", **look)
    if tracks:
        grid = out.add_gridspec(
            len(tracks), 1, left=left, right=1 - 0.12 / WIDTH, bottom=FOOT / height,
            top=1 - (HEAD + 0.3) / height, hspace=GAP / block,
        )  # fmt: skip
        for place, track in zip(grid, tracks, strict=True):
            _draw_track(out, place, track, result, named=len(result.tracks) > 1)
    return out


def _draw_track(
    out: Figure, place: SubplotSpec, track: TrackResult, result: VideoResult, named: bool
) -> None:
    """The panels of one face, and its plane where there is one."""
    columns = [list(result.dims).index(dim) for dim in DIMS if dim in result.dims]
    both = len(columns) == len(DIMS)
    parts = place.subgridspec(
        len(result.dims), 2 if both else 1, width_ratios=(3.4, 1) if both else (1,),
        hspace=0.35, wspace=0.09,
    )  # fmt: skip
    span = _span(result.time_s)
    colours = [LINES[i % len(LINES)] for i in range(len(result.dims))]
    for row, (dim, colour) in enumerate(zip(result.dims, colours, strict=True)):
        axes = out.add_subplot(parts[row, 0])
        name = f"face {track.number}: {dim}" if named else dim
        values = np.where(track.shown, track.values[:, row], np.nan)
        _draw_trace(axes, name, result.time_s, values, span, colour)
        _shade(axes, result.time_s, ~track.shown)
        axes.tick_params(labelbottom=row == len(result.dims) - 1)
    if both:
        axes = out.add_subplot(parts[:, 1])
        shown = np.flatnonzero(track.shown & np.isfinite(track.values[:, columns]).all(-1))
        _draw_plane(axes, result.time_s[shown], track.values[np.ix_(shown, columns)], span)


def _draw_trace(
    axes: Axes, name: str, time_s: Float[np.ndarray, " frames"],
    values: Float[np.ndarray, " frames"], span: tuple[float, float], colour: str,
) -> None:  # fmt: skip
    axes.axhline(0, color="0.6", lw=0.6)
    where, low, high = thin(time_s, np.clip(values, *LABEL_RANGE), span)
    if low is high:
        known = np.concatenate([[False], np.isfinite(low), [False]])
        alone = known[1:-1] & ~known[:-2] & ~known[2:]
        axes.plot(where, low, color=colour, lw=1.3)
        axes.plot(where[alone], low[alone], ".", color=colour, ms=3)
    else:
        axes.fill_between(where, low, high, facecolor=colour, edgecolor=colour, lw=1)
    axes.set(xlim=span, ylim=(LABEL_RANGE[0] - 0.05, LABEL_RANGE[1] + 0.05), yticks=(-1, 0, 1))
    axes.set_title(name, loc="left", pad=3, size=9, color="0.25", parse_math=False)
    axes.xaxis.set_major_formatter("{x:g} s")
    _plain(axes)


def _shade(
    axes: Axes, time_s: Float[np.ndarray, " frames"], flags: Bool[np.ndarray, " frames"]
) -> None:
    """Grey from halfway before each run of True to halfway behind it."""
    start, end = _span(time_s)
    edges = np.concatenate([[start], (time_s[1:] + time_s[:-1]) / 2, [end]])
    turns = np.flatnonzero(np.diff(np.concatenate([[False], flags, [False]])))
    bars = np.stack([edges[turns[::2]], edges[turns[1::2]] - edges[turns[::2]]], -1)
    low, high = axes.get_ylim()
    axes.broken_barh(bars.tolist(), (low, high - low), facecolor=GREY, lw=0, zorder=0)


def _draw_plane(
    axes: Axes, time_s: Float[np.ndarray, " shown"], pairs: Float[np.ndarray, "shown 2"],
    span: tuple[float, float],
) -> None:  # fmt: skip
    """The frames shown as points, the later the darker."""
    axes.add_patch(Circle((0, 0), 1, fill=False, color="0.55", lw=0.8))
    axes.axhline(0, color="0.7", lw=0.6, zorder=0)
    axes.axvline(0, color="0.7", lw=0.6, zorder=0)
    chosen = np.unique(np.linspace(0, len(pairs) - 1, MOST_POINTS).round().astype(int))
    if len(pairs):
        points = np.clip(pairs[chosen], *LABEL_RANGE)
        axes.scatter(
            *points.T, c=time_s[chosen], vmin=span[0], vmax=span[1], cmap="viridis_r", s=9, lw=0,
            alpha=0.8, clip_on=False,
        )  # fmt: skip
    axes.set(xlim=LABEL_RANGE, ylim=LABEL_RANGE, aspect="equal", xticks=(-1, 0, 1))
    axes.set(yticks=(-1, 0, 1))
    axes.set_title("from the first frame (pale) to the last", loc="left", pad=3, size=8, color=PALE)
    axes.set_xlabel(DIMS[0], size=9, color=PALE, labelpad=1)
    axes.set_ylabel(DIMS[1], size=9, color=PALE, labelpad=-4)
    _plain(axes)


def _span(time_s: Float[np.ndarray, " frames"]) -> tuple[float, float]:
    """From the first frame to the last; a second around a single one."""
    start, end = float(time_s[0]), float(time_s[-1])
    return (start, end) if end > start else (start - 0.5, start + 0.5)


def _plain(axes: Axes) -> None:
    axes.tick_params(labelsize=8, color=PALE, labelcolor=PALE, length=2.5)
    axes.spines[["top", "right"]].set_visible(False)
    axes.spines[["left", "bottom"]].set_color("0.7")
