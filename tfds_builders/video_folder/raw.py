"""Frames of a track from a video file: its main face, followed, aligned and cropped."""

import functools
import pathlib
from collections.abc import Iterator
from typing import Any

import numpy as np

from tfds_builders.common import Frame, encode_jpeg
from va_jax import faces, video
from va_jax.schema import InputError

POINTS = 5
"""Landmarks: left eye, right eye, nose, left and right mouth corner, as seen."""


def video_frames(path: pathlib.Path, config: Any) -> tuple[float, Iterator[Frame]]:
    """Mean frames per second, and every frame of the video, unlabelled.

    The video is decoded twice: to follow the face from end to end, then to crop it. A frame that
    does not show the face is cropped at the last place known, or the first; its landmarks are NaN.
    Where no frame shows a face, all crops are black.
    """
    times_s: list[float] = []
    images = _noting_times(video.read_frames(path, config.max_side), times_s)
    detector = _detector(config.min_face)
    track = faces.main_face(faces.follow(images, detector, every=config.detect_every))
    if len(times_s) > 1:
        fps = round((len(times_s) - 1) / (times_s[-1] - times_s[0]), 6)
    else:
        fps = video.probe(path).fps or config.fps
    if track is None:
        return fps, _blank(times_s, config)
    return fps, _aligned(path, faces.held(faces.smooth(track)), config)


def _noting_times(
    images: Iterator[tuple[float, np.ndarray]], times_s: list[float]
) -> Iterator[tuple[float, np.ndarray]]:
    for time_s, image in images:
        times_s.append(time_s)
        yield time_s, image


@functools.lru_cache(maxsize=1)
def _detector(min_face: int) -> faces.Detector:
    """One detector a process: it compiles anew for each size of image only."""
    return faces.Detector(min_face=min_face)


def _aligned(path: pathlib.Path, track: faces.FaceTrack, config: Any) -> Iterator[Frame]:
    target = np.full(len(config.dims), np.nan, np.float32)
    images = video.read_frames(path, config.max_side)
    placements = zip(track.landmarks, track.shown, strict=True)
    for (time_s, image), (points, shown) in zip(images, placements, strict=True):
        try:
            crop, matrix = faces.align(image, points, config.size)
        except InputError as error:
            raise InputError(f"{path}: at {time_s:.3f} s: {error}") from error
        placed = (faces.transform_points(matrix, points) + 0.5) / config.size
        landmarks = np.where(shown, placed, np.nan).astype(np.float32)
        jpeg = encode_jpeg(crop, config.jpeg_quality)
        yield Frame(jpeg, target, bool(shown), time_s, landmarks)


def _blank(times_s: list[float], config: Any) -> Iterator[Frame]:
    black = np.zeros((config.size, config.size, 3), np.uint8)
    jpeg = encode_jpeg(black, config.jpeg_quality)
    target = np.full(len(config.dims), np.nan, np.float32)
    landmarks = np.full((POINTS, 2), np.nan, np.float32)
    for time_s in times_s:
        yield Frame(jpeg, target, False, time_s, landmarks)
