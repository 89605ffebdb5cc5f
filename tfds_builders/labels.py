"""The labels of one recording, which are joined to its frames by frame number or by time."""

import dataclasses
import functools
import pathlib
from collections.abc import Sequence

import numpy as np
from jaxtyping import Bool, Float, Int

from tfds_builders import raters as rating
from va_jax.types import LABEL_RANGE, InputError

ROUNDING_S = 1e-6
"""Errors of rounding in differences of times; they do not count against `max_gap_s`."""

NEAR = 0.1
"""Relative difference up to which a ratio of lengths points to a unit (our choice)."""

MIN_STEP_S = 1e-3
"""Shortest plausible interval between labels (our choice); shorter ones point to a wrong unit."""


class OutOfRangeError(InputError):
    """A label outside its legal range; if `most` values are outside, the range may be wrong."""

    most = False  # whether more than half of the values in a column are outside


@dataclasses.dataclass(frozen=True)
class Reading:
    """How the columns of a label file were interpreted, with its first rows."""

    header: tuple[str, ...]
    meaning: tuple[str, ...]  # meaning of each column, such as "time, ms" or "valence, rater 2"
    rows: tuple[tuple[int, tuple[str, ...]], ...]  # (line number, cells)


@dataclasses.dataclass(frozen=True)
class TimedLabels:
    """Labels identified by their time, at any rate."""

    time_s: np.ndarray  # float64 [rows], increasing
    values: np.ndarray  # float64 [rows, dims], NaN where unlabelled
    raters: tuple[np.ndarray, ...] = ()  # float64 [raters, rows] per dim; empty if not known
    max_gap_s: float = 1.0  # values are not interpolated between rows further apart than this
    unit_known: bool = True  # False: no name or option says that the times are in seconds
    reading: Reading | None = None  # for a file whose columns vary

    @property
    def step_s(self) -> float:
        """Return the median interval between rows, in seconds."""
        return float(np.median(np.diff(self.time_s)))

    def at(
        self, number: Int[np.ndarray, "frames"], time_s: Float[np.ndarray, "frames"]
    ) -> Float[np.ndarray, "frames dims"]:
        """Return the targets for frames at these times, see `resample`."""
        return self._join(self.values, time_s)

    def spread_at(
        self, number: Int[np.ndarray, "frames"], time_s: Float[np.ndarray, "frames"]
    ) -> Float[np.ndarray, "frames dims"]:
        """Return the spread between raters, see `raters.spread`, joined like the targets."""
        return self._join(self._spread, time_s)

    @functools.cached_property
    def _spread(self) -> np.ndarray:
        return _spreads(self.raters)

    def _join(self, values: np.ndarray, time_s: np.ndarray) -> np.ndarray:
        return resample(self.time_s, values, time_s.astype(np.float64), self.max_gap_s)

    def covers(
        self, number: Int[np.ndarray, "frames"], time_s: Float[np.ndarray, "frames"]
    ) -> Bool[np.ndarray, "frames"]:
        """Return whether each frame lies between the first and last row, even if unlabelled."""
        reach = self.step_s / 2 + 1e-9
        return (time_s >= self.time_s[0] - reach) & (time_s <= self.time_s[-1] + reach)

    def unused(self, number: tuple[int, int], time_s: tuple[float, float]) -> int:
        """Count the rows outside the frames, given the first and last frame's number and time."""
        reach = self.step_s / 2 + 1e-9
        inside = (self.time_s >= time_s[0] - reach) & (self.time_s <= time_s[1] + reach)
        return int((~inside).sum())

    def describe(self) -> str:
        """Describe the range of the rows, for an error message."""
        first, last = self.time_s[0], self.time_s[-1]
        return (
            f"span {first:g} to {last:g} s at intervals of {self.step_s:g} s "
            f"(max_gap_s={self.max_gap_s:g})"
        )


@dataclasses.dataclass(frozen=True)
class NumberedLabels:
    """Labels identified by their frame number."""

    number: np.ndarray  # int64 [rows], increasing
    values: np.ndarray  # float64 [rows, dims], NaN where unlabelled
    raters: tuple[np.ndarray, ...] = ()  # as in TimedLabels
    reading: Reading | None = None  # as in TimedLabels

    def at(
        self, number: Int[np.ndarray, "frames"], time_s: Float[np.ndarray, "frames"]
    ) -> Float[np.ndarray, "frames dims"]:
        """Return the targets for frames with these numbers, NaN for frames without a row."""
        return self._join(self.values, number)

    def spread_at(
        self, number: Int[np.ndarray, "frames"], time_s: Float[np.ndarray, "frames"]
    ) -> Float[np.ndarray, "frames dims"]:
        """Return the spread between raters, see `raters.spread`, joined like the targets."""
        return self._join(self._spread, number)

    @functools.cached_property
    def _spread(self) -> np.ndarray:
        return _spreads(self.raters)

    def _join(self, values: np.ndarray, number: np.ndarray) -> np.ndarray:
        row = np.minimum(np.searchsorted(self.number, number), len(self.number) - 1)
        same = self.number[row] == number
        return np.where(same[:, None], values[row], np.nan).astype(np.float32)

    def covers(
        self, number: Int[np.ndarray, "frames"], time_s: Float[np.ndarray, "frames"]
    ) -> Bool[np.ndarray, "frames"]:
        """Return whether each frame has a row, even if unlabelled."""
        return np.isin(number, self.number)

    def unused(self, number: tuple[int, int], time_s: tuple[float, float]) -> int:
        """Count the rows outside the frames, given the first and last frame's number and time."""
        return int(((self.number < number[0]) | (self.number > number[1])).sum())

    def describe(self) -> str:
        """Describe the range of the rows, for an error message."""
        return f"are for frames {self.number[0]} to {self.number[-1]}"


