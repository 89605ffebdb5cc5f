"""Read frame times and sample frames of a video without decoding all of it."""

import dataclasses
import os
import pathlib
from collections.abc import Iterator, Sequence

import numpy as np
from av.error import FFmpegError
from jaxtyping import Float64, UInt8

from va_jax.types import InputError
from va_jax.video.read import (
    find_video_stream,
    header_length_s,
    is_cut_off,
    open_video,
    reason_of,
    upright_image,
)


def mean_fps(time_s: Sequence[float] | np.ndarray) -> float | None:
    """Return the mean frames per second, rounded to 6 decimals, of frames at increasing times.

    The result is None for a single frame, which has no rate.
    """
    if len(time_s) < 2 or time_s[-1] <= time_s[0]:
        return None
    return round((len(time_s) - 1) / float(time_s[-1] - time_s[0]), 6)


@dataclasses.dataclass(frozen=True)
class Timeline:
    """Presentation times of the frames of a video, in order."""

    time_s: Float64[np.ndarray, "frames"]  # seconds from the first one
    cut_off_s: float | None  # length by the header if the file ends well before it

    @property
    def fps(self) -> float | None:
        """Mean frames per second; None for a single frame."""
        return mean_fps(self.time_s)

    @property
    def variable(self) -> bool:
        """True if a tenth of the frame periods differ from the median by over 10 % (our choice).

        Rounded time stamps and a lost frame now and then do not make the rate variable.
        """
        steps = np.diff(self.time_s)
        if not len(steps):
            return False
        median = np.median(steps)
        return bool(np.mean(np.abs(steps - median) > max(0.1 * median, 2e-3)) >= 0.1)


def read_timeline(path: str | os.PathLike[str]) -> Timeline:
    """Read the times of all frames from the packets of a file, without decoding them.

    Raises:
        InputError: the file is missing, is not a video, has no frame, or is broken.
    """
    path = pathlib.Path(path)
    with open_video(path) as container:
        stream = find_video_stream(container, path)
        times, end_s = [], 0.0
        try:
            for packet in container.demux(stream):
                stamp = packet.pts if packet.pts is not None else packet.dts
                discarded = packet.is_discard  # by an edit list
                if stamp is not None and packet.size and not discarded:
                    times.append(float(stamp * packet.time_base))
                    duration_s = float((packet.duration or 0) * packet.time_base)
                    end_s = max(end_s, times[-1] + duration_s)
        except FFmpegError as error:
            raise InputError(
                f"{path}: broken after {len(times)} frames ({reason_of(error)}); copy it again"
            ) from error
        if not times:
            raise InputError(f"{path}: has no frame; replace the file")
        time_s = np.sort(np.array(times, np.float64))
        cut_off = is_cut_off(stream, len(times), end_s)
        return Timeline(time_s - time_s[0], header_length_s(stream) if cut_off else None)


def read_key_frames(
    path: str | os.PathLike[str], count: int, max_side: int | None = None
) -> Iterator[UInt8[np.ndarray, "height width 3"]]:
    """Decode up to `count` key frames, each the last one before one of `count` equal parts.

    A key frame comes once, so a short video may give fewer.

    Raises:
        InputError: the file is missing, is not a video, or does not decode.
    """
    path = pathlib.Path(path)
    with open_video(path) as container:
        stream = find_video_stream(container, path)
        start, length = stream.start_time or 0, stream.duration or 0
        seen: set[int | None] = set()
        for index in range(count):
            try:
                if index:
                    container.seek(start + length * index // count, stream=stream)
                frame = next(container.decode(stream), None)
            except FFmpegError as error:
                raise InputError(
                    f"{path}: does not decode ({reason_of(error)}); replace the file"
                ) from error
            if frame is None or frame.pts in seen:
                continue
            seen.add(frame.pts)
            yield upright_image(frame, max_side)
        if not seen:
            raise InputError(f"{path}: has no frame that can be decoded; replace the file")
