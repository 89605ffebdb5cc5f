"""The pictures a recording is made of, numbered: frames of a video, or images in a folder."""

import pathlib
from collections.abc import Iterator
from typing import NamedTuple

import cv2
import numpy as np
import simplejpeg
from jaxtyping import Float, Int

from tfds_builders.points import numbered_files
from tfds_builders.writer import Tally
from va_jax.types import InputError
from va_jax.video.read import read_frames

SUFFIXES = frozenset({".jpg", ".jpeg", ".png"})

REPEAT = 0.2
"""Two pictures are the same when an eighth of their size differs by less, in grey levels of 255 on
average. Ours: of two talking faces at 640x360, each frame stored twice, repeats differed by at most
.17 and new frames by .25 or more in MPEG-4 at 4 Mbit/s and H.264 at CRF 23; at a quarter of the
rate the two overlap."""


class Picture(NamedTuple):
    """One picture, or its place where it is missing."""

    number: int
    time_s: float
    image: np.ndarray | None  # uint8 [height, width, 3] RGB


def numbered_images(folder: pathlib.Path) -> dict[int, pathlib.Path]:
    """{frame number: image}, rising; the number is the last run of digits in the name."""
    images = numbered_files(folder, *SUFFIXES)
    if not images:
        raise InputError(
            f"{folder}: holds no .jpg or .png; list the folder of one track, a row for each track"
        )
    return images


def of_video(
    path: pathlib.Path,
    first: int = 0,
    max_side: int | None = None,
    repeats: bool = True,
    tally: Tally | None = None,
    grid_fps: float | None = None,
) -> Iterator[Picture]:
    """The frames of a video, numbered as `frame_number` tells; without `repeats` those that differ.

    A repeated frame keeps its number for itself, and is counted in `tally` as `repeats_dropped`.
    """
    before = None
    for index, (time_s, image) in enumerate(read_frames(path, max_side)):
        if not repeats:
            small = cv2.resize(image, None, fx=1 / 8, fy=1 / 8, interpolation=cv2.INTER_AREA)
            small = small.astype(np.float32)
            if before is not None and np.abs(small - before).mean() < REPEAT:
                if tally is not None:
                    tally["repeats_dropped"] += 1
                continue
            before = small
        yield Picture(int(frame_number(index, time_s, first, grid_fps)), time_s, image)


def frame_number(
    index: int | Int[np.ndarray, "frames"],
    time_s: float | Float[np.ndarray, "frames"],
    first: int,
    grid_fps: float | None,
) -> Int[np.ndarray, "*frames"]:
    """Numbers of frames of a video: counted from `first`, or with `grid_fps` by their times.

    Such a grid stands where a file leaves out frames: the container may store a repeated one as an
    empty packet, of which the decoder shows nothing.
    """
    return np.add(first, index if grid_fps is None else np.rint(time_s * grid_fps).astype(int))


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
    return decode_image(path, read_bytes(path))


def read_bytes(path: pathlib.Path) -> bytes:
    """The bytes of an image file; raises InputError where it cannot be read."""
    try:
        return path.read_bytes()
    except OSError as error:
        raise InputError(f"{path}: {error.strerror}; replace it or delete it") from error


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
