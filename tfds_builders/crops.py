"""Cut face crops from images: use ready-made crops, given boxes or landmarks, or a face detector.

In all three cases, a frame that does not show the face keeps its place in the track. Its crop shows
the last known position of the face or, at the start of the track, the first known position. It is
black if neither exists.
"""

import functools
import pathlib
from collections.abc import Iterator
from typing import NamedTuple

import cv2
import numpy as np
from jaxtyping import Float, UInt8

from tfds_builders import pictures
from tfds_builders.material import Material, Tally
from tfds_builders.pictures import Picture
from tfds_builders.recorded_config import RecordedConfig
from tfds_builders.target import find_target
from va_jax import faces
from va_jax.types import InputError
from va_jax.video import jpeg
from va_jax.video.facts import mean_fps, read_timeline
from va_jax.video.image import read_bytes
from va_jax.video.read import probe

MOST_PX = 4096
"""Side of the largest plausible face (our choice); larger crops would exhaust the memory."""

LEAST_EYES_PX = 1.0
"""Smallest distance between the eyes at which a face's roll can be computed (our choice)."""


class Cut(NamedTuple):
    """One frame of a track."""

    number: int
    time_s: float
    jpeg: bytes  # square RGB crop
    face: bool  # the crop shows the face
    landmarks: np.ndarray  # float32 [points, 2], fractions of the crop's side, NaN if unknown


def cut(
    material: Material, config: RecordedConfig, points: int, tally: Tally
) -> tuple[float, Iterator[Cut]]:
    """Return the mean frame rate of a recording, and a `Cut` for every frame.

    Args:
        material: The recording.
        config: The options of the builder.
        points: Number of landmarks to store with each frame.
        tally: Counts, which are updated: `no_image` (frame number without an image), `no_place`
            (image without a usable box or landmarks), `no_landmarks` (face without the landmarks to
            store), `places_unused` (boxes or landmarks before the first image or after the last),
            `not_found` (image in which the detector found no face), `main_face` (see
            `faces.Target`), `repeats_dropped`, and the counts of `read_frames`.
    """
    if material.faces == "detect":
        return _cut_detected(material, config, points, tally)
    if material.faces == "crops":
        return material.fps, _take_ready(material, config, points, tally)
    return fps_of(material), _cut_places(material, config, points, tally)


def fps_of(material: Material) -> float:
    """Return the mean frame rate of the frames that are kept.

    If repeated frames are dropped, this decodes the whole video.
    """
    if material.pictures.is_dir():
        return material.fps
    if material.repeats:
        return read_timeline(material.pictures).fps or material.fps
    times_s = [picture.time_s for picture in _pictures(material)]
    return mean_fps(times_s) or material.fps


def numbers_of_folder(material: Material) -> tuple[int, int]:
    """Return the first and the last frame number in a folder of images."""
    if material.last is not None:
        return material.first, material.last
    return material.first, max(pictures.numbered_images(material.pictures))


def _pictures(
    material: Material, max_side: int | None = None, tally: Tally | None = None
) -> Iterator[Picture]:
    if material.pictures.is_dir():
        first, last = numbers_of_folder(material)
        return pictures.of_folder(material.pictures, material.fps, first, last, max_side)
    how = (material.first, max_side, material.repeats, tally, material.grid_fps)
    return pictures.of_video(material.pictures, *how)


def _take_ready(
    material: Material, config: RecordedConfig, points: int, tally: Tally
) -> Iterator[Cut]:
    """Copy JPEGs of the right size byte for byte; resize and re-encode all other images."""
    images = pictures.numbered_images(material.pictures)
    first, last = material.first, max(images) if material.last is None else material.last
    data, unknown = _black(config), faces.unknown_landmarks(points)
    for number in range(first, last + 1):
        if number in images:
            data = read_crop(images[number], config.size, config.jpeg_quality, material.pad)
        else:
            tally["no_image"] += 1
        yield Cut(number, (number - first) / material.fps, data, number in images, unknown)


def read_crop(path: pathlib.Path, size: int, quality: int, pad: bool = False) -> bytes:
    """Return an image as a JPEG of `size` x `size` pixels.

    A file that already is such a JPEG is returned byte for byte.

    Raises:
        InputError: The file cannot be decoded, or the image is not square and `pad` is not set.
    """
    data = read_bytes(path)
    image = pictures.decode_image(path, data)
    if image.shape[:2] == (size, size) and path.suffix.lower() != ".png":
        return data
    height, width = image.shape[:2]
    if height != width and not pad:
        raise InputError(f"{path}: has {width}x{height} pixels, but crops must be square")
    if height != width:
        spare = max(height, width) - np.array([height, width])
        before, after = spare // 2, spare - spare // 2
        image = np.pad(image, [*zip(before, after, strict=True), (0, 0)])
    if len(image) != size:
        how = cv2.INTER_AREA if size < len(image) else cv2.INTER_LINEAR
        image = cv2.resize(image, (size, size), interpolation=how)
    return jpeg.encode(image, quality)


