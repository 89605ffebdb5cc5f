"""Read the label files of SEWA: a csv per dimension and clip, one row per frame."""

import pathlib
import re
from collections.abc import Mapping, Sequence

import numpy as np
from jaxtyping import Float, Int

from tfds_builders.label_csv import UNLABELLED
from tfds_builders.labels import NumberedLabels, check_range, to_label_range
from tfds_builders.sewa.clips import Clip, offset
from va_jax.data.columns import understand, unit_of
from va_jax.io import CsvFile, read_csv, require_number
from va_jax.types import InputError

RANGE = (0.0, 1.0)
"""Lowest and highest value in the files."""

VALUE = frozenset({"value", "values", "rating", "ratings", "gold", "goldstandard", "gold_standard"})
"""Names of the value column, besides that of the dimension."""


def read_labels(
    files: Mapping[str, pathlib.Path], clip: Clip, columns: Sequence[str] = ()
) -> NumberedLabels:
    """Read the labels of a clip, mapped to [-1, 1] and numbered as in the clip's name.

    The files are joined by frame number; a value is NaN if its file has no row for the frame.

    Args:
        files: {dim: csv file}.
        clip: The clip, which determines how its frames are numbered.
        columns: `DIM:NAME` for each dim whose value column has a different name.

    Raises:
        InputError: A file does not have the expected format.
    """
    traces = {dim: read_column(path, dim, columns) for dim, path in files.items()}
    number = np.unique(np.concatenate([number for number, _ in traces.values()]))
    values = np.full((len(number), len(traces)), np.nan)
    for column, (rows, value) in enumerate(traces.values()):
        values[np.searchsorted(number, rows), column] = value
    start = offset(next(iter(files.values())), clip, number)
    return NumberedLabels(number + start, to_label_range(values, RANGE))


def read_column(
    path: pathlib.Path, dim: str, columns: Sequence[str] = ()
) -> tuple[Int[np.ndarray, "rows"], Float[np.ndarray, "rows"]]:
    """Read the frame numbers (increasing) and the values (in RANGE) from a csv file.

    The header begins with the frame number, such as `frame` or `frame_idx`. The values are in the
    column named like the dimension or, if there is none, in the only one of VALUE; other columns
    are ignored. A value is NaN if the cell is empty or `nan`.

    Raises:
        InputError: The file does not have this format.
    """
    file = read_csv(path)
    column = _value_column(file, dim, columns)
    if not file.rows:
        raise InputError(f"{path}: contains no rows below its header; replace the file")
    numbers: list[int] = []
    values = []
    for line, cells in file.rows:
        number = _frame(path, line, cells[0])
        if numbers and number <= numbers[-1]:
            how = "repeats" if number == numbers[-1] else "comes after"
            raise InputError(
                f"{path}: line {line}: frame {number} {how} frame {numbers[-1]}; sort the rows, "
                "and remove repeated ones"
            )
        numbers.append(number)
        unlabelled = cells[column].lower() in UNLABELLED
        values.append(np.nan if unlabelled else require_number(path, line, dim, cells[column]))
    check_range(path, np.array(values), [line for line, _ in file.rows], dim, RANGE)
    return np.array(numbers), np.array(values)


def _value_column(file: CsvFile, dim: str, columns: Sequence[str]) -> int:
    """Return the index of the column with the values of `dim`."""
    where = f"{file.path}: line {file.header_line}"
    if unit_of(file.header[0]) != "frame" or len(file.header) < 2:
        raise InputError(
            f"{where}: the header is {','.join(file.header)!r}; expected frame,...,{dim}"
        )
    chosen = [each for each in columns if each.casefold().startswith(f"{dim.casefold()}:")]
    named = [name for name in file.header if name.casefold() in VALUE]
    try:
        found = understand(file.header, [dim], time_column=file.header[0], columns=chosen).raters[
            dim
        ]
    except InputError as error:
        if chosen or len(named) != 1 or dim.casefold() in ",".join(file.header).casefold():
            raise InputError(f"{where}: {error}") from error
        return file.header.index(named[0])
    if len(found) != 1:
        names = ", ".join(file.header[column] for column in found)
        raise InputError(
            f"{where}: columns {names} may all contain {dim}; set columns={dim}:NAME to one of them"
        )
    return found[0]


def _frame(path: pathlib.Path, line: int, cell: str) -> int:
    """Parse a whole number, which some programs save as `12.0` instead of `12`."""
    match = re.fullmatch(r"([0-9]{1,9})(\.0*)?", cell)
    if match is None:
        raise InputError(f"{path}: line {line}: frame {cell!r} is not a whole number; correct it")
    return int(match[1])
