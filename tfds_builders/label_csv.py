"""Read users' own label files: csv with a time column and one or more columns per target."""

import pathlib
import re
from collections.abc import Sequence

import numpy as np
from jaxtyping import Float

from tfds_builders.labels import TimedLabels
from tfds_builders.raters import fuse_raters
from va_jax.io import CsvFile, number, read_csv, require_number
from va_jax.types import LABEL_RANGE, InputError

TIME_NAMES = frozenset(
    {"time", "times", "timesec", "timeinseconds", "timestamp", "timestamps", "frametime"}
)
"""Names of the time column, reduced to letters and digits: `times` is `time_s` or `time (s)`."""

UNLABELLED = frozenset({"", "nan", "na"})


def read_labels(path: pathlib.Path, dims: Sequence[str], fusion: str = "ewe") -> TimedLabels:
    """Read a label csv; if several raters labelled a target, `fuse_raters` fuses their columns.

    The file has a header if its first cell is not a number. With a header, the time column is the
    one named `time`, `time_s`, `time in seconds`, `timestamp` or `frametime`, or else the first. A
    column belongs to the target whose name it starts with, in upper or lower case (`valence`,
    `Valence_r2`, `valence FM1`); other columns are ignored. Without a header, the columns are the
    time followed by `dims`. Times are in seconds and values in [-1, 1]; an empty cell or `nan`
    marks an unlabelled row.

    Raises:
        InputError: The file does not have this format.
    """
    file = _with_header(read_csv(path), dims)
    if len(file.rows) < 2:
        raise InputError(f"{path}: {len(file.rows)} label rows; at least 2 are needed")
    time_column = find_time_column(path, file.header)
    columns = _target_columns(file, dims, time_column)
    time_s = rising_times(path, [(line, cells[time_column]) for line, cells in file.rows])
    raters = [
        np.array(
            [[_value(path, n, file.header[c], cells[c]) for n, cells in file.rows] for c in each]
        )
        for each in columns
    ]
    fused = [fuse_raters(each, fusion) for each in raters]
    several = max(map(len, raters)) > 1
    return TimedLabels(time_s, np.stack(fused, axis=1), tuple(raters) if several else ())


def _with_header(file: CsvFile, dims: Sequence[str]) -> CsvFile:
    """Return the file, with the header `time`, `dims` added if it has none."""
    if number(file.header[0]) is None:
        return file
    header = ["time", *dims]
    if len(file.header) != len(header):
        raise InputError(
            f"{file.path}: line {file.header_line}: {len(file.header)} columns without a header, "
            f"expected {len(header)} ({', '.join(header)}); add a header line"
        )
    rows = [(file.header_line, file.header), *file.rows]
    return CsvFile(file.path, header, rows, file.header_line)


def find_time_column(path: pathlib.Path, header: Sequence[str]) -> int:
    """Return the index of the time column, which is 0 if no name matches.

    Raises:
        InputError: No name matches, and the first column contains frame numbers or milliseconds.
    """
    plain = [re.sub(r"[^a-z0-9]", "", name.lower()) for name in header]
    for column, name in enumerate(plain):
        if name in TIME_NAMES:
            return column
    if plain[0].startswith("frame") or plain[0].endswith("ms") or "milli" in plain[0]:
        raise InputError(
            f"{path}: line 1: column {header[0]!r} is not in seconds; call the time column time_s"
        )
    return 0


def _target_columns(file: CsvFile, dims: Sequence[str], time_column: int) -> list[list[int]]:
    """Return the columns for each target; if two targets match, the longer name wins."""
    columns: dict[str, list[int]] = {dim: [] for dim in dims}
    for column, name in enumerate(file.header):
        fits = [dim for dim in dims if name.lower().startswith(dim.lower())]
        if fits and column != time_column:
            columns[max(fits, key=len)].append(column)
    for dim, found in columns.items():
        if not found:
            raise InputError(
                f"{file.path}: line {file.header_line}: no column for {dim!r} among "
                f"{', '.join(file.header)}; rename a column or set the option dims"
            )
    return list(columns.values())


def rising_times(path: pathlib.Path, cells: Sequence[tuple[int, str]]) -> Float[np.ndarray, "rows"]:
    """Return the times, in seconds, from (line, cell) pairs.

    Raises:
        InputError: A cell is not a number, or the times are not strictly increasing.
    """
    times: list[float] = []
    for line, cell in cells:
        time = require_number(path, line, "time", cell)
        if times and time <= times[-1]:
            how = "repeats" if time == times[-1] else "goes back from"
            raise InputError(f"{path}: line {line}: time {cell} {how} {times[-1]:g}; sort the rows")
        times.append(time)
    return np.array(times)


def _value(path: pathlib.Path, line: int, name: str, cell: str) -> float:
    if cell.lower() in UNLABELLED:
        return np.nan
    value = require_number(path, line, name, cell)
    low, high = LABEL_RANGE
    if not low <= value <= high:
        raise InputError(
            f"{path}: line {line}: {name} {cell} is outside [{low:g}, {high:g}]; "
            "rescale the labels and leave unlabelled cells empty"
        )
    return value
