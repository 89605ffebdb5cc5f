"""Facial landmarks as network input: they move with the pixels of their frames."""

import numpy as np
from jaxtyping import Bool, Float32

from va_jax.data.transforms import Geometry

_ACROSS = (
    range(17),  # jaw
    range(17, 27),  # brows
    range(31, 36),  # nostrils
    (36, 37, 38, 39, 42, 43, 44, 45),  # upper lids with the corners of the eyes
    (41, 40, 47, 46),  # lower lids
    range(48, 55),  # outer contour: upper lip with the corners of the mouth
    range(55, 60),  # outer contour: lower lip
    range(60, 65),  # inner contour: upper lip with the corners of the mouth
    range(65, 68),  # inner contour: lower lip
)
"""Runs of the 68 points that cross the face from side to side; the nose bridge, 27-30, does not.

Points are in the order of 300-W (Sagonas et al. 2013, "300 faces in-the-wild challenge").
"""

_INNER = [*range(17, 60), 61, 62, 63, 65, 66, 67]
"""The 49 of the 68 points inside the face, without the inner corners of the mouth."""


def _mirror() -> dict[int, np.ndarray]:
    whole = np.arange(68)
    for run in _ACROSS:
        whole[list(run)] = run[::-1]
    inner = np.searchsorted(_INNER, whole[_INNER])
    return {68: whole, 49: inner, 5: np.array([1, 0, 2, 4, 3])}


MIRROR = _mirror()
"""Points per face -> index of the mirror image of each point.

The order of 5 is left eye, right eye, nose, left and right corner of the mouth, as seen.
"""


def move(
    points: Float32[np.ndarray, "time points 2"],
    face: Bool[np.ndarray, "time"],
    geometry: Geometry,
) -> Float32[np.ndarray, "time points 2"]:
    """Return the landmarks in the frames that `transforms.warp` returns for the same geometry.

    If the geometry mirrors the face, left and right points change places, so the number of points
    must be a key of `MIRROR`.

    Args:
        points: x and y in units of the image's side, NaN where unknown.
        face: frames that show the face.
        geometry: the change of the frames.

    Returns:
        x and y from -1 (left, top border) to 1, or beyond if a point was cut off; 0 where a point
        is unknown or its frame does not show the face.
    """
    matrix = geometry.to_input()
    moved = (2 * points - 1 - matrix[:, 2]) @ np.linalg.inv(matrix[:, :2]).T
    if geometry.flip:
        moved = moved[:, MIRROR[points.shape[1]]]
    known = face[:, None] & np.isfinite(moved[..., 0] + moved[..., 1])
    return np.where(known[..., None], moved, 0).astype(np.float32)
