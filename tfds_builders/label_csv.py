"""Read users' own label files: csv with a time or frame column, and columns for each target."""

import dataclasses
import pathlib
import re
from collections.abc import Mapping, Sequence

import numpy as np
from jaxtyping import Float, Int

from tfds_builders.labels import (
    Labels,
    NumberedLabels,
    OutOfRangeError,
    Reading,
    TimedLabels,
    to_label_range,
)
from tfds_builders.raters import fuse_raters
from va_jax.data.columns import Columns, understand, unit_of
from va_jax.io import CsvFile, number, read_csv, require_number
from va_jax.types import LABEL_RANGE, InputError

UNLABELLED = frozenset({"", "nan", "na"})

SHOWN_ROWS = 2
"""Number of rows in a `Reading`."""


@dataclasses.dataclass(frozen=True)
class Format:
    """Options for reading label files whose headers leave them open."""

    time_column: str = ""  # as in `columns.understand`, like the next two
    time_unit: str = ""
    columns: tuple[str, ...] = ()
    label_range: tuple[float, float] = LABEL_RANGE  # lowest and highest value in the files
    fusion: str = "ewe"  # rule to fuse several raters, one of `raters.FUSIONS`


def read_labels(path: pathlib.Path, dims: Sequence[str], form: Format = Format()) -> Labels:
    """Read a label csv; if several raters labelled a target, `fuse_raters` fuses their columns.

    The file has a header if its first cell is not a number; `columns.understand` finds the columns
    in it. Without a header, the columns are the time followed by `dims`. An empty cell or `nan`
    marks an unlabelled row.

    Returns:
        Labels in LABEL_RANGE: by frame number if the file has a frame column, and otherwise by time
        in seconds.

    Raises:
        InputError: The file does not have this format.
        OutOfRangeError: A value is outside `form.label_range`.
    """
    file = _with_header(read_csv(path), dims, form)
    if len(file.rows) < 2:
        raise InputError(
            f"{path}: has fewer than 2 label rows ({len(file.rows)}); replace the file"
        )
    columns = _understand(file, dims, form)
    read = {column: _values(file, column) for found in columns.raters.values() for column in found}
    _check_range(file, read, form.label_range)
    raters = [
        to_label_range(np.stack([read[column] for column in found]), form.label_range)
        for found in columns.raters.values()
    ]
    values = np.stack([fuse_raters(each, form.fusion) for each in raters], axis=1)
    several = tuple(raters) if max(map(len, raters)) > 1 else ()
    keys = [(line, cells[columns.time]) for line, cells in file.rows]
    reading = _reading(file, columns, form)
    if columns.unit == "frame":
        return NumberedLabels(_frame_numbers(path, keys), values, several, reading)
    times = rising_times(path, keys)
    return TimedLabels(
        times / 1000 if columns.unit == "ms" else times,
        values,
        several,
        unit_known=columns.unit is not None,
        reading=reading,
    )


def _with_header(file: CsvFile, dims: Sequence[str], form: Format) -> CsvFile:
    """Return the file, with a header if it has none: `time`, `dims`, or else empty names."""
    if number(file.header[0]) is None:
        return file
    header = ["time", *dims]
    if form.time_column and form.columns:  # positions
        header = [""] * len(file.header)
    if len(file.header) != len(header):
        raise InputError(
            f"{file.path}: line {file.header_line}: {len(file.header)} columns without a header; "
            f"expected {len(header)} ({', '.join(header)}); add a header line"
        )
    rows = [(file.header_line, file.header), *file.rows]
    return CsvFile(file.path, header, rows, file.header_line)


def _understand(file: CsvFile, dims: Sequence[str], form: Format) -> Columns:
    try:
        return understand(
            file.header,
            dims,
            time_column=form.time_column,
            time_unit=form.time_unit,
            columns=form.columns,
        )
    except InputError as error:
        raise InputError(f"{file.path}: line {file.header_line}: {error}") from error


