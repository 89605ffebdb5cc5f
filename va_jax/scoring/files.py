"""Read the predictions or labels of recordings from csv files with one row per frame."""

import dataclasses
import os
import pathlib
from collections.abc import Iterator, Sequence
from typing import NamedTuple

import numpy as np
from jaxtyping import Bool, Float, Int

from va_jax.io import number, read_csv, read_lines, sniff_delimiter, split_cells, track_name
from va_jax.types import InputError

FRAME = "frame"
TIME_NAMES = ("time_s", "time", "time in seconds", "timestamp", "frametime")
VALID = "valid"

CHUNK_ROWS = 64
"""Rows that are parsed cell by cell if one of them is faulty."""


@dataclasses.dataclass(frozen=True)
class TraceFile:
    """The rows of a file, sorted by frame (in file order if it has no frames)."""

    path: pathlib.Path
    columns: tuple[str, ...]  # names of the values
    frame: Float[np.ndarray, " rows"] | None  # whole numbers, rising
    time_s: Float[np.ndarray, " rows"] | None  # rising
    values: Float[np.ndarray, "rows columns"]  # float64; NaN where a cell is not a finite number
    excluded: Bool[np.ndarray, " rows"]  # True where the column `valid` is 0
    line: Int[np.ndarray, " rows"]  # line number in the file, from 1

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
    """Return the csv files of `folder` and its sub-folders by recording, sorted by name.

    The recording is the path relative to `folder`, without its suffix and decoded by `track_name`:
    `part/a.csv` and `part%2Fa.csv` are the recording `part/a`. Links to folders are followed.
    Hidden folders and the metadata files of macOS (`._NAME`) are skipped.

    Raises:
        InputError: there is no file, or two files are of one recording.
    """
    if not folder.is_dir():
        raise InputError(f"{folder}: no such folder; name one that contains RECORDING.csv files")
    found: dict[str, pathlib.Path] = {}
    for path in _csv_files(folder):
        parts = path.relative_to(folder).with_suffix("").parts
        name = "/".join(map(track_name, parts))
        if name in found:
            raise InputError(
                f"{found[name]} and {path} are both named after recording {name!r}; remove one"
            )
        found[name] = path
    if not found:
        raise InputError(f"{folder}: contains no .csv file; name a folder of RECORDING.csv files")
    return dict(sorted(found.items()))


def _csv_files(folder: pathlib.Path) -> Iterator[pathlib.Path]:
    seen: set[str] = set()
    for place, folders, names in os.walk(folder, onerror=_refuse_folder, followlinks=True):
        folders[:] = sorted(name for name in folders if not name.startswith("."))
        if (real := os.path.realpath(place)) in seen:
            folders.clear()  # a link to a folder that contains it
            continue
        seen.add(real)
        for name in sorted(names):
            if name.casefold().endswith(".csv") and not name.startswith("._"):
                yield pathlib.Path(place, name)


def _refuse_folder(error: OSError) -> None:
    raise InputError(f"{error.filename}: {error.strerror}; make the folder readable") from error


def find_traces(place: pathlib.Path, split: str) -> pathlib.Path:
    """Return the folder of csv files: that of `split` if `place` is a workdir, else `place`."""
    if not place.is_dir():
        raise InputError(f"{place}: not a folder; name the workdir of a run or a folder of traces")
    root = place / "traces"
    if root.is_dir() and not (root / split).is_dir():
        known = ", ".join(sorted(path.name for path in root.iterdir() if path.is_dir()))
        raise InputError(
            f"{root}: no split {split!r}, only {known or 'an empty folder'}; evaluate the split "
            "or choose another --split"
        )
    return root / split if root.is_dir() else place


def read_groups(path: pathlib.Path) -> dict[str, str]:
    """Read the group of each recording from a csv file with columns `recording` and `group`."""
    table = read_csv(path)
    recording, group = table.columns("recording", "group")
    return {cells[recording]: cells[group] for _, cells in table.rows}


def read_header(path: pathlib.Path) -> list[str]:
    """Return the column names of a file in lower case, without surrounding blanks and quotes."""
    return _read(path).names


