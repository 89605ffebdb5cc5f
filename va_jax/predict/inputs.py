"""Input files: find the videos and images given on the command line, and read their frames."""

import dataclasses
import pathlib
from collections.abc import Iterator, Sequence

import cv2
import numpy as np
from jaxtyping import UInt8

from va_jax.predict.preprocessing import MAX_SIDE
from va_jax.types import InputError
from va_jax.video.read import VIDEO_SUFFIXES, probe, read_frames

IMAGE_SUFFIXES = {".bmp", ".jpeg", ".jpg", ".png", ".tif", ".tiff", ".webp"}


@dataclasses.dataclass(frozen=True)
class InputFile:
    """A video or image to run the model on."""

    path: pathlib.Path
    name: pathlib.PurePath  # relative path of its outputs, without a suffix
    searched: bool  # found in a folder, not given on the command line

    @property
    def is_image(self) -> bool:
        return self.path.suffix.lower() in IMAGE_SUFFIXES

    def open(self) -> "Video | Image":
        """Open the file for reading its frames; InputError if it cannot be decoded."""
        return Image(self.path) if self.is_image else Video(self.path)


class Video:
    """Frames of a video as (time_s, RGB image), up to the point where decoding fails.

    `width` and `height` are the size of the upright frame in pixels; frames larger than `MAX_SIDE`
    are shrunk. If decoding fails during a pass, `broken` describes where.
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
        try:
            data = np.frombuffer(path.read_bytes(), np.uint8)
        except OSError as error:
            raise InputError(f"{path}: {error.strerror}; check the path") from error
        cv2.utils.logging.setLogLevel(cv2.utils.logging.LOG_LEVEL_ERROR)
        image = cv2.imdecode(data, cv2.IMREAD_COLOR_RGB) if len(data) else None
        if image is None:
            raise InputError(f"{path}: not a readable image; replace or remove it")
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


def camera_index(sources: Sequence[str]) -> int | None:
    """Return the camera number if the only source is a camera, else None.

    Raises:
        InputError: a camera is combined with other sources.
    """
    cameras = [each for each in sources if each.isdecimal() and not pathlib.Path(each).exists()]
    if cameras and len(sources) > 1:
        raise InputError(
            f"camera {cameras[0]} cannot be combined with other sources; pass it alone"
        )
    return int(cameras[0]) if cameras else None


def find(sources: Sequence[str]) -> tuple[list[InputFile], list[str]]:
    """Return each file once, sorted within its source, and a message for every empty source.

    Folders are searched for videos recursively, and the outputs keep the folder structure. Hidden
    files and folders are skipped. If files differ only in their suffix, the names of their outputs
    include it.

    Raises:
        InputError: two files would be written to the same output.
    """
    found: dict[pathlib.Path, InputFile] = {}
    problems = []
    for source in sources:
        path = pathlib.Path(source).expanduser()
        if path.is_dir():
            files = [InputFile(each, each.relative_to(path), True) for each in _videos(path)]
            suffixes = ", ".join(sorted(VIDEO_SUFFIXES))
            problem = f"{source}: contains no videos; expected a folder with {suffixes} files"
        else:
            files = [InputFile(path, pathlib.PurePath(path.name), False)] if path.exists() else []
            problem = f"{source}: no such file; check the path"
        problems += [] if files else [problem]
        for file in files:
            found.setdefault(file.path.resolve(), file)
    stems = [file.name.with_suffix("") for file in found.values()]
    named: dict[pathlib.PurePath, InputFile] = {}
    for file, stem in zip(found.values(), stems, strict=True):
        name = stem if stems.count(stem) == 1 else file.name
        if name in named:
            raise InputError(
                f"{named[name].path} and {file.path} would both be written to {name}.csv; process "
                "them separately with a different --out, or set --csv=FILE for both"
            )
        named[name] = dataclasses.replace(file, name=name)
    return list(named.values()), problems


def _videos(folder: pathlib.Path) -> Iterator[pathlib.Path]:
    for path in sorted(folder.rglob("*")):
        hidden = any(part.startswith(".") for part in path.relative_to(folder).parts)
        if path.suffix.lower() in VIDEO_SUFFIXES and not hidden and path.is_file():
            yield path
