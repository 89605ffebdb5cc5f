"""Label files of RECOLA: one trace or six raters' on the grid of the video's frames."""

import dataclasses
import pathlib
import re
from collections.abc import Sequence

import numpy as np
from jaxtyping import Float, Int

from tfds_builders.label_csv import UNLABELLED, find_time_column, rising_times
from tfds_builders.labels import NumberedLabels, check_range
from tfds_builders.raters import fuse_raters
from va_jax.io import DELIMITERS, number, read_lines, require_number
from va_jax.types import LABEL_RANGE, InputError

STEP_S = 0.04
"""From one row to the next, and from one frame of a video to the next."""

OFF_GRID = 0.1
"""A time further from its frame than this share of a step belongs to no frame (ours)."""

LONGEST_S = 86_400.0
"""A time beyond a day is none (ours)."""

RATERS = ("FM1", "FM2", "FM3", "FF1", "FF2", "FF3")
GOLD = ("instance_name", "frametime", "goldstandard")

Row = tuple[int, str, Sequence[str]]
"""Line number, cell of the time, cells of the values."""


@dataclasses.dataclass(frozen=True)
class Traces:
    """The rows of one file, each called by the number of its frame: frame 1 is at STEP_S."""

    number: np.ndarray  # int64 [rows], rising, from 0
    values: np.ndarray  # float64 [traces, rows], NaN where unlabelled

    def on(self, number: Int[np.ndarray, "frames"]) -> Float[np.ndarray, "traces frames"]:
        """The values of frames with these rising numbers, NaN where the file lacks one."""
        result = np.full((len(self.values), len(number)), np.nan)
        place = np.searchsorted(number, self.number)
        known = np.isin(self.number, number)
        result[:, place[known]] = self.values[:, known]
        return result


def read_gold(path: pathlib.Path, instance: str) -> Traces:
    """The one trace of an arff file of AVEC 2016, in which every row names `instance`.

    Attributes go by name, in any case and order; `?` means unlabelled. Raises InputError, with
    file and line, for everything else.
    """
    lines = ((line, text.strip()) for line, text in read_lines(path))
    lines = ((line, text) for line, text in lines if not text.startswith("%"))
    names: list[str] = []
    for line, text in lines:
        keyword = text.split()[0].lower()
        if keyword == "@data":
            break
        if keyword == "@attribute":
            names.append(_attribute(path, line, text))
        elif keyword != "@relation":
            raise InputError(f"{path}: line {line}: {text!r} stands before @data; correct the file")
    else:
        raise InputError(f"{path}: has no @data; replace it")
    if any(names.count(each) != 1 for each in GOLD):
        raise InputError(
            f"{path}: line {line}: the attributes are {', '.join(names) or 'none'}; expected "
            f"{', '.join(GOLD)}, each once"
        )
    who, when, what = map(names.index, GOLD)
    rows = []
    for line, text in lines:
        cells = _cells(path, line, text, ",", len(names))
        if cells[who] != instance:
            raise InputError(
                f"{path}: line {line}: instance {cells[who]!r} in the file of {instance!r}; "
                "put the file in its place"
            )
        rows.append((line, cells[when], [cells[what]]))
    return _traces(path, rows, ["GoldStandard"])


def _attribute(path: pathlib.Path, line: int, text: str) -> str:
    match = re.match(r"""\S+\s+(?:'([^']+)'|"([^"]+)"|([^\s'"]+))""", text)
    if match is None:
        raise InputError(f"{path}: line {line}: {text!r} names no attribute; correct the file")
    return next(filter(None, match.groups())).strip().lower()


def read_raters(path: pathlib.Path) -> Traces:
    """The traces of RATERS, in this order, from a csv with a time column and one for each of them.

    Names count in any case and without blanks around them. Raises InputError, with file and line,
    for everything else, a rater without any value too.
    """
    first, header, rows = _table(path)
    upper = [name.upper() for name in header]
    if sorted(upper[1:]) != sorted(RATERS):
        columns = f"columns {', '.join(header)}" if header else "no header"
        raise InputError(f"{path}: line {first}: {columns}; expected time, {', '.join(RATERS)}")
    columns = [upper.index(name) - 1 for name in RATERS]
    rows = [(line, time, [cells[column] for column in columns]) for line, time, cells in rows]
    return _traces(path, rows, RATERS)


