"""Decode image files into upright RGB images."""

import pathlib
import struct

import cv2
import numpy as np
import simplejpeg
from jaxtyping import UInt8

from va_jax.types import InputError

MAX_PIXELS = 2**28
"""Largest number of pixels to decode, which takes 0.8 GB (our choice)."""


def read_bytes(path: pathlib.Path) -> bytes:
    """Return the bytes of an image file; raise InputError if it cannot be read."""
    try:
        return path.read_bytes()
    except OSError as error:
        raise InputError(f"{path}: {error.strerror}; replace or remove it") from error


def decode_image(path: pathlib.Path, data: bytes) -> UInt8[np.ndarray, "height width 3"]:
    """Decode an image in any common format, and rotate it upright according to its EXIF data.

    Args:
        path: path to name in an error.
        data: content of the file.

    Raises:
        InputError: the image is damaged, of an unknown format or too large.
    """
    if data.startswith(b"\x89PNG") and len(data) >= 24:
        _check_size(path, *struct.unpack(">II", data[16:24]))
    cv2.utils.logging.setLogLevel(cv2.utils.logging.LOG_LEVEL_ERROR)
    try:
        image = cv2.imdecode(np.frombuffer(data, np.uint8), cv2.IMREAD_COLOR_RGB) if data else None
    except cv2.error as error:
        raise InputError(
            f"{path}: cannot be decoded ({error.err}); replace or remove it"
        ) from error
    if image is None:
        raise InputError(f"{path}: not a readable image; replace or remove it")
    return image


def decode_jpeg(path: pathlib.Path, data: bytes) -> UInt8[np.ndarray, "height width 3"]:
    """Decode a JPEG as it is stored, without rotating it; raise InputError if that fails."""
    try:
        height, width, *_ = simplejpeg.decode_jpeg_header(data)
        _check_size(path, int(width), int(height))
        return simplejpeg.decode_jpeg(data, colorspace="RGB")
    except ValueError as error:
        raise InputError(f"{path}: not a readable JPEG ({error}); replace or remove it") from error


def _check_size(path: pathlib.Path, width: int, height: int) -> None:
    if width * height > MAX_PIXELS:
        raise InputError(
            f"{path}: {width}x{height} pixels are too many to decode; shrink the image"
        )
