"""Describe how recordings look over time, in a form that small changes of the images preserve.

A look is a series of vectors at `RATE` points per second. Each vector contains the lowest
frequencies of the grey image (a DCT of 32 x 32 pixels) without their mean and with length 1, so
brightness, contrast, size and compression hardly change it.
"""

import dataclasses
from collections.abc import Sequence

import cv2
import numpy as np
from jaxtyping import Float, Int, UInt8

RATE = 5
"""Points per second (our choice): a copy whose time is shifted by half a period still agrees."""

SIDE, ORDER = 32, 6
"""Side of the reduced image in pixels, and number of frequencies in each direction to keep."""

WIDTH = ORDER * ORDER - 1

PLAIN = 8.0
"""Norm of the frequencies below which an image is too plain to describe, in grey levels (our
choice); the norm of an evenly grey image is 0 and that of a face is some thousand."""


@dataclasses.dataclass(frozen=True)
class Look:
    """How a recording, or a part of it, looks over time."""

    name: str
    values: np.ndarray  # float32 [points, WIDTH], of length 1; 0 if nothing is known
    start_s: float = 0.0  # time of the first point in the recording

    @property
    def length_s(self) -> float:
        return len(self.values) / RATE


def basis() -> Float[np.ndarray, "order side"]:
    """Return the lowest `ORDER` vectors of the orthonormal DCT of `SIDE` values."""
    places, rows = np.arange(SIDE) + 0.5, np.arange(ORDER)[:, None]
    found = np.cos(np.pi * rows * places / SIDE) * np.sqrt(2 / SIDE)
    found[0] *= np.sqrt(0.5)
    return found


_BASIS = basis().astype(np.float32)


def describe(image: UInt8[np.ndarray, "height width *channels"]) -> Float[np.ndarray, "width"]:
    """Return the vector of one image, RGB or grey; 0 if the image is too plain."""
    if image.ndim == 3 and image.shape[-1] == 3:
        small = cv2.resize(image, (SIDE, SIDE), interpolation=cv2.INTER_AREA)
        grey = cv2.cvtColor(small, cv2.COLOR_RGB2GRAY)
    else:
        grey = cv2.resize(image, (SIDE, SIDE), interpolation=cv2.INTER_AREA)
    found = (_BASIS @ grey.astype(np.float32) @ _BASIS.T).reshape(-1)[1:]
    norm = np.linalg.norm(found)
    return found / norm if norm > PLAIN else np.zeros(WIDTH, np.float32)


def frames_to_describe(time_s: Float[np.ndarray, "frames"]) -> Int[np.ndarray, "points"]:
    """Return the index of the frame that is nearest to each point of the time grid.

    Args:
        time_s: increasing times of the frames, which need not start at 0.
    """
    if not len(time_s):
        return np.zeros(0, np.int64)
    since = np.asarray(time_s, np.float64) - time_s[0]
    wanted = np.arange(int(np.floor(since[-1] * RATE + 1e-6)) + 1) / RATE
    after = np.clip(np.searchsorted(since, wanted), 1, max(1, len(since) - 1))
    before = after - 1
    after = np.minimum(after, len(since) - 1)
    return np.where(wanted - since[before] <= since[after] - wanted, before, after)


def middle(time_s: Float[np.ndarray, "frames"], length_s: float) -> slice:
    """Return the frames in the middle `length_s` seconds of a recording."""
    spare = float(time_s[-1] - time_s[0]) - length_s
    if spare <= 0:
        return slice(0, len(time_s))
    start = time_s[0] + spare / 2
    first, last = np.searchsorted(time_s, [start, start + length_s])
    return slice(int(first), int(last))


def join(
    name: str, points: Sequence[Float[np.ndarray, "width"] | None], start_s: float = 0.0
) -> Look:
    """Return the look made of the vectors at successive points; None for a point that is unknown."""
    unknown = np.zeros(WIDTH, np.float32)
    rows = [unknown if each is None else each for each in points]
    return Look(name, np.array(rows, np.float32).reshape(-1, WIDTH), start_s)
