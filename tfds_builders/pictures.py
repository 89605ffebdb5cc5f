"""The pictures a recording is made of, numbered: frames of a video, or images in a folder."""

import pathlib
import re
from collections.abc import Iterator
from typing import NamedTuple

import cv2
import numpy as np
import simplejpeg

from tfds_builders.writer import Tally
from va_jax import video
from va_jax.schema import InputError

SUFFIXES = frozenset({".jpg", ".jpeg", ".png"})

REPEAT = 0.25
"""Two pictures are the same when an eighth of their size differs by less, in grey levels of 255 on
average (ours): a codec repeats a frame almost exactly, a camera never does."""


class Picture(NamedTuple):
    """One picture, or its place where it is missing."""

    number: int
    time_s: float
    image: np.ndarray | None  # uint8 [height, width, 3] RGB


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


def of_video(
    path: pathlib.Path,
    first: int = 0,
    max_side: int | None = None,
    repeats: bool = True,
    tally: Tally | None = None,
) -> Iterator[Picture]:
    """The frames of a video, numbered from `first`; without `repeats` only those that differ.

    A repeated frame keeps its number for itself, and is counted in `tally` as `repeats_dropped`.
    """
    before = None
    for number, (time_s, image) in enumerate(video.read_frames(path, max_side), first):
        if not repeats:
            small = cv2.resize(image, None, fx=1 / 8, fy=1 / 8, interpolation=cv2.INTER_AREA)
            small = small.astype(np.float32)
            if before is not None and np.abs(small - before).mean() < REPEAT:
                if tally is not None:
                    tally["repeats_dropped"] += 1
                continue
            before = small
        yield Picture(number, time_s, image)


def of_folder(
    folder: pathlib.Path, fps: float, first: int, last: int, max_side: int | None = None
) -> Iterator[Picture]:
    """The images numbered `first` to `last`, `fps` to the second; missing ones keep their place."""
    images = numbered_images(folder)
    for number in range(first, last + 1):
        image = read_image(images[number]) if number in images else None
        if image is not None and max_side is not None and max(image.shape[:2]) > max_side:
            scale = max_side / max(image.shape[:2])
            image = cv2.resize(image, None, fx=scale, fy=scale, interpolation=cv2.INTER_AREA)
        yield Picture(number, (number - first) / fps, image)


def read_image(path: pathlib.Path) -> np.ndarray:
    """The pixels of a JPEG or PNG, uint8 [height, width, 3] RGB."""
    return decode_image(path, path.read_bytes())


def decode_image(path: pathlib.Path, data: bytes) -> np.ndarray:
    """The pixels of the file's bytes; raises InputError that names `path` where they are torn."""
    if path.suffix.lower() == ".png":
        is_png = data.startswith(b"\x89PNG")  # OpenCV raises on an empty file
        image = None
        if is_png:
            image = cv2.imdecode(np.frombuffer(data, np.uint8), cv2.IMREAD_COLOR_RGB)
        if image is None:
            raise InputError(f"{path}: is no readable PNG; replace it or delete it")
        return image
    try:
        return simplejpeg.decode_jpeg(data, colorspace="RGB")
    except ValueError as error:
        raise InputError(f"{path}: is no readable JPEG ({error}); delete it") from error