def _cut_places(
    material: Material, config: RecordedConfig, points: int, tally: Tally
) -> Iterator[Cut]:
    places = material.places or {}
    known = (place for place in map(places.__getitem__, sorted(places)) if usable(place))
    current, data = next(known, None), _black(config)
    last, stored_points = material.first - 1, material.landmarks or {}
    for picture in _pictures(material, tally=tally):
        last = picture.number
        place, landmarks = places.get(picture.number), faces.unknown_landmarks(points)
        shown = place is not None and usable(place) and picture.image is not None
        if picture.image is None:
            tally["no_image"] += 1
        elif not shown:
            tally["no_place"] += 1
        current = place if shown else current
        if picture.image is not None and current is not None:
            crop, matrix = _crop_place(picture.image, current, config)
            data = jpeg.encode(crop, config.jpeg_quality)
            points_here = stored_points.get(picture.number) if shown and points else None
            if points_here is not None:
                landmarks = faces.landmarks_in_crop(matrix, points_here, config.size)
            elif shown and points:
                tally["no_landmarks"] += 1
        yield Cut(picture.number, picture.time_s, data, shown, landmarks)
    tally["places_unused"] += sum(not material.first <= number <= last for number in places)


def usable(place: Float[np.ndarray, "*shape"]) -> bool:
    """Return whether a box (x1, y1, x2, y2) or landmarks [points, 2] can be used to cut a crop."""
    if not np.isfinite(place).all():
        return False
    corners = place.reshape(-1, 2)
    span = corners.max(0) - corners.min(0)
    if not (span > 0).all() or span.max() > MOST_PX:
        return False
    if place.shape == (4,):
        return bool((place[2:] > place[:2]).all())
    left, right = _five_points(place)[:2]
    return bool(np.hypot(*(right - left)) >= LEAST_EYES_PX)


def _crop_place(
    image: UInt8[np.ndarray, "height width 3"],
    place: Float[np.ndarray, "*shape"],
    config: RecordedConfig,
) -> tuple[UInt8[np.ndarray, "size size 3"], Float[np.ndarray, "2 3"]]:
    """Return the crop around a box or aligned with landmarks, and the matrix of its transform."""
    if place.shape == (4,):
        return faces.crop_box(image, place, config.size, config.margin)
    return faces.align(image, _five_points(place), config.size)


def _five_points(landmarks: Float[np.ndarray, "points 2"]) -> Float[np.ndarray, "5 2"]:
    return landmarks if len(landmarks) == 5 else faces.five_points(landmarks)


def _black(config: RecordedConfig) -> bytes:
    return jpeg.encode_black(config.size, config.jpeg_quality)


@functools.lru_cache(maxsize=1)
def detector(min_face: int) -> faces.Detector:
    """Return this process's only detector, which compiles once for each image size."""
    return faces.Detector(min_face=min_face)


def _cut_detected(
    material: Material, config: RecordedConfig, points: int, tally: Tally
) -> tuple[float, Iterator[Cut]]:
    """Decode the video twice: once to track the face through it, and once to crop the face."""
    times_s: list[float] = []
    images = _note_times(_pictures(material, config.max_side), times_s)
    find = detector(config.min_face)
    found = faces.track_faces(images, find, find.follow, every=config.detect_every)
    target = find_target(found, material, config.max_side)
    fps = mean_fps(times_s)
    if fps is None:  # a single frame
        known = None if material.pictures.is_dir() else probe(material.pictures).fps
        fps = known or material.fps
    stream = _pictures(material, config.max_side, tally)
    if target is None:
        stored = (picture for picture in stream if material.stores(picture.number))
        return fps, _cut_nothing(stored, config, points, tally)
    target = target._replace(track=faces.fill_gaps(faces.smooth(target.track)))
    return fps, _cut_target(stream, target, material, config, tally)


def _note_times(
    stream: Iterator[Picture], times_s: list[float]
) -> Iterator[tuple[float, np.ndarray]]:
    """Yield (time_s, image) and collect the times; a missing image is replaced by a black one."""
    image = None
    for picture in stream:
        times_s.append(picture.time_s)
        if picture.image is not None:
            image = picture.image
            yield picture.time_s, image
        else:
            yield picture.time_s, np.zeros((32, 32, 3) if image is None else image.shape, np.uint8)


def _cut_target(
    stream: Iterator[Picture],
    target: faces.Target,
    material: Material,
    config: RecordedConfig,
    tally: Tally,
) -> Iterator[Cut]:
    data, track = _black(config), target.track
    places = zip(track.boxes, track.landmarks, track.shown, target.main, strict=True)
    for picture, (box, place, shown, main) in zip(stream, places, strict=True):
        if not material.stores(picture.number):
            continue
        tally["main_face"] += int(main)
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


def _cut_nothing(
    stream: Iterator[Picture], config: RecordedConfig, points: int, tally: Tally
) -> Iterator[Cut]:
    data, unknown = _black(config), faces.unknown_landmarks(points)
    for picture in stream:
        tally["not_found"] += 1
        yield Cut(picture.number, picture.time_s, data, False, unknown)
