"""Label files of Aff-Wild2: a header and a row `valence,arousal` for each frame, -5 if invalid."""

import pathlib
from collections.abc import Sequence

import numpy as np

from tfds_builders.labels import NumberedLabels
from va_jax.io import number, read_lines
from va_jax.types import DIMS, LABEL_RANGE, InputError

INVALID = -5.0


def read_labels(path: pathlib.Path, dims: Sequence[str]) -> NumberedLabels:
    """The labels of frames 1, 2, ..: line k after the header belongs to image number k.

    A row counts only if both of its values lie in [-1, 1]; the organisers mark others by -5.
    Raises InputError, with file and line, for everything else, a blank line among the rows too:
    what stands below it would belong to other frames.
    """
    lines = read_lines(path)
    header = [cell.strip().lower() for cell in lines[0][1].split(",")]
    if sorted(header) != sorted(DIMS):
        raise InputError(
            f"{path}: line 1: header {lines[0][1].strip()!r}, expected valence,arousal"
        )
    rows = []
    for place, (line, text) in enumerate(lines[1:], lines[0][0] + 1):
        if line != place:
            raise InputError(f"{path}: line {place}: is blank, so which frame is next is not clear")
        cells = [number(cell.strip()) for cell in text.split(",")]
        if len(cells) != 2 or None in cells:
            raise InputError(f"{path}: line {line}: {text.strip()!r} is not two numbers")
        rows.append(_values(path, line, cells))
    if not rows:
        raise InputError(f"{path}: has no row below its header; replace it")
    values = np.array(rows)[:, [header.index(dim) for dim in dims]]
    return NumberedLabels(np.arange(1, len(values) + 1), values)


def _values(path: pathlib.Path, line: int, cells: Sequence[float]) -> Sequence[float]:
    low, high = LABEL_RANGE
    if any(cell < low for cell in cells):
        strange = [cell for cell in cells if cell < low and cell != INVALID]
        if strange:
            raise InputError(f"{path}: line {line}: {strange[0]:g} is neither in [-1, 1] nor -5")
        return [np.nan, np.nan]
    if any(cell > high for cell in cells):
        raise InputError(f"{path}: line {line}: {max(cells):g} is neither in [-1, 1] nor -5")
    return cells
