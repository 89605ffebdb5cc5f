"""Augmentation on the host: one draw of geometry and colour per window, for all its frames."""

from collections.abc import Mapping
from typing import Any

import cv2
import numpy as np
from jaxtyping import UInt8

_LUMA = np.array([0.299, 0.587, 0.114])
_TO_YIQ = np.array([_LUMA, [0.596, -0.274, -0.322], [0.211, -0.523, 0.312]])


def augment(
    frames: UInt8[np.ndarray, "time height width 3"],
    rng: np.random.Generator,
    settings: Mapping[str, Any],
    size: int,
) -> UInt8[np.ndarray, "time {size} {size} 3"]:
    """Frames under one random geometry and one random colour change.

    `settings` is the config's `augment`: flip (bool), crop (smallest side of the random crop, as a
    fraction), rotation_deg, brightness, contrast and saturation (relative half-ranges), hue (half
    range, in turns). All draws are made whatever is switched on, so that switching one off leaves
    the others as they were.
    """
    flip, turn, side, shift_x, shift_y = rng.random(5).tolist()
    colour = rng.uniform(-1, 1, 4)
    frames = warp(
        frames,
        size,
        flip=bool(settings["flip"]) and flip < 0.5,
        rotation_deg=settings["rotation_deg"] * (2 * turn - 1),
        side=1 - (1 - settings["crop"]) * side,
        centre=(shift_x, shift_y),
    )
    scales = [settings[key] for key in ("brightness", "contrast", "saturation", "hue")]
    return recolour(frames, *(colour * scales))


def warp(
    frames: UInt8[np.ndarray, "time height width 3"],
    size: int,
    flip: bool = False,
    rotation_deg: float = 0.0,
    side: float = 1.0,
    centre: tuple[float, float] = (0.5, 0.5),
) -> UInt8[np.ndarray, "time {size} {size} 3"]:
    """Cut the square of relative side `side`, rotate, flip and resize it.

    `centre` places the square between the image's near (0) and far (1) border; pixels outside the
    image repeat its border. Shrinking averages areas first, so that nothing aliases.
    """
    height, width = frames.shape[1:3]
    edge = side * min(height, width)
    if edge > size:
        smaller = (max(round(width * size / edge), size), max(round(height * size / edge), size))
        frames = np.stack([cv2.resize(f, smaller, interpolation=cv2.INTER_AREA) for f in frames])
        height, width = frames.shape[1:3]
        edge = side * min(height, width)
    if (height, width) == (size, size) and side == 1 and rotation_deg == 0:
        return np.ascontiguousarray(frames[:, :, ::-1]) if flip else frames
    middle = edge / 2 + np.array(centre) * (np.array([width, height]) - edge)
    cos, sin = np.cos(np.deg2rad(rotation_deg)), np.sin(np.deg2rad(rotation_deg))
    turned = np.array([[cos, -sin], [sin, cos]]) * (edge / size)
    if flip:
        turned[:, 0] *= -1
    # Maps output pixels to input pixels; pixel centres lie at half-integers.
    offset = middle + turned @ np.full(2, 0.5 - size / 2) - 0.5
    matrix = np.column_stack([turned, offset])
    flags = cv2.INTER_LINEAR | cv2.WARP_INVERSE_MAP
    return np.stack(
        [
            cv2.warpAffine(f, matrix, (size, size), flags=flags, borderMode=cv2.BORDER_REPLICATE)
            for f in frames
        ]
    )


def recolour(
    frames: UInt8[np.ndarray, "time height width 3"],
    brightness: float,
    contrast: float,
    saturation: float,
    hue: float,
) -> UInt8[np.ndarray, "time height width 3"]:
    """Change colours by one affine map of RGB; every argument 0 leaves the frames as they are.

    Contrast turns about mid grey, saturation about the pixel's luma, hue (in turns) about the grey
    axis. Values are rounded and clipped to 0..255.
    """
    if not np.any([brightness, contrast, saturation, hue]):
        return frames
    matrix = (1 + saturation) * np.eye(3) - saturation * np.outer(np.ones(3), _LUMA)
    if hue:
        cos, sin = np.cos(2 * np.pi * hue), np.sin(2 * np.pi * hue)
        turn = np.array([[1, 0, 0], [0, cos, -sin], [0, sin, cos]])
        matrix = np.linalg.inv(_TO_YIQ) @ turn @ _TO_YIQ @ matrix
    matrix = (1 + brightness) * (1 + contrast) * matrix
    offset = np.full((3, 1), -127.5 * contrast)
    tall = frames.reshape(-1, frames.shape[2], 3)
    return cv2.transform(tall, np.hstack([matrix, offset])).reshape(frames.shape)
