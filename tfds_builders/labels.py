"""Label files: read a csv of times and targets, fuse its raters, resample at the frames' times."""

import pathlib
import re
from collections.abc import Sequence
from typing import NamedTuple

import numpy as np
from jaxtyping import Float

from va_jax.schema import LABEL_RANGE, InputError

DELIMITERS = (";", "\t", ",")
TIME_NAMES = frozenset(
    {"time", "times", "timesec", "timeinseconds", "timestamp", "timestamps", "frametime"}
)
"""Accepted names of the time column, letters and digits only: `times` is `time_s` or `time (s)`."""

UNLABELLED = frozenset({"", "nan", "na"})


class Labels(NamedTuple):
    """The targets of one video over time."""

    time_s: np.ndarray  # float64 [rows], rising
    values: np.ndarray  # float64 [rows, dims], NaN where unlabelled

    @property
    def step_s(self) -> float:
        return float(np.median(np.diff(self.time_s)))


def read_labels(path: pathlib.Path, dims: Sequence[str]) -> Labels:
    """Reads a label csv; several raters' columns for one target are fused by `fuse_raters`.

    The delimiter is the first of `;`, tab and `,` that occurs in the first line. The file has a
    header when its first cell is no number. With a header, the time column is the one named `time`,
    `time_s`, `time in seconds`, `timestamp` or `frametime`, else the first; a column belongs to the
    target whose name it starts with, in any case (`valence`, `Valence_r2`, `valence FM1`); others
    are ignored. Without a header the columns are the time and then `dims`, in this order. Times are
    seconds, values lie in [-1, 1]; an empty cell or `nan` means unlabelled.

    Raises InputError, with file, line and value, for everything else.
    """
    lines = _lines(path)
    delimiter = next((each for each in DELIMITERS if each in lines[0][1]), ",")
    rows = [(n, [cell.strip(" \"'") for cell in text.split(delimiter)]) for n, text in lines]
    if _is_number(rows[0][1][0]):
        header = ["time", *dims]
        if len(rows[0][1]) != len(header):
            raise InputError(
                f"{path}: line {rows[0][0]}: {len(rows[0][1])} columns without a header, expected "
                f"{len(header)} ({', '.join(header)}); add a header line"
            )
    else:
        header = rows.pop(0)[1]
    if len(rows) < 2:
        raise InputError(f"{path}: {len(rows)} label rows; at least 2 are needed")
    for number, cells in rows:
        if len(cells) != len(header):
            raise InputError(
                f"{path}: line {number}: {len(cells)} cells where the first line has {len(header)}"
            )
    time_column = _time_column(path, header)
    columns = _target_columns(path, header, dims, time_column)
    time_s = _times(path, [(number, cells[time_column]) for number, cells in rows])
    values = [
        fuse_raters(
            np.array([[_value(path, n, header[c], cells[c]) for n, cells in rows] for c in raters])
        )
        for raters in columns
    ]
    return Labels(time_s, np.stack(values, axis=1))


def _lines(path: pathlib.Path) -> list[tuple[int, str]]:
    try:
        text = path.read_text(encoding="utf-8-sig")
    except OSError as error:
        raise InputError(f"{path}: {error.strerror}; check the labels column") from error
    except UnicodeDecodeError as error:
        raise InputError(f"{path}: is no UTF-8 text; save the labels as a csv") from error
    lines = [(n, line) for n, line in enumerate(text.splitlines(), 1) if line.strip()]
    if not lines:
        raise InputError(f"{path}: is empty; leave the labels cell empty for an unlabelled video")
    return lines


def _is_number(cell: str) -> bool:
    try:
        float(cell)
    except ValueError:
        return False
    return True


def _time_column(path: pathlib.Path, header: Sequence[str]) -> int:
    plain = [re.sub(r"[^a-z0-9]", "", name.lower()) for name in header]
    for column, name in enumerate(plain):
        if name in TIME_NAMES:
            return column
    if plain[0].startswith("frame") or plain[0].endswith("ms") or "milli" in plain[0]:
        raise InputError(
            f"{path}: line 1: column {header[0]!r} does not hold seconds; name a column time_s"
        )
    return 0