def _reading(file: CsvFile, columns: Columns, form: Format) -> Reading:
    meaning = ["ignored"] * len(file.header)
    unit = columns.unit or "taken as s"
    meaning[columns.time] = "frame number" if unit == "frame" else f"time, {unit}"
    low, high = form.label_range
    scale = f", {low:g} to {high:g}" if form.label_range != LABEL_RANGE else ""
    for dim, found in columns.raters.items():
        for rater, column in enumerate(found, 1):
            meaning[column] = f"{dim}{f', rater {rater}' if len(found) > 1 else ''}{scale}"
    rows = tuple((line, tuple(cells)) for line, cells in file.rows[:SHOWN_ROWS])
    return Reading(tuple(file.header), tuple(meaning), rows)


def find_time_column(path: pathlib.Path, header: Sequence[str]) -> int:
    """Return the index of the only column whose name denotes a time that may be in seconds.

    Raises:
        InputError: There is no such column, or more than one.
    """
    found = [column for column, name in enumerate(header) if unit_of(name) in ("s", None)]
    if len(found) != 1:
        raise InputError(
            f"{path}: line 1: {len(found)} columns have the name of a time in seconds (columns: "
            f"{', '.join(header)}); name exactly one column time_s"
        )
    return found[0]


def rising_times(path: pathlib.Path, cells: Sequence[tuple[int, str]]) -> Float[np.ndarray, "rows"]:
    """Return the times from (line, cell) pairs, in the unit of the cells.

    Raises:
        InputError: A cell is not a number, or the times are not strictly increasing.
    """
    times: list[float] = []
    for line, cell in cells:
        time = require_number(path, line, "time", cell)
        if times and time <= times[-1]:
            how = "repeats" if time == times[-1] else "comes after"
            raise InputError(
                f"{path}: line {line}: time {cell} {how} time {times[-1]:g}; sort the rows, and "
                "remove repeated ones"
            )
        times.append(time)
    return np.array(times)


def _frame_numbers(path: pathlib.Path, cells: Sequence[tuple[int, str]]) -> Int[np.ndarray, "rows"]:
    """Return the frame numbers, which some programs save as `12.0`, from (line, cell) pairs."""
    for line, cell in cells:
        if not re.fullmatch(r"\d{1,9}([.,]0*)?", cell, re.ASCII):
            raise InputError(
                f"{path}: line {line}: frame {cell!r} is not a whole number; correct it, or set "
                "time_column and time_unit if it is a time"
            )
    return rising_times(path, cells).astype(np.int64)


def _values(file: CsvFile, column: int) -> Float[np.ndarray, "rows"]:
    """Return the values in a column as in the file, NaN if unlabelled."""
    name = _name(file, column)
    return np.array(
        [
            np.nan
            if cells[column].lower() in UNLABELLED
            else require_number(file.path, line, name, cells[column])
            for line, cells in file.rows
        ]
    )


def _check_range(
    file: CsvFile, columns: Mapping[int, np.ndarray], label_range: tuple[float, float]
) -> None:
    """Raise OutOfRangeError if a column has a value outside the range."""
    low, high = label_range
    outside = {n: (values < low) | (values > high) for n, values in columns.items()}
    for column, rows in outside.items():
        if rows.any():
            line, cells = file.rows[int(np.argmax(rows))]
            error = OutOfRangeError(
                f"{file.path}: line {line}: {_name(file, column)} {cells[column]} is outside "
                f"[{low:g}, {high:g}]; correct it, set label_range=LOW,HIGH, or leave unlabelled "
                "cells empty"
            )
            labelled = {n: np.isfinite(values).sum() for n, values in columns.items()}
            error.most = any(2 * each.sum() > labelled[n] for n, each in outside.items())
            raise error


def _name(file: CsvFile, column: int) -> str:
    return file.header[column] or f"column {column + 1}"
