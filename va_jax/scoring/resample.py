"""Resample the values of a face onto a regular grid of times; the frame rate may vary."""

from typing import NamedTuple

import numpy as np
from jaxtyping import Bool, Float, Int


class Resampled(NamedTuple):
    """Values at the times 0, 1 / fps, 2 / fps, ..."""

    time_s: Float[np.ndarray, " rows"]
    values: Float[np.ndarray, "rows dims"]  # NaN where nothing is known
    shown: Bool[np.ndarray, " rows"]


def count_rows(time_s: Float[np.ndarray, " frames"], fps: float) -> int:
    """Return the number of rows that cover all frames; 0 if there are none."""
    return int(_rows_of(time_s[-1:], fps)[0]) + 1 if len(time_s) else 0


def nearest(
    time_s: Float[np.ndarray, " frames"], at_s: Float[np.ndarray, " rows"]
) -> Int[np.ndarray, " rows"]:
    """Return the index of the frame nearest to each time; the earlier one of two at a distance."""
    right = np.searchsorted(time_s, at_s).clip(1, max(len(time_s) - 1, 1))
    left = right - 1
    right = right.clip(max=len(time_s) - 1)
    return np.where(at_s - time_s[left] <= time_s[right] - at_s, left, right)


def resample(
    time_s: Float[np.ndarray, " frames"],
    values: Float[np.ndarray, "frames dims"],
    shown: Bool[np.ndarray, " frames"],
    fps: float,
    rows: int | None = None,
) -> Resampled:
    """Return the values of a face at regular times.

    A row covers the time from half a step before to half a step after it, so that nothing is
    shifted. Its value is the mean over the frames in this time that show the face. If there are
    such frames, the row counts as shown; if none of the frames shows the face, its value is the
    mean over all of them. If there is no frame in this time, because the grid is finer than the
    video, the value is interpolated linearly between the frame before and the frame after it, and
    the row counts as shown if both of them show the face.

    Args:
        time_s: times of the frames in seconds, increasing; frames before 0 may share the first row.
        values: values in every frame, or NaN.
        shown: whether the face is visible.
        fps: rows per second.
        rows: number of rows; frames after the last one are left out. None to cover all frames.
    """
    rows = count_rows(time_s, fps) if rows is None else rows
    grid = np.arange(rows) / fps
    row = _rows_of(time_s, fps)
    inside = (row >= 0) & (row < rows)
    known = np.isfinite(values).all(1)
    counted = inside & known & shown
    mean, shares = _means(row, values, counted, rows)
    rest, _ = _means(row, values, inside & known, rows)
    mean = np.where(shares[:, None] > 0, mean, rest)
    empty = np.bincount(row[inside], minlength=rows) == 0
    after = np.searchsorted(time_s, grid)
    between = empty & (after > 0) & (after < len(time_s))
    right = after[between]
    left = right - 1
    weight = ((grid[between] - time_s[left]) / (time_s[right] - time_s[left]))[:, None]
    mean[between] = (1 - weight) * values[left] + weight * values[right]
    visible = shares > 0
    visible[between] = (shown & known)[left] & (shown & known)[right]
    return Resampled(grid, mean, visible)


def _rows_of(time_s: np.ndarray, fps: float) -> Int[np.ndarray, " frames"]:
    return np.floor(time_s * fps + 0.5).astype(np.int64)


def _means(
    row: np.ndarray, values: np.ndarray, used: np.ndarray, rows: int
) -> tuple[np.ndarray, np.ndarray]:
    """Return the mean of the used frames in each row, NaN if there are none, and their number."""
    counts = np.bincount(row[used], minlength=rows)
    sums = np.stack(
        [np.bincount(row[used], column[used], minlength=rows) for column in values.T], axis=1
    )
    return np.where(counts[:, None] > 0, sums / np.maximum(counts, 1)[:, None], np.nan), counts
