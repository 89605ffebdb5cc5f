"""Facial landmarks as the network gets them: moved with the pixels of the frames they belong to."""

import numpy as np
from jaxtyping import Bool, Float32

from va_jax.data.transforms import Geometry

_ACROSS = (
    range(17),  # jaw
    range(17, 27),  # brows
    range(31, 36),  # nostrils
    (36, 37, 38, 39, 42, 43, 44, 45),  # upper lids with the corners of the eyes
    (41, 40, 47, 46),  # lower lids
    range(48, 55),  # lips, outside: the upper one with the corners of the mouth,
    range(55, 60),  # the lower one,
    range(60, 65),  # and the same inside
    range(65, 68),
)
"""Runs of the 68 points that cross the face from side to side; 27 to 30, the nose's bridge, do not.

The order is that of 300-W (Sagonas et al. 2013, "300 faces in-the-wild challenge").
"""

_INNER = [*range(17, 60), 61, 62, 63, 65, 66, 67]
"""The 49 of the 68 points that lie within the face, without the inner corners of the mouth."""


def _mirror() -> dict[int, np.ndarray]:
    whole = np.arange(68)
    for run in _ACROSS:
        whole[list(run)] = run[::-1]
    inner = np.searchsorted(_INNER, whole[_INNER])
    return {68: whole, 49: inner, 5: np.array([1, 0, 2, 4, 3])}


MIRROR = _mirror()
"""Points per face -> the index of each point's mirror image.

The 5 are left eye, right eye, nose, left and right corner of the mouth, as seen.
"""


def move(
    points: Float32[np.ndarray, "time points 2"],
    face: Bool[np.ndarray, "time"],
    geometry: Geometry,
) -> Float32[np.ndarray, "time points 2"]:
    """Where the landmarks lie in the frames that `transforms.warp` makes with the same geometry.

    x and y run from -1 (left, top border) to 1 and go beyond for points that were cut off;
    `points` are in units of the image's side. 0 where a point is NaN or the frame shows no face.
    In a mirrored face left and right points change places, which takes a key of `MIRROR`.
    """
    matrix = geometry.to_input()
    moved = (2 * points - 1 - matrix[:, 2]) @ np.linalg.inv(matrix[:, :2]).T
    if geometry.flip:
        moved = moved[:, MIRROR[points.shape[1]]]
    known = face[:, None] & np.isfinite(moved[..., 0] + moved[..., 1])
    return np.where(known[..., None], moved, 0).astype(np.float32)
