"""What the network says of one source: the faces in it, frame by frame."""

import dataclasses
import pathlib

import numpy as np


@dataclasses.dataclass(frozen=True)
class TrackResult:
    """One face through all frames of a source."""

    number: int  # 0, 1, .. by first appearance
    shown: np.ndarray  # bool [frames]; False: the face is not seen, its values are the network's
    boxes: np.ndarray  # float32 [frames, 4]: x1, y1, x2, y2 in pixels of the upright frame; NaN
    scores: np.ndarray  # float32 [frames], of the detector, 0 to 1; 0 where not shown
    values: np.ndarray  # float32 [frames, dims]


@dataclasses.dataclass(frozen=True)
class VideoResult:
    """All that was predicted of a video, an image (one frame) or a camera."""

    source: pathlib.Path | str
    time_s: np.ndarray  # float64 [frames], of every decoded frame, from the start of the video
    tracks: list[TrackResult]  # by first appearance; empty where no face was found
    dims: tuple[str, ...]
    width: int = 0  # of the upright frame in pixels; boxes are in these
    height: int = 0