Labels = TimedLabels | NumberedLabels


def _spreads(raters: Sequence[np.ndarray]) -> Float[np.ndarray, "rows dims"]:
    """Return the spread between the raters of each dimension."""
    return np.stack([rating.spread(values) for values in raters], axis=1)


@dataclasses.dataclass(frozen=True)
class Extent:
    """The first and last frame of a recording."""

    number: tuple[int, int]
    time_s: tuple[float, float]
    frames: int

    @property
    def length_s(self) -> float:
        """Return the time from the first frame to the end of the last."""
        return (self.time_s[1] - self.time_s[0]) * self.frames / max(self.frames - 1, 1)


def misfit(labels: Labels, extent: Extent) -> str:
    """Return why labels cannot belong to these frames, with a remedy, or "" if they can.

    Labels do not fit if fewer than half of their rows fall on frames, or if their length differs
    from that of the frames by a factor that points to a different unit, unless a name or an option
    states the unit of the labels.
    """
    rows = len(labels.values)
    matched = rows - labels.unused(extent.number, extent.time_s)
    cause, certain = "", False
    if isinstance(labels, TimedLabels):
        cause, certain = _other_unit(labels, extent)
    if 2 * matched >= rows and not certain:
        return ""
    share = f"only {matched} of {rows} label rows match" if matched else "no label matches"
    remedy = "correct the label file, or set unused_rows=drop to omit these rows"
    return (
        f"{share} frames {extent.number[0]} to {extent.number[1]} ({extent.time_s[0]:g} to "
        f"{extent.time_s[1]:g} s); the labels {labels.describe()}; {cause or remedy}"
    )


def _other_unit(labels: TimedLabels, extent: Extent) -> tuple[str, bool]:
    """Return the unit that the length of the labels points to, and whether to refuse them."""
    if extent.length_s <= 0:
        return "", False
    step_s = labels.step_s
    ratio = (labels.time_s[-1] - labels.time_s[0] + step_s) / extent.length_s
    fps = extent.frames / extent.length_s
    too_fast = step_s < 1.5 * MIN_STEP_S
    units = [
        (1e3, "milliseconds: set time_unit=ms", not labels.unit_known),
        (1e6, "microseconds: divide them by 1,000,000", not labels.unit_known),
        (fps, "frame numbers: set time_unit=frame", not labels.unit_known),
        (1 / 60, "minutes: multiply them by 60; if not, set time_unit=s", not labels.unit_known),
        (fps / 1e3, "frame numbers, not milliseconds: set time_unit=frame", too_fast),
        (1e-3, "seconds, not milliseconds: set time_unit=s", too_fast),
    ]
    for factor, unit, certain in units:
        if abs(factor - 1) > 2 * NEAR and abs(ratio / factor - 1) <= NEAR:
            return f"the times seem to be {unit}", certain
    return "", False


def to_label_range(
    values: Float[np.ndarray, "*shape"], source: tuple[float, float]
) -> Float[np.ndarray, "*shape"]:
    """Map values linearly from the range `source` (lowest, highest) to LABEL_RANGE."""
    if source == LABEL_RANGE:
        return values
    low, high = LABEL_RANGE
    mapped = low + (values - source[0]) * ((high - low) / (source[1] - source[0]))
    return np.clip(mapped, low, high)  # rounding may exceed the range


def check_range(
    path: pathlib.Path,
    values: Float[np.ndarray, "rows"],
    lines: list[int],
    name: str,
    source: tuple[float, float],
) -> None:
    """Check that all values are in the range `source` (lowest, highest) or NaN.

    Args:
        path: File the values come from.
        values: One value per row.
        lines: Line number of each row.
        name: Name of the target.
        source: Lowest and highest legal value.

    Raises:
        OutOfRangeError: A value is outside the range.
    """
    outside = (values < source[0]) | (values > source[1])
    if outside.any():
        at = int(np.argmax(outside))
        raise OutOfRangeError(
            f"{path}: line {lines[at]}: {name} {values[at]:g} is outside "
            f"[{source[0]:g}, {source[1]:g}]; correct the file"
        )


def resample(
    label_s: Float[np.ndarray, "rows"],
    values: Float[np.ndarray, "rows dims"],
    frame_s: Float[np.ndarray, "frames"],
    max_gap_s: float,
) -> Float[np.ndarray, "frames dims"]:
    """Interpolate the labels linearly at the times of the frames.

    There is no interpolation next to an unlabelled row, across a gap of more than `max_gap_s`, or
    outside the first and last row. In these cases a frame takes the value of the nearest row if
    that row is at most half a label step (the median interval between rows) away, and NaN
    otherwise.

    Args:
        label_s: Times of the rows in seconds, increasing.
        values: Labels, NaN where unlabelled.
        frame_s: Times of the frames in seconds.
        max_gap_s: Longest interval to interpolate across, in seconds.

    Returns:
        The labels as float32.
    """
    if len(label_s) < 2:
        raise ValueError(f"resampling requires at least 2 label rows, got {len(label_s)}")
    right = np.clip(np.searchsorted(label_s, frame_s), 1, len(label_s) - 1)
    left = right - 1
    gap = label_s[right] - label_s[left]
    weight = (frame_s - label_s[left]) / gap
    between = (1 - weight)[:, None] * values[left] + weight[:, None] * values[right]
    inside = (gap <= max_gap_s + ROUNDING_S) & (weight >= 0) & (weight <= 1)
    nearest = np.where(weight <= 0.5, left, right)
    near = np.abs(frame_s - label_s[nearest]) <= np.median(np.diff(label_s)) / 2 + 1e-9
    held = np.where(near[:, None], values[nearest], np.nan)
    return np.where(inside[:, None] & np.isfinite(between), between, held).astype(np.float32)
