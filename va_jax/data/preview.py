"""A picture of training windows: frames as stored, the same as the network gets them, labels."""

import itertools
import os
import pathlib
from collections.abc import Iterator, Sequence

import numpy as np
from matplotlib.axes import Axes
from matplotlib.backends.backend_agg import FigureCanvasAgg
from matplotlib.colors import to_rgb
from matplotlib.figure import Figure
from matplotlib.lines import Line2D
from matplotlib.patches import Patch, Rectangle
from ml_collections import ConfigDict

from va_jax.data import landmarks, samples, sources
from va_jax.data.samples import Sample
from va_jax.data.transforms import Colour, Geometry
from va_jax.types import LABEL_RANGE, InputError

MOST = 40
"""Windows in a sheet; more would not fit into a picture."""

PICTURED = 10
"""Frames of a window that are shown."""

MARKS = dict(zip(samples.STATES, ("#d62728", "#9a6a00", "#7f7f7f"), strict=True))
"""Why a frame does not count -> the colour that says so."""

LINES = ("#1f77b4", "#e07b00", "#2ca02c", "#9467bd", "#17becf", "#e377c2")
"""Colours of the dimensions, in their order."""

SIDE = 1.2  # of a frame, inches; the rest too
LEFT, RIGHT, HEAD = 0.85, 0.2, 0.6  # margins of the picture
TITLE, NUMBERS, TRACE, BELOW = 0.3, 0.2, 1.15, 0.6  # heights in the block of a window
WIDTH = LEFT + PICTURED * SIDE + RIGHT
GAP = 0.025  # around a frame, relative to its side
PALE = "0.4"


def sheet(config: ConfigDict, count: int, path: pathlib.Path, overwrite: bool = False) -> str:
    """Draws the first `count` windows that a run with `config` trains on as the PNG `path`.

    Of the config the sections data, window and augment and the seed are read. Returns a line about
    every window, and one that names the picture. Raises InputError where the set or its split does
    not exist, where the picture does and is not to be replaced, or where it cannot be written.
    """
    _check(path, overwrite)
    data, augment = config.data, config.augment.to_dict()
    points = sources.stored_landmarks(data.dir, data.name)
    unpaired = augment["flip"] and points not in (0, *landmarks.MIRROR)
    source = sources.open_split(data.dir, data.name, data.train, 0 if unpaired else points)
    size = data.size or source.size
    found = samples.first(source, config.window.to_dict(), augment, size, count, config.seed)
    draw(path, found, source.dims, f"{data.name}, {data.train}, seed {config.seed}")
    lines = [samples.describe(sample, source.dims) for sample in found]
    if unpaired:
        lines.append(f"not drawn: {points} landmarks; which mirror each other is not known")
    return "\n".join([*lines, str(path)])


def _check(path: pathlib.Path, overwrite: bool) -> None:
    if path.suffix.lower() != ".png":
        raise InputError(f"--out={path} is no .png; give the picture that ending")
    if not path.parent.is_dir():
        raise InputError(f"--out={path}: the folder {path.parent} does not exist; make it first")
    if path.is_dir() or (path.exists() and not overwrite):
        raise InputError(f"--out={path} exists already; choose another name or --overwrite")


def draw(path: pathlib.Path, found: Sequence[Sample], dims: Sequence[str], title: str) -> None:
    """The PNG `path`, whole or not at all: a head, and a block for every window."""
    places = pictured(len(found[0].numbers))
    block = TITLE + 2 * SIDE + NUMBERS + TRACE + BELOW
    height = HEAD + block * len(found)
    figure = Figure(figsize=(WIDTH, height))
    FigureCanvasAgg(figure)

    def panel(top: float, tall: float, wide: float) -> Axes:
        return figure.add_axes(
            (LEFT / WIDTH, 1 - (top + tall) / height, wide / WIDTH, tall / height)
        )

    _head(panel(0.0, HEAD, PICTURED * SIDE), found, dims, title)
    for number, sample in enumerate(found):
        top, wide = HEAD + block * number, len(places) * SIDE
        _title(panel(top, TITLE, PICTURED * SIDE), sample)
        _frames(panel(top + TITLE, 2 * SIDE, wide), sample, places)
        _labels(panel(top + TITLE + 2 * SIDE + NUMBERS, TRACE, wide), sample, places)
    temporary = path.with_name(f".{path.name}.{os.getpid()}.tmp")
    try:
        figure.savefig(temporary, format="png", dpi=110)
        os.replace(temporary, path)
    finally:
        temporary.unlink(missing_ok=True)


def pictured(length: int) -> list[int]:
    """Places in a window of the frames that are shown: the middles of equal parts of it."""
    parts = min(PICTURED, length)
    return [int((part + 0.5) * length / parts) for part in range(parts)]


def change(geometry: Geometry, colour: Colour) -> str:
    """What was drawn for a window, for people."""
    told = ["mirrored"] if geometry.flip else []
    if geometry.side != 1:
        told.append(f"cut to {geometry.side:.0%}")
    if geometry.rotation_deg:
        told.append(f"turned {geometry.rotation_deg:+.1f}°")
    for name, value in colour._asdict().items():
        if value:
            amount = f"{360 * value:+.1f}°" if name == "hue" else f"{value:+.0%}"
            told.append(f"{name} {amount}")
    return ", ".join(told) or "unchanged"


