"""Video files decoded to upright RGB frames with their presentation times, in constant memory."""

import dataclasses
import os
import pathlib
import re
from collections.abc import Iterator
from typing import Any

import av
import numpy as np

from va_jax.types import InputError

LEAST_STEP_S = 1e-3
"""A frame whose stamp does not advance is placed this far after the one before it (ours)."""

CUT_OFF_S = 1.0
"""A file that ends more than this before the length in its header was cut off, a file of less than
4 s if a quarter is missing (ours)."""


@dataclasses.dataclass(frozen=True)
class VideoInfo:
    """What a file says of its first video stream; sizes are those of the upright picture."""

    width: int  # pixels
    height: int
    fps: float | None  # mean frames per second; None where the file does not tell
    duration_s: float | None
    frames: int | None  # the header's claim: an edit list may show fewer
    pixel_aspect: float = 1.0  # width over height of a pixel, which decoding leaves alone


def probe(path: str | os.PathLike) -> VideoInfo:
    """The facts of a video, from its header and its first frame.

    Raises InputError where the file is missing, is no video, has no video stream or no frame.
    """
    path = pathlib.Path(path)
    with opened(path) as container:
        stream = video_stream(container, path)
        first = _first_frame(container, stream, path)
        width, height = first.width, first.height
        aspect = float(stream.sample_aspect_ratio or 1)
        if _orientation(first)[0]:
            width, height, aspect = height, width, 1 / aspect
        duration_s = None
        if stream.duration is not None:
            duration_s = float(stream.duration * stream.time_base)
        elif container.duration is not None:
            duration_s = container.duration / 1e6
        return VideoInfo(width, height, _fps(stream), duration_s, stream.frames or None, aspect)


def read_frames(
    path: str | os.PathLike, max_side: int | None = None
) -> Iterator[tuple[float, np.ndarray]]:
    """Every frame of a video in presentation order, as (time_s, uint8 [height, width, 3] RGB).

    Times count from the start of the video stream and increase strictly; a frame without a stamp
    follows its predecessor by one frame period. No frame is dropped or repeated, so the n-th
    frame is the n-th picture of the file. The display matrix is applied, so faces stand upright;
    pixels are not stretched to their aspect ratio. All frames have the size of the first;
    `max_side` shrinks the longer side to that many pixels by area averaging and never enlarges.

    Raises InputError as `probe` does, at the first frame, and, naming the last good time, where
    the file breaks off before its end.
    """
    path = pathlib.Path(path)
    if max_side is not None and max_side < 1:
        raise InputError(f"max_side={max_side} is not positive; give a size in pixels or None")
    with opened(path) as container:
        stream = video_stream(container, path)
        start_s = None if stream.start_time is None else stream.start_time * stream.time_base
        count, last_s, end_s, size = 0, 0.0, 0.0, None
        try:
            for frame in container.decode(stream):
                size = size or _shrunk(frame.width, frame.height, max_side)
                if start_s is None and frame.pts is not None:
                    start_s = frame.pts * frame.time_base
                time_s = _time_s(frame, start_s, last_s if count else None, stream, path)
                count, last_s = count + 1, time_s
                end_s = time_s + float((frame.duration or 0) * frame.time_base)
                yield time_s, _upright(frame, size)
        except av.FFmpegError as error:
            raise InputError(
                f"{path}: broken after {count} frames, last good time {last_s:.3f} s "
                f"({_reason(error)}); re-encode the file or cut it there"
            ) from error
        if not count:
            raise InputError(f"{path}: holds no frame that can be decoded; replace the file")
        if cut_off(stream, count, end_s + max(0.0, float(start_s or 0))):
            raise InputError(
                f"{path}: breaks off after {count} frames, last good time {last_s:.3f} s, its "
                f"header says {length_s(stream):.3f} s; copy it again"
            )


def opened(path: pathlib.Path) -> Any:
    """The file's PyAV container, to be used in `with`; raises InputError where it is no video."""
    if not path.is_file():
        raise InputError(f"{path}: no such file; check the path")
    try:
        container = av.open(str(path))
    except (av.FFmpegError, OSError) as error:
        raise InputError(f"{path}: not a readable video ({_reason(error)})") from error
    name = container.format.name
    if name in ("tty", "image2") or name.endswith("_pipe"):  # text and stills pass as video too
        container.close()
        raise InputError(f"{path}: not a video (it reads as '{name}'); give a video file")
    return container