def read_trace_file(
    path: pathlib.Path,
    columns: Sequence[str],
    fps: float | None = None,
    has_marks: bool = False,
) -> TraceFile:
    """Read `columns` of a csv file whose rows are identified by a frame or a time.

    The delimiter is detected: semicolon, tab or comma. Unless it is the comma, numbers may have
    decimal commas. Column names match in any case. A value that is missing, empty or not a number
    is NaN.

    Args:
        path: file with a column `frame` or one of `TIME_NAMES`.
        columns: columns to read as values.
        fps: frames per second that give times to a file with frames only; frame 0 is at 0 s.
        has_marks: whether a column `valid`, where there is one, excludes rows.

    Raises:
        InputError: a column is missing, there is no row, or frames, times or marks are not numbers,
            occur twice or fall.
    """
    text = _read(path)
    time_name = next((name for name in TIME_NAMES if name in text.names), "")
    keys = [name for name in (FRAME, time_name, VALID if has_marks else "") if name in text.names]
    wanted = [*(name.casefold() for name in columns), *keys]
    for name in wanted:
        if text.names.count(name) != 1:
            problem = "more than one column" if name in text.names else "no column"
            raise InputError(
                f"{path}: line {text.header_line}: {problem} {name!r} among "
                f"{', '.join(map(repr, text.names))}; name the column to score with --dims, or "
                "correct the header"
            )
    if not text.rows:
        raise InputError(f"{path}: a header without rows; write one row per frame")
    places = [text.names.index(name) for name in wanted]
    numbers = _parse([line for _, line in text.rows], text.delimiter, places)
    line = np.array([n for n, _ in text.rows])
    by_key = dict(zip(keys, numbers[:, len(columns) :].T, strict=True))
    for name, cells in by_key.items():
        kind = "whole number" if name == FRAME else "number"
        bad = np.isnan(cells) | (name == FRAME) & (cells % 1 != 0)
        if bad.any():
            at = line[np.argmax(bad)]
            raise InputError(f"{path}: line {at}: {name!r} is not a {kind}; correct the row")
    frame, time_s = by_key.get(FRAME), by_key.get(time_name)
    if time_s is None and frame is not None and fps is not None:
        time_s = frame / fps
    excluded = by_key[VALID] == 0 if VALID in by_key else np.zeros(len(line), bool)
    values = numbers[:, : len(columns)]
    file = TraceFile(path, tuple(columns), frame, time_s, values, excluded, line)
    if frame is not None:
        file = file.select(np.argsort(frame, kind="stable"))
    _check_rising(file, FRAME, file.frame)
    _check_rising(file, "time", file.time_s)
    return file


class _Text(NamedTuple):
    names: list[str]  # of the columns, in lower case
    header_line: int  # line number
    delimiter: str
    rows: list[tuple[int, str]]  # line number and text of the lines below that are not blank


def _read(path: pathlib.Path) -> _Text:
    (line, header), *rows = read_lines(path)
    keys = (FRAME, *TIME_NAMES)
    delimiter = sniff_delimiter(header, keys)
    names = [cell.casefold() for cell in split_cells(header, delimiter)]
    if not set(keys) & set(names):
        raise InputError(
            f"{path}: line {line}: no column 'frame' or 'time_s' in {header.strip()[:80]!r}; "
            "write a header such as frame,valence,arousal"
        )
    return _Text(names, line, delimiter, rows)


def _parse(lines: list[str], delimiter: str, columns: list[int]) -> np.ndarray:
    """Return the numbers in `columns` as float64; NaN for a missing cell or not a finite number."""
    if delimiter != ",":
        lines = [line.replace(",", ".") for line in lines]
    try:  # numpy is fast, but gives up at the first faulty cell
        table = np.loadtxt(lines, delimiter=delimiter, usecols=columns, comments=None, ndmin=2)
    except ValueError:
        if len(lines) > CHUNK_ROWS:
            starts = range(0, len(lines), CHUNK_ROWS)
            chunks = (lines[start : start + CHUNK_ROWS] for start in starts)
            return np.concatenate([_parse(chunk, delimiter, columns) for chunk in chunks])
        rows = [split_cells(line, delimiter) for line in lines]
        cells = [[row[at] if at < len(row) else "" for at in columns] for row in rows]
        table = np.array([[number(cell) for cell in row] for row in cells], np.float64)
    table[~np.isfinite(table)] = np.nan
    return table


def _check_rising(file: TraceFile, name: str, keys: np.ndarray | None) -> None:
    if keys is not None and (falls := np.diff(keys) <= 0).any():
        row = int(np.argmax(falls)) + 1
        raise InputError(
            f"{file.where(row)}: {name} {keys[row]:.9g} follows {name} {keys[row - 1]:.9g}; keep "
            "one row per frame, in the order of time"
        )
