"""Plot training windows: frames as stored and as network input, with their labels."""

import itertools
import pathlib
from collections.abc import Iterator, Sequence
from typing import NamedTuple

import numpy as np
from matplotlib.axes import Axes
from matplotlib.backends.backend_agg import FigureCanvasAgg
from matplotlib.colors import to_rgb
from matplotlib.figure import Figure
from matplotlib.lines import Line2D
from matplotlib.patches import Patch, Rectangle

from va_jax import io
from va_jax.config import Config, with_values
from va_jax.data import landmarks, pipeline, sets, sources, transforms, windows
from va_jax.data.pipeline import Batch, TrainingData, WindowShape
from va_jax.data.sources import Source
from va_jax.data.transforms import Colour, Geometry
from va_jax.types import LABEL_RANGE, InputError, Track

MAX_WINDOWS = 40
"""Largest number of windows that fit in one image."""

COLUMNS = 10
"""Number of frames shown per window."""

PAST_THE_END = "past the end"
STATES = {"no face": "#d62728", "no label": "#9a6a00", PAST_THE_END: "#7f7f7f"}
"""Colour for each reason for leaving out a frame. If several reasons apply, the last one is
shown."""

LINES = ("#1f77b4", "#e07b00", "#2ca02c", "#9467bd", "#17becf", "#e377c2")
"""Line colours for the dimensions, in order."""

SIDE = 1.2  # side of a frame; all lengths are in inches
LEFT, RIGHT, HEAD = 0.85, 0.2, 0.6  # margins of the image
TITLE, NUMBERS, PLOT, BELOW = 0.3, 0.2, 1.15, 0.6  # heights within the block for a window
WIDTH = LEFT + COLUMNS * SIDE + RIGHT
GAP = 0.025  # space around a frame, as a fraction of its side
PALE = "0.4"


class Sample(NamedTuple):
    """One training window, as stored and as network input."""

    track: Track
    numbers: np.ndarray  # int64 [time]; frame numbers, some past the end of the track
    time_s: np.ndarray  # float64 [time]; time in the video, extrapolated past its end
    target: np.ndarray  # float32 [time, dims]; NaN if unlabelled
    stored: Batch  # one row of a batch, at the stored size and without augmentation
    augmented: Batch  # one row of the training batch
    change: tuple[Geometry, Colour]  # augmentation of that row

    @property
    def states(self) -> list[str]:
        """Return the key of `STATES` for each frame without a valid label, or "" if it is valid."""
        unlabelled = ~np.isfinite(self.target).all(-1)
        states = np.where(self.augmented["face"], "", "no face")
        states = np.where(unlabelled, "no label", states)
        return np.where(self.numbers < self.track.frames, states, PAST_THE_END).tolist()

    @property
    def share(self) -> float:
        """Return the fraction of valid frames, that is, labelled frames that show the face."""
        return float(self.augmented["mask"].mean())

    @property
    def frame_range(self) -> str:
        """Describe the frame numbers in words."""
        numbers = self.numbers[self.numbers < self.track.frames].tolist()
        if len(numbers) < 2:
            return f"frame {numbers[0]}" if numbers else "no frames"
        stride = numbers[1] - numbers[0]
        return f"frames {numbers[0]} to {numbers[-1]}{f' in steps of {stride}' * (stride > 1)}"


def write_preview(
    config: Config, count: int, path: pathlib.Path, overwrite: bool = False
) -> list[str]:
    """Draw the first `count` windows of a training run as a PNG image.

    Args:
        config: configuration of the run; `data`, `window`, `augment` and `seed` are used.
        count: number of windows to show, at most `MAX_WINDOWS`.
        path: path to write to, with the extension .png.
        overwrite: whether to replace an existing file.

    Returns:
        One line for each window, and a note if the landmarks are not drawn.

    Raises:
        InputError: the data set or the split does not exist, or the image cannot be written.
    """
    _check_path(path, overwrite)
    data = config.data
    sets.check_single(data, "a preview shows the windows of one data set")
    points = sources.stored_landmarks(data.dir, data.name)
    unpaired = config.augment.flip and points not in (0, *landmarks.MIRROR)
    source = sources.open_split(data.dir, data.name, data.train, 0 if unpaired else points)
    samples = first_samples(source, config, count)
    draw(path, samples, source.dims, f"{data.name}, {data.train}, seed {config.seed}")
    lines = [describe(sample, source.dims) for sample in samples]
    if unpaired:
        lines.append(f"landmarks are not drawn, since a set of {points} points cannot be mirrored")
    return lines


def first_samples(source: Source, config: Config, count: int) -> list[Sample]:
    """Return up to `count` windows: the first ones that a run with `config` trains on.

    Raises:
        InputError: see `TrainingData`.
    """
    batch = config.train.batch_size or config.train.accumulate  # 0: decided when a run starts
    stream = TrainingData(source, with_values(config, **{"train.batch_size": batch}))
    places = range(min(count, len(stream.windows)))
    return [_sample(stream, place, config) for place in places]


