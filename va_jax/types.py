"""The shared vocabulary: tracks, clips, traces, value ranges, and the error shown to users."""

import dataclasses
import re
from typing import Any, NamedTuple

import numpy as np

CLIP_FRAMES = 32
"""Number of consecutive frames in a stored record; the last record of a track may have fewer."""

DIMS = ("valence", "arousal")
"""The target dimensions that every data set provides; a data set may have more."""

STRETCHED = "none; the box is stretched to a square"
"""Alignment of crops that are detected boxes stretched to a square (`faces.crop_box`)."""

LOGIT = "logit_"
"""Prefix of the names of outputs that are class logits, which have no fixed range."""

LABEL_RANGE = (-1.0, 1.0)
"""Closed interval that contains every stored target; the target of an unlabelled frame is NaN."""

SPLITS = ("train", "dev", "test")

_NOT_IN_FILE_NAMES = re.compile(r'[%/\\<>:"|?*\x00-\x1f\x7f]|^\.')
_ENCODED = re.compile("%([0-7][0-9A-Fa-f])")


class InputError(ValueError):
    """Invalid user input: the message names the file, line or key, the value, and the remedy.

    Entry points print the message on one line and exit with code 1. Any other exception is a bug
    and keeps its traceback.
    """


@dataclasses.dataclass(frozen=True)
class Track:
    """One row of a data set's track table: the face of one subject throughout one video.

    Frames are numbered from 0 to `frames` - 1 in time order. They are stored as clips of
    `CLIP_FRAMES` frames in consecutive records of the split, starting at `first_record`.
    """

    track_id: str
    video_id: str
    subject_id: str
    group: str  # culture, language or a similar group; "" if the data set has no groups
    fps: float  # mean frames per second
    frames: int
    first_record: int

    @property
    def records(self) -> int:
        return -(-self.frames // CLIP_FRAMES)

    def to_json(self) -> dict[str, Any]:
        return dataclasses.asdict(self)


class Clip(NamedTuple):
    """Consecutive frames of one track, as a builder passes them to the writer.

    `frames` contains square face crops as JPEG bytes, and `target` is NaN for unlabelled frames.
    `face` is True if the crop shows the face; a frame without a face keeps its place in the track.
    `landmarks` contains x and y in units of the crop's side, or NaN if unknown. `spread` is the
    sample standard deviation between the raters' values, or NaN for fewer than two raters.
    """

    frames: list[bytes]  # [n]
    target: np.ndarray  # float32 [n, dims], in LABEL_RANGE
    face: np.ndarray  # bool [n]
    time_s: np.ndarray  # float32 [n], presentation time in the source video
    landmarks: np.ndarray | None = None  # float32 [n, points, 2]
    spread: np.ndarray | None = None  # float32 [n, dims]; None if no raters are known


@dataclasses.dataclass(frozen=True)
class Trace:
    """Predictions and labels for a whole track, one row per frame."""

    track: Track
    pred: np.ndarray  # float32 [frames, dims]
    target: np.ndarray  # float32 [frames, dims]; NaN if unlabelled
    face: np.ndarray  # bool [frames]
    time_s: np.ndarray  # float32 [frames]
    spread: np.ndarray | None = None  # float32 [frames, dims] as in Clip; None if not stored

    @property
    def mask(self) -> np.ndarray:
        """Mask of scored frames, in which the face is visible and every target is labelled."""
        return self.face & np.isfinite(self.target).all(-1)

    def __repr__(self) -> str:
        scored = f"{int(self.mask.sum()):,} of them scored"
        return f"Trace({self.track.track_id!r}: {len(self.pred):,} frames, {scored})"


def file_name(name: str) -> str:
    """Return the name of a track's files, without an extension.

    Characters that some file systems do not allow are percent-encoded as in URLs, and so are `%`
    and a leading dot, which would hide the file: `part/a` becomes `part%2Fa`. Different tracks have
    different names, and `track_name` recovers the name of the track.

    Args:
        name: name of the track, at least one character.
    """
    return _NOT_IN_FILE_NAMES.sub(lambda match: f"%{ord(match[0]):02X}", name)


def track_name(stem: str) -> str:
    """Return the name of the track whose files are called `stem`; the inverse of `file_name`."""
    return _ENCODED.sub(lambda match: chr(int(match[1], 16)), stem)


def natural_key(name: str) -> list[int | str]:
    """Return a sort key that orders the numbers in a name by value: `P2` comes before `P10`."""
    return [int(x) if i % 2 else x for i, x in enumerate(re.split("([0-9]+)", name))]
