"""Read the label files of MuSe: rows of time and value, in segments, or the traces of raters."""

import dataclasses
import pathlib
from collections.abc import Sequence
from typing import NamedTuple

import numpy as np

from tfds_builders.label_csv import Format, read_labels
from tfds_builders.labels import MIN_STEP_S, TimedLabels
from tfds_builders.raters import fuse_raters
from tfds_builders.segments import SegmentedLabels
from va_jax.io import CsvFile, number, read_csv
from va_jax.types import InputError

TIMES = ("timestamp", "time")
"""Names of the time column in the packages and in the output of MuSe-Toolbox, in any case."""

SEGMENT = "segment_id"
BESIDE = (*TIMES, SEGMENT, "subject_id")
"""Columns that do not hold a rater's values."""

MATCH = 0.5
"""Smallest share of rows at the same times in files that belong together (our choice)."""


class Trace(NamedTuple):
    """The labels of one recording in one dimension, from one or several files."""

    path: pathlib.Path
    labels: TimedLabels  # one dimension
    segment: np.ndarray  # str [rows]; "" if the file has no segments


def read_gold(path: pathlib.Path, dim: str, form: Format) -> Trace:
    """Read a file with the columns `timestamp` (or `Time`), `value` and perhaps `segment_id`.

    Args:
        path: Csv file.
        dim: Name of the dimension.
        form: Its `time_unit` and `label_range` are used.

    Raises:
        InputError: The file does not have this format.
    """
    file = read_csv(path)
    file.columns("value")
    return _read(file, dim, ["value"], form)


def read_raters(path: pathlib.Path, dim: str, form: Format) -> Trace:
    """Read a file with a time column and a column for each rater, and fuse the raters.

    The columns of raters have whole numbers as names, as in the input of MuSe-Toolbox.

    Args:
        path: Csv file.
        dim: Name of the dimension.
        form: Its `time_unit`, `label_range` and `fusion` are used.

    Raises:
        InputError: The file does not have this format, or a rater has no values.
    """
    file = read_csv(path)
    names = [name for name in file.header if name.casefold() not in BESIDE]
    for name in names or [""]:
        if not name.isdecimal():
            problem = f"column {name!r} is not the number of a rater" if name else "has no raters"
            raise InputError(
                f"{path}: line {file.header_line}: {problem} (columns: {', '.join(file.header)}); "
                "name the columns timestamp,1,2,... and remove others"
            )
    return _read(file, dim, names, form)


def fuse(traces: Sequence[Trace], fusion: str) -> Trace:
    """Fuse the traces of several raters, each from a file of its own, at the times of all rows.

    Raises:
        InputError: The files have different times or segments, or a rater has no values.
    """
    first = traces[0]
    time_s, values, segment = _align(traces)
    for trace, rater in zip(traces, values, strict=True):
        if np.isnan(rater).all():
            raise InputError(f"{trace.path}: contains no values; remove the file of this rater")
    fused = fuse_raters(values, fusion)
    raters = (values,) if len(values) > 1 else ()
    labels = TimedLabels(time_s, fused[:, None], raters, reading=first.labels.reading)
    return Trace(first.path, labels, segment)


def join(traces: Sequence[Trace], max_gap_s: float) -> SegmentedLabels:
    """Combine the dimensions of a recording; a dimension that lacks a row is NaN there.

    Args:
        traces: The trace of each dimension.
        max_gap_s: Longest gap between rows of a segment to interpolate across, in seconds.

    Raises:
        InputError: Times or segments differ between the files, or rows are so far apart or so close
            that the unit of the times is in doubt.
    """
    time_s, values, segment = _align(traces)
    raters = [each.labels.raters for each in traces]
    several = ()
    if any(raters):
        several = tuple(
            _spread(each, each.labels.raters[0], time_s)
            if each.labels.raters
            else np.empty((0, len(time_s)))
            for each in traces
        )
    labels = SegmentedLabels(
        time_s,
        values.T,
        several,
        max_gap_s=max_gap_s,
        reading=traces[0].labels.reading,
        segment=np.unique(segment, return_inverse=True)[1],
    )
    _check_step(traces[0].path, labels)
    return labels


