"""Label files of SEWA: a csv for each dimension and clip, a row `frame, ..., value` each frame."""

import pathlib
import re
from collections.abc import Mapping

import numpy as np
from jaxtyping import Float, Int

from tfds_builders.label_csv import UNLABELLED
from tfds_builders.labels import NumberedLabels, check_range, to_label_range
from tfds_builders.sewa.clips import Clip, offset
from va_jax.io import read_lines, require_number
from va_jax.types import InputError

RANGE = (0.0, 1.0)
"""Of the values in the files."""


def read_labels(files: Mapping[str, pathlib.Path], clip: Clip) -> NumberedLabels:
    """The labels of a clip from {dim: file}, in [-1, 1] and numbered as in the clip's name.

    Files are joined by frame number; where one has no row for a frame of another, that value is
    NaN. Raises InputError, with the file and mostly a line, for what is no such file.
    """
    columns = {dim: read_column(path, dim) for dim, path in files.items()}
    number = np.unique(np.concatenate([number for number, _ in columns.values()]))
    values = np.full((len(number), len(columns)), np.nan)
    for column, (rows, value) in enumerate(columns.values()):
        values[np.searchsorted(number, rows), column] = value
    start = offset(next(iter(files.values())), clip, number)
    return NumberedLabels(number + start, to_label_range(values, RANGE))


def read_column(
    path: pathlib.Path, dim: str
) -> tuple[Int[np.ndarray, "rows"], Float[np.ndarray, "rows"]]:
    """Frame numbers, rising, and values in RANGE, NaN where a cell is empty or `nan`.

    The header begins with `frame`; the number stands in the first column, the value in the last.
    """
    rows = [
        (line, [cell.strip(" \t\"'") for cell in text.split(",")])
        for line, text in read_lines(path)
    ]
    top, header = rows.pop(0)
    if not header[0].lower().startswith("frame") or len(header) < 2:
        raise InputError(
            f"{path}: line {top}: header {','.join(header)!r}; expected frame,...,{dim}, "
            "separated by commas"
        )
    if not rows:
        raise InputError(f"{path}: has no row below its header; replace it")
    numbers: list[int] = []
    values = []
    for line, cells in rows:
        if len(cells) != len(header):
            raise InputError(
                f"{path}: line {line}: {len(cells)} cells where the header has {len(header)}"
            )
        number = _frame(path, line, cells[0])
        if numbers and number <= numbers[-1]:
            how = "repeats" if number == numbers[-1] else "goes back from"
            raise InputError(f"{path}: line {line}: frame {number} {how} {numbers[-1]}; sort them")
        numbers.append(number)
        unlabelled = cells[-1].lower() in UNLABELLED
        values.append(np.nan if unlabelled else require_number(path, line, dim, cells[-1]))
    check_range(path, np.array(values), [line for line, _ in rows], dim, RANGE)
    return np.array(numbers), np.array(values)


def _frame(path: pathlib.Path, line: int, cell: str) -> int:
    """A whole number, as `12` or, as tables save it beside gaps, `12.0`."""
    match = re.fullmatch(r"([0-9]{1,9})(\.0*)?", cell)
    if match is None:
        raise InputError(f"{path}: line {line}: frame {cell!r} is not a whole number")
    return int(match[1])
