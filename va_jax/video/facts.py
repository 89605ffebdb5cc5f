"""Read frame times and sample frames from a video without decoding all of it."""

import dataclasses
import os
import pathlib
from collections.abc import Iterator, Sequence

import numpy as np
from av.error import FFmpegError
from jaxtyping import Float64, UInt8

from va_jax.types import InputError
from va_jax.video.container import (
    find_video_stream,
    header_length_s,
    is_cut_off,
    open_video,
    reason_of,
)
from va_jax.video.fit import upright_image
from va_jax.video.read import probe
from va_jax.video.stamps import frame_stamps, packet_stamps
from va_jax.video.times import Repairs, Stamp, increasing_times


def mean_fps(time_s: Sequence[float] | np.ndarray) -> float | None:
    """Return the mean frame rate for increasing frame times, rounded to 6 decimals.

    Return None for a single frame, which has no frame rate.
    """
    if len(time_s) < 2 or time_s[-1] <= time_s[0]:
        return None
    return round((len(time_s) - 1) / float(time_s[-1] - time_s[0]), 6)


@dataclasses.dataclass(frozen=True)
class Timeline:
    """Presentation times of the frames in a video, in order."""

    time_s: Float64[np.ndarray, "frames"]  # time since the first frame
    cut_off_s: float | None  # length according to the header, if the file ends well before it
    repairs: Repairs  # time stamps that had to be repaired; those out of order are not counted
    after_sound_s: float  # time from the start of the sound to the first frame

    @property
    def fps(self) -> float | None:
        """Mean frames per second; None for a single frame."""
        return mean_fps(self.time_s)

    @property
    def variable(self) -> bool:
        """True if 10 % of frame periods differ from the median by more than 10 % (our choice).

        Rounded time stamps and occasional lost frames do not make the frame rate variable.
        """
        steps = np.diff(self.time_s)
        if not len(steps):
            return False
        median = np.median(steps)
        return bool(np.mean(np.abs(steps - median) > max(0.1 * median, 2e-3)) >= 0.1)


def read_timeline(path: str | os.PathLike[str]) -> Timeline:
    """Read the times of all frames from the packets in a file, decoding only the first frame.

    The times are those of `read_frames`.

    Raises:
        InputError: the file is missing, is not a video, has no frames, or is broken.
    """
    path, repairs = pathlib.Path(path), Repairs()
    info = probe(path)
    with open_video(path) as container:
        stream = find_video_stream(container, path)
        try:
            stamps = packet_stamps(container, stream)
            if None in stamps:  # the place of such a frame is known only after decoding
                stamps = _decoded_stamps(path)
            time_s = np.array(list(increasing_times(stamps, info.fps, repairs)), np.float64)
        except FFmpegError as error:
            raise InputError(
                f"{path}: the file is broken ({reason_of(error)}); copy it again"
            ) from error
        except InputError as error:
            raise InputError(f"{path}: {error}") from error
        if not len(time_s):
            raise InputError(f"{path}: has no frames; replace the file")
        period_s = 1 / info.fps if info.fps else 0.0
        end_s = float(time_s[-1]) + period_s + max(0.0, float(info.start))
        cut_off = not repairs.restarts and is_cut_off(stream, len(time_s), end_s)
        length_s = header_length_s(stream) if cut_off else None
        repairs.unsorted = 0  # packets are not in the order of presentation
        return Timeline(time_s, length_s, repairs, info.after_sound_s)


def _decoded_stamps(path: pathlib.Path) -> list[Stamp]:
    with open_video(path) as container:
        stream = find_video_stream(container, path)
        return list(frame_stamps(stream, container.decode(stream)))


def read_key_frames(
    path: str | os.PathLike[str], count: int, max_side: int | None = None
) -> Iterator[UInt8[np.ndarray, "height width 3"]]:
    """Decode up to `count` key frames, spread evenly over the video.

    Each is the last key frame before the start of one of `count` equal parts. No key frame is
    repeated, so a short video may yield fewer.

    Raises:
        InputError: the file is missing, is not a video, or cannot be decoded.
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
                    f"{path}: cannot be decoded ({reason_of(error)}); replace the file"
                ) from error
            if frame is None or frame.pts in seen:
                continue
            seen.add(frame.pts)
            yield upright_image(frame, max_side)
        if not seen:
            raise InputError(f"{path}: no frame can be decoded; replace the file")
