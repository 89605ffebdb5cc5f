"""Decode a video file into upright RGB frames with presentation times, in constant memory."""

import dataclasses
import os
import pathlib
import re
from collections.abc import Iterator
from fractions import Fraction
from typing import Any

import av
import numpy as np
from av.audio.stream import AudioStream
from av.container import InputContainer
from av.error import FFmpegError
from av.stream import Disposition
from av.video.frame import VideoFrame
from av.video.stream import VideoStream
from jaxtyping import UInt8

from va_jax.types import InputError

VIDEO_SUFFIXES = frozenset({
    ".3gp", ".avi", ".flv", ".m2ts", ".m4v", ".mkv", ".mov", ".mp4", ".mpeg", ".mpg", ".mts",
    ".mxf", ".ogv", ".ts", ".webm", ".wmv",
})  # fmt: skip
"""File extensions that identify videos in a folder."""

MIN_STEP_S = 1e-3
"""Smallest time between frames; frames whose time stamps do not advance are delayed (our choice).
"""

MAX_MISSING_S = 1.0
"""A file counts as cut off if it ends this long before the length in its header, or, if it is
shorter than 4 s, if a quarter is missing (our choice)."""


@dataclasses.dataclass(frozen=True)
class VideoInfo:
    """Properties of the first video stream in a file; the sizes refer to the upright frame."""

    width: int  # pixels
    height: int
    fps: float | None  # mean frames per second; None if not stated in the file
    frames: int | None  # number of frames according to the header; an edit list may hide some
    pixel_aspect: float = 1.0  # width over height of a pixel; decoding does not correct it


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
        width, height = first.width, first.height
        aspect = float(stream.sample_aspect_ratio or 1)
        if _orientation(first)[0]:
            width, height, aspect = height, width, 1 / aspect
        return VideoInfo(width, height, _header_fps(stream), stream.frames or None, aspect)


def read_frames(
    path: str | os.PathLike[str], max_side: int | None = None
) -> Iterator[tuple[float, UInt8[np.ndarray, "height width 3"]]]:
    """Decode every frame in a video, in presentation order.

    Frames are never dropped or repeated. The display matrix is applied, so that faces are upright;
    non-square pixels stay unchanged. All frames have the same size as the first one.

    Args:
        path: path to the video.
        max_side: longest side in pixels; larger frames are shrunk by area averaging.

    Yields:
        (time_s, RGB frame). Times start at the beginning of the video stream and are strictly
        increasing. A frame without a time stamp follows one frame period after the previous frame.

    Raises:
        InputError: see `probe`; or the file breaks off before its end, in which case the message
            contains the last good time.
    """
    path = pathlib.Path(path)
    if max_side is not None and max_side < 1:
        raise InputError(f"max_side={max_side} is not positive; pass a size in pixels or None")
    with open_video(path) as container:
        stream = find_video_stream(container, path)
        start, size = start_time(stream), None
        count, last_s, end_s = 0, 0.0, 0.0
        try:
            for frame in container.decode(stream):
                size = size or _shrunk_size(frame, max_side)
                if start is None and frame.pts is not None:
                    start = frame.pts * _time_base(frame)
                last_s = _frame_time_s(frame, start, last_s if count else None, stream, path)
                count, end_s = count + 1, last_s + float((frame.duration or 0) * _time_base(frame))
                yield last_s, _upright(frame, size)
        except FFmpegError as error:
            raise InputError(
                f"{path}: broken after {count} frames, last good time {last_s:.3f} s "
                f"({reason_of(error)}); re-encode the file or cut it there"
            ) from error
        if not count:
            raise _no_frame(path)
        if is_cut_off(stream, count, end_s + max(0.0, float(start or 0))):
            raise InputError(
                f"{path}: breaks off after {count} frames, last good time {last_s:.3f} s, but its "
                f"header says {header_length_s(stream):.3f} s; copy it again"
            )


def open_video(path: pathlib.Path) -> InputContainer:
    """Open a video as a PyAV container, which is a context manager.

    Raises:
        InputError: the file is missing or is not a video.
    """
    if not path.is_file():
        raise InputError(f"{path}: no such file; check the path")
    try:
        container = av.open(str(path))
    except (FFmpegError, OSError) as error:
        raise InputError(
            f"{path}: not a readable video ({reason_of(error)}); replace the file"
        ) from error
    name = container.format.name
    if name in ("tty", "image2") or name.endswith("_pipe"):  # FFmpeg also opens text and images
        container.close()
        raise InputError(f"{path}: not a video (its format is '{name}'); expected a video file")
    return container


def find_video_stream(container: InputContainer, path: pathlib.Path) -> VideoStream:
    """Return the first video stream, ignoring cover art.

    Raises:
        InputError: the file has no video stream.
    """
    for stream in container.streams.video:
        if not stream.disposition & Disposition.attached_pic:  # the cover art of an audio file
            return stream
    raise InputError(f"{path}: has no video stream; expected a file that contains video")


