"""How crops like those a network was trained on are made of a video, told by its passport."""

import dataclasses
from collections.abc import Mapping
from typing import Any

import numpy as np
from jaxtyping import Float32, UInt8

from va_jax import faces
from va_jax.types import InputError

DETECT_EVERY = 1  # frames from one search to the next
MIN_FACE = 40  # pixels of the frame that is searched
MAX_SIDE = 1280  # larger frames are shrunk to this before the search, pixels
"""As data sets are built of videos, where nothing else is asked for."""

NEAREST_STEP = 0.1
"""Frames that lie further from the trained spacing than this share of it are told; ours."""


@dataclasses.dataclass(frozen=True)
class Recipe:
    """What a crop is cut by, and how it is stored."""

    size: int  # side, pixels
    quality: int  # of the JPEG
    margin: float | None  # around the box, share of its longer side; None: by the landmarks
    points: int  # landmarks that the network takes, 0 or 5

    def store(
        self,
        image: UInt8[np.ndarray, "height width 3"],
        box: Float32[np.ndarray, "4"],
        landmarks: Float32[np.ndarray, "5 2"],
        shown: bool,
    ) -> tuple[bytes, Float32[np.ndarray, "5 2"]]:
        """See `faces.store`."""
        return faces.store(image, box, landmarks, shown, self.size, self.quality, self.margin)


def of_passport(passport: Mapping[str, Any]) -> tuple[Recipe, list[str]]:
    """The recipe nearest to the data set's, and a line where it is not the same.

    Raises InputError for a network that takes landmarks which are not found here.
    """
    crop, points = passport["crop"], passport["input"]["landmarks"]["points"]
    if points not in (0, faces.DETECTED_POINTS):
        raise InputError(
            f"the network takes {points} landmarks a frame, found are only "
            f"{faces.DETECTED_POINTS}; call it from Python with your own, or train one with "
            "--config.model.landmarks=none"
        )
    upright = crop["alignment"].startswith("none")
    margin = float(crop["margin"]) if upright else None
    recipe = Recipe(crop["size"], crop["jpeg_quality"], margin, points)
    source = crop["source"]
    if source == "detect" or source.startswith("videos: detect"):
        return dataclasses.replace(recipe, margin=None), []
    done = (
        f"the square around the detected box, margin {margin:g}"
        if upright
        else "the crop is aligned by the detector's five points"
    )
    told = (
        f"faces of {passport['data']['name']} were cut by other means (source {source!r}, "
        f"alignment {crop['alignment']!r}); here: {done}; values may suffer"
    )
    return recipe, [told]


def stride_for(passport: Mapping[str, Any], fps: float | None) -> tuple[int, str | None]:
    """Frames from one to the next that the network sees, and a warning where it is used to others.

    The time between them is the nearest to that in training. `fps` is that of the video, None of a
    single frame.
    """
    trained_s = passport["stride"] / passport["fps"]
    if fps is None:
        return 1, None
    exact = trained_s * fps
    stride = min(
        (max(1, int(exact)), int(exact) + 1), key=lambda frames: abs(frames / fps - trained_s)
    )
    step_s = stride / fps
    if abs(step_s - trained_s) <= NEAREST_STEP * trained_s:
        return stride, None
    return stride, (
        f"the network is used to frames {trained_s:.3g} s apart, at {fps:.4g} frames per second "
        f"they come {step_s:.3g} s apart; values may suffer"
    )
