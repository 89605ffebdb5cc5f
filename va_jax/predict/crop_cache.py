"""Crop cache: face crops from a video in a temporary file, which can be read as a data source."""

import dataclasses
import os
import tempfile
from collections.abc import Callable, Sequence
from typing import Any, NamedTuple

import numpy as np

from va_jax.data.sources import Source
from va_jax.types import CLIP_FRAMES, InputError, Track


class CropCache:
    """Collects the crops of `tracks` tracks, which may be interleaved.

    Only a few numbers per frame are kept in memory. The file is in the folder for temporary files
    (TMPDIR); it has no name, so it disappears together with the cache. `points` is the number of
    landmarks kept for each frame.
    """

    def __init__(self, tracks: int, points: int = 0):
        self._file = tempfile.TemporaryFile()  # noqa: SIM115
        self._points, self._end = points, 0
        self._tracks: list[list[_Crop]] = [[] for _ in range(tracks)]

    def add(
        self, track: int, jpeg: bytes, face: bool, time_s: float, landmarks: Any = None
    ) -> None:
        """Append a frame to a track; `landmarks` are float32 [points, 2] in crop units."""
        try:
            self._file.write(jpeg)
        except OSError as error:
            raise InputError(
                f"{tempfile.gettempdir()}: crops cannot be written to this folder "
                f"({error.strerror}); set TMPDIR to a folder with more free space"
            ) from error
        self._tracks[track].append(_Crop(self._end, len(jpeg), face, time_s, landmarks))
        self._end += len(jpeg)

    def source(
        self, name: str, dims: tuple[str, ...], size: int, fps: float,
        on_read: Callable[[], Any] = lambda: None,
    ) -> Source:  # fmt: skip
        """Return the tracks as a data source without labels.

        Args:
            name: name of the video.
            dims: names of the dimensions that the network predicts.
            size: side of the crops in pixels.
            fps: mean frame rate of the video.
            on_read: called for every crop that is read.
        """
        self._file.flush()
        tracks, clips = [], []
        for number, crops in enumerate(self._tracks):
            tracks.append(Track(f"{name}:{number}", name, name, "", fps, len(crops), len(clips)))
            clips += [crops[i : i + CLIP_FRAMES] for i in range(0, len(crops), CLIP_FRAMES)]

        def record(crops: Sequence[_Crop]) -> dict[str, Any]:
            found = {
                "frames": _Jpegs(self._file.fileno(), crops, on_read),
                "target": np.full((len(crops), len(dims)), np.nan, np.float32),
                "face": np.array([crop.face for crop in crops], bool),
                "time_s": np.array([crop.time_s for crop in crops], np.float32),
            }
            if self._points:
                found["landmarks"] = np.stack([crop.landmarks for crop in crops])
            return found

        def records(numbers: Sequence[int]) -> list[dict[str, Any]]:
            return [record(clips[number]) for number in numbers]

        return Source(records, tracks, dims, size, self._points)


class _Crop(NamedTuple):
    """Position of a crop in the file, and information about its frame."""

    start: int
    size: int
    face: bool
    time_s: float
    landmarks: Any


@dataclasses.dataclass(frozen=True)
class _Jpegs:
    """The crops of a clip, read on demand, so that a pass over the labels reads none."""

    descriptor: int
    crops: Sequence[_Crop]
    on_read: Callable[[], Any]

    def __getitem__(self, place: int | np.integer) -> bytes:
        self.on_read()
        crop = self.crops[int(place)]
        return os.pread(self.descriptor, crop.size, crop.start)
