"""The pictures of a video or of an image file, to be read once and again."""

import pathlib
from collections.abc import Iterator

import cv2
import numpy as np
from jaxtyping import UInt8

from va_jax.predict.preprocessing import MAX_SIDE
from va_jax.types import InputError
from va_jax.video import read


class Video:
    """The frames of a video up to the place where it breaks off, which is noted in `broken`.

    `width` and `height` are those of the upright frame in pixels; what comes may be smaller.
    """

    confirm = 3  # looks in a row that must find a face

    def __init__(self, path: pathlib.Path):
        info = read.probe(path)
        self.path, self.frames = path, info.frames  # the header's claim, or None
        self.width, self.height = info.width, info.height
        self.pixel_aspect = info.pixel_aspect  # width over height of a pixel
        self.broken: str | None = None

    def __iter__(self) -> Iterator[tuple[float, UInt8[np.ndarray, "height width 3"]]]:
        any_frame = False
        try:
            for frame in read.read_frames(self.path, MAX_SIDE):
                any_frame = True
                yield frame
        except InputError as error:
            if not any_frame:
                raise
            self.broken = str(error)


class Image:
    """An image file as a video of one frame, turned upright as its EXIF data say."""

    confirm, broken, frames, pixel_aspect = 1, None, 1, 1.0

    def __init__(self, path: pathlib.Path):
        self.path = path
        try:
            data = np.frombuffer(path.read_bytes(), np.uint8)
        except OSError as error:
            raise InputError(f"{path}: {error.strerror}; check the path") from error
        cv2.utils.logging.setLogLevel(cv2.utils.logging.LOG_LEVEL_ERROR)
        image = cv2.imdecode(data, cv2.IMREAD_COLOR_RGB) if len(data) else None
        if image is None:
            raise InputError(f"{path}: not a readable image; replace it or leave it out")
        self.height, self.width = image.shape[:2]
        self._image = shrunk(image)

    def __iter__(self) -> Iterator[tuple[float, UInt8[np.ndarray, "height width 3"]]]:
        yield 0.0, self._image


def shrunk(image: UInt8[np.ndarray, "height width 3"]) -> UInt8[np.ndarray, "h w 3"]:
    """The picture with its longer side no longer than a search for faces needs."""
    scale = MAX_SIDE / max(image.shape[:2])
    if scale >= 1:
        return image
    height, width = (max(1, round(side * scale)) for side in image.shape[:2])
    return cv2.resize(image, (width, height), interpolation=cv2.INTER_AREA)
