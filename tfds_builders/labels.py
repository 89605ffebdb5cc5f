"""The targets of one recording, and which of them falls on which frame: by number or by time."""

import dataclasses

import numpy as np
from jaxtyping import Bool, Float, Int

from va_jax.types import LABEL_RANGE, InputError


@dataclasses.dataclass(frozen=True)
class TimedLabels:
    """Targets over time, at any rate."""

    time_s: np.ndarray  # float64 [rows], rising
    values: np.ndarray  # float64 [rows, dims], NaN where unlabelled
    raters: tuple[np.ndarray, ...] = ()  # per dim float64 [raters, rows], where they are known
    max_gap_s: float = 1.0  # rows further apart are not interpolated

    @property
    def step_s(self) -> float:
        return float(np.median(np.diff(self.time_s)))

    def at(
        self, number: Int[np.ndarray, "frames"], time_s: Float[np.ndarray, "frames"]
    ) -> Float[np.ndarray, "frames dims"]:
        """The targets of frames with these numbers and times, by their times."""
        return resample(self.time_s, self.values, time_s.astype(np.float64), self.max_gap_s)

    def covers(
        self, number: Int[np.ndarray, "frames"], time_s: Float[np.ndarray, "frames"]
    ) -> Bool[np.ndarray, "frames"]:
        """Which frames lie between the first and the last row, valid or not."""
        reach = self.step_s / 2 + 1e-9
        return (time_s >= self.time_s[0] - reach) & (time_s <= self.time_s[-1] + reach)

    def unused(self, number: tuple[int, int], time_s: tuple[float, float]) -> int:
        """Rows that fall on no frame, given the first and the last frame's number and time."""
        reach = self.step_s / 2 + 1e-9
        inside = (self.time_s >= time_s[0] - reach) & (self.time_s <= time_s[1] + reach)
        return int((~inside).sum())

    def describe(self) -> str:
        """Where the rows lie, for an error."""
        first, last = self.time_s[0], self.time_s[-1]
        return (
            f"span {first:g} to {last:g} s, {self.step_s:g} s apart (max_gap_s={self.max_gap_s:g})"
        )


@dataclasses.dataclass(frozen=True)
class NumberedLabels:
    """Targets of frames that are called by number."""

    number: np.ndarray  # int64 [rows], rising
    values: np.ndarray  # float64 [rows, dims], NaN where unlabelled
    raters: tuple[np.ndarray, ...] = ()  # as in TimedLabels

    def at(
        self, number: Int[np.ndarray, "frames"], time_s: Float[np.ndarray, "frames"]
    ) -> Float[np.ndarray, "frames dims"]:
        """The targets of frames with these numbers, NaN where no row has the number."""
        row = np.minimum(np.searchsorted(self.number, number), len(self.number) - 1)
        same = self.number[row] == number
        return np.where(same[:, None], self.values[row], np.nan).astype(np.float32)

    def covers(
        self, number: Int[np.ndarray, "frames"], time_s: Float[np.ndarray, "frames"]
    ) -> Bool[np.ndarray, "frames"]:
        """Which frames have a row, valid or not."""
        return np.isin(number, self.number)

    def unused(self, number: tuple[int, int], time_s: tuple[float, float]) -> int:
        """Rows that fall on no frame, given the first and the last frame's number and time."""
        return int(((self.number < number[0]) | (self.number > number[1])).sum())

    def describe(self) -> str:
        """Where the rows lie, for an error."""
        return f"are those of frames {self.number[0]} to {self.number[-1]}"


Labels = TimedLabels | NumberedLabels


def to_label_range(
    values: Float[np.ndarray, "*shape"], source: tuple[float, float]
) -> Float[np.ndarray, "*shape"]:
    """Values of the range `source` (lowest, highest), linearly in LABEL_RANGE."""
    low, high = LABEL_RANGE
    return low + (values - source[0]) * ((high - low) / (source[1] - source[0]))


def check_range(
    path: object,
    values: Float[np.ndarray, "rows"],
    lines: list[int],
    name: str,
    source: tuple[float, float],
) -> None:
    """Raises InputError that names the first value outside `source`, its file and its line."""
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
    """The labels at the frames' times (seconds), linear between neighbouring rows; float32.

    Nothing is interpolated towards an unlabelled row, over more than `max_gap_s`, or beyond the
    first and last row; there a frame takes the nearest row's value within half a label step (the
    median distance of rows), else NaN.
    """
    if len(label_s) < 2:
        raise ValueError(f"resampling needs 2 label rows, got {len(label_s)}")
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