def _sample(stream: TrainingData, place: int, config: Config) -> Sample:
    source, window, change = stream.source, stream.window(place), stream.change(place)
    length, stride = config.window.length, config.window.stride
    track, labels = source.tracks[window.track], source.labels(window.track)
    numbers = windows.frame_numbers(window, length, stride)
    nearest = np.minimum(numbers, track.frames - 1)
    time_s = labels.time_s[nearest] + (numbers - nearest) / track.fps
    target = np.where((numbers == nearest)[:, None], labels.target[nearest], np.float32(np.nan))

    def row(size: int, change: tuple[Geometry, Colour]) -> Batch:
        shape = WindowShape(length, stride, size)
        batch = pipeline.read_batch(source, [window], shape, lambda _: change)
        return {key: values[0] for key, values in batch.items()}

    stored = row(source.size, transforms.UNCHANGED)
    augmented = row(config.data.size or source.size, change)
    return Sample(track, numbers, time_s, target, stored, augmented, change)


def describe(sample: Sample, dims: Sequence[str]) -> str:
    """Return one line with the track, the frames, the share of valid ones and their mean labels."""
    mask = sample.augmented["mask"]
    line = f"{sample.track.track_id}: {sample.frame_range}, {sample.share:.0%} valid"
    if not mask.any():
        return line
    means = zip(dims, sample.target[mask].mean(0).tolist(), strict=True)
    return f"{line}, mean {', '.join(f'{dim} {mean:+.2f}' for dim, mean in means)}"


def describe_change(geometry: Geometry, colour: Colour) -> str:
    """Describe the augmentation of a window in words."""
    words = ["mirrored"] if geometry.flip else []
    if geometry.side != 1:
        words.append(f"cropped to {geometry.side:.0%}")
    if geometry.rotation_deg:
        words.append(f"rotated {geometry.rotation_deg:+.1f}°")
    for name, value in colour._asdict().items():
        if value:
            words.append(f"{name} {360 * value:+.1f}°" if name == "hue" else f"{name} {value:+.0%}")
    return ", ".join(words) or "unchanged"


def _check_path(path: pathlib.Path, overwrite: bool) -> None:
    if path.suffix.lower() != ".png":
        raise InputError(f"Cannot write {path}: unsupported extension {path.suffix!r}. Use .png.")
    if not path.parent.is_dir():
        raise InputError(f"Cannot write {path}: {path.parent} is not a folder. Create it first.")
    if path.is_dir() or (path.exists() and not overwrite):
        raise InputError(f"Cannot write {path}: it already exists. Use a new name or --overwrite.")


def draw(path: pathlib.Path, samples: Sequence[Sample], dims: Sequence[str], title: str) -> None:
    """Draw a heading and one block per window, and write them atomically as a PNG file."""
    columns = shown_columns(len(samples[0].numbers))
    block = TITLE + 2 * SIDE + NUMBERS + PLOT + BELOW
    height = HEAD + block * len(samples)
    figure = Figure(figsize=(WIDTH, height))
    FigureCanvasAgg(figure)

    def panel(top: float, tall: float, wide: float) -> Axes:
        return figure.add_axes(
            (LEFT / WIDTH, 1 - (top + tall) / height, wide / WIDTH, tall / height)
        )

    _draw_heading(panel(0.0, HEAD, COLUMNS * SIDE), samples, dims, title)
    for index, sample in enumerate(samples):
        top, wide = HEAD + block * index, len(columns) * SIDE
        _draw_title(panel(top, TITLE, COLUMNS * SIDE), sample)
        _draw_frames(panel(top + TITLE, 2 * SIDE, wide), sample, columns)
        _draw_labels(panel(top + TITLE + 2 * SIDE + NUMBERS, PLOT, wide), sample, columns)
    with io.replacing(path) as temporary:
        figure.savefig(temporary, format="png", dpi=110)


def shown_columns(length: int) -> list[int]:
    """Return the positions of the frames to show: the middles of equal parts of the window."""
    parts = min(COLUMNS, length)
    return [int((part + 0.5) * length / parts) for part in range(parts)]


def _draw_heading(axes: Axes, samples: Sequence[Sample], dims: Sequence[str], title: str) -> None:
    axes.axis("off")
    axes.text(GAP / COLUMNS, 0.5, title, size=13, weight="bold", va="center", parse_math=False)
    present = {state for sample in samples for state in sample.states}
    handles = [
        *(Line2D([], [], color=LINES[i % len(LINES)], label=dim) for i, dim in enumerate(dims)),
        *(
            Patch(facecolor=_pale(colour), edgecolor=colour, lw=1.5, hatch="///", label=state)
            for state, colour in STATES.items()
            if state in present
        ),
    ]
    axes.legend(
        handles=handles, loc="center right", bbox_to_anchor=(1, 0.5), ncols=len(handles),
        frameon=False, fontsize=9, borderpad=0, borderaxespad=0,
    )  # fmt: skip


