"""Read what is predicted or labelled in a recording from a csv file, one row a frame."""

import csv
import dataclasses
import io
import pathlib
from collections.abc import Sequence

import numpy as np

from va_jax.types import InputError

FRAME_NAME = "frame"
TIME_NAMES = ("time_s", "time", "time in seconds", "timestamp", "frametime")
VALID_NAME = "valid"


@dataclasses.dataclass(frozen=True)
class TraceFile:
    """The rows of a file, in order of frame (or of time, where it has no frames)."""

    path: pathlib.Path
    frame: np.ndarray | None  # float64 [rows], whole numbers, rising
    time_s: np.ndarray | None  # float64 [rows], rising
    values: np.ndarray  # float64 [rows, dims]; NaN where the cell is no number
    marked: np.ndarray  # bool [rows]; True where the column `valid` says 0
    place: np.ndarray  # int64 [rows]; of the row in the file: 0 is the first below the header
    unplaced: np.ndarray  # int64 [_]; of rows whose frame, time or `valid` is no number

    def where(self, place: int | np.integer) -> str:
        """The file and the line of a row, for people."""
        return f"{self.path}: line {_line(_text(self.path), place)}"


def recordings(folder: pathlib.Path) -> dict[str, pathlib.Path]:
    """The files `folder`/<recording>.csv by the names of their recordings, in order of name."""
    if not folder.is_dir():
        raise InputError(f"{folder}: no such folder; name one that holds <recording>.csv files")
    found = sorted(path for path in folder.glob("*.csv") if not path.name.startswith("."))
    if not found:
        raise InputError(f"{folder}: holds no .csv file; name a folder of <recording>.csv files")
    return {path.stem: path for path in found}


def split_folder(place: pathlib.Path, split: str) -> pathlib.Path:
    """The folder of the traces: of `split` where `place` is a workdir, else `place` itself."""
    if not place.is_dir():
        raise InputError(f"{place}: is no folder; name the workdir of a run or a folder of traces")
    root = place / "traces"
    if not root.is_dir():
        return place
    folder = root / split
    if not folder.is_dir():
        there = ", ".join(sorted(path.name for path in root.iterdir() if path.is_dir()))
        raise InputError(
            f"{root}: has no split {split!r}, only {there or 'nothing'}; "
            "evaluate it, or choose another --split"
        )
    return folder


def column_names(path: pathlib.Path) -> list[str]:
    """The names in the header, stripped of blanks and quotes, in lower case."""
    return _header(path, _text(path))[0]


def read(
    path: pathlib.Path,
    columns: Sequence[str],
    fps: float | None = None,
    has_marks: bool = False,
) -> TraceFile:
    """The `columns` of a file, whose rows a column `frame` or one of `TIME_NAMES` places.

    The delimiter is found out: semicolon, tab or comma; where it is no comma, numbers may have
    decimal commas. Names match in any case. A file with frames alone gets its times from `fps`,
    frame 0 being at 0 s. With `has_marks`, a column `valid` marks rows. A cell that is missing,
    empty or no number gives NaN. Raises an InputError where a column is missing, there is no row,
    a frame comes twice or times do not rise.
    """
    text = _text(path)
    names, delimiter = _header(path, text)
    body = text.lstrip("\n").partition("\n")[2]
    if not body.strip():
        raise InputError(f"{path}: has a header and no rows; write a row for each frame")
    frame_name = FRAME_NAME if FRAME_NAME in names else None
    time_name = next((name for name in TIME_NAMES if name in names), None)
    mark_name = VALID_NAME if has_marks and VALID_NAME in names else None
    extra = [name for name in (frame_name, time_name, mark_name) if name]
    wanted = [*(name.casefold() for name in columns), *extra]
    for name in wanted:
        if names.count(name) != 1:
            problem = "more than one column" if name in names else "no column"
            raise InputError(
                f"{path}: {problem} {name!r} among {', '.join(map(repr, names))}; "
                "name the column to score by --dims, or correct the header"
            )
    if delimiter != ",":
        body = body.replace(",", ".")
    table = _numbers(body, delimiter, [names.index(name) for name in wanted])
    by_name = dict(zip(extra, table[:, len(columns) :].T, strict=True))
    frame, time_s = by_name.get(frame_name), by_name.get(time_name)
    values, marks = table[:, : len(columns)], by_name.get(mark_name)
    placed = np.ones(len(table), bool)
    if frame is not None:
        placed &= frame == np.floor(frame)  # NaN is equal to nothing
    if time_s is not None:
        placed &= ~np.isnan(time_s)
    if marks is not None:
        placed &= ~np.isnan(marks)
    place = np.flatnonzero(placed)
    if frame is not None:
        place = place[np.argsort(frame[place], kind="stable")]
    result = TraceFile(
        path,
        None if frame is None else frame[place],
        _times(frame, time_s, place, fps),
        values[place],
        np.zeros(len(place), bool) if marks is None else marks[place] == 0,
        place,
        np.flatnonzero(~placed),
    )
    _check_order(result)
    return result


