"""Plot: all predictions for a source in one figure, over time and in the valence-arousal plane."""

import pathlib
from collections.abc import Sequence

import numpy as np
from jaxtyping import Float64
from matplotlib.figure import Figure
from PIL import Image

from va_jax.io import write_bytes
from va_jax.predict.tracks import TrackResult, drawn_dims
from va_jax.report import plots, trace_plots
from va_jax.types import DIMS, LABEL_RANGE

MOST_TRACKS = 24  # maximum number of faces in a figure; those shown longest are drawn
SOURCE = "va_jax predict: source"
"""Keyword of the text in a PNG file that identifies our plots."""


def source_of(path: pathlib.Path) -> str | None:
    """Return the source of a plot; None if this command did not draw it."""
    try:
        with Image.open(path) as image:
            return image.info.get(SOURCE)
    except (OSError, ValueError, SyntaxError, Image.DecompressionBombError):
        return None


def write(path: pathlib.Path, drawn: Figure, source: str) -> None:
    """Write a figure as a PNG, atomically; it contains the path of the source as text."""
    write_bytes(path, plots.render_png(drawn, {SOURCE: source}))


def figure(
    found: Sequence[TrackResult],
    time_s: Float64[np.ndarray, " frames"],
    dims: Sequence[str],
    title: str,
    note: str = "",
) -> Figure:
    """Return a figure in which every face has a panel per dimension, and the plane next to them.

    Frames in which a face is not visible are grey and have no values. The plane is drawn only if
    both valence and arousal are predicted.

    Args:
        found: the faces; those visible for longest are drawn.
        time_s: times of the frames.
        dims: names of the dimensions in the columns of the values.
        title: title of the figure.
        note: warning to add to the title.
    """
    longest = sorted(found, key=lambda track: -int(track.shown.sum()))[:MOST_TRACKS]
    tracks = sorted(longest, key=lambda track: track.number)
    drawn = drawn_dims(dims)
    rows, has_plane = len(drawn), set(DIMS) <= set(drawn)
    height = 0.7 + 1.5 * rows * max(len(tracks), 1)
    out = plots.InlineFigure(figsize=(plots.TRACE_WIDTH, height), dpi=100, layout="constrained")
    if len(tracks) < len(found):
        title += f"; only the {len(tracks)} faces visible for longest are drawn"
    title, colour = (f"{title}\n{note}", plots.WARNING) if note else (title, "0.15")
    words = {"family": plots.fonts(), "size": 10, "color": colour, "parse_math": False}
    out.suptitle(title, x=0.01, ha="left", **words)
    if not tracks:
        return out
    grid = out.add_gridspec(rows * len(tracks), 2, width_ratios=(3.4, 1))
    for place, track in enumerate(tracks):
        top = place * rows
        for row, dim in enumerate(drawn):
            axes = out.add_subplot(grid[top + row, 0 if has_plane else slice(None)])
            name = f"face {track.number}: {dim}" if len(found) > 1 else dim
            trace_plots.set_up_trace(axes, name, time_s)
            values = np.where(track.shown, track.values[:, list(dims).index(dim)], np.nan)
            colour = plots.DIM_COLOURS[row % len(plots.DIM_COLOURS)]
            trace_plots.draw_curve(axes, time_s, values, colour)
            trace_plots.shade(axes, time_s, ~track.shown)
        if has_plane:
            axes = out.add_subplot(grid[top : top + rows, 1])
            plots.draw_empty_plane(axes)
            columns = [list(dims).index(dim) for dim in DIMS]
            points = np.clip(track.values[track.shown][:, columns], *LABEL_RANGE)
            later_is_darker = {"c": time_s[track.shown], "cmap": "viridis_r"}
            axes.scatter(*points.T, s=9, lw=0, alpha=0.8, **later_is_darker)
            axes.set_title(
                "first frame light, last frame dark", loc="left", size=8, color=plots.PALE
            )
            axes.set_xlabel(DIMS[0], size=9, color=plots.PALE)
            axes.set_ylabel(DIMS[1], size=9, color=plots.PALE)
            plots.style(axes)
    return out
