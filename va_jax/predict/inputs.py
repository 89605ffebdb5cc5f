"""Input files: find the videos and images that the command line names, and read their frames."""

import dataclasses
import glob
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
    """One file to predict."""

    path: pathlib.Path
    name: pathlib.PurePath  # of its outputs, relative and without suffix
    searched: bool  # found in a folder or by a pattern, not named on the command line

    @property
    def is_image(self) -> bool:
        return self.path.suffix.lower() in IMAGE_SUFFIXES

    def open(self) -> "Video | Image":
        """Open the file to read its frames.

        Raises:
            InputError: the file is missing or cannot be decoded.
        """
        return Image(self.path) if self.is_image else Video(self.path)


class Video:
    """The frames of a video as (time_s, RGB image), up to the point where the file breaks off.

    `width` and `height` are those of the upright frame in pixels; larger frames than `MAX_SIDE`
    are shrunk. After a pass, `broken` describes the point where decoding failed, if it did.
    """

    confirm = 3  # consecutive detections that make a face

    def __init__(self, path: pathlib.Path):
        info = probe(path)
        self.path, self.frames = path, info.frames  # the count in the header, or None
        self.width, self.height = info.width, info.height
        self.pixel_aspect = info.pixel_aspect  # width of a pixel over its height
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
    """An image file as a video of one frame, turned upright according to its EXIF data."""

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
        self._image = shrink(image)

    def __iter__(self) -> Iterator[tuple[float, UInt8[np.ndarray, "height width 3"]]]:
        yield 0.0, self._image


def shrink(image: UInt8[np.ndarray, "height width 3"]) -> UInt8[np.ndarray, "h w 3"]:
    """Shrink an image so that its longer side is at most `MAX_SIDE` pixels."""
    scale = MAX_SIDE / max(image.shape[:2])
    if scale >= 1:
        return image
    height, width = (max(1, round(side * scale)) for side in image.shape[:2])
    return cv2.resize(image, (width, height), interpolation=cv2.INTER_AREA)


def camera_index(sources: Sequence[str]) -> int | None:
    """Return the number of the camera if the only source is one, else None.

    Raises:
        InputError: a camera is given together with other sources.
    """
    cameras = [each for each in sources if each.isdecimal() and not pathlib.Path(each).exists()]
    if cameras and len(sources) > 1:
        raise InputError(f"camera {cameras[0]} is given with other sources; give it alone")
    return int(cameras[0]) if cameras else None


def find(sources: Sequence[str]) -> tuple[list[InputFile], list[str]]:
    """Return every file once, sorted within its source, and a message for each empty source.

    A folder is searched for videos at any depth; its outputs keep its structure. Hidden files and
    folders are skipped.

    Raises:
        InputError: two files would have the same output.
    """
    found, problems = [], []
    for source in sources:
        path = pathlib.Path(source).expanduser()
        if path.is_dir():
            inside = sorted(each for each in path.rglob("*") if _is_visible_video(each, path))
            new = [InputFile(each, each.relative_to(path).with_suffix(""), True) for each in inside]
            suffixes = ", ".join(sorted(VIDEO_SUFFIXES))
            problem = f"{source}: contains no video; give a folder with {suffixes} files"
        elif glob.has_magic(source) and not path.exists():
            matches = sorted(map(pathlib.Path, glob.glob(str(path), recursive=True)))
            matches = [each for each in matches if each.is_file()]
            new = [
                InputFile(each, pathlib.PurePath(each.stem), True)
                for each in matches
                if each.suffix.lower() in VIDEO_SUFFIXES | IMAGE_SUFFIXES
            ]
            problem = f"{source}: matches no video and no image; check the pattern"
        else:
            new = [InputFile(path, pathlib.PurePath(path.stem), False)] if path.exists() else []
            problem = f"{source}: no such file; check the path"
        problems += [] if new else [problem]
        found += new
    return _with_unique_names(found), problems


def _is_visible_video(path: pathlib.Path, folder: pathlib.Path) -> bool:
    hidden = any(part.startswith(".") for part in path.relative_to(folder).parts)
    return path.suffix.lower() in VIDEO_SUFFIXES and not hidden and path.is_file()


def _with_unique_names(found: Sequence[InputFile]) -> list[InputFile]:
    """Keep each file once; files that differ only in their suffix keep it in the output's name."""
    once = list({each.path.resolve(): each for each in reversed(found)}.values())[::-1]
    names = [each.name for each in once]
    result = [
        dataclasses.replace(each, name=each.name.with_name(each.path.name))
        if names.count(each.name) > 1
        else each
        for each in once
    ]
    taken: dict[pathlib.PurePath, InputFile] = {}
    for each in result:
        other = taken.setdefault(each.name, each)
        if other is not each:
            raise InputError(
                f"{other.path} and {each.path} would both be written to {each.name}.csv; predict "
                "them one by one with another --out, or give --csv=FILE for both"
            )
    return result