def _head(axes: Axes, found: Sequence[Sample], dims: Sequence[str], title: str) -> None:
    axes.axis("off")
    axes.text(GAP / PICTURED, 0.5, title, size=13, weight="bold", va="center", parse_math=False)
    handles = [Line2D([], [], color=LINES[i % len(LINES)], label=dim) for i, dim in enumerate(dims)]
    seen = {state for sample in found for state in sample.states}
    handles += [
        Patch(facecolor=_pale(colour), edgecolor=colour, lw=1.5, hatch="///", label=state)
        for state, colour in MARKS.items()
        if state in seen
    ]
    axes.legend(
        handles=handles, loc="center right", bbox_to_anchor=(1, 0.5), ncols=len(handles),
        frameon=False, fontsize=9, borderpad=0, borderaxespad=0,
    )  # fmt: skip


def _title(axes: Axes, sample: Sample) -> None:
    axes.axis("off")
    name = axes.text(
        GAP / PICTURED, 0.45, sample.track.track_id, size=10, weight="bold", va="center",
        parse_math=False,
    )  # fmt: skip
    group = f", {sample.track.group}" if sample.track.group else ""
    axes.annotate(
        f"{group}   {sample.span}   {sample.share:.0%} count",
        (1, 0), xycoords=name, va="bottom", size=10, color=PALE, parse_math=False,
    )  # fmt: skip
    axes.text(1, 0.45, change(*sample.change), ha="right", va="center", size=9, color=PALE)


def _frames(axes: Axes, sample: Sample, places: Sequence[int]) -> None:
    """Two rows of frames; those that do not count are marked."""
    axes.axis("off")
    for row, (name, batch) in enumerate((("stored", sample.stored), ("as fed", sample.fed))):
        axes.text(
            -0.08, row + 0.5, f"{name}\n{batch['frames'].shape[1]} px", ha="right", va="center",
            size=9, color=PALE,
        )  # fmt: skip
        for column, place in enumerate(places):
            left, top, side = column + GAP, row + GAP, 1 - 2 * GAP
            inside = (left, left + side, top + side, top)
            axes.imshow(batch["frames"][place], extent=inside, aspect="auto")
            state = sample.states[place]
            if state:
                mark = {"lw": 2.5, "edgecolor": MARKS[state], "facecolor": "none", "hatch": "/"}
                axes.add_patch(Rectangle((left, top), side, side, **mark))
            if "landmarks" in batch:
                points = batch["landmarks"][place]
                x, y = ((points[points.any(-1)] + 1) / 2 * side + (left, top)).T
                within = (x > left) & (x < left + side) & (y > top) & (y < top + side)
                axes.scatter(x[within], y[within], s=9, color="#39ff14", edgecolor="black", lw=0.3)
    axes.set(xlim=(0, len(places)), ylim=(2, 0))  # here, for imshow sets them too


def _labels(axes: Axes, sample: Sample, places: Sequence[int]) -> None:
    """The labels over time, shaded where they do not count; a tick for every frame shown."""
    edges = _edges(sample.time_s)
    for state, first, behind in _runs(sample.states):
        if state:
            hatch = {"facecolor": _pale(MARKS[state]), "edgecolor": "white", "hatch": "///"}
            axes.axvspan(edges[first], edges[behind], lw=0, zorder=0, **hatch)
    axes.axhline(0, color="0.8", lw=0.7, zorder=1)
    for place in places:
        if sample.states[place] != "past the end":
            axes.axvline(sample.time_s[place], color="0.75", lw=0.7, ls=":", zorder=1)
            axes.annotate(
                str(sample.numbers[place]), (sample.time_s[place], LABEL_RANGE[1]), (0, 2),
                textcoords="offset points", ha="center", size=8, color=PALE,
            )  # fmt: skip
    for dim, values in enumerate(sample.target.T):
        look = {"color": LINES[dim % len(LINES)], "lw": 1.6, "ms": 3, "clip_on": False}
        axes.plot(sample.time_s, values, ".-", **look)
    axes.set(xlim=(edges[0], edges[-1]), ylim=LABEL_RANGE, yticks=(-1, 0, 1))
    axes.set_xlabel("time in the video, s", size=9, color=PALE)
    axes.tick_params(labelsize=8)
    axes.spines[["top", "right"]].set_visible(False)


def _edges(time_s: np.ndarray) -> np.ndarray:
    """Where frames meet: halfway between them, as far out before the first and behind the last."""
    if len(time_s) == 1:
        return time_s[0] + np.array([-0.5, 0.5])
    middle = (time_s[1:] + time_s[:-1]) / 2
    return np.array([2 * time_s[0] - middle[0], *middle, 2 * time_s[-1] - middle[-1]])


def _runs(states: Sequence[str]) -> Iterator[tuple[str, int, int]]:
    """Equal neighbours: their state, the first one's place and that behind the last."""
    place = 0
    for state, run in itertools.groupby(states):
        first, place = place, place + len(list(run))
        yield state, first, place


def _pale(colour: str) -> tuple[float, float, float]:
    rgb = np.array(to_rgb(colour))
    return tuple((0.78 + 0.22 * rgb).tolist())
