"""Read the label files of VEATIC: one row per frame from frame 0, without a header."""

import dataclasses
import pathlib
from collections.abc import Mapping, Sequence

import numpy as np
from jaxtyping import Float

from tfds_builders.label_csv import UNLABELLED
from tfds_builders.labels import NumberedLabels, check_range
from va_jax.io import number, read_csv, require_number
from va_jax.types import LABEL_RANGE, InputError

# Our choices.
TOLERANCE = 0.01  # largest relative difference between the rows for valence and for arousal,
ROWS = 2  # or this many rows if that is more


def read_labels(files: Mapping[str, pathlib.Path], dims: Sequence[str]) -> NumberedLabels:
    """Read the label files of a video, one for each target.

    If one file has slightly fewer rows than the other, the targets of the frames that it lacks are
    NaN.

    Raises:
        InputError: A file does not have this format, a value is outside [-1, 1], or the numbers of
            rows differ by more than TOLERANCE.
    """
    columns = {dim: _read_column(files[dim], dim) for dim in dims}
    longest = max(columns, key=lambda dim: len(columns[dim]))
    rows = len(columns[longest])
    values = np.full((rows, len(dims)), np.nan)
    for index, (dim, column) in enumerate(columns.items()):
        if rows - len(column) > max(ROWS, TOLERANCE * rows):
            raise InputError(
                f"{files[dim]}: has {len(column)} rows, but {files[longest].name} has {rows}; "
                "replace the file that is not complete"
            )
        values[: len(column), index] = column
    return NumberedLabels(np.arange(rows), values)


def cut_labels(
    labels: NumberedLabels, span: tuple[int, int], frames: int, path: pathlib.Path
) -> NumberedLabels:
    """Return the labels of a part of a video; rows after the last frame stay with the last part.

    Args:
        labels: Labels of the whole video.
        span: First and last frame of the part.
        frames: Number of frames of the whole video.
        path: File to name in messages.

    Raises:
        InputError: No row belongs to the part.
    """
    first, last = span
    inside = (labels.number >= first) & ((labels.number <= last) | (last == frames - 1))
    if not inside.any():
        raise InputError(
            f"{path}: has {len(labels.number)} rows, none of them for frames {first} to {last}; "
            "replace the file if it is not complete"
        )
    return dataclasses.replace(labels, number=labels.number[inside], values=labels.values[inside])


def _read_column(path: pathlib.Path, dim: str) -> Float[np.ndarray, "rows"]:
    """Return the values in the second column or, if there is only one, in that one.

    An empty cell next to another one, or `nan`, means unlabelled.
    """
    file = read_csv(path)
    rows = [(file.header_line, file.header), *file.rows]
    if len(file.header) > 2:
        raise InputError(
            f"{path}: line {file.header_line}: has {len(file.header)} columns, expected 1 or 2; "
            "restore the original file"
        )
    for expected, (line, _) in enumerate(rows, 1):
        if line != expected:  # row n belongs to frame n, so later rows would be shifted
            raise InputError(f"{path}: line {expected}: is blank; restore the original file")
    first = file.header[-1]
    if number(first) is None and first.lower() not in UNLABELLED:
        raise InputError(
            f"{path}: line 1: {dim} {first!r} is not a number; remove the line if it is a header"
        )
    values = [
        np.nan if cells[-1].lower() in UNLABELLED else require_number(path, line, dim, cells[-1])
        for line, cells in rows
    ]
    check_range(path, np.array(values), [line for line, _ in rows], dim, LABEL_RANGE)
    return np.array(values)
