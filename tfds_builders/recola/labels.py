"""Read the label files of RECOLA, which contain one trace or the traces of six raters."""

import dataclasses
import pathlib
from collections.abc import Sequence

import numpy as np
from jaxtyping import Float, Int

from tfds_builders.label_csv import UNLABELLED, find_time_column, rising_times
from tfds_builders.labels import NumberedLabels, check_range
from tfds_builders.raters import fuse_raters
from va_jax.io import CsvFile, number, read_csv, read_lines, require_number, split_cells
from va_jax.types import LABEL_RANGE, InputError

STEP_S = 0.04
"""Seconds from one row to the next, and from one frame of a video to the next."""

OFF_GRID = 0.1
"""Largest distance between a row and its frame, as a fraction of STEP_S (our choice)."""

MAX_TIME_S = 86_400.0
"""Largest plausible time, one day (our choice)."""

RATERS = ("FM1", "FM2", "FM3", "FF1", "FF2", "FF3")
GOLD = ("instance_name", "frametime", "goldstandard")

Rows = Sequence[tuple[int, Sequence[str]]]
"""(line number, cells) of each row."""


@dataclasses.dataclass(frozen=True)
class Traces:
    """The rows of a file by frame number; frame 1 is at STEP_S, and there is no frame at time 0."""

    number: np.ndarray  # int64 [rows], increasing, from 0
    values: np.ndarray  # float64 [traces, rows], NaN where unlabelled

    def on(self, number: Int[np.ndarray, "frames"]) -> Float[np.ndarray, "traces frames"]:
        """Return the values for frames in increasing order, NaN for frames without a row."""
        result = np.full((len(self.values), len(number)), np.nan)
        place = np.searchsorted(number, self.number)
        known = np.isin(self.number, number)
        result[:, place[known]] = self.values[:, known]
        return result


def read_gold(path: pathlib.Path, instance: str) -> Traces:
    """Read the trace in an arff file of AVEC 2016.

    Attributes are found by name, in upper or lower case and any order; `?` means unlabelled.

    Args:
        path: Arff file.
        instance: Name of the recording, which every row must contain.

    Raises:
        InputError: The file does not have this format.
    """
    lines = ((line, text.strip()) for line, text in read_lines(path))
    lines = ((line, text) for line, text in lines if not text.startswith("%"))
    names: list[str] = []
    for line, text in lines:
        keyword, *words = text.lower().split()
        if keyword == "@data":
            break
        if keyword == "@attribute" and words:
            names.append(words[0].strip("'\""))
        elif keyword != "@relation":
            raise InputError(
                f"{path}: line {line}: unexpected {text!r} before @data; correct the file"
            )
    else:
        raise InputError(f"{path}: contains no @data line; replace the file")
    if any(names.count(each) != 1 for each in GOLD):
        raise InputError(
            f"{path}: line {line}: the attributes are {', '.join(names) or 'missing'}; expected "
            f"{', '.join(GOLD)}, each exactly once"
        )
    instance_column, *others = map(names.index, GOLD)
    rows = []
    for line, text in lines:
        cells = split_cells(text, ",")
        if len(cells) != len(names):
            raise InputError(
                f"{path}: line {line}: has {len(cells)} cells instead of {len(names)}; correct the "
                "row"
            )
        if cells[instance_column] != instance:
            raise InputError(
                f"{path}: line {line}: the instance is {cells[instance_column]!r}, but the file is "
                f"named after {instance!r}; restore the file's original name"
            )
        rows.append((line, [cells[column] for column in others]))
    return _traces(path, rows, ["GoldStandard"])