def _draw_title(axes: Axes, sample: Sample) -> None:
    axes.axis("off")
    name = axes.text(
        GAP / COLUMNS, 0.45, sample.track.track_id, size=10, weight="bold", va="center",
        parse_math=False,
    )  # fmt: skip
    group = f", {sample.track.group}" if sample.track.group else ""
    axes.annotate(
        f"{group}   {sample.frame_range}   {sample.share:.0%} valid",
        (1, 0), xycoords=name, va="bottom", size=10, color=PALE, parse_math=False,
    )  # fmt: skip
    change = describe_change(*sample.change)
    axes.text(1, 0.45, change, ha="right", va="center", size=9, color=PALE)


def _draw_frames(axes: Axes, sample: Sample, columns: Sequence[int]) -> None:
    """Draw two rows of frames, and mark invalid frames."""
    axes.axis("off")
    for row, (name, batch) in enumerate((("stored", sample.stored), ("input", sample.augmented))):
        text = f"{name}\n{batch['frames'].shape[1]} px"
        axes.text(-0.08, row + 0.5, text, ha="right", va="center", size=9, color=PALE)
        for column, place in enumerate(columns):
            left, top, side = column + GAP, row + GAP, 1 - 2 * GAP
            extent = (left, left + side, top + side, top)
            axes.imshow(batch["frames"][place], extent=extent, aspect="auto")
            if state := sample.states[place]:
                mark = {"lw": 2.5, "edgecolor": STATES[state], "facecolor": "none", "hatch": "/"}
                axes.add_patch(Rectangle((left, top), side, side, **mark))
            if "landmarks" in batch:
                points = batch["landmarks"][place]
                x, y = ((points[points.any(-1)] + 1) / 2 * side + (left, top)).T
                inside = (x > left) & (x < left + side) & (y > top) & (y < top + side)
                axes.scatter(x[inside], y[inside], s=9, color="#39ff14", edgecolor="black", lw=0.3)
    axes.set(xlim=(0, len(columns)), ylim=(2, 0))  # last, since imshow sets them too


def _draw_labels(axes: Axes, sample: Sample, columns: Sequence[int]) -> None:
    """Plot the labels over time; shade invalid frames, and draw a line at each frame shown."""
    edges = _frame_edges(sample.time_s)
    for state, start, stop in _runs(sample.states):
        if state:
            hatch = {"facecolor": _pale(STATES[state]), "edgecolor": "white", "hatch": "///"}
            axes.axvspan(edges[start], edges[stop], lw=0, zorder=0, **hatch)
    axes.axhline(0, color="0.8", lw=0.7, zorder=1)
    for place in columns:
        if sample.states[place] != PAST_THE_END:
            axes.axvline(sample.time_s[place], color="0.75", lw=0.7, ls=":", zorder=1)
            axes.annotate(
                str(sample.numbers[place]), (sample.time_s[place], LABEL_RANGE[1]), (0, 2),
                textcoords="offset points", ha="center", size=8, color=PALE,
            )  # fmt: skip
    for dim, values in enumerate(sample.target.T):
        style = {"color": LINES[dim % len(LINES)], "lw": 1.6, "ms": 3, "clip_on": False}
        axes.plot(sample.time_s, values, ".-", **style)
    axes.set(xlim=(edges[0], edges[-1]), ylim=LABEL_RANGE, yticks=(-1, 0, 1))
    axes.set_xlabel("time in the video (s)", size=9, color=PALE)
    axes.tick_params(labelsize=8)
    axes.spines[["top", "right"]].set_visible(False)


def _frame_edges(time_s: np.ndarray) -> np.ndarray:
    """Return the borders between frames, halfway between their times, and the two outer borders."""
    if len(time_s) == 1:
        return time_s[0] + np.array([-0.5, 0.5])
    middle = (time_s[1:] + time_s[:-1]) / 2
    return np.array([2 * time_s[0] - middle[0], *middle, 2 * time_s[-1] - middle[-1]])


def _runs(states: Sequence[str]) -> Iterator[tuple[str, int, int]]:
    """Yield runs of equal states as (state, first index, index after the last)."""
    stop = 0
    for state, run in itertools.groupby(states):
        start, stop = stop, stop + len(list(run))
        yield state, start, stop


def _pale(colour: str) -> tuple[float, float, float]:
    red, green, blue = (0.78 + 0.22 * np.array(to_rgb(colour))).tolist()
    return red, green, blue