def read_trace(path: pathlib.Path) -> Traces:
    """The one trace of a csv with the columns time and value, with or without a header.

    Raises InputError, with file and line, for everything else.
    """
    first, _, rows = _table(path)
    width = 1 + len(rows[0][2])
    if width != 2:
        raise InputError(f"{path}: line {first}: {width} columns; expected time and value")
    return _traces(path, rows, ["value"])


def _table(path: pathlib.Path) -> tuple[int, list[str], list[Row]]:
    """The first line's number; the header, its time column put first, or []; the rows.

    The delimiter is the first of `;`, tab and `,` in the first line; decimals may have a comma
    where it is not that.
    """
    lines = read_lines(path)
    delimiter = next((each for each in DELIMITERS if each in lines[0][1]), ",")
    width = lines[0][1].count(delimiter) + 1
    table = [(line, _cells(path, line, text, delimiter, width)) for line, text in lines]
    first, header, when = lines[0][0], [], 0
    if number(table[0][1][0]) is None:
        header = table.pop(0)[1]
        when = find_time_column(path, header)
        header.insert(0, header.pop(when))
    if not table:
        raise InputError(f"{path}: has no row below its header; replace it")
    return first, header, [(line, cells.pop(when), cells) for line, cells in table]


def _cells(path: pathlib.Path, line: int, text: str, delimiter: str, width: int) -> list[str]:
    cells = [cell.strip().strip("\"'").strip() for cell in text.split(delimiter)]
    if len(cells) != width:
        raise InputError(f"{path}: line {line}: {len(cells)} cells, expected {width}")
    return cells


def _traces(path: pathlib.Path, rows: Sequence[Row], names: Sequence[str]) -> Traces:
    if not rows:
        raise InputError(f"{path}: has no row; replace it")
    lines = [line for line, _, _ in rows]
    frame = _frames(path, [(line, time) for line, time, _ in rows])
    columns = zip(*(cells for _, _, cells in rows), strict=True)
    values = np.array(
        [
            [_value(path, line, name, cell) for line, cell in zip(lines, column, strict=True)]
            for name, column in zip(names, columns, strict=True)
        ]
    )
    for name, trace in zip(names, values, strict=True):
        check_range(path, trace, lines, name, LABEL_RANGE)
        if np.isnan(trace).all():
            raise InputError(f"{path}: {name} holds no value; replace the file or remove it")
    return Traces(frame, values)


def _value(path: pathlib.Path, line: int, name: str, cell: str) -> float:
    if cell == "?" or cell.lower() in UNLABELLED:
        return np.nan
    return require_number(path, line, name, cell)


def _frames(path: pathlib.Path, cells: Sequence[tuple[int, str]]) -> Int[np.ndarray, "rows"]:
    """Frame numbers from (line, time); raises InputError for times that are none of a frame."""
    time_s = rising_times(path, cells)
    nearest = np.rint(np.clip(time_s, 0, LONGEST_S) / STEP_S).astype(np.int64)
    off = np.abs(time_s - nearest * STEP_S) > OFF_GRID * STEP_S + 1e-9
    off[1:] |= np.diff(nearest) == 0
    if off.any():
        line, cell = cells[int(np.argmax(off))]
        raise InputError(
            f"{path}: line {line}: time {cell} is no new multiple of {STEP_S:g} s from 0 on; "
            "resample the file to 25 rows a second"
        )
    return nearest


def fused(ratings: Traces) -> Traces:
    """One trace of several raters', over the whole file; see `raters.fuse_raters`."""
    return Traces(ratings.number, fuse_raters(ratings.values)[None])


def join(traces: Sequence[Traces], raters: Sequence[Traces | None]) -> NumberedLabels:
    """The labels of a recording from the trace of each dimension, and its raters where known.

    A row that one of the traces lacks is NaN there; raters are taken on the rows that come so.
    """
    number = np.unique(np.concatenate([each.number for each in traces]))
    values = np.concatenate([each.on(number) for each in traces]).T
    if all(each is None for each in raters):
        return NumberedLabels(number, values)
    nobody = np.empty((0, len(number)))
    return NumberedLabels(
        number, values, tuple(nobody if each is None else each.on(number) for each in raters)
    )