def video_stream(container: Any, path: pathlib.Path) -> Any:
    """The first stream with moving pictures; raises InputError where there is none."""
    for stream in container.streams.video:
        if not stream.disposition & av.stream.Disposition.attached_pic:  # cover art of audio files
            return stream
    raise InputError(f"{path}: has no video stream; give a file with a picture")


def _first_frame(container: Any, stream: Any, path: pathlib.Path) -> Any:
    try:
        first = next(container.decode(stream), None)
    except av.FFmpegError as error:
        raise InputError(f"{path}: its first frame is broken ({_reason(error)})") from error
    if first is None:
        raise InputError(f"{path}: holds no frame that can be decoded; replace the file")
    return first


def _reason(error: Exception) -> str:
    return str(getattr(error, "strerror", None) or error).split("\n")[0]


def _fps(stream: Any) -> float | None:
    rate = stream.average_rate or stream.guessed_rate
    return float(rate) if rate else None


def _shrunk(width: int, height: int, max_side: int | None) -> tuple[int, int]:
    scale = 1.0 if max_side is None else min(1.0, max_side / max(width, height))
    return max(1, round(width * scale)), max(1, round(height * scale))


def _time_s(
    frame: Any, start_s: Any, last_s: float | None, stream: Any, path: pathlib.Path
) -> float:
    if frame.pts is not None:
        time_s = float(frame.pts * frame.time_base - start_s)
    elif last_s is None:
        time_s = 0.0
    elif (fps := _fps(stream)) is not None:
        time_s = last_s + 1 / fps
    else:
        raise InputError(f"{path}: has neither time stamps nor a frame rate; re-encode it")
    return time_s if last_s is None else max(time_s, last_s + LEAST_STEP_S)


def length_s(stream: Any) -> float | None:
    """The length that the header claims.

    Of an AVI it is the header's count of frames: its length is told by the size of the file, so it
    shrinks with a file that was cut off. Matroska keeps the length of a stream in a tag.
    """
    if stream.container.format.name == "avi" and stream.frames and _fps(stream):
        return stream.frames / _fps(stream)
    tag = re.fullmatch(r"(\d+):(\d\d):(\d\d\.\d+)", stream.metadata.get("DURATION", ""))
    if stream.duration is None and tag:
        hours, minutes, seconds = map(float, tag.groups())
        return 3600 * hours + 60 * minutes + seconds
    return None if stream.duration is None else float(stream.duration * stream.time_base)


def cut_off(stream: Any, count: int, end_s: float) -> bool:
    """Whether both length and count of the header exceed what came by more than rounding.

    The demuxer ends a truncated file in silence, so only the header can tell. Some containers
    count their length from before the stream's start, hence `end_s` on the container's clock.
    """
    length = length_s(stream)
    if length is None or (stream.frames and count > 0.98 * stream.frames):
        return False
    return end_s < length - max(min(CUT_OFF_S, length / 4), 0.02 * length)


def _orientation(frame: Any) -> tuple[bool, bool, bool]:
    """(transpose, then flip left-right, then flip up-down) that the display matrix asks for.

    The matrix [[a, b], [c, d]] sends pixel (x, y) to (a x + c y, b x + d y) up to a shift;
    angles off the quarter turns go to the nearest one.
    """
    data = frame.side_data.get("DISPLAYMATRIX")
    if data is None:
        return False, False, False
    a, b, _, c, d = np.frombuffer(bytes(data), np.int32)[:5].tolist()
    if abs(b) + abs(c) > abs(a) + abs(d):
        return True, c < 0, b < 0
    return False, a < 0, d < 0


def upright_image(frame: Any, max_side: int | None = None) -> np.ndarray:
    """A decoded PyAV frame as uint8 [height, width, 3] RGB, its longer side at most `max_side`."""
    return _upright(frame, _shrunk(frame.width, frame.height, max_side))


def _upright(frame: Any, size: tuple[int, int]) -> np.ndarray:
    image = frame.reformat(*size, "rgb24", interpolation="AREA").to_ndarray()
    transpose, left_right, up_down = _orientation(frame)
    if transpose:
        image = image.swapaxes(0, 1)
    if left_right:
        image = image[:, ::-1]
    if up_down:
        image = image[::-1]
    return np.ascontiguousarray(image)
