"""What a video file holds, told from its index and a few key frames, without decoding it all."""

import dataclasses
import os
import pathlib
from collections.abc import Iterator

import av
import numpy as np
from jaxtyping import Float, UInt8

from va_jax.types import InputError
from va_jax.video import read


@dataclasses.dataclass(frozen=True)
class Timeline:
    """Presentation times of the packets of a video, in order; nothing of them was decoded."""

    time_s: Float[np.ndarray, "frames"]  # seconds from the first one
    cut_off_s: float | None  # length by the header, where the file ends well before it

    @property
    def fps(self) -> float | None:
        """Mean frames per second; None of a single frame."""
        if len(self.time_s) < 2:
            return None
        return round(float((len(self.time_s) - 1) / (self.time_s[-1] - self.time_s[0])), 6)

    @property
    def variable(self) -> bool:
        """Whether a tenth of the frames or more last another time than the median, by 10 % (ours).

        A lost frame now and then, or a time base that rounds, is not meant.
        """
        steps = np.diff(self.time_s)
        if not len(steps):
            return False
        median = np.median(steps)
        return bool(np.mean(np.abs(steps - median) > max(0.1 * median, 2e-3)) >= 0.1)


def timeline(path: str | os.PathLike) -> Timeline:
    """The times of all frames, as fast as the file can be read.

    Raises InputError where the file is missing, is no video, or ends within its index.
    """
    path = pathlib.Path(path)
    with read.opened(path) as container:
        stream = read.video_stream(container, path)
        times, ends = [], [0.0]
        try:
            for packet in container.demux(stream):
                stamp = packet.pts if packet.pts is not None else packet.dts
                if stamp is not None and packet.size and not packet.is_discard:  # by an edit list
                    times.append(float(stamp * packet.time_base))
                    ends.append(times[-1] + float((packet.duration or 0) * packet.time_base))
        except av.FFmpegError as error:
            raise InputError(
                f"{path}: broken after {len(times)} frames ({error.strerror}); copy it again"
            ) from error
        if not times:
            raise InputError(f"{path}: holds no frame; replace the file")
        time_s = np.sort(np.array(times, np.float64))
        lacks = read.cut_off(stream, len(times), max(ends))
        return Timeline(time_s - time_s[0], read.length_s(stream) if lacks else None)


def key_frames(
    path: str | os.PathLike, count: int, max_side: int | None = None
) -> Iterator[UInt8[np.ndarray, "height width 3"]]:
    """Up to `count` pictures spread over the video: the key frames at or before equal distances.

    A key frame comes once, so a short video may give fewer. Raises InputError like `video.probe`.
    """
    path = pathlib.Path(path)
    with read.opened(path) as container:
        stream = read.video_stream(container, path)
        start = stream.start_time or 0
        length = stream.duration or 0
        seen: set[int] = set()
        for index in range(count):
            try:
                if index:
                    container.seek(start + length * index // count, stream=stream)
                frame = next(container.decode(stream), None)
            except av.FFmpegError as error:
                raise InputError(f"{path}: does not decode ({error.strerror})") from error
            if frame is None or frame.pts in seen:
                continue
            seen.add(frame.pts)
            yield read.upright_image(frame, max_side)
        if not seen:
            raise InputError(f"{path}: holds no frame that can be decoded; replace the file")
