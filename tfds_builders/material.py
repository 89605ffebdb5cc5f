"""The types that a builder returns: a `Recording` for each track, and its `Material`."""

import collections
import dataclasses
import pathlib
from collections.abc import Mapping
from typing import Any, NamedTuple

import numpy as np
from jaxtyping import Bool, Int

from tfds_builders.labels import Labels

LABEL_ROLES = ("labels", "valence", "arousal")
"""Roles in `Recording.files` that denote label files."""


@dataclasses.dataclass(frozen=True)
class Recording:
    """A track to extract: its names and its files."""

    track_id: str
    video_id: str
    subject_id: str
    files: Mapping[str, str] = dataclasses.field(default_factory=dict)  # role -> file or folder
    group: str = ""
    details: Mapping[str, Any] = dataclasses.field(default_factory=dict)  # JSON values
    split: str = ""  # "" if the split is to be drawn
    problem: str = ""  # reason why the track cannot be extracted, if known before decoding

    @property
    def label_file(self) -> str:
        """Return the file to name in messages about the labels."""
        found = [self.files[role] for role in LABEL_ROLES if role in self.files]
        return next(iter(found or self.files.values()), self.track_id)


Tally = collections.Counter[str]
"""Counts of rows and frames in one recording that were dropped, filled in or hidden, by name."""


class TargetPoint(NamedTuple):
    """A point on the target's face at a time; x and y are None if the target is not visible."""

    time_s: float  # from the start of the video
    x: float | None  # pixels of the upright video
    y: float | None


@dataclasses.dataclass(frozen=True)
class Material:
    """The images, labels and face positions of one recording, before anything is decoded.

    `faces` is the way to find the face: `crops` (the images are crops), `boxes` (`places` contains
    x1, y1, x2, y2), `landmarks` (`places` contains 5, 49 or 68 points) or `detect`. `places` and
    `landmarks` (the points to store) map frame numbers to pixel coordinates in the images. A frame
    that has no entry, or whose entry is not finite, does not show the face.
    """

    pictures: pathlib.Path  # a video file or a folder of numbered images
    faces: str
    labels: Labels | None = None  # None: unlabelled
    first: int = 0  # number of a video's first frame, or of the image at time 0
    last: int | None = None  # number of a folder's last frame; None: that of its last image
    fps: float = 25.0  # frame rate of an image folder
    grid_fps: float | None = None  # rate at which times give frame numbers; None: count frames
    places: Mapping[int, np.ndarray] | None = None
    landmarks: Mapping[int, np.ndarray] | None = None
    repeats: bool = True  # whether to keep frames that repeat the previous one
    pad: bool = False  # pad crops that are not square with black; False: reject them
    target: tuple[TargetPoint, ...] | None = None  # see `faces.choose_target`; None: choose_subject
    span: tuple[int, int] | None = None  # first and last frame to store of a video; None: all

    def stores(self, number: Int[np.ndarray, "*frames"] | int) -> Bool[np.ndarray, "*frames"]:
        """Return whether the frames with these numbers are stored."""
        first, last = self.span or (-np.inf, np.inf)
        return np.logical_and(np.greater_equal(number, first), np.less_equal(number, last))