def _target_columns(
    path: pathlib.Path, header: Sequence[str], dims: Sequence[str], time_column: int
) -> list[list[int]]:
    """The raters' columns of each target; a name that fits two targets goes to the longer one."""
    columns: dict[str, list[int]] = {dim: [] for dim in dims}
    for column, name in enumerate(header):
        fits = [dim for dim in dims if name.lower().startswith(dim.lower())]
        if fits and column != time_column:
            columns[max(fits, key=len)].append(column)
    for dim, found in columns.items():
        if not found:
            raise InputError(
                f"{path}: line 1: no column for {dim!r} among {', '.join(header)}; "
                "name one so, or set the option dims"
            )
    return list(columns.values())


def _times(path: pathlib.Path, cells: Sequence[tuple[int, str]]) -> Float[np.ndarray, "rows"]:
    times: list[float] = []
    for number, cell in cells:
        time = float(cell) if _is_number(cell) else np.nan
        if not np.isfinite(time):
            raise InputError(f"{path}: line {number}: time {cell!r} is not a number of seconds")
        if times and time <= times[-1]:
            how = "repeats" if time == times[-1] else "goes back from"
            raise InputError(
                f"{path}: line {number}: time {cell} {how} {times[-1]:g}; sort by time"
            )
        times.append(time)
    return np.array(times)


def _value(path: pathlib.Path, number: int, name: str, cell: str) -> float:
    if cell.lower() in UNLABELLED:
        return np.nan
    if not _is_number(cell):
        raise InputError(f"{path}: line {number}: {name} {cell!r} is not a number")
    value = float(cell)
    low, high = LABEL_RANGE
    if not low <= value <= high:
        raise InputError(
            f"{path}: line {number}: {name} {cell} is outside [{low:g}, {high:g}]; "
            "rescale the labels, and leave unlabelled cells empty"
        )
    return value


def fuse_raters(values: Float[np.ndarray, "raters rows"]) -> Float[np.ndarray, "rows"]:
    """One trace from several raters', as AVEC 2016 makes the gold standard of RECOLA.

    The mean of the raters' traces, each freed of its own mean, plus the mean of those means
    weighted by w_r, the mean CCC of rater r with the others; clipped to LABEL_RANGE. Ours: weights
    below 0 count as 0, all-zero weights as equal, and a rater is left out of the rows it lacks.
    """
    raters = len(values)
    if raters == 1:
        return values[0]
    known = np.isfinite(values)
    if not known.any(1).all():
        raise InputError(f"rater {int(np.argmin(known.any(1))) + 1} of {raters} labelled nothing")
    weights = np.zeros(raters)
    for r in range(raters):
        others = [_ccc(values[r], values[o]) for o in range(raters) if o != r]
        weights[r] = max(0.0, float(np.mean(others)))
    if not weights.any():
        weights[:] = 1
    means = np.nanmean(values, axis=1)
    level = (weights * means).sum() / weights.sum()
    count = known.sum(0)
    deviation = np.where(known, values - means[:, None], 0).sum(0)
    fused = deviation / np.maximum(count, 1) + level
    return np.where(count > 0, np.clip(fused, *LABEL_RANGE), np.nan)


def _ccc(a: Float[np.ndarray, "rows"], b: Float[np.ndarray, "rows"]) -> float:
    """Lin's concordance over the rows both raters labelled; 0 where both are constant."""
    both = np.isfinite(a) & np.isfinite(b)
    if not both.any():
        return 0.0
    a, b = a[both], b[both]
    denominator = a.var() + b.var() + (a.mean() - b.mean()) ** 2
    return 2 * float(np.mean((a - a.mean()) * (b - b.mean()))) / denominator if denominator else 0.0


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
