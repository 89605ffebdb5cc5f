"""Augmentation on the host, with the same geometry and colour change for a whole window."""

from typing import NamedTuple

import cv2
import numpy as np
from jaxtyping import Float, UInt8

from va_jax.config import Augment

_LUMA = np.array([0.299, 0.587, 0.114])
_TO_YIQ = np.array([_LUMA, [0.596, -0.274, -0.322], [0.211, -0.523, 0.312]])


class Geometry(NamedTuple):
    """A square crop of a square image, rotated and mirrored; the default is the whole image."""

    flip: bool = False
    rotation_deg: float = 0.0
    side: float = 1.0  # side of the crop, as a fraction of the image's side
    centre: tuple[float, float] = (
        0.5,
        0.5,
    )  # x, y of the crop: 0 at the left or top border, 1 at the right or bottom border

    def to_input(self) -> Float[np.ndarray, "2 3"]:
        """Return the affine map from output to input coordinates, from -1 (left or top) to 1."""
        cos, sin = np.cos(np.deg2rad(self.rotation_deg)), np.sin(np.deg2rad(self.rotation_deg))
        turned = self.side * np.array([[cos, -sin], [sin, cos]])
        if self.flip:
            turned[:, 0] *= -1
        return np.column_stack([turned, (1 - self.side) * (2 * np.array(self.centre) - 1)])


class Colour(NamedTuple):
    """A colour change; the default leaves the image unchanged."""

    brightness: float = 0.0  # relative
    contrast: float = 0.0  # relative to mid-grey
    saturation: float = 0.0  # relative to the pixel's luma
    hue: float = 0.0  # turns around the grey axis


UNCHANGED = (Geometry(), Colour())


def draw(rng: np.random.Generator, augment: Augment) -> tuple[Geometry, Colour]:
    """Draw a random geometry and a random colour change within the limits of `augment`.

    All random numbers are always drawn, so disabling one augmentation does not affect the others.
    """
    flip, turn, side, shift_x, shift_y = rng.random(5).tolist()
    geometry = Geometry(
        flip=augment.flip and flip < 0.5,
        rotation_deg=augment.rotation_deg * (2 * turn - 1),
        side=1 - (1 - augment.crop) * side,
        centre=(shift_x, shift_y),
    )
    ranges = [getattr(augment, name) for name in Colour._fields]
    return geometry, Colour(*(rng.uniform(-1, 1, 4) * ranges).tolist())


def warp(
    frames: UInt8[np.ndarray, "time side side 3"], size: int, geometry: Geometry
) -> UInt8[np.ndarray, "time {size} {size} 3"]:
    """Transform frames and scale them to `size` pixels; return the same array if nothing changes.

    The border pixels are repeated outside the image. Area averaging prevents aliasing in shrunk
    frames.
    """
    if geometry.side * frames.shape[2] > size:
        smaller = round(size / geometry.side)
        frames = np.stack(
            [cv2.resize(f, (smaller, smaller), interpolation=cv2.INTER_AREA) for f in frames]
        )
    side = frames.shape[2]
    if side == size and geometry.side == 1 and geometry.rotation_deg == 0:
        return np.ascontiguousarray(frames[:, :, ::-1]) if geometry.flip else frames
    matrix = _in_pixels(geometry.to_input(), side, size)
    flags = cv2.INTER_LINEAR | cv2.WARP_INVERSE_MAP
    return np.stack(
        [
            cv2.warpAffine(f, matrix, (size, size), flags=flags, borderMode=cv2.BORDER_REPLICATE)
            for f in frames
        ]
    )


def _in_pixels(
    to_input: Float[np.ndarray, "2 3"], side: int, size: int
) -> Float[np.ndarray, "2 3"]:
    """Return the map from output to input pixels, whose centres have integer coordinates."""
    turned = to_input[:, :2] * (side / size)
    middle = (to_input[:, 2] + 1) * (side / 2)
    return np.column_stack([turned, middle - 0.5 + turned @ np.full(2, 0.5 - size / 2)])


def recolour(
    frames: UInt8[np.ndarray, "time height width 3"], colour: Colour
) -> UInt8[np.ndarray, "time height width 3"]:
    """Apply one affine map to the RGB values; return the same array if nothing changes.

    Values are rounded and clipped to the range from 0 to 255.
    """
    if not any(colour):
        return frames
    brightness, contrast, saturation, hue = colour
    matrix = (1 + saturation) * np.eye(3) - saturation * np.outer(np.ones(3), _LUMA)
    if hue:
        cos, sin = np.cos(2 * np.pi * hue), np.sin(2 * np.pi * hue)
        turn = np.array([[1, 0, 0], [0, cos, -sin], [0, sin, cos]])
        matrix = np.linalg.inv(_TO_YIQ) @ turn @ _TO_YIQ @ matrix
    matrix = (1 + brightness) * (1 + contrast) * matrix
    offset = np.full((3, 1), -127.5 * contrast)
    tall = frames.reshape(-1, frames.shape[2], 3)
    return cv2.transform(tall, np.hstack([matrix, offset])).reshape(frames.shape)
