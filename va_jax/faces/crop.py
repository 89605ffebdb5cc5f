"""Cut square face crops from an image along landmarks or boxes, and map points into them.

Pixel (0, 0) has its centre at (0, 0) in an image and in a crop alike. A matrix [2, 3] takes points
of the image to points of the crop; `(point + 0.5) / size` is in units of the crop's side.
"""

import cv2
import numpy as np
from jaxtyping import Float, Float32, UInt8

from va_jax.types import InputError

DETECTED_POINTS = 5
"""Landmarks of a detected face: left eye, right eye, nose, left and right mouth corner."""

FIRST_INNER = {68: 17, 49: 0}
"""Where brows, nose, eyes, mouth begin: the 49 points are the 68 without jaw and two lip points."""


def five_points(landmarks: Float[np.ndarray, "points 2"]) -> Float[np.ndarray, "5 2"]:
    """Return left eye, right eye, nose tip, left and right mouth corner of 68 or 49 points.

    Left and right are as they appear in the image; an eye is the mean of its six points.

    Raises:
        InputError: there are neither 68 nor 49 points.
    """
    if len(landmarks) not in FIRST_INNER:
        raise InputError(f"{len(landmarks)} landmarks are neither 68 nor 49; give five points")
    inner = landmarks[FIRST_INNER[len(landmarks)] :]
    eyes = inner[19:25].mean(0), inner[25:31].mean(0)
    return np.stack([*eyes, inner[13], inner[31], inner[37]])


def align(
    image: UInt8[np.ndarray, "height width 3"], landmarks: Float[np.ndarray, "5 2"], size: int
) -> tuple[UInt8[np.ndarray, "size size 3"], Float[np.ndarray, "2 3"]]:
    """Cut the crop with level eyes around the middle of eyes and mouth.

    Half its side in the image is the eye distance or the height from mouth to eyes, whichever is
    greater. Pixels outside the image are black.

    Returns:
        The crop, and the matrix that takes points of the image to points of the crop.

    Raises:
        InputError: the eyes coincide, or a landmark is not finite.
    """
    left, right, _, *mouth = landmarks.astype(np.float64)
    eyes, mouth = (left + right) / 2, (mouth[0] + mouth[1]) / 2
    distance = np.hypot(*(right - left))
    along = (right - left) / distance if distance > 0 else np.full(2, np.nan)
    down = np.array([-along[1], along[0]])
    half = np.maximum(distance, abs(down @ (mouth - eyes)))
    if not np.isfinite(half):
        raise InputError(f"landmarks {landmarks.tolist()} have no eye line; leave out the frame")
    matrix = _matrix_to_square((eyes + mouth) / 2, np.stack([along, down]), 2 * half, size)
    return warp(image, matrix, size), matrix


def crop_box(
    image: UInt8[np.ndarray, "height width 3"],
    box: Float[np.ndarray, "4"],
    size: int,
    margin: float = 0.0,
) -> tuple[UInt8[np.ndarray, "size size 3"], Float[np.ndarray, "2 3"]]:
    """Cut the upright square around a box x1, y1, x2, y2; pixels outside the image are black.

    Args:
        image: RGB image.
        box: in pixels of the image.
        size: side of the crop, pixels.
        margin: added on each end, as a share of the box's longer side.

    Returns:
        The crop, and the matrix that takes points of the image to points of the crop.

    Raises:
        InputError: the box has no area.
    """
    low, high = box[:2].astype(np.float64), box[2:].astype(np.float64)
    if not (high > low).all():
        raise InputError(f"box {box.tolist()} has no area; give x1, y1, x2, y2 in pixels")
    side = (1 + 2 * margin) * (high - low).max()
    matrix = _matrix_to_square((low + high) / 2, np.eye(2), side, size)
    return warp(image, matrix, size), matrix


def crop_face(
    image: UInt8[np.ndarray, "height width 3"],
    box: Float[np.ndarray, "4"],
    landmarks: Float[np.ndarray, "5 2"],
    shown: bool,
    size: int,
    margin: float | None = None,
) -> tuple[UInt8[np.ndarray, "size size 3"], Float32[np.ndarray, "5 2"]]:
    """Cut the crop of a detected face, and map its landmarks into it.

    The crop is aligned by the landmarks or, with a `margin`, the upright square around the box.

    Returns:
        The crop, and the landmarks in units of its side, NaN where the face is not `shown`.

    Raises:
        InputError: the landmarks or the box define no square.
    """
    if margin is None:
        crop, matrix = align(image, landmarks, size)
    else:
        crop, matrix = crop_box(image, box, size, margin)
    if not shown:
        return crop, unknown_landmarks(DETECTED_POINTS)
    return crop, landmarks_in_crop(matrix, landmarks, size)


def landmarks_in_crop(
    matrix: Float[np.ndarray, "2 3"], landmarks: Float[np.ndarray, "points 2"], size: int
) -> Float32[np.ndarray, "points 2"]:
    """Map landmarks of the image to units of the side of the crop that `matrix` leads to."""
    moved = transform_points(matrix, landmarks.astype(np.float64))
    return ((moved + 0.5) / size).astype(np.float32)


def unknown_landmarks(points: int) -> Float32[np.ndarray, "points 2"]:
    """Return the NaN landmarks of a frame that has none."""
    return np.full((points, 2), np.nan, np.float32)


def transform_points(
    matrix: Float[np.ndarray, "2 3"], points: Float[np.ndarray, "points 2"]
) -> Float[np.ndarray, "points 2"]:
    """Map points of the image to points of the crop."""
    return points @ matrix[:, :2].T + matrix[:, 2]


def warp(
    image: UInt8[np.ndarray, "height width 3"],
    matrix: Float[np.ndarray, "2 3"],
    size: int,
    outside: int = 0,
) -> UInt8[np.ndarray, "size size 3"]:
    """Warp an image by a matrix to a square of `size` pixels, without aliasing.

    A shrunk image is sampled at least once per source pixel and averaged. Pixels outside the image
    get the grey value `outside`.
    """
    shrink = 1 / np.sqrt(abs(np.linalg.det(matrix[:, :2])))
    samples = max(1, int(np.ceil(shrink)))
    matrix = matrix * samples
    matrix[:, 2] += (samples - 1) / 2
    sides = (size * samples, size * samples)
    crop = cv2.warpAffine(image, matrix, sides, flags=cv2.INTER_LINEAR, borderValue=[outside] * 3)
    return cv2.resize(crop, (size, size), interpolation=cv2.INTER_AREA) if samples > 1 else crop


def _matrix_to_square(
    centre: np.ndarray, axes: np.ndarray, side: float, size: int
) -> Float[np.ndarray, "2 3"]:
    """Return the matrix from the square of `side` around `centre`, along `axes`, to a crop."""
    linear = axes * (size / side)
    return np.column_stack([linear, (size - 1) / 2 - linear @ centre])
