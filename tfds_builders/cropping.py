"""One face crop from one picture, along a box or landmarks, as a JPEG."""

import pathlib
from typing import Any

import cv2
import numpy as np
from jaxtyping import Float, UInt8

from tfds_builders import pictures
from va_jax import faces
from va_jax.types import InputError
from va_jax.video import jpeg

MOST_PX = 4096
"""A face that spans more pixels is an error in its file (ours); it would fill the memory, too."""

LEAST_EYES_PX = 1.0
"""Eyes nearer to each other tell no direction (ours)."""


def usable(place: Float[np.ndarray, "*shape"]) -> bool:
    """Whether a box, x1, y1, x2, y2, or landmarks [points, 2] are all known and place a face."""
    if not np.isfinite(place).all():
        return False
    corners = place.reshape(-1, 2)
    span = corners.max(0) - corners.min(0)
    if not (span > 0).all() or span.max() > MOST_PX:
        return False
    if place.shape == (4,):
        return bool((place[2:] > place[:2]).all())
    left, right = _five(place)[:2]
    return bool(np.hypot(*(right - left)) >= LEAST_EYES_PX)


def crop_place(
    image: UInt8[np.ndarray, "height width 3"], place: Float[np.ndarray, "*shape"], config: Any
) -> tuple[UInt8[np.ndarray, "size size 3"], Float[np.ndarray, "2 3"]]:
    """The crop of a usable place and its matrix: around a box, or aligned by landmarks."""
    if place.shape == (4,):
        return faces.crop_box(image, place, config.size, config.margin)
    return faces.align(image, _five(place), config.size)


def _five(landmarks: Float[np.ndarray, "points 2"]) -> Float[np.ndarray, "5 2"]:
    return landmarks if len(landmarks) == 5 else faces.five_points(landmarks)


def black(config: Any) -> bytes:
    """The crop of a frame before which no place is known."""
    return jpeg.encode_black(config.size, config.jpeg_quality)


def read_crop(path: pathlib.Path, size: int, quality: int, pad: bool = False) -> bytes:
    """The image as a JPEG of `size` x `size`; its own bytes where it is one already."""
    data = pictures.read_bytes(path)
    image = pictures.decode_image(path, data)
    if image.shape[:2] == (size, size) and path.suffix.lower() != ".png":
        return data
    height, width = image.shape[:2]
    if height != width and not pad:
        raise InputError(f"{path}: is {width}x{height}; crops must be square")
    if height != width:
        spare = max(height, width) - np.array([height, width])
        before, after = spare // 2, spare - spare // 2
        image = np.pad(image, [*zip(before, after, strict=True), (0, 0)])
    if len(image) != size:
        how = cv2.INTER_AREA if size < len(image) else cv2.INTER_LINEAR
        image = cv2.resize(image, (size, size), interpolation=how)
    return jpeg.encode(image, quality)
