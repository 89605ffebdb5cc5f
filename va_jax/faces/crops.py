"""Square crops cut from an image along landmarks or boxes, with the map that leads there.

Pixel (0, 0) has its centre at (0, 0) in an image and in a crop alike. A matrix [2, 3] takes
points of the image to points of the crop; `(point + 0.5) / size` is in units of the crop's side.
"""

import cv2
import numpy as np
from jaxtyping import Float, UInt8

from va_jax.types import InputError

FIRST_INNER = {68: 17, 49: 0}
"""Where brows, nose, eyes, mouth begin: the 49 points are the 68 without jaw and two lip points."""


def five_points(landmarks: Float[np.ndarray, "points 2"]) -> Float[np.ndarray, "5 2"]:
    """Left eye, right eye, nose tip, left and right mouth corner, as seen, of 68 or 49 points.

    An eye is the mean of its six points.
    """
    if len(landmarks) not in FIRST_INNER:
        raise InputError(f"{len(landmarks)} landmarks are neither 68 nor 49; give five points")
    inner = landmarks[FIRST_INNER[len(landmarks)] :]
    eyes = inner[19:25].mean(0), inner[25:31].mean(0)
    return np.stack([*eyes, inner[13], inner[31], inner[37]])


def align(
    image: UInt8[np.ndarray, "height width 3"], landmarks: Float[np.ndarray, "5 2"], size: int
) -> tuple[UInt8[np.ndarray, "size size 3"], Float[np.ndarray, "2 3"]]:
    """The crop with level eyes around the middle of eyes and mouth, and its matrix.

    Its half side in the image is the greater of the eye distance and the height from mouth to
    eyes; black lies outside the image. Raises InputError where the points leave no such square.
    """
    left, right, _, *mouth = landmarks.astype(np.float64)
    eyes, mouth = (left + right) / 2, (mouth[0] + mouth[1]) / 2
    distance = np.hypot(*(right - left))
    along = (right - left) / distance if distance > 0 else np.full(2, np.nan)
    down = np.array([-along[1], along[0]])
    half = np.maximum(distance, abs(down @ (mouth - eyes)))
    if not np.isfinite(half):
        raise InputError(f"landmarks {landmarks.tolist()} have no eye line; leave out the frame")
    matrix = _to_square((eyes + mouth) / 2, np.stack([along, down]), 2 * half, size)
    return warp(image, matrix, size), matrix


def crop_box(
    image: UInt8[np.ndarray, "height width 3"],
    box: Float[np.ndarray, "4"],
    size: int,
    margin: float = 0.0,
) -> tuple[UInt8[np.ndarray, "size size 3"], Float[np.ndarray, "2 3"]]:
    """The upright square around a box x1, y1, x2, y2, and its matrix.

    Its side is the box's longer one plus `margin` of that on each end; black lies outside the
    image. Raises InputError where the box has no area.
    """
    low, high = box[:2].astype(np.float64), box[2:].astype(np.float64)
    if not (high > low).all():
        raise InputError(f"box {box.tolist()} has no area; give x1, y1, x2, y2 in pixels")
    side = (1 + 2 * margin) * (high - low).max()
    matrix = _to_square((low + high) / 2, np.eye(2), side, size)
    return warp(image, matrix, size), matrix


def transform_points(
    matrix: Float[np.ndarray, "2 3"], points: Float[np.ndarray, "points 2"]
) -> Float[np.ndarray, "points 2"]:
    """The points where the matrix takes them."""
    return points @ matrix[:, :2].T + matrix[:, 2]


def warp(
    image: UInt8[np.ndarray, "height width 3"],
    matrix: Float[np.ndarray, "2 3"],
    size: int,
    outside: int = 0,
) -> UInt8[np.ndarray, "size size 3"]:
    """The image under the matrix, `size` pixels square, without aliasing.

    Where it shrinks, it is sampled at least once per source pixel and averaged.
    """
    shrink = 1 / np.sqrt(abs(np.linalg.det(matrix[:, :2])))
    samples = max(1, int(np.ceil(shrink)))
    matrix = matrix * samples
    matrix[:, 2] += (samples - 1) / 2
    sides = (size * samples, size * samples)
    crop = cv2.warpAffine(image, matrix, sides, flags=cv2.INTER_LINEAR, borderValue=[outside] * 3)
    return cv2.resize(crop, (size, size), interpolation=cv2.INTER_AREA) if samples > 1 else crop


def _to_square(
    centre: np.ndarray, axes: np.ndarray, side: float, size: int
) -> Float[np.ndarray, "2 3"]:
    """The matrix that takes the square of `side` around `centre`, along `axes`, to the crop."""
    linear = axes * (size / side)
    return np.column_stack([linear, (size - 1) / 2 - linear @ centre])
