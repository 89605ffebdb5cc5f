"""Preprocessing: match the crops and frame spacing of the data that a model was trained on."""

import dataclasses
from collections.abc import Mapping
from typing import Any

import numpy as np
from jaxtyping import Float32, UInt8

from va_jax import faces
from va_jax.types import STRETCHED, InputError
from va_jax.video import jpeg

# Defaults of the data set builders for videos.
DETECT_EVERY = 1  # number of frames between face detections
MIN_FACE = 40  # smallest face that is detected, in pixels
MAX_SIDE = 1280  # larger frames are shrunk to this size before detection, in pixels

SPACING_TOLERANCE = 0.1
"""Largest relative difference from the frame spacing in training without a warning; our choice."""


@dataclasses.dataclass(frozen=True)
class Preprocessing:
    """How face crops are cut out and stored."""

    size: int  # side of the crop in pixels
    jpeg_quality: int  # 1 to 100
    margin: float | None  # around the box, relative to its longer side; None: align by landmarks
    points: int  # number of landmarks that the network takes, 0 or 5
    stretched: bool = False  # whether the crop is the box itself, stretched to a square

    def crop(
        self,
        image: UInt8[np.ndarray, "height width 3"],
        box: Float32[np.ndarray, "4"],
        landmarks: Float32[np.ndarray, "5 2"],
        shown: bool,
    ) -> tuple[bytes, Float32[np.ndarray, "5 2"]]:
        """Return the JPEG bytes of a face crop and its landmarks (see `faces.crop_face`)."""
        crop, points = faces.crop_face(
            image, box, landmarks, shown, self.size, self.margin, self.stretched
        )
        return jpeg.encode(crop, self.jpeg_quality), points


def from_metadata(metadata: Mapping[str, Any]) -> tuple[Preprocessing, list[str]]:
    """Return preprocessing as close as possible to that of the training data, and any warnings.

    Raises:
        InputError: the network takes landmarks that the detector cannot find.
    """
    crop, points = metadata["crop"], metadata["input"]["landmarks"]["points"]
    if points not in (0, faces.DETECTED_POINTS):
        raise InputError(
            f"Cannot run on a video: the network takes {points} landmarks per frame, but the "
            f"detector finds {faces.DETECTED_POINTS}. Call the model from Python with your own "
            "landmarks, or train with --config.model.landmarks=none."
        )
    if crop["alignment"] == STRETCHED:
        margin, quality = float(crop["margin"]), crop["jpeg_quality"]
        return Preprocessing(crop["size"], quality, margin, points, stretched=True), []
    source = crop["source"]
    reproducible = source == "detect" or source.startswith("videos: detect")
    upright = crop["alignment"].startswith("none") and not reproducible
    margin = float(crop["margin"]) if upright else None
    found = Preprocessing(crop["size"], crop["jpeg_quality"], margin, points)
    if reproducible:
        return found, []
    instead = (
        "aligned by the detector's five landmarks"
        if margin is None
        else f"a square around the detected box with a margin of {margin:g}"
    )
    warning = (
        f"the faces in {metadata['data']['name']} were cropped differently (source {source!r}, "
        f"alignment {crop['alignment']!r}); here, the crop is {instead}, so the values may be less "
        "accurate"
    )
    return found, [warning]


def stride_for(metadata: Mapping[str, Any], fps: float | None) -> tuple[int, str | None]:
    """Return the stride that best matches the frame spacing in training, and a warning or None.

    A network that looks at single frames gets every frame, whatever the frame rate.

    Args:
        metadata: the model's metadata; `fps` and `stride` determine the spacing in training.
        fps: mean frame rate of the video; None for a single frame.
    """
    if fps is None or metadata["temporal"] == "none":
        return 1, None
    trained_s = metadata["stride"] / metadata["fps"]
    exact = trained_s * fps
    stride = min(
        (max(1, int(exact)), int(exact) + 1), key=lambda frames: abs(frames / fps - trained_s)
    )
    warning = spacing_warning(trained_s, stride / fps)
    return stride, warning and f"{warning} (at {fps:.4g} frames per second)"


def spacing_warning(trained_s: float, spacing_s: float) -> str | None:
    """Return a warning if frames are spaced differently than in training, else None."""
    if abs(spacing_s - trained_s) <= SPACING_TOLERANCE * trained_s:
        return None
    return (
        f"the network was trained on frames {trained_s:.3g} s apart, but here they are "
        f"{spacing_s:.3g} s apart, so the values may be less accurate"
    )
