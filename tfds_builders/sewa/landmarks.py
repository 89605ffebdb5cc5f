"""Read the landmark files of SEWA: one text file per frame with pose, eyes and 49 face points."""

import os
import pathlib

import numpy as np
from jaxtyping import Float

from tfds_builders.points import PointFiles
from tfds_builders.sewa.clips import LANDMARKS, Clip, offset
from va_jax.io import read_lines, require_number
from va_jax.types import InputError

POINTS = 49
LINE = 3  # the lines above contain pitch, yaw and roll, and ten points around the eyes
MISSING = -1.0


def landmarks_of(folder: pathlib.Path, clip: Clip) -> PointFiles:
    """Return a mapping from frame number, counted as in the clip's name, to points.

    Files whose names are not numbers are ignored.

    Raises:
        InputError: Two files have the same number, or the numbers do not match the clip.
    """
    files: dict[int, pathlib.Path] = {}
    for name in sorted(os.listdir(folder)):
        match = LANDMARKS.fullmatch(name)
        if match is not None:
            other = files.setdefault(int(match[1]), folder / name)
            if other.name != name:
                raise InputError(
                    f"{folder / name}: has the same frame number as {other.name}; remove one of "
                    "the two"
                )
    start = offset(folder, clip, np.array(list(files)))
    return PointFiles({number + start: path for number, path in files.items()}, read_points)


def read_points(path: pathlib.Path) -> Float[np.ndarray, "49 2"]:
    """Read the 49 points in one frame: x and y in pixels, NaN if a point is missing.

    Raises:
        InputError: Line 3 does not contain exactly 98 numbers.
    """
    cells = dict(read_lines(path)).get(LINE, "").split()
    values = np.array([require_number(path, LINE, "coordinate", cell) for cell in cells])
    if len(values) != 2 * POINTS:
        raise InputError(
            f"{path}: line {LINE}: contains {len(values)} numbers; expected x and y of {POINTS} "
            "points; replace the file"
        )
    points = values.reshape(POINTS, 2)
    return np.where((points == MISSING).any(1, keepdims=True), np.nan, points)
