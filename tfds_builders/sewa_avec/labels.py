"""Label files of the AVEC challenges: name, time, arousal, valence and liking, a row each 0.1 s."""

import pathlib
from collections.abc import Sequence

import numpy as np
from jaxtyping import Float

from tfds_builders.label_csv import UNLABELLED, rising_times
from tfds_builders.labels import TimedLabels, check_range
from va_jax.io import read_lines, require_number
from va_jax.types import LABEL_RANGE, InputError

HEADER = ("name", "timestamp", "arousal", "valence", "liking")
"""Of 2019; the files of 2017 and 2018 have these columns without a header."""

DIMS = HEADER[2:]

Rows = list[tuple[int, list[str]]]
"""(line, cells) of each row."""


def read_labels(
    path: pathlib.Path, name: str, dims: Sequence[str], max_gap_s: float
) -> TimedLabels:
    """The labels of the recording called `name`, unlabelled where a cell is empty or `nan`.

    Raises InputError, with file and line, where a row names another recording, as in a file that
    was renamed or copied by mistake, where times do not rise or values leave [-1, 1], and for
    everything else that is no such file, rows further apart than `max_gap_s` included.
    """
    header, rows = _table(path)
    for line, cells in rows:
        if len(cells) != len(header):
            raise InputError(
                f"{path}: line {line}: {len(cells)} cells, expected {len(header)}: "
                + ";".join(header)
            )
        if cells[0] != name:
            raise InputError(
                f"{path}: line {line}: is a row of {cells[0]!r}, not of {name!r}; "
                "give the file its own name"
            )
    if len(rows) < 2:
        raise InputError(f"{path}: {len(rows)} label rows; at least 2 are needed")
    time_column = header.index("timestamp")
    time_s = rising_times(path, [(line, cells[time_column]) for line, cells in rows])
    values = [_column(path, rows, header.index(dim), dim) for dim in dims]
    labels = TimedLabels(time_s, np.stack(values, axis=1), max_gap_s=max_gap_s)
    if labels.step_s > max_gap_s:
        raise InputError(
            f"{path}: labels are {labels.step_s:g} s apart, more than max_gap_s={max_gap_s:g}; "
            "raise it"
        )
    return labels


def _table(path: pathlib.Path) -> tuple[list[str], Rows]:
    """The names of the columns and all rows below them."""
    rows = [
        (line, [cell.strip(" \t\"'") for cell in text.split(";")])
        for line, text in read_lines(path)
    ]
    first_line, first = rows[0]
    if first[0].lower() != HEADER[0]:
        return list(HEADER), rows
    header = [cell.lower() for cell in first]
    if sorted(header) != sorted(HEADER):
        raise InputError(
            f"{path}: line {first_line}: columns {';'.join(header)}, expected {';'.join(HEADER)}"
        )
    return header, rows[1:]


def _column(path: pathlib.Path, rows: Rows, column: int, dim: str) -> Float[np.ndarray, "rows"]:
    cells = [(line, each[column]) for line, each in rows]
    values = [
        np.nan if cell.lower() in UNLABELLED else require_number(path, line, dim, cell)
        for line, cell in cells
    ]
    check_range(path, np.array(values), [line for line, _ in rows], dim, LABEL_RANGE)
    return np.array(values)
