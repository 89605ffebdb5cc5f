"""Face crops from pictures: ready crops as they are, or cut along given places, or found faces.

In all three a frame that does not show the face keeps its place in the track; its crop shows the
last place known, else the first, else it is black.
"""

import dataclasses
import functools
import pathlib
from collections.abc import Callable, Iterator, Mapping
from typing import Any, NamedTuple

import numpy as np

from tfds_builders import cropping, pictures
from tfds_builders.labels import Labels
from tfds_builders.pictures import Picture
from tfds_builders.writer import Tally
from va_jax import faces
from va_jax.types import InputError
from va_jax.video import jpeg
from va_jax.video.facts import mean_fps, read_timeline
from va_jax.video.read import probe


@dataclasses.dataclass(frozen=True)
class Material:
    """What a recording is made of, before anything is decoded.

    `faces` says how the face is found: `crops` (the images are crops), `boxes` (`places` holds
    x1, y1, x2, y2), `landmarks` (`places` holds 5, 49 or 68 points) or `detect`. Places and
    `landmarks`, which are stored, are in pixels of the pictures and called by frame number; where
    there is none for a number, or it is not finite, the frame does not show the face.
    """

    pictures: pathlib.Path  # a video file or a folder of numbered images
    faces: str
    labels: Labels | None = None  # None: unlabelled
    first: int = 0  # number of a video's first frame, or of the image of time 0
    last: int | None = None  # number of a folder's last frame; default: of its last image
    fps: float = 25.0  # of a folder
    grid_fps: float | None = None  # a video's frames are numbered by time at this rate, or counted
    places: Mapping[int, np.ndarray] | None = None
    landmarks: Mapping[int, np.ndarray] | None = None
    repeats: bool = True  # False: leave out frames that repeat the one before
    pad: bool = False  # make crops that are not square so by black borders, or refuse them


class Cut(NamedTuple):
    """One frame of a track."""

    number: int
    time_s: float
    jpeg: bytes  # square RGB crop
    face: bool  # the crop shows the face
    landmarks: np.ndarray  # float32 [points, 2] in units of the crop's side, NaN where unknown


def cut(material: Material, config: Any, points: int, tally: Tally) -> tuple[float, Iterator[Cut]]:
    """Mean frames per second, and a Cut for every frame.

    Tallies: `no_image` (number without an image), `no_place` (picture without a usable box or
    landmarks), `no_landmarks` (face without the landmarks to be stored), `places_unused` (boxes or
    landmarks before the first picture or behind the last), `not_found` (picture on which the
    detector found no face), `repeats_dropped`.
    """
    if material.faces == "detect":
        return _detected(material, config, points, tally)
    if material.faces == "crops":
        return material.fps, _ready(material, config, points, tally)
    return fps_of(material), _placed(material, config, points, tally)


def fps_of(material: Material) -> float:
    """Mean frames per second of those that are kept; without repeats only decoding tells."""
    if material.pictures.is_dir():
        return material.fps
    if material.repeats:
        return read_timeline(material.pictures).fps or material.fps
    times_s = [picture.time_s for picture in _pictures(material)]
    return mean_fps(times_s) or material.fps


def numbers_of_folder(material: Material) -> tuple[int, int]:
    """First and last frame number of a folder of images."""
    last = material.last
    if last is None:
        last = max(pictures.numbered_images(material.pictures))
    return material.first, last


def _pictures(
    material: Material, max_side: int | None = None, tally: Tally | None = None
) -> Iterator[Picture]:
    if material.pictures.is_dir():
        first, last = numbers_of_folder(material)
        return pictures.of_folder(material.pictures, material.fps, first, last, max_side)
    how = (material.first, max_side, material.repeats, tally, material.grid_fps)
    return pictures.of_video(material.pictures, *how)


def _ready(material: Material, config: Any, points: int, tally: Tally) -> Iterator[Cut]:
    """A JPEG of the right size is kept byte for byte, others are resized and encoded again."""
    images = pictures.numbered_images(material.pictures)
    first, last = material.first, max(images) if material.last is None else material.last
    held, unknown = cropping.black(config), faces.unknown_landmarks(points)
    for number in range(first, last + 1):
        if number in images:
            held = cropping.read_crop(
                images[number], config.size, config.jpeg_quality, material.pad
            )
        else:
            tally["no_image"] += 1
        yield Cut(number, (number - first) / material.fps, held, number in images, unknown)


