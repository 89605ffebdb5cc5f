"""Facial landmarks as network input, transformed together with their frames."""

import numpy as np
from jaxtyping import Bool, Float32

from va_jax.data.transforms import Geometry

_ACROSS = (
    range(17),  # jaw
    range(17, 27),  # brows
    range(31, 36),  # nostrils
    (36, 37, 38, 39, 42, 43, 44, 45),  # upper lids and corners of the eyes
    (41, 40, 47, 46),  # lower lids
    range(48, 55),  # outer contour: upper lip and corners of the mouth
    range(55, 60),  # outer contour: lower lip
    range(60, 65),  # inner contour: upper lip and corners of the mouth
    range(65, 68),  # inner contour: lower lip
)
"""Runs of points that cross the face from side to side; the nose bridge (27-30) does not.

The 68 points are in the order of 300-W (Sagonas et al. 2013, "300 faces in-the-wild challenge").
"""

_INNER = [*range(17, 60), 61, 62, 63, 65, 66, 67]
"""The 49 points inside the face: all 68 except the jaw and the inner corners of the mouth."""


def _mirror() -> dict[int, np.ndarray]:
    whole = np.arange(68)
    for run in _ACROSS:
        whole[list(run)] = run[::-1]
    inner = np.searchsorted(_INNER, whole[_INNER])
    return {68: whole, 49: inner, 5: np.array([1, 0, 2, 4, 3])}


MIRROR = _mirror()
"""Index of each point's mirror image, by the number of points per face.

A set of 5 points contains the left eye, right eye, nose, left mouth corner and right mouth corner,
where left and right are those of the image.
"""


def move(
    points: Float32[np.ndarray, "time points 2"],
    face: Bool[np.ndarray, "time"],
    geometry: Geometry,
) -> Float32[np.ndarray, "time points 2"]:
    """Map landmarks to the frames that `transforms.warp` returns for the same geometry.

    If the geometry mirrors the face, left and right points are swapped; this requires the number of
    points to be a key of `MIRROR`.

    Args:
        points: x and y in units of the image's side, NaN if unknown.
        face: mask of the frames that show the face.
        geometry: transformation of the frames.

    Returns:
        x and y from -1 (left or top border) to 1, beyond this range if a point was cut off, and 0
        if a point is unknown or its frame does not show the face.
    """
    matrix = geometry.to_input()
    moved = (2 * points - 1 - matrix[:, 2]) @ np.linalg.inv(matrix[:, :2]).T
    if geometry.flip:
        moved = moved[:, MIRROR[points.shape[1]]]
    known = face[:, None] & np.isfinite(moved[..., 0] + moved[..., 1])
    return np.where(known[..., None], moved, 0).astype(np.float32)
