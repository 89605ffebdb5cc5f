"""Cut square face crops from an image, based on landmarks or boxes, and map points into them.

In both images and crops, the centre of pixel (0, 0) is at (0, 0). A matrix [2, 3] maps points in
the image to points in the crop; `(point + 0.5) / size` is in units of the crop's side.
"""

import cv2
import numpy as np
from jaxtyping import Float, Float32, UInt8

from va_jax.types import InputError

DETECTED_POINTS = 5
"""Number of landmarks for a detected face: both eyes, the nose, and both corners of the mouth."""

FIRST_INNER = {68: 17, 49: 0}
"""Number of landmarks -> index of the first inner one; sets of 49 omit the jaw and two lip points.
"""


def five_points(landmarks: Float[np.ndarray, "points 2"]) -> Float[np.ndarray, "5 2"]:
    """Reduce 68 or 49 points to five: both eyes, the nose tip, and both corners of the mouth.

    Points on the left in the image come first. Each eye is the mean of its six points.

    Raises:
        InputError: there are neither 68 nor 49 points.
    """
    if len(landmarks) not in FIRST_INNER:
        raise InputError(f"there are {len(landmarks)} landmarks; expected 68 or 49")
    inner = landmarks[FIRST_INNER[len(landmarks)] :]
    eyes = inner[19:25].mean(0), inner[25:31].mean(0)
    return np.stack([*eyes, inner[13], inner[31], inner[37]])


def align(
    image: UInt8[np.ndarray, "height width 3"], landmarks: Float[np.ndarray, "5 2"], size: int
) -> tuple[UInt8[np.ndarray, "size size 3"], Float[np.ndarray, "2 3"]]:
    """Cut a crop that is centred between eyes and mouth, and rotated so that the eyes are level.

    Its side in the image is twice the distance between the eyes, or twice the height from mouth to
    eyes if that is greater. Pixels outside the image are black.

    Returns:
        The crop, and the matrix that maps points in the image to points in the crop.

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
        raise InputError(
            f"landmarks {landmarks.tolist()}: the eyes coincide or a value is not finite; "
            "omit this frame"
        )
    matrix = _matrix_to_square((eyes + mouth) / 2, np.stack([along, down]), 2 * half, size)
    return warp(image, matrix, size), matrix


def crop_box(
    image: UInt8[np.ndarray, "height width 3"],
    box: Float[np.ndarray, "4"],
    size: int,
    margin: float = 0.0,
    stretched: bool = False,
) -> tuple[UInt8[np.ndarray, "size size 3"], Float[np.ndarray, "2 3"]]:
    """Cut the upright square around a box; pixels outside the image are black.

    If `stretched`, cut the part of the box that is inside the image, and stretch it to a square.

    Args:
        image: RGB image.
        box: x1, y1, x2, y2 in image pixels.
        size: side of the crop, in pixels.
        margin: margin to add on every side, as a fraction of the box's longer side.
        stretched: whether width and height are scaled separately.

    Returns:
        The crop, and the matrix that maps points in the image to points in the crop.

    Raises:
        InputError: the box has no area, or, if `stretched`, none inside the image.
    """
    low, high = box[:2].astype(np.float64), box[2:].astype(np.float64)
    if stretched:
        low, high = np.clip((low, high), 0, np.array(image.shape[1::-1]) - 1)
    if not (high > low).all():
        raise InputError(
            f"box {box.tolist()} has no area in the image; expected x1, y1, x2, y2 in pixels"
        )
    sides = high - low
    side = (1 + 2 * margin) * (sides if stretched else sides.max())
    matrix = _matrix_to_square((low + high) / 2, np.eye(2), side, size)
    return warp(image, matrix, size), matrix


def crop_face(
    image: UInt8[np.ndarray, "height width 3"],
    box: Float[np.ndarray, "4"],
    landmarks: Float[np.ndarray, "5 2"],
    shown: bool,
    size: int,
    margin: float | None = None,
    stretched: bool = False,
) -> tuple[UInt8[np.ndarray, "size size 3"], Float32[np.ndarray, "5 2"]]:
    """Crop a detected face, and map its landmarks into the crop.

    The crop is aligned with the landmarks. If `margin` is set, the crop is the upright square
    around the box instead, or, if `stretched`, the box itself (see `crop_box`).

    Returns:
        The crop, and the landmarks in units of its side; they are NaN if the face is not `shown`.

    Raises:
        InputError: the landmarks or the box define no square.
    """
    if margin is None:
        crop, matrix = align(image, landmarks, size)
    else:
        crop, matrix = crop_box(image, box, size, margin, stretched)
    if not shown:
        return crop, unknown_landmarks(DETECTED_POINTS)
    return crop, landmarks_in_crop(matrix, landmarks, size)


def landmarks_in_crop(
    matrix: Float[np.ndarray, "2 3"], landmarks: Float[np.ndarray, "points 2"], size: int
) -> Float32[np.ndarray, "points 2"]:
    """Map landmarks from the image to the crop that `matrix` describes, in units of its side."""
    moved = transform_points(matrix, landmarks.astype(np.float64))
    return ((moved + 0.5) / size).astype(np.float32)


def unknown_landmarks(points: int) -> Float32[np.ndarray, "points 2"]:
    """Return landmarks of NaN, for a frame without known landmarks."""
    return np.full((points, 2), np.nan, np.float32)


def transform_points(
    matrix: Float[np.ndarray, "2 3"], points: Float[np.ndarray, "points 2"]
) -> Float[np.ndarray, "points 2"]:
    """Map points in the image to points in the crop."""
    return points @ matrix[:, :2].T + matrix[:, 2]


def warp(
    image: UInt8[np.ndarray, "height width 3"],
    matrix: Float[np.ndarray, "2 3"],
    size: int,
    outside: int = 0,
) -> UInt8[np.ndarray, "size size 3"]:
    """Warp an image with a matrix to a square of `size` x `size` pixels, without aliasing.

    When shrinking, every source pixel is sampled at least once and the samples are averaged. Pixels
    outside the image get the grey value `outside`.
    """
    shrink = 1 / np.sqrt(abs(np.linalg.det(matrix[:, :2])))
    samples = max(1, int(np.ceil(shrink)))
    matrix = matrix * samples
    matrix[:, 2] += (samples - 1) / 2
    sides = (size * samples, size * samples)
    crop = cv2.warpAffine(image, matrix, sides, flags=cv2.INTER_LINEAR, borderValue=[outside] * 3)
    return cv2.resize(crop, (size, size), interpolation=cv2.INTER_AREA) if samples > 1 else crop


def _matrix_to_square(
    centre: np.ndarray, axes: np.ndarray, side: float | np.ndarray, size: int
) -> Float[np.ndarray, "2 3"]:
    """Return the matrix that maps a square, given by its centre, axes and side, to a crop.

    If `side` contains two values, they are the sides of a rectangle along the two axes.
    """
    linear = axes * np.reshape(size / np.asarray(side), (-1, 1))
    return np.column_stack([linear, (size - 1) / 2 - linear @ centre])
