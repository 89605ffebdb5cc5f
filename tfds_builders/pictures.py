"""The numbered images of a recording: frames of a video, or image files in a folder."""

import pathlib
from collections.abc import Iterator, Sequence
from typing import NamedTuple

import cv2
import numpy as np
from jaxtyping import Float, Float32, Int

from tfds_builders.material import Tally
from tfds_builders.trees import numbered_files
from va_jax.types import InputError
from va_jax.video import image
from va_jax.video.read import read_frames

SUFFIXES = frozenset({".jpg", ".jpeg", ".png"})

MOST_MISSING = 100
"""Largest number of frames per image in a folder, for numbers to be frame numbers; our choice."""

REPEAT = 0.2
"""Mean difference below which an image repeats the previous one (our choice). Both images are
shrunk to an eighth; the unit is grey levels, 0 to 255. In two 640x360 videos of talking faces in
which every frame is stored twice, repeats differed by at most 0.17 and new frames by at least 0.25,
in MPEG-4 at 4 Mbit/s and H.264 at CRF 23; at a quarter of the bit rate the two ranges overlap."""

# Our choices.
THUMBNAIL = 16  # side of the thumbnails to compare, pixels
ALIKE = 2.0  # mean difference of grey levels below which two thumbnails show the same image
FLAT = 4.0  # standard deviation of grey levels below which a thumbnail is too plain to compare


class Picture(NamedTuple):
    """An image and its place in the recording; a missing image keeps its place."""

    number: int
    time_s: float
    image: np.ndarray | None  # uint8 [height, width, 3] RGB


def numbered_images(folder: pathlib.Path) -> dict[int, pathlib.Path]:
    """Return {frame number: image file}, sorted.

    The frame number is the last run of digits in the file name.

    Raises:
        InputError: There is no image, or the names do not identify the frames.
    """
    images = numbered_files(folder, *SUFFIXES)
    if not images:
        raise InputError(
            f"{folder}: contains no .jpg or .png files; expected a folder with the images of one "
            "track"
        )
    first, last = min(images), max(images)
    if last - first > MOST_MISSING * len(images) + 1000:
        raise InputError(
            f"{images[last]}: its number {last} is far above that of most of the {len(images)} "
            "images, so it is not a frame number; rename the images to their frame numbers"
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
    """Yield the frames of a video, numbered by `frame_number`.

    Args:
        path: Video file.
        first: Number of the first frame.
        max_side: Longest side in pixels; larger frames are shrunk.
        repeats: Whether to keep frames that repeat the previous one. A dropped frame is counted in
            `tally` as `repeats_dropped`, and its number is not reused.
        tally: Counts to update, including those of `read_frames`.
        grid_fps: Rate at which times give frame numbers; None: count the frames.
    """
    before = None
    for index, (time_s, frame) in enumerate(read_frames(path, max_side, tally)):
        if not repeats:
            small = cv2.resize(frame, None, fx=1 / 8, fy=1 / 8, interpolation=cv2.INTER_AREA)
            small = small.astype(np.float32)
            if before is not None and np.abs(small - before).mean() < REPEAT:
                if tally is not None:
                    tally["repeats_dropped"] += 1
                continue
            before = small
        yield Picture(int(frame_number(index, time_s, first, grid_fps)), time_s, frame)


def frame_number(
    index: int | Int[np.ndarray, "frames"],
    time_s: float | Float[np.ndarray, "frames"],
    first: int,
    grid_fps: float | None,
) -> Int[np.ndarray, "*frames"]:
    """Return the numbers of a video's frames: counted from `first`, or derived from their times.

    Counting fails if the file lacks frames: a container may store a repeated frame as an empty
    packet, which the decoder skips. With `grid_fps`, the time determines the number instead.
    """
    return np.add(first, index if grid_fps is None else np.rint(time_s * grid_fps).astype(int))


def of_folder(
    folder: pathlib.Path, fps: float, first: int, last: int, max_side: int | None = None
) -> Iterator[Picture]:
    """Yield the images numbered `first` to `last`, including missing ones.

    Args:
        folder: Folder with numbered images.
        fps: Frame rate.
        first: Number of the first frame.
        last: Number of the last frame.
        max_side: Longest side in pixels; larger images are shrunk.
    """
    images = numbered_images(folder)
    for number in range(first, last + 1):
        shown = read_image(images[number]) if number in images else None
        if shown is not None and max_side is not None and max(shown.shape[:2]) > max_side:
            scale = max_side / max(shown.shape[:2])
            shown = cv2.resize(shown, None, fx=scale, fy=scale, interpolation=cv2.INTER_AREA)
        yield Picture(number, (number - first) / fps, shown)


def read_image(path: pathlib.Path) -> np.ndarray:
    """Read a JPEG or PNG file, as uint8 [height, width, 3] RGB."""
    return decode_image(path, image.read_bytes(path))


def decode_image(path: pathlib.Path, data: bytes) -> np.ndarray:
    """Decode the bytes of an image file to uint8 RGB; raise InputError if that fails."""
    if path.suffix.lower() == ".png":
        return image.decode_image(path, data)
    return image.decode_jpeg(path, data)


def thumbnails(images: Sequence[np.ndarray]) -> Float32[np.ndarray, "images pixels"]:
    """Shrink images to grey thumbnails of THUMBNAIL x THUMBNAIL pixels."""
    side = (THUMBNAIL, THUMBNAIL)
    small = [cv2.resize(each, side, interpolation=cv2.INTER_AREA) for each in images]
    return np.stack(small).mean(-1).astype(np.float32).reshape(len(small), -1)


def alike(
    one: Float32[np.ndarray, "images pixels"], other: Float32[np.ndarray, "images pixels"]
) -> bool:
    """Return whether thumbnails show the same images, in the same order."""
    return one.shape == other.shape and bool(np.abs(one - other).mean(1).max() < ALIKE)


def plain(images: Float32[np.ndarray, "images pixels"]) -> bool:
    """Return whether all thumbnails are too plain to compare."""
    return bool(images.std(1).max() < FLAT)