def _read(file: CsvFile, dim: str, names: Sequence[str], form: Format) -> Trace:
    header = [name.casefold() for name in file.header]
    times = [name for name in TIMES if name in header]
    if len(times) != 1:
        raise InputError(
            f"{file.path}: line {file.header_line}: {len(times)} columns are named timestamp or "
            f"Time (columns: {', '.join(file.header)}); correct the header"
        )
    form = Format(
        times[0],
        form.time_unit,
        tuple(f"{dim}:{name}" for name in names),
        form.label_range,
        form.fusion,
    )
    try:
        labels = read_labels(file.path, (dim,), form)
    except InputError as error:
        if str(file.path) in str(error):
            raise
        raise InputError(f"{file.path}: {error}") from error
    if not isinstance(labels, TimedLabels):
        raise ValueError(f"time_unit={form.time_unit} is not a unit of time")
    segment = np.full(len(labels.time_s), "", dtype=object)
    if SEGMENT in header:
        (column,) = file.columns(SEGMENT)
        segment[:] = [_segment_name(cells[column]) for _, cells in file.rows]
        if labels.reading is not None:
            meaning = list(labels.reading.meaning)
            meaning[column] = "segment"
            reading = dataclasses.replace(labels.reading, meaning=tuple(meaning))
            labels = dataclasses.replace(labels, reading=reading)
    return Trace(file.path, labels, segment)


def _segment_name(cell: str) -> str:
    """Return the name of a segment; programs that know no whole numbers save 1 as `1.0`."""
    value = number(cell)
    return str(int(value)) if value is not None and value.is_integer() else cell


def _align(traces: Sequence[Trace]) -> tuple[np.ndarray, np.ndarray, np.ndarray]:
    """Return the times of all rows, the values [traces, rows] at them, and the segments.

    Raises:
        InputError: Fewer than MATCH of the rows have the same times, or segments differ.
    """
    first = traces[0]
    time_s = np.unique(np.concatenate([each.labels.time_s for each in traces]))
    segment = np.full(len(time_s), "", dtype=object)
    for each in traces:
        own = each.labels.time_s
        same = int(np.isin(own, first.labels.time_s).sum())
        if same < MATCH * min(len(own), len(first.labels.time_s)):
            raise InputError(
                f"{each.path}: only {same} of {len(own)} rows have the same times as in "
                f"{first.path}; resample one of the two files"
            )
        place = np.searchsorted(time_s, own)
        known = (segment[place] != "") & (each.segment != "")
        other = known & (segment[place] != each.segment)
        if other.any():
            at = int(np.argmax(other))
            raise InputError(
                f"{each.path}: the row at {own[at]:g} s is in segment {each.segment[at]}, but in "
                f"segment {segment[place[at]]} of {first.path}; correct one of the two files"
            )
        segment[place] = np.where(each.segment != "", each.segment, segment[place])
    values = np.concatenate([_spread(each, each.labels.values.T, time_s) for each in traces])
    return time_s, values, segment.astype(str)


def _spread(trace: Trace, values: np.ndarray, time_s: np.ndarray) -> np.ndarray:
    """Return the values [n, rows of the trace] at all times, NaN where the trace has no row."""
    result = np.full((len(values), len(time_s)), np.nan)
    result[:, np.searchsorted(time_s, trace.labels.time_s)] = values
    return result


def _check_step(path: pathlib.Path, labels: TimedLabels) -> None:
    if labels.step_s > labels.max_gap_s:
        remedy = "set time_unit=ms if the times are in milliseconds, or else raise max_gap_s"
    elif labels.step_s < 1.5 * MIN_STEP_S:
        remedy = "set time_unit=s if the times are in seconds, or else correct the file"
    else:
        return
    raise InputError(
        f"{path}: rows are {labels.step_s:g} s apart (max_gap_s={labels.max_gap_s:g}); {remedy}"
    )
