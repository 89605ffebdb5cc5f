"""Decode a video file into upright RGB frames with presentation times, in constant memory."""

import collections
import dataclasses
import itertools
import os
import pathlib
import warnings
from collections.abc import Iterator
from fractions import Fraction

import numpy as np
from av.container import InputContainer
from av.error import FFmpegError
from av.video.frame import VideoFrame
from av.video.stream import VideoStream
from jaxtyping import UInt8

from va_jax.types import InputError
from va_jax.video.container import (
    after_sound_s,
    find_video_stream,
    first_time,
    header_fps,
    header_length_s,
    is_cut_off,
    open_video,
    reason_of,
    time_base,
)
from va_jax.video.fit import Fitting, Shape, shape_of
from va_jax.video.stamps import frame_stamps
from va_jax.video.times import Repairs, increasing_times

VIDEO_SUFFIXES = frozenset({
    ".3gp", ".avi", ".flv", ".m2ts", ".m4v", ".mkv", ".mov", ".mp4", ".mpeg", ".mpg", ".mts",
    ".mxf", ".ogv", ".ts", ".webm", ".wmv",
})  # fmt: skip
"""File extensions that identify videos in a folder."""

LATE_S = 0.1
"""A video that starts this long after its sound is reported (our choice)."""


@dataclasses.dataclass(frozen=True)
class VideoInfo:
    """Properties of the first video stream in a file; the sizes refer to the upright frame."""

    width: int  # pixels
    height: int
    fps: float | None  # mean frames per second; None if not stated in the file
    frames: int | None  # number of frames according to the header; an edit list may hide some
    start: Fraction  # time of the first frame on the file's clock, in seconds
    after_sound_s: float  # time from the start of the sound to the first frame; at least 0


def probe(path: str | os.PathLike[str]) -> VideoInfo:
    """Read the properties of a video from its header and its first frame.

    Raises:
        InputError: the file is missing, is not a video, or has no video stream or no frames.
    """
    path = pathlib.Path(path)
    with open_video(path) as container:
        stream = find_video_stream(container, path)
        try:
            first = next(container.decode(stream), None)
        except FFmpegError as error:
            raise InputError(
                f"{path}: the first frame is broken ({reason_of(error)}); re-encode the file"
            ) from error
        if first is None:
            raise _no_frame(path)
        shape, start = shape_of(first, stream), first_time(stream, first)
        late_s = after_sound_s(container, start)
        fps, frames = header_fps(stream), stream.frames or None
        return VideoInfo(shape.width, shape.height, fps, frames, start, late_s)


def read_frames(
    path: str | os.PathLike[str],
    max_side: int | None = None,
    tally: collections.Counter[str] | None = None,
) -> Iterator[tuple[float, UInt8[np.ndarray, "height width 3"]]]:
    """Decode every frame in a video, in presentation order.

    Frames are never dropped or repeated. The display matrix is applied, so that faces are upright;
    non-square pixels stay unchanged. All frames have the same size as the first one. If the size
    or the shape of the pixels changes, later frames are scaled to fit, with black margins.

    Args:
        path: path to the video.
        max_side: longest side in pixels; larger frames are shrunk by area averaging.
        tally: counts to update: `times_repaired` (frames whose time stamp was repaired),
            `frames_refitted` (frames of a different size) and `after_sound_ms` (see `LATE_S`). Each
            of them also leads to a warning.

    Yields:
        (time_s, RGB frame). Times are those of `times.increasing_times`: they start at the first
        frame and are strictly increasing.

    Raises:
        InputError: see `probe`; or the file is corrupt or truncated, in which case the message
            contains the last good time.
    """
    path = pathlib.Path(path)
    if max_side is not None and max_side < 1:
        raise InputError(f"max_side={max_side} is not positive; pass a size in pixels or None")
    with open_video(path) as container:
        stream = find_video_stream(container, path)
        fps, count, last_s, end_s = header_fps(stream), 0, 0.0, 0.0
        repairs, failures, fitting, start = Repairs(), [], None, Fraction(0)
        decoded, ahead = itertools.tee(_decode(container, stream, failures))
        times_s = increasing_times(
            frame_stamps(stream, (frame for frame, _ in ahead)), fps, repairs
        )
        try:
            for (frame, shape), last_s in zip(decoded, times_s, strict=True):
                if fitting is None:
                    start, fitting = first_time(stream, frame), Fitting(shape, max_side)
                count, end_s = count + 1, last_s + float((frame.duration or 0) * time_base(frame))
                yield last_s, fitting.apply(frame, shape, last_s)
        except InputError as error:
            raise InputError(f"{path}: {error}") from error
        for error in failures:
            raise InputError(
                f"{path}: the file is corrupt after {count} frames (last good time {last_s:.3f} s, "
                f"{reason_of(error)}); re-encode it, or trim it at that time"
            ) from error
        if fitting is None:
            raise _no_frame(path)
        if not repairs.restarts and is_cut_off(stream, count, end_s + max(0.0, float(start))):
            raise InputError(
                f"{path}: the file is truncated after {count} frames (last good time "
                f"{last_s:.3f} s, but the header says {header_length_s(stream):.3f} s); copy it "
                "again"
            )
        late_s = after_sound_s(container, start)
        _report(path, repairs, fitting, late_s, collections.Counter() if tally is None else tally)


def _decode(
    container: InputContainer, stream: VideoStream, failures: list[FFmpegError]
) -> Iterator[tuple[VideoFrame, Shape]]:
    """Yield the decoded frames and their shapes; append the error that ends them."""
    try:
        for frame in container.decode(stream):
            yield frame, shape_of(frame, stream)
    except FFmpegError as error:
        failures.append(error)


def _report(
    path: pathlib.Path,
    repairs: Repairs,
    fitting: Fitting,
    late_s: float,
    tally: collections.Counter[str],
) -> None:
    """Warn about everything in a video that makes its frames or times uncertain, and count it."""
    if repairs.total:
        tally["times_repaired"] += repairs.total
        warnings.warn(
            f"{path}: repaired time stamps ({repairs}); the times of these frames are estimates",
            stacklevel=1,
        )
    if fitting.refitted:
        tally["frames_refitted"] += fitting.refitted
        warnings.warn(f"{path}: {fitting}", stacklevel=1)
    if late_s >= LATE_S:
        tally["after_sound_ms"] += round(1000 * late_s)
        warnings.warn(
            f"{path}: the video starts {late_s:.3f} s after the sound; times are counted from the "
            "first frame",
            stacklevel=1,
        )


def _no_frame(path: pathlib.Path) -> InputError:
    return InputError(f"{path}: has no frames that can be decoded; replace the file")
