"""The two things a builder returns: a Recording for each track, and the Material it consists of."""

import collections
import dataclasses
import pathlib
from collections.abc import Mapping
from typing import Any

import numpy as np

from tfds_builders.labels import Labels


@dataclasses.dataclass(frozen=True)
class Recording:
    """One track to be extracted: its names, and the files it is made of."""

    track_id: str
    video_id: str
    subject_id: str
    files: Mapping[str, str] = dataclasses.field(default_factory=dict)  # role -> file or folder
    group: str = ""
    details: Mapping[str, Any] = dataclasses.field(default_factory=dict)  # JSON values
    split: str = ""  # "": to be drawn
    problem: str = ""  # why it cannot be extracted, if that is known before decoding


Tally = collections.Counter[str]
"""Counts of what was dropped, filled or hidden in one recording, by name."""


@dataclasses.dataclass(frozen=True)
class Material:
    """The pictures, labels and face positions of one recording, before anything is decoded.

    `faces` says how the face is found: `crops` (the images are crops), `boxes` (`places` holds
    x1, y1, x2, y2), `landmarks` (`places` holds 5, 49 or 68 points) or `detect`. `places`, and the
    `landmarks` to be stored, are in pixels of the pictures and belong to frame numbers. A frame
    without an entry, or whose entry is not finite, does not show the face.
    """

    pictures: pathlib.Path  # a video file or a folder of numbered images
    faces: str
    labels: Labels | None = None  # None: unlabelled
    first: int = 0  # number of a video's first frame, or of the image at time 0
    last: int | None = None  # number of a folder's last frame; None: that of its last image
    fps: float = 25.0  # frames per second of a folder
    grid_fps: float | None = None  # number a video's frames by time at this rate; None: count them
    places: Mapping[int, np.ndarray] | None = None
    landmarks: Mapping[int, np.ndarray] | None = None
    repeats: bool = True  # False: leave out frames that repeat the one before
    pad: bool = False  # pad crops that are not square with black; False: refuse them
