"""Frames of a track from a folder of ready face crops, joined by the number in the file name."""

import pathlib
import re
from collections.abc import Iterator

import cv2
import numpy as np
import simplejpeg

from tfds_builders.common import Frame, encode_jpeg
from va_jax.schema import InputError

SUFFIXES = frozenset({".jpg", ".jpeg", ".png"})


def numbered_images(folder: pathlib.Path) -> dict[int, pathlib.Path]:
    """{frame number: image}, rising; the number is the last run of digits in the name."""
    images: dict[int, pathlib.Path] = {}
    for path in sorted(folder.iterdir()):
        if path.suffix.lower() not in SUFFIXES or path.name.startswith("."):
            continue
        digits = re.findall(r"\d+", path.stem)
        if not digits:
            raise InputError(f"{path}: no frame number in the name; rename it to 00001.jpg or so")
        other = images.setdefault(int(digits[-1]), path)
        if other != path:
            raise InputError(f"{path}: has the frame number of {other.name}; remove one")
    if not images:
        raise InputError(
            f"{folder}: holds no .jpg or .png; list the folder of one track, a row for each track"
        )
    return dict(sorted(images.items()))


def folder_frames(
    folder: pathlib.Path, fps: float, size: int, quality: int, dims: int, points: int
) -> Iterator[Frame]:
    """The crops in the order of their numbers, unlabelled, `fps` to the second.

    Time 0 is image 0 if there is one, else image 1. A missing number keeps its place, without a
    face, and shows the last crop before it, or black. A JPEG of `size` pixels is kept byte for
    byte, any other image is resized and encoded again. Landmarks are unknown (NaN).
    """
    images = numbered_images(folder)
    first = 0 if 0 in images else 1
    held = encode_jpeg(np.zeros((size, size, 3), np.uint8), quality)
    nothing = np.full(dims, np.nan, np.float32), np.full((points, 2), np.nan, np.float32)
    for number in range(first, max(images) + 1):
        if number in images:
            held = read_crop(images[number], size, quality)
        time_s = (number - first) / fps
        yield Frame(held, nothing[0], number in images, time_s, nothing[1])


def read_crop(path: pathlib.Path, size: int, quality: int) -> bytes:
    """The image as a JPEG of `size` x `size`; its own bytes where it is one already."""
    data = path.read_bytes()
    if path.suffix.lower() == ".png":
        pixels = np.frombuffer(data, np.uint8)
        is_png = data.startswith(b"\x89PNG")  # OpenCV raises on an empty file
        image = cv2.imdecode(pixels, cv2.IMREAD_COLOR_RGB) if is_png else None
        if image is None:
            raise InputError(f"{path}: is no readable PNG; replace it or delete it")
    else:
        try:
            image = simplejpeg.decode_jpeg(data, colorspace="RGB")
        except ValueError as error:
            raise InputError(f"{path}: is no readable JPEG ({error}); delete it") from error
        if image.shape[:2] == (size, size):
            return data
    height, width = image.shape[:2]
    if height != width:
        raise InputError(f"{path}: is {width}x{height}; crops must be square")
    if height != size:
        how = cv2.INTER_AREA if size < height else cv2.INTER_LINEAR
        image = cv2.resize(image, (size, size), interpolation=how)
    return encode_jpeg(image, quality)
