"""Read predictions or labels for recordings from csv files with one row per frame."""

import dataclasses
import math
import pathlib
from collections.abc import Sequence
from typing import NamedTuple, cast

import numpy as np
from jaxtyping import Bool, Float, Int

from va_jax.data.columns import UNITS, Unit, understand, unit_of
from va_jax.io import (
    DELIMITERS,
    number,
    read_lines,
    sniff_delimiter,
    split_cells,
)
from va_jax.types import DIMS, InputError

FRAME, TIME, VALID = "frame", "time", "valid"

TARGET, PROCESSED = "_target", "_processed"
"""Endings of column names in the traces of a run."""

LONGEST_STEP_S = 1.0
"""Longest step between rows in a time column without a unit; larger steps suggest milliseconds or
frame numbers."""

LARGEST_FRAME = 2**53
"""Largest frame number; larger numbers are not exact in float64."""

LARGEST = float(np.finfo(np.float32).max)
"""Largest value; a larger number would not be finite in a trace."""

CHUNK_ROWS = 64
"""Number of rows that are parsed cell by cell if one of them is faulty."""


@dataclasses.dataclass(frozen=True)
class Timing:
    """Options for identifying rows if the column names leave it open.

    Raises:
        InputError: a value is not allowed.
    """

    fps: float | None = None  # to derive times if a file has only frames; frame 0 is at 0 s
    time_column: str = ""  # its name or position (from 1) in files that have it; "": by name
    time_unit: str = ""
    """s, ms or frame: unit of the times if the column name omits it and the rows are far apart."""

    def __post_init__(self) -> None:
        if self.fps is not None and not 0 < self.fps < math.inf:
            raise InputError(f"--fps={self.fps:g}: must be greater than 0")
        if self.time_unit not in ("", *UNITS):
            raise InputError(f"--time_unit={self.time_unit}: expected {', '.join(UNITS)}")


UNTIMED = Timing()


@dataclasses.dataclass(frozen=True)
class TraceFile:
    """The rows of a file, sorted by frame (in file order if it has no frames)."""

    path: pathlib.Path
    columns: tuple[str, ...]  # names of the values
    frame: Float[np.ndarray, " rows"] | None  # whole numbers, increasing
    time_s: Float[np.ndarray, " rows"] | None  # increasing
    values: Float[np.ndarray, "rows columns"]  # float64; NaN where a cell is not a finite number
    excluded: Bool[np.ndarray, " rows"]  # True if the column `valid` is 0
    line: Int[np.ndarray, " rows"]  # line number in the file, from 1

    def where(self, row: int) -> str:
        """Return the file and line of a row, for messages."""
        return f"{self.path}: line {self.line[row]}"

    def select(self, rows: Int[np.ndarray, " kept"]) -> "TraceFile":
        """Return a copy with only the given rows."""
        return dataclasses.replace(
            self,
            frame=None if self.frame is None else self.frame[rows],
            time_s=None if self.time_s is None else self.time_s[rows],
            values=self.values[rows],
            excluded=self.excluded[rows],
            line=self.line[rows],
        )


def read_header(path: pathlib.Path, timing: Timing = UNTIMED) -> list[str]:
    """Return the column names in a file in lower case, without surrounding blanks and quotes."""
    return _read(path, timing.time_column).names


def read_trace_file(
    path: pathlib.Path,
    columns: Sequence[str],
    timing: Timing = UNTIMED,
    has_marks: bool = False,
) -> TraceFile:
    """Read `columns` from a csv file whose rows are identified by a frame or a time.

    The delimiter (semicolon, tab or comma) is detected. Unless it is a comma, numbers may have
    decimal commas. Column names are matched regardless of case. A value that is empty or not a
    number becomes NaN.

    Args:
        path: file with a column of frame numbers or times, which `data.columns` finds by name.
        columns: names of the columns with the values.
        timing: how to identify rows if the column names leave it open.
        has_marks: whether a column `valid`, if there is one, excludes rows.

    Raises:
        InputError: a column is missing, there are no rows, rows differ in their number of cells, a
            frame, time or mark is not a number, or frames or times are repeated or decrease.
    """
    text = _read(path, timing.time_column)
    keys, unit = _find_keys(text, timing)
    if has_marks and VALID in text.names:
        keys[VALID] = _find(text, VALID)
    places = [*(_find(text, name.casefold()) for name in columns), *keys.values()]
    numbers = _parse(text, places)
    line = np.array([n for n, _ in text.rows])
    by_key = dict(zip(keys, numbers[:, len(columns) :].T, strict=True))
    if TIME in keys:
        unit = unit or _settle_unit(text, keys[TIME], by_key[TIME], timing)
        if unit == FRAME:
            keys[FRAME], by_key[FRAME] = keys.pop(TIME), by_key.pop(TIME)
    for key, cells in by_key.items():
        kind = "whole number" if key == FRAME else "number"
        bad = np.isnan(cells) | (key == FRAME) & ((cells % 1 != 0) | (abs(cells) > LARGEST_FRAME))
        if bad.any():
            where, name = f"{path}: line {line[np.argmax(bad)]}", text.names[keys[key]]
            raise InputError(f"{where}: the value of {name!r} is not a {kind}; correct the row")
    frame, time_s = by_key.get(FRAME), None
    if TIME in by_key:
        time_s = by_key[TIME] / 1000 if unit == "ms" else by_key[TIME]
    elif frame is not None and timing.fps is not None:
        time_s = frame / timing.fps
    excluded = by_key[VALID] == 0 if VALID in by_key else np.zeros(len(line), bool)
    values = numbers[:, : len(columns)]
    file = TraceFile(path, tuple(columns), frame, time_s, values, excluded, line)
    if frame is not None:
        file = file.select(np.argsort(frame, kind="stable"))
    _check_rising(file, FRAME, file.frame)
    _check_rising(file, TIME, file.time_s)
    return file


