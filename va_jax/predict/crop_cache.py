"""Crops of the faces of one video, kept in a nameless file and offered as a source of frames."""

import array
import os
import tempfile
from collections.abc import Callable, Sequence
from typing import Any

import numpy as np

from va_jax.data.sources import Source
from va_jax.types import CLIP_FRAMES, InputError, Track


class Spool:
    """Takes a frame after the other, of several tracks in any order; use it in `with`.

    Memory holds some numbers a frame. The file has no name, so it is gone with the process,
    however that ends; it lies where temporary files do (TMPDIR).
    """

    def __init__(self, tracks: int, points: int = 0):
        self._file = tempfile.TemporaryFile()  # noqa: SIM115
        self._points = points
        self._end = 0
        self._tracks = [_Stored() for _ in range(tracks)]

    def __enter__(self) -> "Spool":
        return self

    def __exit__(self, *_: object) -> None:
        self._file.close()

    def add(
        self, track: int, jpeg: bytes, face: bool, time_s: float, landmarks: Any = None
    ) -> None:
        """Append a frame to track number `track`; `landmarks` are [points, 2], where it has any."""
        try:
            self._file.write(jpeg)
        except OSError as error:
            raise InputError(
                f"{tempfile.gettempdir()}: no crops can be written there ({error.strerror}); "
                "set TMPDIR to a folder with more room"
            ) from error
        stored = self._tracks[track]
        stored.start.append(self._end)
        stored.size.append(len(jpeg))
        stored.face.append(face)
        stored.time_s.append(time_s)
        if self._points:
            stored.landmarks.extend(np.ravel(landmarks).tolist())
        self._end += len(jpeg)

    def source(
        self,
        name: str,
        dims: tuple[str, ...],
        size: int,
        fps: float,
        on_read: Callable[[], Any] = lambda: None,
    ) -> Source:
        """What was added, without labels; `on_read` is called for every frame that is read."""
        self._file.flush()
        rows, first = [], 0
        for number, stored in enumerate(self._tracks):
            row = Track(f"{name}:{number}", name, name, "", fps, len(stored.start), first)
            rows.append(row)
            first += row.records
        firsts = [row.first_record for row in rows]

        def read(numbers: Sequence[int]) -> list[dict[str, Any]]:
            return [record(number) for number in numbers]

        def record(number: int) -> dict[str, Any]:
            track = int(np.searchsorted(firsts, number, side="right")) - 1
            begin = (number - firsts[track]) * CLIP_FRAMES
            stored, part = self._tracks[track], slice(begin, begin + CLIP_FRAMES)
            face = np.array(stored.face[part], bool)
            found = {
                "frames": _Jpegs(self._file.fileno(), stored.start, stored.size, begin, on_read),
                "target": np.full((len(face), len(dims)), np.nan, np.float32),
                "face": face,
                "time_s": np.array(stored.time_s[part], np.float32),
            }
            if self._points:
                ends = (2 * self._points * each for each in (begin, begin + len(face)))
                points = np.array(stored.landmarks[slice(*ends)], np.float32)
                found["landmarks"] = points.reshape(-1, self._points, 2)
            return found

        return Source(read, rows, dims, size, self._points)


class _Stored:
    """Where the frames of a track lie in the file, and what is known of them."""

    def __init__(self):
        self.start, self.size = array.array("Q"), array.array("L")
        self.face, self.time_s = array.array("b"), array.array("d")
        self.landmarks = array.array("f")


class _Jpegs:
    """The files of a clip, each read when it is asked for: a pass for labels reads none."""

    def __init__(
        self,
        descriptor: int,
        start: Sequence[int],
        size: Sequence[int],
        begin: int,
        on_read: Callable[[], Any],
    ):
        self._descriptor, self._start, self._size = descriptor, start, size
        self._begin, self._on_read = begin, on_read

    def __getitem__(self, index: int | np.integer) -> bytes:
        self._on_read()
        place = self._begin + int(index)
        return os.pread(self._descriptor, self._size[place], self._start[place])
