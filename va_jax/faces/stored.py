"""A found face as it is stored, in a data set or for a prediction: its crop and landmarks in it."""

import numpy as np
from jaxtyping import Float, Float32, UInt8

from va_jax.faces.crops import align, crop_box, transform_points
from va_jax.video import jpeg

DETECTED_POINTS = 5
"""Landmarks of a found face: left eye, right eye, nose, left and right mouth corner, as seen."""


def in_crop(
    matrix: Float[np.ndarray, "2 3"], points: Float[np.ndarray, "points 2"], size: int
) -> Float32[np.ndarray, "points 2"]:
    """Points of the picture in units of the side of the crop that `matrix` leads to."""
    moved = transform_points(matrix, points.astype(np.float64))
    return ((moved + 0.5) / size).astype(np.float32)


def unknown(points: int) -> Float32[np.ndarray, "points 2"]:
    """Landmarks of which nothing is known."""
    return np.full((points, 2), np.nan, np.float32)


def store(
    image: UInt8[np.ndarray, "height width 3"],
    box: Float[np.ndarray, "4"],
    landmarks: Float[np.ndarray, "5 2"],
    shown: bool,
    size: int,
    quality: int,
    margin: float | None = None,
) -> tuple[bytes, Float32[np.ndarray, "5 2"]]:
    """JPEG of the crop of a found face, and its landmarks in the crop, NaN where it is not shown.

    The crop is aligned by the landmarks or, with a `margin`, the upright square around the box.
    Raises InputError where these place no square.
    """
    if margin is None:
        crop, matrix = align(image, landmarks, size)
    else:
        crop, matrix = crop_box(image, box, size, margin)
    points = in_crop(matrix, landmarks, size) if shown else unknown(DETECTED_POINTS)
    return jpeg.encode(crop, quality), points
