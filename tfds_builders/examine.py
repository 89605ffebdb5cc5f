"""Examine one recording before hours of building: its files are read, but hardly decoded."""

import dataclasses
import pathlib
from collections.abc import Iterable
from typing import Any, NamedTuple

import cv2
import numpy as np

from tfds_builders import cutting, pictures
from tfds_builders.cutting import Material
from tfds_builders.labels import TimedLabels
from tfds_builders.recorded import Read
from tfds_builders.writer import Recording
from va_jax.types import InputError
from va_jax.video import jpeg
from va_jax.video.facts import read_key_frames, read_timeline

# All ours.
FEW_FACES = 0.5  # share of the frames that show the face, below which a recording is suspicious
SAMPLES = 4  # pictures of a recording that are looked at
THUMBNAIL = 16  # side of the pictures that are compared, pixels

LEFT_OUT = "the recording will be left out"


class Finding(NamedTuple):
    """Something wrong, in one line."""

    check: str  # what was checked, a word or two
    what: str  # names the file, the line or the value
    then: str  # what a build will do about it

    def __str__(self) -> str:
        return f"{self.check}: {self.what}; {self.then}"


@dataclasses.dataclass
class Footage:
    """The pictures of a recording, as far as their index and a few samples tell."""

    number: np.ndarray  # int64 [frames]
    time_s: np.ndarray  # float64 [frames]
    fps: float
    shown: np.ndarray  # int64, the numbers that have a picture
    samples: list[np.ndarray]  # uint8 [height, width, 3] each


@dataclasses.dataclass
class Examined:
    """What is known of one recording; None and empty where it cannot be read."""

    recording: Recording
    material: Material | None = None
    footage: Footage | None = None  # its samples are let go: there may be thousands of recordings
    findings: list[Finding] = dataclasses.field(default_factory=list)
    frame_bytes: float = 0.0  # of a stored frame, by the samples
    thumbnails: np.ndarray | None = None  # float32 [samples, pixels], the samples small and grey


def examine(recording: Recording, config: Any, read: Read, find_faces: bool) -> Examined:
    """Reads labels, index and a few pictures of a recording; what is wrong with it stays with it.

    With `find_faces` the detector looks at these pictures where nothing else tells of faces. Label
    checks are `label_checks.check`'s.
    """
    result = Examined(recording)
    try:
        if recording.problem:
            raise InputError(recording.problem)
        result.material = read(recording, config)
        is_folder = result.material.pictures.is_dir()
        footage = _of_folder(result) if is_folder else _of_video(result, config.max_side)
        if footage is not None:
            result.frame_bytes = np.mean([_stored_bytes(each, config) for each in footage.samples])
            result.thumbnails = _thumbnails(footage.samples)
            _look_for_faces(result, footage, find_faces, config)
            result.footage = dataclasses.replace(footage, samples=[])
    except InputError as error:
        result.findings.append(Finding("unreadable", str(error), LEFT_OUT))
    return result


def torn_images(paths: Iterable[pathlib.Path]) -> list[str]:
    """What is wrong with each bad image file.

    Only files that do not end as an image must are decoded.
    """
    problems = []
    for path in paths:
        end = b"IEND\xaeB`\x82" if path.suffix.lower() == ".png" else b"\xff\xd9"
        try:
            with path.open("rb") as file:
                file.seek(max(0, path.stat().st_size - len(end)))
                whole = file.read() == end
            if not whole:
                pictures.read_image(path)
        except OSError as error:
            problems.append(f"{path}: {error.strerror}; replace it or delete it")
        except InputError as error:
            problems.append(str(error))
    return problems


def _of_folder(result: Examined) -> Footage | None:
    """None, and findings, where an image is torn."""
    material = result.material
    images = pictures.numbered_images(material.pictures)
    torn = torn_images(images.values())
    if torn:
        result.findings += [Finding("torn image", each, LEFT_OUT) for each in torn]
        return None
    first, last = cutting.numbers_of_folder(material)
    number, paths = np.arange(first, last + 1), list(images.values())
    chosen = [paths[len(paths) * i // SAMPLES] for i in range(min(SAMPLES, len(paths)))]
    samples = [pictures.read_image(path) for path in chosen]
    time_s = (number - first) / material.fps
    return Footage(number, time_s, material.fps, np.array(list(images)), samples)


def _of_video(result: Examined, max_side: int) -> Footage | None:
    """None, and a finding, where the file ends before it should."""
    material = result.material
    timeline = read_timeline(material.pictures)
    if timeline.cut_off_s is not None:
        end = f"ends at {timeline.time_s[-1]:.2f} s, by its header at {timeline.cut_off_s:.2f} s"
        what = f"{material.pictures}: {end}: copy it again"
        result.findings.append(Finding("truncated video", what, LEFT_OUT))
        return None
    if timeline.variable:
        steps = np.diff(timeline.time_s)
        what = f"{material.pictures}: frames last {steps.min():.3f} to {steps.max():.3f} s"
        join = "their times" if isinstance(material.labels, TimedLabels) else "their numbers"
        result.findings.append(Finding("variable rate", what, f"labels will join by {join}"))
    index, time_s = np.arange(len(timeline.time_s)), timeline.time_s
    number = pictures.frame_number(index, time_s, material.first, material.grid_fps)
    samples = list(read_key_frames(material.pictures, SAMPLES, max_side))
    return Footage(number, time_s, timeline.fps or material.fps, number, samples)


def _thumbnails(samples: list[np.ndarray]) -> np.ndarray:
    side = (THUMBNAIL, THUMBNAIL)
    small = [cv2.resize(each, side, interpolation=cv2.INTER_AREA) for each in samples]
    return np.stack(small).mean(-1).astype(np.float32).reshape(len(small), -1)


def _stored_bytes(image: np.ndarray, config: Any) -> int:
    """About what a crop takes: the middle square, which is busier than a face at that."""
    side = min(image.shape[:2])
    top, left = (image.shape[0] - side) // 2, (image.shape[1] - side) // 2
    square = image[top : top + side, left : left + side]
    crop = cv2.resize(square, (config.size, config.size), interpolation=cv2.INTER_AREA)
    return len(jpeg.encode(crop, config.jpeg_quality))


def _look_for_faces(result: Examined, footage: Footage, find_faces: bool, config: Any) -> None:
    material = result.material
    if material.faces == "detect":
        find, looked_at = cutting.detector(config.min_face), footage.samples * find_faces
        hits, of = sum(len(find(image).boxes) > 0 for image in looked_at), len(looked_at)
        unit = "sampled key frames"
    else:
        hits = len(footage.shown) if material.places is None else len(material.places)
        of, unit = len(footage.number), "frames"
    if hits < FEW_FACES * of:
        then = "frames without one will be masked"
        if not hits and config.no_face == "refuse":
            sampled = material.faces == "detect"
            then = f"{LEFT_OUT}{', if no other frame shows one' * sampled}"
        what = f"{material.pictures}: {hits} of {of} {unit} show a face"
        result.findings.append(Finding("few faces", what, then))