def start_time(stream: VideoStream | AudioStream) -> Fraction | None:
    """Return the start time of a stream in seconds on its file's clock, or None if unknown."""
    return None if stream.start_time is None else stream.start_time * _time_base(stream)


def header_length_s(stream: VideoStream) -> float | None:
    """Return the length of a stream according to the header.

    For AVI, compute the length from the number of frames in the header: FFmpeg's own value depends
    on the file size, so it shrinks if the file is cut off. For Matroska, read it from a tag.
    """
    fps = _header_fps(stream)
    if stream.container.format.name == "avi" and stream.frames and fps:
        return stream.frames / fps
    if stream.duration is not None:
        return float(stream.duration * _time_base(stream))
    tag = re.fullmatch(r"(\d+):(\d\d):(\d\d\.\d+)", stream.metadata.get("DURATION", ""))
    if tag is None:
        return None
    hours, minutes, seconds = map(float, tag.groups())
    return 3600 * hours + 60 * minutes + seconds


def is_cut_off(stream: VideoStream, count: int, end_s: float) -> bool:
    """Return whether the header states a greater length and more frames than were found.

    FFmpeg reads a truncated file without an error, so only the header can reveal the truncation.

    Args:
        stream: video stream.
        count: number of frames found.
        end_s: end of the last frame on the container's clock; in some containers, the length starts
            before the beginning of the stream.
    """
    length_s = header_length_s(stream)
    if length_s is None or (stream.frames and count > 0.98 * stream.frames):
        return False
    return end_s < length_s - max(min(MAX_MISSING_S, length_s / 4), 0.02 * length_s)


def upright_image(
    frame: VideoFrame, max_side: int | None = None
) -> UInt8[np.ndarray, "height width 3"]:
    """Return a decoded frame as an upright RGB image with sides of at most `max_side` pixels."""
    return _upright(frame, _shrunk_size(frame, max_side))


def reason_of(error: Exception) -> str:
    """Return the first line of the error description by FFmpeg or the operating system."""
    return str(getattr(error, "strerror", None) or error).split("\n")[0]


def _no_frame(path: pathlib.Path) -> InputError:
    return InputError(f"{path}: has no frames that can be decoded; replace the file")


def to_fraction(rational: Any) -> Fraction:
    """Return a rate or a time base as a fraction; newer versions of PyAV have their own type."""
    return Fraction(rational.numerator, rational.denominator)


def _time_base(timed: VideoStream | AudioStream | VideoFrame) -> Fraction:
    assert timed.time_base is not None  # FFmpeg sets it for every stream and frame it reads
    return to_fraction(timed.time_base)


def _header_fps(stream: VideoStream) -> float | None:
    rate = stream.average_rate or stream.guessed_rate
    return float(rate) if rate else None


def _shrunk_size(frame: VideoFrame, max_side: int | None) -> tuple[int, int]:
    width, height = frame.width, frame.height
    scale = 1.0 if max_side is None else min(1.0, max_side / max(width, height))
    return max(1, round(width * scale)), max(1, round(height * scale))


def _frame_time_s(
    frame: VideoFrame,
    start: Fraction | None,
    last_s: float | None,
    stream: VideoStream,
    path: pathlib.Path,
) -> float:
    """Return the time of a frame relative to `start`, always after the last frame."""
    fps = _header_fps(stream)
    if frame.pts is not None:
        time_s = float(frame.pts * _time_base(frame) - (start or 0))
    elif last_s is None:
        time_s = 0.0
    elif fps is not None:
        time_s = last_s + 1 / fps
    else:
        raise InputError(f"{path}: has neither time stamps nor a frame rate; re-encode it")
    return time_s if last_s is None else max(time_s, last_s + MIN_STEP_S)


def _orientation(frame: VideoFrame) -> tuple[bool, bool, bool]:
    """Return whether the display matrix transposes, then flips left-right, then flips up-down.

    The matrix [[a, b], [c, d]] maps pixel (x, y) to (a x + c y, b x + d y), up to a shift. Angles
    are rounded to the nearest quarter turn.
    """
    data = frame.side_data.get("DISPLAYMATRIX")
    if data is None:
        return False, False, False
    a, b, _, c, d = np.frombuffer(bytes(data), np.int32)[:5].tolist()
    if abs(b) + abs(c) > abs(a) + abs(d):
        return True, c < 0, b < 0
    return False, a < 0, d < 0


def _upright(frame: VideoFrame, size: tuple[int, int]) -> np.ndarray:
    image = frame.reformat(*size, "rgb24", interpolation="AREA").to_ndarray()
    transpose, left_right, up_down = _orientation(frame)
    if transpose:
        image = image.swapaxes(0, 1)
    if left_right:
        image = image[:, ::-1]
    if up_down:
        image = image[::-1]
    return np.ascontiguousarray(image)
