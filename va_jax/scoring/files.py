"""Read the predictions or labels of recordings from csv files with one row per frame."""

import dataclasses
import io
import pathlib
from collections.abc import Sequence
from typing import NamedTuple

import numpy as np
from jaxtyping import Bool, Float, Int

from va_jax.io import number, read_csv, read_text, sniff_delimiter, split_cells
from va_jax.types import InputError

FRAME_NAME = "frame"
TIME_NAMES = ("time_s", "time", "time in seconds", "timestamp", "frametime")
VALID_NAME = "valid"

CHUNK_ROWS = 64
"""Rows that are parsed cell by cell if one of them is faulty."""


@dataclasses.dataclass(frozen=True)
class TraceFile:
    """The rows of a file, sorted by frame (in file order if it has no frames)."""

    path: pathlib.Path
    frame: Float[np.ndarray, " rows"] | None  # whole numbers, rising
    time_s: Float[np.ndarray, " rows"] | None  # rising
    values: Float[np.ndarray, "rows dims"]  # float64; NaN where the cell is not a finite number
    excluded: Bool[np.ndarray, " rows"]  # True where the column `valid` is 0
    line: Int[np.ndarray, " rows"]  # line number in the file, from 1
    unusable_lines: Int[np.ndarray, " _"]  # lines whose frame, time or `valid` is not a number

    def where(self, row: int) -> str:
        """Return the file and the line of a row, for messages."""
        return f"{self.path}: line {self.line[row]}"

    def select(self, rows: Int[np.ndarray, " kept"]) -> "TraceFile":
        """Return the same file with the given rows only."""
        return dataclasses.replace(
            self,
            frame=None if self.frame is None else self.frame[rows],
            time_s=None if self.time_s is None else self.time_s[rows],
            values=self.values[rows],
            excluded=self.excluded[rows],
            line=self.line[rows],
        )


def find_recordings(folder: pathlib.Path) -> dict[str, pathlib.Path]:
    """Return the files `folder`/RECORDING.csv by recording, sorted by name.

    Raises:
        InputError: the folder does not exist or contains no csv file.
    """
    if not folder.is_dir():
        raise InputError(f"{folder}: no such folder; name one that contains RECORDING.csv files")
    found = sorted(path for path in folder.glob("*.csv") if not path.name.startswith("."))
    if not found:
        raise InputError(f"{folder}: contains no .csv file; name a folder of RECORDING.csv files")
    return {path.stem: path for path in found}


def find_traces(place: pathlib.Path, split: str) -> pathlib.Path:
    """Return the folder of csv files: that of `split` if `place` is a workdir, else `place`.

    Raises:
        InputError: `place` is not a folder, or the workdir has no traces of `split`.
    """
    if not place.is_dir():
        raise InputError(f"{place}: not a folder; name the workdir of a run or a folder of traces")
    root = place / "traces"
    if not root.is_dir():
        return place
    folder = root / split
    if not folder.is_dir():
        known = ", ".join(sorted(path.name for path in root.iterdir() if path.is_dir()))
        raise InputError(
            f"{root}: no split {split!r}, only {known or 'an empty folder'}; evaluate the split "
            "or choose another --split"
        )
    return folder


def read_header(path: pathlib.Path) -> list[str]:
    """Return the column names of a file in lower case, without surrounding blanks and quotes."""
    return _parse_header(path, read_text(path)).names


