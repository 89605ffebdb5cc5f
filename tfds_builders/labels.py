"""The labels of one recording, which are joined to its frames by frame number or by time."""

import dataclasses
import pathlib

import numpy as np
from jaxtyping import Bool, Float, Int

from va_jax.types import LABEL_RANGE, InputError


@dataclasses.dataclass(frozen=True)
class TimedLabels:
    """Labels identified by their time, at any rate."""

    time_s: np.ndarray  # float64 [rows], increasing
    values: np.ndarray  # float64 [rows, dims], NaN where unlabelled
    raters: tuple[np.ndarray, ...] = ()  # float64 [raters, rows] per dim; empty if not known
    max_gap_s: float = 1.0  # values are not interpolated between rows further apart than this

    @property
    def step_s(self) -> float:
        """Return the median interval between rows, in seconds."""
        return float(np.median(np.diff(self.time_s)))

    def at(
        self, number: Int[np.ndarray, "frames"], time_s: Float[np.ndarray, "frames"]
    ) -> Float[np.ndarray, "frames dims"]:
        """Return the targets for frames at these times, see `resample`."""
        return resample(self.time_s, self.values, time_s.astype(np.float64), self.max_gap_s)

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
            f"span {first:g} to {last:g} s, {self.step_s:g} s apart (max_gap_s={self.max_gap_s:g})"
        )


@dataclasses.dataclass(frozen=True)
class NumberedLabels:
    """Labels identified by their frame number."""

    number: np.ndarray  # int64 [rows], increasing
    values: np.ndarray  # float64 [rows, dims], NaN where unlabelled
    raters: tuple[np.ndarray, ...] = ()  # as in TimedLabels

    def at(
        self, number: Int[np.ndarray, "frames"], time_s: Float[np.ndarray, "frames"]
    ) -> Float[np.ndarray, "frames dims"]:
        """Return the targets for frames with these numbers, NaN for frames without a row."""
        row = np.minimum(np.searchsorted(self.number, number), len(self.number) - 1)
        same = self.number[row] == number
        return np.where(same[:, None], self.values[row], np.nan).astype(np.float32)

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


def to_label_range(
    values: Float[np.ndarray, "*shape"], source: tuple[float, float]
) -> Float[np.ndarray, "*shape"]:
    """Map values linearly from the range `source` (lowest, highest) to LABEL_RANGE."""
    low, high = LABEL_RANGE
    return low + (values - source[0]) * ((high - low) / (source[1] - source[0]))


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
        InputError: A value is outside the range.
    """
    outside = (values < source[0]) | (values > source[1])
    if outside.any():
        at = int(np.argmax(outside))
        raise InputError(
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
    inside = (gap <= max_gap_s) & (weight >= 0) & (weight <= 1)
    nearest = np.where(weight <= 0.5, left, right)
    near = np.abs(frame_s - label_s[nearest]) <= np.median(np.diff(label_s)) / 2 + 1e-9
    held = np.where(near[:, None], values[nearest], np.nan)
    return np.where(inside[:, None] & np.isfinite(between), between, held).astype(np.float32)
