"""Read the label files of Aff-Wild2: a row `valence,arousal` per frame, -5 if invalid."""

import pathlib
from collections.abc import Sequence

import numpy as np

from tfds_builders.labels import NumberedLabels, check_range
from va_jax.io import read_csv, require_number
from va_jax.types import LABEL_RANGE, InputError

INVALID = -5.0


def read_labels(path: pathlib.Path, dims: Sequence[str]) -> NumberedLabels:
    """Read the labels of frames 1, 2, ...: row k after the header belongs to image number k.

    The file has the columns `valence` and `arousal`, in any order. A row is unlabelled if one of
    its values is -5, the organisers' marker. A blank line between rows is rejected, because it
    would be unclear which frames the rows below it belong to.

    Args:
        path: Label file.
        dims: Both targets, in the order of the columns to return.

    Raises:
        InputError: The file does not have this format.
    """
    file = read_csv(path)
    columns = file.columns(*dims)
    if not file.rows:
        raise InputError(f"{path}: contains no rows below its header; replace the file")
    for expected_line, (line, _) in enumerate(file.rows, file.header_line + 1):
        if line != expected_line:
            raise InputError(
                f"{path}: line {expected_line} is blank, so the frame numbers below it are "
                "ambiguous; correct the file"
            )
    lines = [line for line, _ in file.rows]
    values = np.array(
        [
            [
                require_number(path, line, dim, cells[column])
                for dim, column in zip(dims, columns, strict=True)
            ]
            for line, cells in file.rows
        ]
    )
    values[values == INVALID] = np.nan
    for dim, column in zip(dims, values.T, strict=True):
        check_range(path, column, lines, dim, LABEL_RANGE)
    values[np.isnan(values).any(1)] = np.nan
    return NumberedLabels(np.arange(1, len(values) + 1), values)
