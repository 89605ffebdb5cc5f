"""Describe how recordings look over time, in a form that small changes of the images preserve.

A look is a series of vectors at `RATE` points per second. Each vector contains the lowest
frequencies of the grey image (a DCT of 32 x 32 pixels) without their mean and with length 1, so
brightness, contrast, size and compression hardly change it.
"""

import dataclasses
from typing import NamedTuple

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
    group: str = ""  # such as its split
    start_s: float = 0.0  # time of the first point in the recording


def basis() -> Float[np.ndarray, "order side"]:
    """Return the lowest `ORDER` vectors of the orthonormal DCT of `SIDE` values."""
    places, rows = np.arange(SIDE) + 0.5, np.arange(ORDER)[:, None]
    found = np.cos(np.pi * rows * places / SIDE) * np.sqrt(2 / SIDE)
    found[0] *= np.sqrt(0.5)
    return found


_BASIS = basis().astype(np.float32)


def describe(image: UInt8[np.ndarray, "height width *channels"]) -> Float[np.ndarray, "values"]:
    """Return the vector of one image, RGB or grey; 0 if the image is too plain."""
    if image.ndim == 3 and image.shape[-1] == 3:
        small = cv2.resize(image, (SIDE, SIDE), interpolation=cv2.INTER_AREA)
        grey = cv2.cvtColor(small, cv2.COLOR_RGB2GRAY)
    else:
        grey = cv2.resize(image, (SIDE, SIDE), interpolation=cv2.INTER_AREA)
    found = (_BASIS @ grey.astype(np.float32) @ _BASIS.T).reshape(-1)[1:]
    norm = np.linalg.norm(found)
    return found / norm if norm > PLAIN else np.zeros(WIDTH, np.float32)


class Nearest(NamedTuple):
    """Frames that are the nearest ones to points of the time grid."""

    frame: Int[np.ndarray, "found"]  # index of the frame
    point: Int[np.ndarray, "found"]
    off_s: Float[np.ndarray, "found"]  # distance in time


def nearest(time_s: Float[np.ndarray, "frames"], start_s: float) -> Nearest:
    """Return the frame that is nearest to each point of a time grid, for points that have any.

    Args:
        time_s: times of the frames, at least `start_s`, in seconds.
        start_s: time of point 0.
    """
    place = (np.asarray(time_s, np.float64) - start_s) * RATE
    point = np.rint(place).astype(np.int64)
    off_s = np.abs(place - point) / RATE
    order = np.lexsort((off_s, point))
    first = np.ones(len(order), bool)
    first[1:] = np.diff(point[order]) > 0
    index = order[first]
    return Nearest(index, point[index], off_s[index])


class Sampler:
    """Collects the vectors of the frames that are nearest to the points of a time grid."""

    def __init__(self, start_s: float):
        self.start_s = start_s
        self._best: dict[int, tuple[float, np.ndarray]] = {}

    def put(self, point: int, off_s: float, vector: Float[np.ndarray, "values"]) -> None:
        """Keep the vector of a frame, unless a nearer frame is known for this point."""
        if point not in self._best or off_s < self._best[point][0]:
            self._best[point] = (off_s, vector)

    def look(self, name: str, group: str = "") -> Look:
        """Return the look of the frames so far; points without a frame are unknown."""
        values = np.zeros((max(self._best, default=-1) + 1, WIDTH), np.float32)
        for point, (_, vector) in self._best.items():
            values[point] = vector
        return Look(name, values, group, self.start_s)
