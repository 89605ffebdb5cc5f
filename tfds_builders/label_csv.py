"""Label files that users bring: a csv with a time column and one or more columns per target."""

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
"""Names of the time column, letters and digits only: `times` stands for `time_s` or `time (s)`."""

UNLABELLED = frozenset({"", "nan", "na"})


def read_labels(path: pathlib.Path, dims: Sequence[str]) -> TimedLabels:
    """Read a label csv; several raters' columns for one target are fused by `fuse_raters`.

    The file has a header if its first cell is not a number. With a header, the time column is the
    one named `time`, `time_s`, `time in seconds`, `timestamp` or `frametime`, else the first. A
    column belongs to the target with whose name it begins, in any case (`valence`, `Valence_r2`,
    `valence FM1`); others are ignored. Without a header the columns are the time and then `dims`,
    in this order. Times are seconds, values lie in [-1, 1]; an empty cell or `nan` is unlabelled.

    Raises:
        InputError: anything else; names the file, the line and the value.
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
    fused = [fuse_raters(each) for each in raters]
    several = max(map(len, raters)) > 1
    return TimedLabels(time_s, np.stack(fused, axis=1), tuple(raters) if several else ())


def _with_header(file: CsvFile, dims: Sequence[str]) -> CsvFile:
    """Return the file with the header `time` and `dims` if it has none."""
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
    """Return the place of the time column in a header, 0 if no name fits.

    Raises:
        InputError: no name fits, and the first column holds frame numbers or milliseconds.
    """
    plain = [re.sub(r"[^a-z0-9]", "", name.lower()) for name in header]
    for column, name in enumerate(plain):
        if name in TIME_NAMES:
            return column
    if plain[0].startswith("frame") or plain[0].endswith("ms") or "milli" in plain[0]:
        raise InputError(
            f"{path}: line 1: column {header[0]!r} does not hold seconds; name a column time_s"
        )
    return 0


def _target_columns(file: CsvFile, dims: Sequence[str], time_column: int) -> list[list[int]]:
    """Return the columns of each target; a name that fits two targets goes to the longer one."""
    columns: dict[str, list[int]] = {dim: [] for dim in dims}
    for column, name in enumerate(file.header):
        fits = [dim for dim in dims if name.lower().startswith(dim.lower())]
        if fits and column != time_column:
            columns[max(fits, key=len)].append(column)
    for dim, found in columns.items():
        if not found:
            raise InputError(
                f"{file.path}: line {file.header_line}: no column for {dim!r} among "
                f"{', '.join(file.header)}; rename one, or set the option dims"
            )
    return list(columns.values())


def rising_times(path: pathlib.Path, cells: Sequence[tuple[int, str]]) -> Float[np.ndarray, "rows"]:
    """Return the seconds in (line, cell) pairs.

    Raises:
        InputError: a cell is not a number, or the times do not increase strictly.
    """
    times: list[float] = []
    for line, cell in cells:
        time = require_number(path, line, "time", cell)
        if times and time <= times[-1]:
            how = "repeats" if time == times[-1] else "goes back from"
            raise InputError(f"{path}: line {line}: time {cell} {how} {times[-1]:g}; sort by time")
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
            "rescale the labels, and leave unlabelled cells empty"
        )
    return value