def groups(path: pathlib.Path) -> dict[str, str]:
    """Recording -> its group, from a csv file with the columns `recording` and `group`."""
    lines = [line for line in _text(path).split("\n") if line.strip()]
    names, *rows = [[cell.strip(" \"'") for cell in _cells(line, ",")] for line in lines] or [[]]
    names = [name.casefold() for name in names]
    if not {"recording", "group"} <= set(names):
        raise InputError(f"{path}: line 1 names no columns 'recording' and 'group'; write them")
    columns = names.index("recording"), names.index("group")
    short = next((row for row in rows if len(row) <= max(columns)), None)
    if short:
        raise InputError(f"{path}: the row {','.join(short)!r} has too few cells; complete it")
    return {row[columns[0]]: row[columns[1]] for row in rows}


def _text(path: pathlib.Path) -> str:
    try:
        text = path.read_bytes().decode("utf-8-sig")
    except OSError as error:
        raise InputError(f"{path}: cannot be read: {error.strerror}") from error
    except UnicodeDecodeError as error:
        raise InputError(
            f"{path}: byte {error.start} is not UTF-8; save the file as UTF-8"
        ) from error
    return text.replace("\r\n", "\n").replace("\r", "\n") if "\r" in text else text


def _header(path: pathlib.Path, text: str) -> tuple[list[str], str]:
    """Names and delimiter: the one that sets a column of frames or times apart."""
    line = text.lstrip("\n").partition("\n")[0]
    for delimiter in (";", "\t", ","):
        names = [cell.strip(" \t\"'").casefold() for cell in _cells(line, delimiter)]
        if FRAME_NAME in names or set(TIME_NAMES) & set(names):
            return names, delimiter
    raise InputError(
        f"{path}: line 1 names no column 'frame' or 'time_s', but {line.strip()[:80]!r}; "
        "write a header such as frame,valence,arousal"
    )


def _cells(line: str, delimiter: str) -> list[str]:
    return next(csv.reader([line], delimiter=delimiter)) if '"' in line else line.split(delimiter)


def _numbers(body: str, delimiter: str, columns: list[int]) -> np.ndarray:
    """float64 [rows, columns]; NaN where a cell is missing or no finite number."""
    try:  # numpy parses in C what has no fault; any fault, and it says nothing of the other rows
        table = np.loadtxt(
            io.StringIO(body), delimiter=delimiter, usecols=columns, comments=None, ndmin=2
        )
    except ValueError:
        rows = (_cells(line, delimiter) for line in body.split("\n") if line.strip())
        table = np.array([[_number(row, column) for column in columns] for row in rows])
    table[~np.isfinite(table)] = np.nan
    return table


def _number(row: list[str], column: int) -> float:
    cell = row[column].strip(" \t\"'") if column < len(row) else ""
    try:
        return float("nan" if "_" in cell else cell)  # Python would read 1_0 as ten
    except ValueError:
        return np.nan


def _times(
    frame: np.ndarray | None, time_s: np.ndarray | None, place: np.ndarray, fps: float | None
) -> np.ndarray | None:
    if time_s is not None:
        return time_s[place]
    return None if fps is None else frame[place] / fps


def _check_order(file: TraceFile) -> None:
    if file.frame is not None and (again := np.diff(file.frame) == 0).any():
        at = int(np.argmax(again)) + 1
        raise InputError(
            f"{file.where(file.place[at])}: frame {file.frame[at]:.0f} comes a second time; "
            "keep one row for each frame"
        )
    if file.time_s is not None and (falls := np.diff(file.time_s) <= 0).any():
        at = int(np.argmax(falls)) + 1
        raise InputError(
            f"{file.where(file.place[at])}: time {file.time_s[at]:g} s does not rise, "
            f"{file.time_s[at - 1]:g} s is before it; correct the times"
        )


def _line(text: str, place: int | np.integer) -> int:
    """The number of the line, from 1, of a row below the header; empty lines are no rows."""
    filled = [number for number, line in enumerate(text.split("\n"), 1) if line.strip()]
    return filled[place + 1]
