"""Read the label files of the AVEC challenges: arousal, valence and liking every 0.1 s."""

import pathlib
from collections.abc import Sequence

import numpy as np
from jaxtyping import Float

from tfds_builders.label_csv import UNLABELLED, rising_times
from tfds_builders.labels import TimedLabels, check_range
from va_jax.io import read_csv, require_number
from va_jax.types import LABEL_RANGE, InputError

HEADER = ("name", "timestamp", "arousal", "valence", "liking")
"""Header of the files from 2019; files from 2017 and 2018 have the columns but no header."""

DIMS = HEADER[2:]

Rows = list[tuple[int, list[str]]]
"""(line number, cells) of each row."""


def read_labels(
    path: pathlib.Path, name: str, dims: Sequence[str], max_gap_s: float
) -> TimedLabels:
    """Read the labels of a recording; an empty cell or `nan` means unlabelled.

    Args:
        path: Csv file.
        name: Name of the recording, which every row must contain.
        dims: Targets to read, from DIMS.
        max_gap_s: Longest gap between rows to interpolate across, in seconds.

    Raises:
        InputError: A row belongs to a different recording (as in a file renamed by mistake), times
            do not increase, a value is outside [-1, 1], or rows are further apart than `max_gap_s`.
    """
    header, rows = _table(path)
    name_column = header.index("name")
    for line, cells in rows:
        if cells[name_column] != name:
            raise InputError(
                f"{path}: line {line}: the row belongs to {cells[name_column]!r}, but the file is "
                f"named after {name!r}; restore the file's original name"
            )
    if len(rows) < 2:
        raise InputError(f"{path}: has fewer than 2 label rows ({len(rows)}); replace the file")
    time_column = header.index("timestamp")
    time_s = rising_times(path, [(line, cells[time_column]) for line, cells in rows])
    values = [_column(path, rows, header.index(dim), dim) for dim in dims]
    labels = TimedLabels(time_s, np.stack(values, axis=1), max_gap_s=max_gap_s)
    if labels.step_s > max_gap_s:
        raise InputError(
            f"{path}: labels are {labels.step_s:g} s apart, more than max_gap_s={max_gap_s:g}; "
            "raise max_gap_s if the times are in seconds, or convert them"
        )
    return labels


def _table(path: pathlib.Path) -> tuple[list[str], Rows]:
    """Return the column names and the rows."""
    file = read_csv(path)
    header: list[str] = [cell.lower() for cell in file.header]
    rows = file.rows
    if HEADER[0] not in header:
        header = [*HEADER]
        rows = [(file.header_line, file.header), *rows]
    if sorted(header) != sorted(HEADER) or len(file.header) != len(header):
        raise InputError(
            f"{path}: line {file.header_line}: the {len(file.header)} columns are "
            f"{';'.join(file.header)}; expected {';'.join(HEADER)}"
        )
    return header, rows


def _column(path: pathlib.Path, rows: Rows, column: int, dim: str) -> Float[np.ndarray, "rows"]:
    cells = [(line, each[column]) for line, each in rows]
    values = [
        np.nan if cell.lower() in UNLABELLED else require_number(path, line, dim, cell)
        for line, cell in cells
    ]
    check_range(path, np.array(values), [line for line, _ in rows], dim, LABEL_RANGE)
    return np.array(values)
