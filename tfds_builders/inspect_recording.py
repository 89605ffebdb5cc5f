"""Inspect one recording before a build: read its files, but decode only a few images."""

import dataclasses
import pathlib
from collections.abc import Collection, Iterable, Iterator
from typing import NamedTuple

import cv2
import numpy as np

from tfds_builders import crops, pictures
from tfds_builders.labels import TimedLabels
from tfds_builders.material import Material, Recording
from tfds_builders.recorded import Read
from tfds_builders.recorded_config import RecordedConfig
from va_jax.data import looks
from va_jax.data.looks import Look
from va_jax.types import InputError
from va_jax.video import jpeg
from va_jax.video.facts import Timeline, read_key_frames, read_timeline
from va_jax.video.read import LATE_S, read_frames

# Our choices.
FEW_FACES = 0.5  # a recording is suspicious if a smaller share of its frames shows the face
SAMPLES = 4  # number of images to decode per recording

SAME_S = 1e-4  # largest difference between two readings of the time of one frame, seconds

LEFT_OUT = "the recording will be left out"
MAIN_FACE = "the one that is visible longest and largest will be used, unless you name the target"


class Finding(NamedTuple):
    """A problem, described in one line."""

    check: str  # kind of problem, in a word or two
    problem: str  # description with the file, the line or the value
    consequence: str  # how a build will handle the problem

    def __str__(self) -> str:
        return f"{self.check}: {self.problem}; {self.consequence}"


@dataclasses.dataclass(frozen=True)
class Footage:
    """The images of a recording, described by their index and a few samples."""

    pictures: pathlib.Path
    number: np.ndarray  # int64 [frames]
    time_s: np.ndarray  # float64 [frames]
    fps: float
    shown: np.ndarray  # int64, numbers of the frames that have an image
    frame_bytes: float  # mean size of a stored frame, estimated from the samples
    thumbnails: np.ndarray  # float32 [samples, pixels], the samples as small grey images
    look: Look | None = None  # of the first seconds; None: not requested


@dataclasses.dataclass(frozen=True)
class Thoroughness:
    """How much of each recording to look at."""

    find_faces: bool = True  # run the face detector on the samples, if a build would run it
    compare_s: float = 60.0  # number of seconds at the start to compare with others; 0: none


class Index(NamedTuple):
    """The fields of `Footage` that can be read without decoding an image."""

    number: np.ndarray
    time_s: np.ndarray
    fps: float
    shown: np.ndarray


@dataclasses.dataclass(frozen=True)
class Inspected:
    """The results for one recording; parts that cannot be read are None."""

    recording: Recording
    findings: list[Finding]
    material: Material | None = None
    footage: Footage | None = None


def inspect_recording(
    recording: Recording, config: RecordedConfig, read: Read, how: Thoroughness
) -> Inspected:
    """Read the labels, the index and a few images of a recording, and look for problems.

    The values of the labels are checked later, by `inspect_labels.check`.

    Args:
        recording: The recording to inspect.
        config: The options of the builder.
        read: The builder's `read` function.
        how: How much of the recording to look at.
    """
    findings: list[Finding] = []
    material = footage = None
    try:
        if recording.problem:
            raise InputError(recording.problem)
        material = read(recording, config)
        footage = _footage(recording.track_id, material, config, how, findings)
    except InputError as error:
        findings.append(Finding("unreadable", str(error), LEFT_OUT))
    return Inspected(recording, findings, material, footage)


def _footage(
    name: str,
    material: Material,
    config: RecordedConfig,
    how: Thoroughness,
    findings: list[Finding],
) -> Footage | None:
    """Describe the images and append to `findings`; return None if any image is damaged."""
    if material.pictures.is_dir():
        images = pictures.numbered_images(material.pictures)
        damaged = damaged_images(images.values())
        findings += [Finding("damaged image", each, LEFT_OUT) for each in damaged]
        if damaged:
            return None
        index, samples = _index_of_folder(material, images)
    else:
        index = _index_of_video(material, findings)
        if index is None:
            return None
        samples = list(read_key_frames(material.pictures, SAMPLES, config.max_side))
    findings += _face_findings(material, index, samples if how.find_faces else [], config)
    frame_bytes = float(np.mean([_stored_bytes(each, config) for each in samples]))
    look = _look(name, material, index, how.compare_s) if how.compare_s else None
    return Footage(material.pictures, *index, frame_bytes, pictures.thumbnails(samples), look)


def _look(name: str, material: Material, index: Index, length_s: float) -> Look:
    """Return the look of the first seconds of a recording, decoding only what is needed."""
    time_s = index.time_s[: np.searchsorted(index.time_s, index.time_s[0] + length_s)]
    sampler = looks.Sampler(float(time_s[0]))
    chosen = looks.nearest(time_s, sampler.start_s)
    row = {int(frame): row for row, frame in enumerate(chosen.frame)}
    for frame, image in _images(material, index, row):
        point, off_s = chosen.point[row[frame]], chosen.off_s[row[frame]]
        sampler.put(int(point), float(off_s), looks.describe(image))
    return sampler.look(name)