def read_trace_file(
    path: pathlib.Path,
    columns: Sequence[str],
    fps: float | None = None,
    has_marks: bool = False,
) -> TraceFile:
    """Read `columns` of a csv file whose rows are identified by a frame or a time.

    The delimiter is detected: semicolon, tab or comma. Unless it is the comma, numbers may have
    decimal commas. Column names match in any case. A cell that is missing, empty or not a number
    gives NaN.

    Args:
        path: file with a column `frame` or one of `TIME_NAMES`.
        columns: columns to read as values.
        fps: frames per second that give times to a file with frames only; frame 0 is at 0 s.
        has_marks: whether a column `valid`, where there is one, excludes rows.

    Raises:
        InputError: a column is missing, there is no row, a frame occurs twice, or times do not
            rise.
    """
    text = read_text(path)
    header = _parse_header(path, text)
    names = header.names
    if not header.body.strip():
        raise InputError(f"{path}: a header without rows; write one row per frame")
    frame_name = FRAME_NAME if FRAME_NAME in names else None
    time_name = next((name for name in TIME_NAMES if name in names), None)
    mark_name = VALID_NAME if has_marks and VALID_NAME in names else None
    extra = [name for name in (frame_name, time_name, mark_name) if name]
    wanted = [*(name.casefold() for name in columns), *extra]
    for name in wanted:
        if names.count(name) != 1:
            problem = "more than one column" if name in names else "no column"
            known = ", ".join(map(repr, names))
            raise InputError(
                f"{path}: line {header.line}: {problem} {name!r} among {known}; name the "
                "column to score with --dims, or correct the header"
            )
    table = _read_numbers(header, [names.index(name) for name in wanted])
    by_name = dict(zip(extra, table[:, len(columns) :].T, strict=True))
    frame = by_name.get(FRAME_NAME)
    time_s = by_name.get(time_name) if time_name else None
    marks = by_name.get(VALID_NAME)
    usable = np.isfinite(table[:, len(columns) :]).all(1)
    if frame is not None:
        usable &= frame == np.floor(frame)
        if time_s is None and fps is not None:
            time_s = frame / fps
    lines = _row_lines(header, len(table))
    file = TraceFile(
        path,
        frame,
        time_s,
        table[:, : len(columns)],
        np.zeros(len(table), bool) if marks is None else marks == 0,
        lines,
        lines[~usable],
    )
    rows = np.flatnonzero(usable)
    if frame is not None:
        rows = rows[np.argsort(frame[rows], kind="stable")]
    file = file.select(rows)
    _check_order(file)
    return file


def read_groups(path: pathlib.Path) -> dict[str, str]:
    """Read the group of each recording from a csv file with columns `recording` and `group`."""
    table = read_csv(path)
    recording, group = table.columns("recording", "group")
    return {cells[recording]: cells[group] for _, cells in table.rows}


class _Header(NamedTuple):
    names: list[str]  # in lower case
    delimiter: str
    line: int  # line number
    body: str  # the text below


def _parse_header(path: pathlib.Path, text: str) -> _Header:
    start = text.lstrip("\n")
    text_line, _, body = start.partition("\n")
    line = len(text) - len(start) + 1
    keys = (FRAME_NAME, *TIME_NAMES)
    delimiter = sniff_delimiter(text_line, keys)
    names = [cell.casefold() for cell in split_cells(text_line, delimiter)]
    if not set(keys) & set(names):
        raise InputError(
            f"{path}: line {line}: no column 'frame' or 'time_s' in {text_line.strip()[:80]!r}; "
            "write a header such as frame,valence,arousal"
        )
    return _Header(names, delimiter, line, body)


def _read_numbers(header: _Header, columns: list[int]) -> Float[np.ndarray, "rows cols"]:
    """Return the numbers in `columns` as float64; NaN for a missing cell or not a finite number."""

    def parse(source: io.StringIO | list[str]) -> np.ndarray:
        return np.loadtxt(
            source, delimiter=header.delimiter, usecols=columns, comments=None, ndmin=2
        )

    def parse_chunk(lines: list[str]) -> np.ndarray:
        try:
            return parse(lines)
        except ValueError:
            rows = [split_cells(line, header.delimiter) for line in lines]
            cells = [[row[at] if at < len(row) else "" for at in columns] for row in rows]
            return np.array([[number(cell) for cell in row] for row in cells], np.float64)

    body = header.body if header.delimiter == "," else header.body.replace(",", ".")
    try:  # numpy parses a whole file quickly, but gives up at the first faulty cell
        table = parse(io.StringIO(body))
    except ValueError:
        lines = [line for line in body.split("\n") if line.strip()]
        starts = range(0, len(lines), CHUNK_ROWS)
        table = np.concatenate([parse_chunk(lines[i : i + CHUNK_ROWS]) for i in starts])
    table[~np.isfinite(table)] = np.nan
    return table


def _row_lines(header: _Header, rows: int) -> Int[np.ndarray, " rows"]:
    """Return the line number of every row; blank lines are not rows."""
    first = header.line + 1
    if header.body.rstrip("\n").count("\n") + 1 == rows:
        return np.arange(first, first + rows)
    lines = enumerate(header.body.split("\n"), first)
    return np.array([n for n, line in lines if line.strip()])


def _check_order(file: TraceFile) -> None:
    if file.frame is not None and (repeats := np.diff(file.frame) == 0).any():
        row = int(np.argmax(repeats)) + 1
        raise InputError(
            f"{file.where(row)}: frame {file.frame[row]:.0f} occurs a second time; "
            "keep one row per frame"
        )
    if file.time_s is not None and (falls := np.diff(file.time_s) <= 0).any():
        row = int(np.argmax(falls)) + 1
        raise InputError(
            f"{file.where(row)}: time {file.time_s[row]:g} s is not after the previous "
            f"{file.time_s[row - 1]:g} s; correct the times"
        )