def _placed(material: Material, config: Any, points: int, tally: Tally) -> Iterator[Cut]:
    places = material.places or {}
    known = (place for place in map(places.__getitem__, sorted(places)) if cropping.usable(place))
    held, data = next(known, None), cropping.black(config)
    last, stored_points = material.first - 1, material.landmarks or {}
    for picture in _pictures(material, tally=tally):
        last = picture.number
        place, landmarks = places.get(picture.number), faces.unknown_landmarks(points)
        shown = place is not None and cropping.usable(place) and picture.image is not None
        if picture.image is None:
            tally["no_image"] += 1
        elif not shown:
            tally["no_place"] += 1
        held = place if shown else held
        if picture.image is not None and held is not None:
            crop, matrix = cropping.crop_place(picture.image, held, config)
            data = jpeg.encode(crop, config.jpeg_quality)
            points_here = stored_points.get(picture.number) if shown and points else None
            if points_here is not None:
                landmarks = faces.landmarks_in_crop(matrix, points_here, config.size)
            elif shown and points:
                tally["no_landmarks"] += 1
        yield Cut(picture.number, picture.time_s, data, shown, landmarks)
    tally["places_unused"] += sum(not material.first <= number <= last for number in places)


def _detected(
    material: Material, config: Any, points: int, tally: Tally
) -> tuple[float, Iterator[Cut]]:
    """The video is decoded twice: to follow the face from end to end, then to crop it."""
    times_s: list[float] = []
    images = _noting_times(_pictures(material, config.max_side), times_s)
    find = detector(config.min_face)
    track = faces.choose_subject(faces.track_faces(images, find, every=config.detect_every))
    fps = mean_fps(times_s) or _fps_of_one_frame(material)
    stream = _pictures(material, config.max_side, tally)
    if track is None:
        return fps, _blank(stream, config, points, tally)
    return fps, _aligned(stream, faces.fill_gaps(faces.smooth(track)), material, config, tally)


def _fps_of_one_frame(material: Material) -> float:
    if material.pictures.is_dir():
        return material.fps
    return probe(material.pictures).fps or material.fps


def _noting_times(
    stream: Iterator[Picture], times_s: list[float]
) -> Iterator[tuple[float, np.ndarray]]:
    """(time_s, image); a missing image is black, so that no face is found there."""
    image = None
    for picture in stream:
        times_s.append(picture.time_s)
        if picture.image is not None:
            image = picture.image
            yield picture.time_s, image
        else:
            yield picture.time_s, np.zeros((32, 32, 3) if image is None else image.shape, np.uint8)


@functools.lru_cache(maxsize=1)
def detector(min_face: int) -> Callable[[np.ndarray], faces.Detections]:
    """One detector a process: it compiles anew for each size of image only."""
    return faces.Detector(min_face=min_face)


def _aligned(
    stream: Iterator[Picture],
    track: faces.FaceTrack,
    material: Material,
    config: Any,
    tally: Tally,
) -> Iterator[Cut]:
    data = cropping.black(config)
    places = zip(track.boxes, track.landmarks, track.shown, strict=True)
    for picture, (box, place, shown) in zip(stream, places, strict=True):
        landmarks = faces.unknown_landmarks(faces.DETECTED_POINTS)
        if picture.image is None:
            tally["no_image"] += 1
        else:
            tally["not_found"] += int(not shown)
            try:
                crop, landmarks = faces.crop_face(
                    picture.image, box, place, bool(shown), config.size
                )
            except InputError as error:
                where = f"{material.pictures}: at {picture.time_s:.3f} s"
                raise InputError(f"{where}: {error}") from error
            data = jpeg.encode(crop, config.jpeg_quality)
        yield Cut(picture.number, picture.time_s, data, bool(shown), landmarks)


def _blank(stream: Iterator[Picture], config: Any, points: int, tally: Tally) -> Iterator[Cut]:
    for picture in stream:
        tally["not_found"] += 1
        yield Cut(
            picture.number,
            picture.time_s,
            cropping.black(config),
            False,
            faces.unknown_landmarks(points),
        )
