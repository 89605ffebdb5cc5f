"""Turn decoded frames into upright RGB images of one size."""

from fractions import Fraction
from typing import NamedTuple

import numpy as np
from av.video.frame import VideoFrame
from av.video.stream import VideoStream
from jaxtyping import UInt8


class Shape(NamedTuple):
    """Shape of an upright frame."""

    width: int  # pixels
    height: int
    aspect: Fraction  # width over height of a pixel

    def __str__(self) -> str:
        pixels = "" if self.aspect == 1 else f" with a pixel aspect ratio of {self.aspect}"
        return f"{self.width}x{self.height}{pixels}"


def shape_of(frame: VideoFrame, stream: VideoStream) -> Shape:
    """Return the upright shape of `frame`, which must be the last one decoded from `stream`."""
    aspect = stream.codec_context.sample_aspect_ratio
    ratio = Fraction(aspect.numerator, aspect.denominator) if aspect else Fraction(1)
    width, height = _upright_size(frame)
    return Shape(width, height, 1 / ratio if _orientation(frame)[0] else ratio)


class Fitting:
    """Scales the frames of a video to the size of the first one; faces keep their proportions.

    Args:
        first: shape of the first frame.
        max_side: longest side of the images in pixels; None: no limit.
    """

    def __init__(self, first: Shape, max_side: int | None):
        self._first, self._max_side = first, max_side
        self._change: tuple[Shape, float] | None = None
        self.refitted = 0  # number of frames whose shape differs from that of the first one

    def apply(
        self, frame: VideoFrame, shape: Shape, time_s: float
    ) -> UInt8[np.ndarray, "height width 3"]:
        """Return the upright image of a frame, with black margins if its shape differs."""
        if shape == self._first:
            return upright_image(frame, self._max_side)
        self.refitted += 1
        self._change = self._change or (shape, time_s)
        width, height = _shrunk(self._first.width, self._first.height, self._max_side)
        wide = shape.width * float(shape.aspect / self._first.aspect)
        scale = min(width / wide, height / shape.height)
        inner = max(1, round(wide * scale)), max(1, round(shape.height * scale))
        left, top = (width - inner[0]) // 2, (height - inner[1]) // 2
        image = np.zeros((height, width, 3), np.uint8)
        image[top : top + inner[1], left : left + inner[0]] = _upright(frame, inner)
        return image

    def __str__(self) -> str:
        """Describe the first change of shape, or return "" if there was none."""
        if self._change is None:
            return ""
        shape, time_s = self._change
        return (
            f"the frame size changes from {self._first} to {shape} at {time_s:.3f} s; frames "
            f"scaled to fit the size of the first frame: {self.refitted}"
        )


def upright_image(
    frame: VideoFrame, max_side: int | None = None
) -> UInt8[np.ndarray, "height width 3"]:
    """Return a decoded frame as an upright RGB image with sides of at most `max_side` pixels."""
    return _upright(frame, _shrunk(*_upright_size(frame), max_side))


def _shrunk(width: int, height: int, max_side: int | None) -> tuple[int, int]:
    scale = 1.0 if max_side is None else min(1.0, max_side / max(width, height))
    return max(1, round(width * scale)), max(1, round(height * scale))


def _upright_size(frame: VideoFrame) -> tuple[int, int]:
    transposed = _orientation(frame)[0]
    return (frame.height, frame.width) if transposed else (frame.width, frame.height)


def _orientation(frame: VideoFrame) -> tuple[bool, bool, bool]:
    """Return whether the display matrix transposes, then flips left-right, then flips up-down.

    The matrix [[a, b], [c, d]] maps pixel (x, y) to (a x + c y, b x + d y), up to a shift. Angles
    are rounded to the nearest quarter turn.
    """
    data = frame.side_data.get("DISPLAYMATRIX")
    if data is None:
        return False, False, False
    a, b, _, c, d = np.frombuffer(bytes(data), np.int32)[:5].tolist()
    if abs(b) + abs(c) > abs(a) + abs(d):
        return True, c < 0, b < 0
    return False, a < 0, d < 0


def _upright(frame: VideoFrame, size: tuple[int, int]) -> np.ndarray:
    """Return the upright image of a frame, scaled to an upright width and height."""
    transpose, left_right, up_down = _orientation(frame)
    width, height = size[::-1] if transpose else size
    image = frame.reformat(width, height, "rgb24", interpolation="AREA").to_ndarray()
    if transpose:
        image = image.swapaxes(0, 1)
    if left_right:
        image = image[:, ::-1]
    if up_down:
        image = image[::-1]
    return np.ascontiguousarray(image)
