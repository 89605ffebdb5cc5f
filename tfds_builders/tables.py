"""Label files in the csv of those who bring their own: a time column, a column per target."""

import pathlib
import re
from collections.abc import Sequence

import numpy as np
from jaxtyping import Float

from tfds_builders.labels import TimedLabels
from tfds_builders.raters import fuse_raters
from tfds_builders.text import number, read_lines
from va_jax.types import LABEL_RANGE, InputError

DELIMITERS = (";", "\t", ",")
TIME_NAMES = frozenset(
    {"time", "times", "timesec", "timeinseconds", "timestamp", "timestamps", "frametime"}
)
"""Accepted names of the time column, letters and digits only: `times` is `time_s` or `time (s)`."""

UNLABELLED = frozenset({"", "nan", "na"})


def read_labels(path: pathlib.Path, dims: Sequence[str]) -> TimedLabels:
    """Reads a label csv; several raters' columns for one target are fused by `fuse_raters`.

    The delimiter is the first of `;`, tab and `,` that occurs in the first line. The file has a
    header when its first cell is no number. With a header, the time column is the one named `time`,
    `time_s`, `time in seconds`, `timestamp` or `frametime`, else the first; a column belongs to the
    target whose name it starts with, in any case (`valence`, `Valence_r2`, `valence FM1`); others
    are ignored. Without a header the columns are the time and then `dims`, in this order. Times are
    seconds, values lie in [-1, 1]; an empty cell or `nan` means unlabelled.

    Raises InputError, with file, line and value, for everything else.
    """
    lines = read_lines(path)
    delimiter = next((each for each in DELIMITERS if each in lines[0][1]), ",")
    rows = [(n, [cell.strip(" \"'") for cell in text.split(delimiter)]) for n, text in lines]
    if number(rows[0][1][0]) is not None:
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
    for line, cells in rows:
        if len(cells) != len(header):
            raise InputError(
                f"{path}: line {line}: {len(cells)} cells where the first line has {len(header)}"
            )
    time_column = find_time_column(path, header)
    columns = _target_columns(path, header, dims, time_column)
    time_s = rising_times(path, [(line, cells[time_column]) for line, cells in rows])
    raters = [
        np.array([[_value(path, n, header[c], cells[c]) for n, cells in rows] for c in each])
        for each in columns
    ]
    fused = [fuse_raters(each) for each in raters]
    several = max(map(len, raters)) > 1
    return TimedLabels(time_s, np.stack(fused, axis=1), tuple(raters) if several else ())


def find_time_column(path: pathlib.Path, header: Sequence[str]) -> int:
    """The place of the time column in a header, else 0; raises InputError where it is no time."""
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


def rising_times(path: pathlib.Path, cells: Sequence[tuple[int, str]]) -> Float[np.ndarray, "rows"]:
    """Seconds from (line, cell) pairs; raises InputError where they do not rise strictly."""
    times: list[float] = []
    for line, cell in cells:
        time = number(cell)
        if time is None:
            raise InputError(f"{path}: line {line}: time {cell!r} is not a number of seconds")
        if times and time <= times[-1]:
            how = "repeats" if time == times[-1] else "goes back from"
            raise InputError(f"{path}: line {line}: time {cell} {how} {times[-1]:g}; sort by time")
        times.append(time)
    return np.array(times)


def _value(path: pathlib.Path, line: int, name: str, cell: str) -> float:
    if cell.lower() in UNLABELLED:
        return np.nan
    value = number(cell)
    if value is None:
        raise InputError(f"{path}: line {line}: {name} {cell!r} is not a number")
    low, high = LABEL_RANGE
    if not low <= value <= high:
        raise InputError(
            f"{path}: line {line}: {name} {cell} is outside [{low:g}, {high:g}]; "
            "rescale the labels, and leave unlabelled cells empty"
        )
    return value