def _images(
    material: Material, index: Index, wanted: Collection[int]
) -> Iterator[tuple[int, np.ndarray]]:
    """Yield (index of the frame, image) of the wanted frames of a recording."""
    if material.pictures.is_dir():
        images = pictures.numbered_images(material.pictures)
        for frame in sorted(wanted):
            number = int(index.number[frame])
            if number in images:
                yield frame, pictures.read_image(images[number])
        return
    last = max(wanted)
    for time_s, image in read_frames(material.pictures):
        frame = int(np.searchsorted(index.time_s, time_s - SAME_S))  # may be a part of the video
        if frame > last:
            return
        if frame in wanted and abs(index.time_s[frame] - time_s) < SAME_S:
            yield frame, image


def damaged_images(paths: Iterable[pathlib.Path]) -> list[str]:
    """Return a message for each image file that cannot be read.

    Only files without a proper end marker are decoded.
    """
    problems = []
    for path in paths:
        end = b"IEND\xaeB`\x82" if path.suffix.lower() == ".png" else b"\xff\xd9"
        try:
            with path.open("rb") as file:
                file.seek(max(0, path.stat().st_size - len(end)))
                complete = file.read() == end
            if not complete:
                pictures.read_image(path)
        except OSError as error:
            problems.append(f"{path}: {error.strerror}; replace or remove it")
        except InputError as error:
            problems.append(str(error))
    return problems


def _index_of_folder(
    material: Material, images: dict[int, pathlib.Path]
) -> tuple[Index, list[np.ndarray]]:
    """Return the index of an image folder and a few of its images."""
    first, last = crops.numbers_of_folder(material)
    number, paths = np.arange(first, last + 1), list(images.values())
    chosen = [paths[len(paths) * i // SAMPLES] for i in range(min(SAMPLES, len(paths)))]
    samples = [pictures.read_image(path) for path in chosen]
    time_s = (number - first) / material.fps
    return Index(number, time_s, material.fps, np.array(list(images))), samples


def _index_of_video(material: Material, findings: list[Finding]) -> Index | None:
    """Return the index of a video and append to `findings`; return None if it is truncated."""
    timeline = read_timeline(material.pictures)
    if timeline.cut_off_s is not None:
        end = f"ends at {timeline.time_s[-1]:.2f} s instead of {timeline.cut_off_s:.2f} s"
        problem = f"{material.pictures}: {end}; copy it again"
        findings.append(Finding("truncated video", problem, LEFT_OUT))
        return None
    findings += _doubtful_times(material.pictures, timeline)
    if timeline.variable:
        steps = np.diff(timeline.time_s)
        problem = f"{material.pictures}: frames last from {steps.min():.3f} to {steps.max():.3f} s"
        key = "time" if isinstance(material.labels, TimedLabels) else "frame number"
        findings.append(Finding("variable frame rate", problem, f"labels will be matched by {key}"))
    counted = np.arange(len(timeline.time_s))
    number = pictures.frame_number(counted, timeline.time_s, material.first, material.grid_fps)
    stored = material.stores(number)
    number, time_s = number[stored], timeline.time_s[stored]
    return Index(number, time_s, timeline.fps or material.fps, number)


def _doubtful_times(video: pathlib.Path, timeline: Timeline) -> Iterator[Finding]:
    """Yield a finding if time stamps were repaired or the video starts after its sound."""
    if timeline.repairs.total:
        problem = f"{video}: repaired time stamps ({timeline.repairs})"
        yield Finding("time stamps", problem, "the times of these frames are estimates")
    if timeline.after_sound_s >= LATE_S:
        problem = f"{video}: starts {timeline.after_sound_s:.3f} s after the sound"
        yield Finding("late video", problem, "times will be counted from the first frame")


def _stored_bytes(image: np.ndarray, config: RecordedConfig) -> int:
    """Return an upper estimate of a crop's size: the central square has more detail than a face."""
    side = min(image.shape[:2])
    top, left = (image.shape[0] - side) // 2, (image.shape[1] - side) // 2
    square = image[top : top + side, left : left + side]
    crop = cv2.resize(square, (config.size, config.size), interpolation=cv2.INTER_AREA)
    return len(jpeg.encode(crop, config.jpeg_quality))


def _face_findings(
    material: Material, index: Index, samples: list[np.ndarray], config: RecordedConfig
) -> list[Finding]:
    """Return findings if few of the frames (or samples) show a face, or the target is not clear."""
    findings = []
    if material.faces == "detect":
        found = [len(crops.detector(config.min_face)(image).boxes) for image in samples]
        hits, total, unit = sum(map(bool, found)), len(samples), "sampled key frames"
        several = sum(count > 1 for count in found)
        if several and material.target == ():
            problem = f"{material.pictures}: {several} of {total} {unit} show several faces"
            findings.append(Finding("several faces", problem, MAIN_FACE))
    else:
        hits = len(index.shown) if material.places is None else len(material.places)
        total, unit = len(index.number), "frames"
    if hits >= FEW_FACES * total:
        return findings
    consequence = "frames without a face will be masked"
    if not hits and config.no_face == "refuse":
        unless = ", unless another frame shows a face" if material.faces == "detect" else ""
        consequence = f"{LEFT_OUT}{unless}"
    problem = f"{material.pictures}: {hits} of {total} {unit} show a face"
    return [*findings, Finding("few faces", problem, consequence)]
