"""The shared vocabulary: tracks, clips, traces, value ranges, and the error that users read."""

import dataclasses
from typing import Any, NamedTuple

import numpy as np

CLIP_FRAMES = 32
"""Consecutive frames of a track in one stored record; the last record of a track may hold fewer."""

DIMS = ("valence", "arousal")
"""The target dimensions every data set of this field has; a data set may name more."""

LABEL_RANGE = (-1.0, 1.0)
"""Every stored target lies in this closed interval; NaN where a frame has no label."""

SPLITS = ("train", "dev", "test")


class InputError(ValueError):
    """Bad input from outside: its message names the file, line or key, the value and the remedy.

    Entry points print it as one line and exit with code 1; any other exception is a bug and
    keeps its traceback.
    """


@dataclasses.dataclass(frozen=True)
class Track:
    """One row of a data set's track table: one face of one subject through one video.

    Frames are numbered 0..frames-1 in time order and stored as clips of `CLIP_FRAMES` in the
    consecutive records `first_record`, `first_record + 1`, ... of the track's split.
    """

    track_id: str
    video_id: str
    subject_id: str
    group: str  # culture, language or another named group; "" where the set has none
    fps: float  # mean frames per second
    frames: int
    first_record: int

    @property
    def records(self) -> int:
        return -(-self.frames // CLIP_FRAMES)

    def to_json(self) -> dict[str, Any]:
        return dataclasses.asdict(self)


class Clip(NamedTuple):
    """Consecutive frames of one track as a builder hands them to the writer.

    `frames` holds JPEG bytes of square face crops; `target` is NaN where unlabelled; `face` is
    True where the crop shows the face (a frame without a face keeps its place in the track);
    `landmarks` are in units of the crop's side, x then y, NaN where unknown.
    """

    frames: list[bytes]  # n of them
    target: np.ndarray  # float32 [n, dims], in LABEL_RANGE
    face: np.ndarray  # bool [n]
    time_s: np.ndarray  # float32 [n], presentation time in the source video
    landmarks: np.ndarray | None = None  # float32 [n, points, 2]


@dataclasses.dataclass(frozen=True)
class Trace:
    """Predictions and labels of a whole track, one row per frame."""

    track: Track
    pred: np.ndarray  # float32 [frames, dims]
    target: np.ndarray  # float32 [frames, dims]; NaN where unlabelled
    face: np.ndarray  # bool [frames]
    time_s: np.ndarray  # float32 [frames]

    @property
    def mask(self) -> np.ndarray:
        """Frames that count in a score: the face is visible and every target is labelled."""
        return self.face & np.isfinite(self.target).all(-1)
