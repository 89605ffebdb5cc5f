"""Read the label files of SEWA: a csv per dimension and clip, one row per frame."""

import pathlib
import re
from collections.abc import Mapping

import numpy as np
from jaxtyping import Float, Int

from tfds_builders.label_csv import UNLABELLED
from tfds_builders.labels import NumberedLabels, check_range, to_label_range
from tfds_builders.sewa.clips import Clip, offset
from va_jax.io import read_csv, require_number
from va_jax.types import InputError

RANGE = (0.0, 1.0)
"""Lowest and highest value in the files."""


def read_labels(files: Mapping[str, pathlib.Path], clip: Clip) -> NumberedLabels:
    """Read the labels of a clip, mapped to [-1, 1] and numbered as in the clip's name.

    The files are joined by frame number; a value is NaN if its file has no row for the frame.

    Args:
        files: {dim: csv file}.
        clip: The clip, which determines how its frames are numbered.

    Raises:
        InputError: A file does not have the expected format.
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
    """Read the frame numbers (increasing) and the values (in RANGE) from a csv file.

    The header begins with `frame`. The first column contains the frame number and the last one the
    value, which is NaN if the cell is empty or `nan`.

    Raises:
        InputError: The file does not have this format.
    """
    file = read_csv(path)
    if not file.header[0].lower().startswith("frame") or len(file.header) < 2:
        raise InputError(
            f"{path}: line {file.header_line}: header {','.join(file.header)!r}; expected "
            f"frame,...,{dim}"
        )
    if not file.rows:
        raise InputError(f"{path}: contains no rows below its header; replace the file")
    numbers: list[int] = []
    values = []
    for line, cells in file.rows:
        number = _frame(path, line, cells[0])
        if numbers and number <= numbers[-1]:
            how = "repeats" if number == numbers[-1] else "goes back from"
            raise InputError(
                f"{path}: line {line}: frame {number} {how} {numbers[-1]}; sort the rows"
            )
        numbers.append(number)
        unlabelled = cells[-1].lower() in UNLABELLED
        values.append(np.nan if unlabelled else require_number(path, line, dim, cells[-1]))
    check_range(path, np.array(values), [line for line, _ in file.rows], dim, RANGE)
    return np.array(numbers), np.array(values)


def _frame(path: pathlib.Path, line: int, cell: str) -> int:
    """Parse a whole number, which some programs save as `12.0` instead of `12`."""
    match = re.fullmatch(r"([0-9]{1,9})(\.0*)?", cell)
    if match is None:
        raise InputError(f"{path}: line {line}: frame {cell!r} is not a whole number; correct it")
    return int(match[1])
