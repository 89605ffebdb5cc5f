"""Input files: the videos and images to run a model on, and how their frames are read."""

import dataclasses
import pathlib
from collections.abc import Iterator

import cv2
import numpy as np
from jaxtyping import UInt8

from va_jax.predict.preprocessing import MAX_SIDE
from va_jax.types import InputError, file_name
from va_jax.video.image import decode_image, read_bytes
from va_jax.video.read import probe, read_frames

IMAGE_SUFFIXES = {".bmp", ".jpeg", ".jpg", ".png", ".tif", ".tiff", ".webp"}


@dataclasses.dataclass(frozen=True)
class InputFile:
    """A video or image to run the model on."""

    path: pathlib.Path
    out: pathlib.Path  # folder for its results
    name: pathlib.PurePath  # path of its results in `out`, without an extension
    folder: pathlib.Path | None = None  # the source in which it was found; None if it is a source

    @property
    def csv(self) -> pathlib.Path:
        """Path to the file's own csv file; `file_name` encodes the parts of its name."""
        *folders, name = map(file_name, self.name.parts)
        return self.out.joinpath(*folders, f"{name}.csv")

    @property
    def is_image(self) -> bool:
        return self.path.suffix.lower() in IMAGE_SUFFIXES

    def open(self) -> "Video | Image":
        """Open the file for reading its frames; InputError if it cannot be decoded."""
        return Image(self.path) if self.is_image else Video(self.path)


class Video:
    """Frames of a video as (time_s, RGB image), up to the point where decoding fails.

    `width` and `height` are the size of the upright frame in pixels; frames larger than `MAX_SIDE`
    are shrunk. If decoding fails during a pass, `broken` states the place.
    """

    confirm = 3  # number of consecutive detections required for a face

    def __init__(self, path: pathlib.Path):
        info = probe(path)
        self.path, self.frames = path, info.frames  # the count in the header, or None
        self.width, self.height = info.width, info.height
        self.broken: str | None = None

    def __iter__(self) -> Iterator[tuple[float, UInt8[np.ndarray, "height width 3"]]]:
        any_frame = False
        try:
            for frame in read_frames(self.path, MAX_SIDE):
                any_frame = True
                yield frame
        except InputError as error:
            if not any_frame:
                raise
            self.broken = str(error)


class Image:
    """An image file as a one-frame video, rotated upright according to its EXIF data."""

    confirm, broken, frames = 1, None, 1

    def __init__(self, path: pathlib.Path):
        self.path = path
        image = decode_image(path, read_bytes(path))
        self.height, self.width = image.shape[:2]
        self._image = shrink(image)

    def __iter__(self) -> Iterator[tuple[float, UInt8[np.ndarray, "height width 3"]]]:
        yield 0.0, self._image


def shrink(image: UInt8[np.ndarray, "height width 3"]) -> UInt8[np.ndarray, "h w 3"]:
    """Shrink an image so that its longer side has at most `MAX_SIDE` pixels."""
    scale = MAX_SIDE / max(image.shape[:2])
    if scale >= 1:
        return image
    height, width = (max(1, round(side * scale)) for side in image.shape[:2])
    return cv2.resize(image, (width, height), interpolation=cv2.INTER_AREA)
