"""Open video files, and read the facts in their headers."""

import pathlib
import re
from fractions import Fraction
from typing import Any

import av
from av.audio.stream import AudioStream
from av.container import InputContainer
from av.error import FFmpegError
from av.packet import Packet
from av.stream import Disposition
from av.video.frame import VideoFrame
from av.video.stream import VideoStream

from va_jax.types import InputError

MAX_MISSING_S = 1.0
"""A file counts as cut off if it ends this long before the length in its header, or, if it is
shorter than 4 s, if a quarter is missing (our choice)."""


def open_video(path: pathlib.Path) -> InputContainer:
    """Open a video as a PyAV container, which is a context manager.

    Raises:
        InputError: the file is missing or is not a video.
    """
    if not path.is_file():
        raise InputError(f"{path}: no such file; check the path")
    try:
        container = av.open(file_url(path))
    except (FFmpegError, OSError) as error:
        raise InputError(
            f"{path}: not a readable video ({reason_of(error)}); replace the file"
        ) from error
    name = container.format.name
    if name in ("tty", "image2") or name.endswith("_pipe"):  # FFmpeg also opens text and images
        container.close()
        raise InputError(f"{path}: not a video (its format is '{name}'); expected a video file")
    return container


def file_url(path: pathlib.Path) -> str:
    """Return a URL that FFmpeg treats as a file, even if the path contains a colon."""
    return f"file:{path}"


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
    return None if stream.start_time is None else stream.start_time * time_base(stream)


def header_length_s(stream: VideoStream) -> float | None:
    """Return the length of a stream according to the header.

    For AVI, compute the length from the number of frames in the header: FFmpeg's own value depends
    on the file size, so it shrinks if the file is cut off. For Matroska, read it from a tag.
    """
    fps = header_fps(stream)
    if is_avi(stream) and stream.frames and fps:
        return stream.frames / fps
    if stream.duration is not None:
        return float(stream.duration * time_base(stream))
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


def reason_of(error: Exception) -> str:
    """Return the first line of the error description by FFmpeg or the operating system."""
    return str(getattr(error, "strerror", None) or error).split("\n")[0]


def to_fraction(rational: Any) -> Fraction:
    """Return a rate or a time base as a fraction; newer versions of PyAV have their own type."""
    return Fraction(rational.numerator, rational.denominator)


def first_time(stream: VideoStream, first: VideoFrame) -> Fraction:
    """Return the time of the first frame on the file's clock, in seconds; 0 if unknown."""
    if first.pts is None or is_avi(stream):
        return start_time(stream) or Fraction(0)
    return first.pts * time_base(first)


def after_sound_s(container: InputContainer, start: Fraction) -> float:
    """Return the time from the start of the sound to the first frame at `start`; at least 0."""
    starts = [start_time(each) for each in container.streams.audio]
    return max([0.0, *(float(start - each) for each in starts if each is not None)])


def is_avi(stream: VideoStream) -> bool:
    """Return whether a stream is in an AVI file, which stores no presentation times."""
    return stream.container.format.name == "avi"


def time_base(timed: VideoStream | AudioStream | VideoFrame | Packet) -> Fraction:
    """Return the length of a tick in seconds."""
    assert timed.time_base is not None  # FFmpeg sets it for every stream and frame it reads
    return to_fraction(timed.time_base)


def header_fps(stream: VideoStream) -> float | None:
    """Return the mean frame rate according to the header, or None if not stated."""
    rate = stream.average_rate or stream.guessed_rate
    return float(rate) if rate else None
