"""Plot: all predictions for a source in one figure, over time and in the valence-arousal plane."""

import pathlib

import numpy as np
from matplotlib.figure import Figure
from PIL import Image

from va_jax.io import write_bytes
from va_jax.predict.drawings import Drawing
from va_jax.predict.inputs import InputFile
from va_jax.predict.results import VideoResult
from va_jax.report import plots, trace_plots
from va_jax.types import DIMS, LABEL_RANGE

MOST_TRACKS = 24  # maximum number of faces in a figure; those shown longest are drawn
SOURCE = "va_jax predict: source"
"""Keyword of the text in a PNG file that identifies our plots."""


def drawing(path: pathlib.Path) -> Drawing:
    """Return how plots are drawn to a file or into a folder."""

    def write_plot(path: pathlib.Path, file: InputFile, result: VideoResult) -> None:
        write(path, result)

    return Drawing("--plot", path, (".png",), write_plot, source_of)


def source_of(path: pathlib.Path) -> str | None:
    """Return the source of a plot; None if this command did not draw it."""
    try:
        with Image.open(path) as image:
            return image.info.get(SOURCE)
    except (OSError, ValueError, SyntaxError, Image.DecompressionBombError):
        return None


def write(path: pathlib.Path, result: VideoResult) -> None:
    """Write a PNG atomically; every face has a panel per dimension, and the plane next to them.

    The file contains the path of the source as the text entry `SOURCE`.
    """
    write_bytes(path, plots.render_png(figure(result), {SOURCE: str(result.source)}))


def figure(result: VideoResult) -> Figure:
    """Return the figure for a result.

    Frames in which a face is not visible are grey and have no values. The plane is drawn only if
    both valence and arousal are predicted.
    """
    longest = sorted(result.tracks, key=lambda track: -int(track.shown.sum()))[:MOST_TRACKS]
    tracks = sorted(longest, key=lambda track: track.number)
    rows, has_plane = len(result.drawn), set(DIMS) <= set(result.drawn)
    height = 0.7 + 1.5 * rows * max(len(tracks), 1)
    out = Figure(figsize=(plots.TRACE_WIDTH, height), dpi=100, layout="constrained")
    summary = f"{pathlib.Path(result.source).name}: {result.summary()}"
    if len(tracks) < len(result.tracks):
        summary += f"; only the {len(tracks)} faces visible for longest are drawn"
    title, colour = (
        (f"{summary}\n{result.note}", plots.WARNING) if result.note else (summary, "0.15")
    )
    out.suptitle(title, x=0.01, ha="left", size=10, color=colour, parse_math=False)
    if not tracks:
        return out
    grid = out.add_gridspec(rows * len(tracks), 2, width_ratios=(3.4, 1))
    for place, track in enumerate(tracks):
        top = place * rows
        for row, dim in enumerate(result.drawn):
            axes = out.add_subplot(grid[top + row, 0 if has_plane else slice(None)])
            name = f"face {track.number}: {dim}" if len(result.tracks) > 1 else dim
            trace_plots.set_up_trace(axes, name, result.time_s)
            values = np.where(track.shown, track.values[:, result.dims.index(dim)], np.nan)
            colour = plots.DIM_COLOURS[row % len(plots.DIM_COLOURS)]
            trace_plots.draw_curve(axes, result.time_s, values, colour)
            trace_plots.shade(axes, result.time_s, ~track.shown)
        if has_plane:
            axes = out.add_subplot(grid[top : top + rows, 1])
            plots.draw_empty_plane(axes)
            columns = [result.dims.index(dim) for dim in DIMS]
            points = np.clip(track.values[track.shown][:, columns], *LABEL_RANGE)
            later_is_darker = {"c": result.time_s[track.shown], "cmap": "viridis_r"}
            axes.scatter(*points.T, s=9, lw=0, alpha=0.8, **later_is_darker)
            axes.set_title(
                "first frame light, last frame dark", loc="left", size=8, color=plots.PALE
            )
            axes.set_xlabel(DIMS[0], size=9, color=plots.PALE)
            axes.set_ylabel(DIMS[1], size=9, color=plots.PALE)
            plots.style(axes)
    return out