def read_raters(path: pathlib.Path) -> Traces:
    """Read the traces of RATERS, in this order, from a csv file with a time column.

    Columns are found by name, in upper or lower case and any order.

    Raises:
        InputError: The file does not have this format, or a rater has no values.
    """
    file = read_csv(path)
    if number(file.header[0]) is not None:
        raise InputError(
            f"{path}: line {file.header_line}: the header is missing; add a line with the names "
            f"time, {', '.join(RATERS)}"
        )
    raters = file.columns(*RATERS)
    columns = [find_time_column(path, file.header), *raters]
    if len(file.header) != len(columns) or columns[0] in raters:
        raise InputError(
            f"{path}: line {file.header_line}: the columns are {', '.join(file.header)}; expected "
            f"time, {', '.join(RATERS)}"
        )
    return _traces(path, _select(file, columns), RATERS)


def read_trace(path: pathlib.Path) -> Traces:
    """Read the trace in a csv file with the columns time and value, with or without a header.

    Raises:
        InputError: The file does not have this format.
    """
    file = read_csv(path)
    if len(file.header) != 2:
        raise InputError(
            f"{path}: line {file.header_line}: has {len(file.header)} columns; expected 2, time "
            "and value"
        )
    if number(file.header[0]) is not None:
        return _traces(path, [(file.header_line, file.header), *file.rows], ["value"])
    time_column = find_time_column(path, file.header)
    return _traces(path, _select(file, [time_column, 1 - time_column]), ["value"])


def _select(file: CsvFile, columns: Sequence[int]) -> Rows:
    return [(line, [cells[column] for column in columns]) for line, cells in file.rows]


def _traces(path: pathlib.Path, rows: Rows, names: Sequence[str]) -> Traces:
    """Build traces from rows that contain the time and one value for each of `names`."""
    if not rows:
        raise InputError(f"{path}: contains no rows; replace the file")
    lines = [line for line, _ in rows]
    frames = _frames(path, [(line, cells[0]) for line, cells in rows])
    values = np.array(
        [
            [_value(path, line, name, cells[column]) for line, cells in rows]
            for column, name in enumerate(names, 1)
        ]
    )
    for name, trace in zip(names, values, strict=True):
        check_range(path, trace, lines, name, LABEL_RANGE)
        if np.isnan(trace).all():
            raise InputError(f"{path}: {name} has no values; replace or remove the file")
    return Traces(frames, values)


def _value(path: pathlib.Path, line: int, name: str, cell: str) -> float:
    if cell == "?" or cell.lower() in UNLABELLED:
        return np.nan
    return require_number(path, line, name, cell)


def _frames(path: pathlib.Path, cells: Sequence[tuple[int, str]]) -> Int[np.ndarray, "rows"]:
    """Convert (line, time) pairs to frame numbers; reject times that match no frame."""
    time_s = rising_times(path, cells)
    nearest = np.rint(np.clip(time_s, 0, MAX_TIME_S) / STEP_S).astype(np.int64)
    off = np.abs(time_s - nearest * STEP_S) > OFF_GRID * STEP_S + 1e-9
    off[1:] |= np.diff(nearest) == 0
    if off.any():
        line, cell = cells[int(np.argmax(off))]
        raise InputError(
            f"{path}: line {line}: time {cell} matches no frame; times must be distinct multiples "
            f"of {STEP_S:g} s, starting at 0; resample to {1 / STEP_S:g} rows per second"
        )
    return nearest


def fused(ratings: Traces, fusion: str) -> Traces:
    """Fuse several raters' traces into one, with weights for the whole file."""
    return Traces(ratings.number, fuse_raters(ratings.values, fusion)[None])


def join(traces: Sequence[Traces], raters: Sequence[Traces | None]) -> NumberedLabels:
    """Combine the traces of all dimensions into the labels of a recording.

    If a dimension lacks a row, its value there is NaN.

    Args:
        traces: The trace for each dimension.
        raters: The raters' traces for each dimension, or None if they are not available.
    """
    number = np.unique(np.concatenate([each.number for each in traces]))
    values = np.concatenate([each.on(number) for each in traces]).T
    if all(each is None for each in raters):
        return NumberedLabels(number, values)
    no_raters = np.empty((0, len(number)))
    return NumberedLabels(
        number, values, tuple(no_raters if each is None else each.on(number) for each in raters)
    )