class _Text(NamedTuple):
    path: pathlib.Path
    names: list[str]  # column names in lower case
    header_line: int  # line number
    delimiter: str
    rows: list[tuple[int, str]]  # (line number, text) of the lines below it that are not blank

    @property
    def header(self) -> str:
        """Return the file and line of the header, for messages."""
        return f"{self.path}: line {self.header_line}"


def _read(path: pathlib.Path, time_column: str = "") -> _Text:
    (line, header), *rows = read_lines(path)
    cells = [cell for each in DELIMITERS for cell in split_cells(header.casefold(), each)]
    times = [cell for cell in cells if unit_of(cell) != "" or cell == time_column.casefold()]
    delimiter = sniff_delimiter(header, [*times, *DIMS])
    return _Text(path, split_cells(header.casefold(), delimiter), line, delimiter, rows)


def _find(text: _Text, name: str) -> int:
    """Return the index of the column with this name in lower case."""
    if text.names.count(name) != 1:
        problem = "more than one column" if name in text.names else "no column"
        raise InputError(
            f"{text.header}: {problem} {name!r} among {', '.join(map(repr, text.names))}; set the "
            "column to score with --dims, or correct the header"
        )
    return text.names.index(name)


def _find_keys(text: _Text, timing: Timing) -> tuple[dict[str, int], Unit | None]:
    """Return {`FRAME` or `TIME`: column} for frame numbers and times, and the unit of the times."""
    units = [unit_of(name) for name in text.names]
    chosen = timing.time_column
    if chosen.casefold() not in text.names and any(unit != "" for unit in units):
        chosen = ""
    try:
        found = understand(
            text.names, (), time_column=chosen, time_unit=timing.time_unit if chosen else ""
        )
    except InputError as error:
        raise InputError(f"{text.header}: {error}") from error
    if found.unit == FRAME:
        return {FRAME: found.time}, found.unit
    keys = {TIME: found.time}
    frames = [name for name, each in zip(text.names, units, strict=True) if each == FRAME]
    if frames:
        keys[FRAME] = _find(text, frames[0] if len(frames) == 1 else FRAME)
    return keys, found.unit


def _settle_unit(
    text: _Text, column: int, cells: Float[np.ndarray, " rows"], timing: Timing
) -> Unit:
    """Return the unit for times without one: seconds, unless the rows are far apart."""
    step = float(np.median(np.abs(np.diff(cells)))) if len(cells) > 1 else 0.0
    if not step >= LONGEST_STEP_S:  # NaN values are refused later
        return "s"
    if not timing.time_unit:
        raise InputError(
            f"{text.header}: the times in {text.names[column]!r} are {step:g} apart and may be "
            "seconds, milliseconds or frame numbers; set --time_unit=s, "
            "--time_unit=ms or --time_unit=frame"
        )
    return cast(Unit, timing.time_unit)


def _parse(text: _Text, columns: list[int]) -> Float[np.ndarray, "rows columns"]:
    """Return the numbers in `columns`, NaN for a cell that is empty or not a finite number.

    Raises:
        InputError: a row and the header have different numbers of cells, or there are no rows.
    """
    if not text.rows:
        raise InputError(f"{text.path}: the file has a header but no rows; write one row per frame")
    for n, line in text.rows:
        if '"' in line:
            count = len(split_cells(line, text.delimiter))
        else:
            count = line.count(text.delimiter) + 1
        if count != len(text.names):
            raise InputError(
                f"{text.path}: line {n}: the row has {count} cell{'s' * (count != 1)}, but "
                f"the header has {len(text.names)}; correct the row (numbers with decimal commas "
                "require quotes or a different delimiter)"
            )
    return _numbers([line for _, line in text.rows], text.delimiter, columns)


def _numbers(lines: list[str], delimiter: str, columns: list[int]) -> np.ndarray:
    try:  # numpy is fast, but fails at the first faulty cell, and at quotes
        if any('"' in line for line in lines):
            raise ValueError
        points = lines if delimiter == "," else [line.replace(",", ".") for line in lines]
        table = np.loadtxt(points, delimiter=delimiter, usecols=columns, comments=None, ndmin=2)
    except ValueError:
        if len(lines) > CHUNK_ROWS:
            starts = range(0, len(lines), CHUNK_ROWS)
            chunks = (lines[start : start + CHUNK_ROWS] for start in starts)
            return np.concatenate([_numbers(chunk, delimiter, columns) for chunk in chunks])
        rows = [split_cells(line, delimiter) for line in lines]
        table = np.array([[number(row[at]) for at in columns] for row in rows], np.float64)
    table[~(np.abs(table) <= LARGEST)] = np.nan
    return table


def _check_rising(file: TraceFile, name: str, keys: np.ndarray | None) -> None:
    if keys is not None and (falls := np.diff(keys) <= 0).any():
        row = int(np.argmax(falls)) + 1
        raise InputError(
            f"{file.where(row)}: {name} {keys[row]:.9g} follows {name} {keys[row - 1]:.9g}; keep "
            "one row per frame, in order of time"
        )
