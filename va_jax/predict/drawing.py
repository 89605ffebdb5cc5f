"""A frame with what was predicted of it: boxes and values at the faces, the strip below."""

import math
from collections.abc import Sequence

import cv2
import numpy as np
from jaxtyping import UInt8

from va_jax.predict import lettering
from va_jax.predict.results import TrackResult, VideoResult
from va_jax.predict.trace_panel import GROUND, SHIFT, Strip

COLOURS = (
    (86, 196, 255), (255, 158, 66), (120, 220, 130),
    (255, 118, 178), (246, 218, 80), (178, 150, 255),
)  # fmt: skip
"""Of the tracks in their order, then again from the first; all stand out on dark."""

LEAST_SIDE = 480
"""A picture with smaller sides is enlarged by a whole factor, or its text could not be read."""

DARK = 0.3
"""What is left of the picture's light under text."""

WHITE, BLACK = (255, 255, 255), (0, 0, 0)
STICKY = 1.15
"""A label moves only to a place that covers so many times less of the faces (ours)."""


class Drawing:
    """Draws any frame of a result; `size` is that of its drawings, (width, height), both even.

    The picture, of `width` x `height` pixels, keeps them; or it is enlarged, also to make pixels
    square that are `pixel_aspect` times as wide as high. The strip is put below it, and is left out
    where there is a single frame. Nothing is drawn of a track where it is not shown.
    """

    def __init__(self, result: VideoResult, width: int, height: int, pixel_aspect: float = 1.0):
        factor = max(1, math.ceil(LEAST_SIDE / max(width, height)))
        self._width = round(width * factor * max(1.0, pixel_aspect))
        self._height = round(height * factor / min(1.0, pixel_aspect))
        self._scale = np.tile([self._width / width, self._height / height], 2)
        self._tracks, self._dims = result.tracks, result.dims
        self._colours = [COLOURS[track.number % len(COLOURS)] for track in result.tracks]
        unit = max(11, round(14 * (min(self._width, self._height) / 360) ** 0.8))
        self._labels = _Labels(result, unit, self._width, self._height)
        self._thick = max(1, round(unit / 9))
        wide = max(self._width, 20 * unit)
        wide += wide % 2
        tall = self._height
        self._strip = None
        if len(result.time_s) > 1:
            values = [
                np.where(track.shown[:, None], track.values, np.nan) for track in result.tracks
            ]
            self._strip = Strip(result.time_s, values, result.dims, self._colours, wide, unit)
            tall += self._strip.height
        self.size = (wide, tall + tall % 2)

    def draw(
        self, image: UInt8[np.ndarray, "height width 3"], frame: int
    ) -> UInt8[np.ndarray, "tall wide 3"]:
        """The RGB frame of that number with everything on it."""
        wide, tall = self.size
        canvas = np.empty((tall, wide, 3), np.uint8)
        canvas[:, self._width :] = GROUND
        canvas[self._height :, : self._width] = GROUND
        picture = canvas[: self._height, : self._width]
        if picture.shape == image.shape:
            picture[:] = image
        else:
            picture[:] = cv2.resize(
                image, (self._width, self._height), interpolation=cv2.INTER_CUBIC
            )
        seen = [
            (place, track.boxes[frame] * self._scale)
            for place, track in enumerate(self._tracks)
            if track.shown[frame] and np.isfinite(track.boxes[frame]).all()
        ]
        for place, box in seen:
            self._box(picture, box, self._colours[place])
        self._labels.draw(picture, frame, seen, self._colours)
        if self._strip is not None:
            self._strip.draw(canvas[self._height : self._height + self._strip.height], frame)
        return canvas

    def _box(self, picture: np.ndarray, box: np.ndarray, colour: lettering.Colour) -> None:
        """Dark on both sides, to stand out on bright pictures too."""
        x1, y1, x2, y2 = np.round(np.clip(box, -1e4, 1e5) * 2**SHIFT).astype(int).tolist()
        for thick, shade in ((self._thick + 2, BLACK), (self._thick, colour)):
            cv2.rectangle(picture, (x1, y1), (x2, y2), shade, thick, cv2.LINE_AA, SHIFT)


class _Labels:
    """The values beside the faces, in the picture and off the faces where there is room."""

    def __init__(self, result: VideoResult, unit: int, width: int, height: int):
        self._tracks, self._dims, self._unit = result.tracks, result.dims, unit
        self._width, self._height = width, height
        self._several = len(result.tracks) > 1
        self._pad = round(0.4 * unit)
        self._line = lettering.height(unit)
        names = max((lettering.width(dim, unit) for dim in result.dims), default=0)
        self._bar = round(0.3 * unit)
        if self._several:
            most = max(track.number for track in result.tracks)
            self._bar = lettering.width(str(most), unit) + self._pad
        self._wide = self._bar + names + lettering.width(" +0.00", unit) + 2 * self._pad
        room = (height - self._pad) // self._line
        self._rows = max(1, min(len(result.dims), room))
        self._tall = self._rows * self._line + self._pad
        self._side: dict[int, int] = {}

    def draw(
        self, picture: np.ndarray, frame: int, seen: Sequence[tuple[int, np.ndarray]],
        colours: Sequence[lettering.Colour],
    ) -> None:  # fmt: skip
        taken = [box for _, box in seen]
        for place, box in seen:
            x, y = self._place(place, box, taken)
            taken.append(np.array([x, y, x + self._wide, y + self._tall]))
            self._label(picture, x, y, self._tracks[place], frame, colours[place])

    def _place(self, place: int, box: np.ndarray, taken: Sequence[np.ndarray]) -> tuple[int, int]:
        """Above, below, right or left of the box: where it covers least of what is taken."""
        x1, y1, x2, y2 = box
        gap, wide, tall = self._pad, self._wide, self._tall
        corners = np.array(
            [(x1, y1 - gap - tall), (x1, y2 + gap), (x2 + gap, y1), (x1 - gap - wide, y1)]
        )
        highest = np.maximum((self._width - wide, self._height - tall), 0)
        inside = np.clip(np.round(corners), 0, highest).astype(int)
        covered = _shared(
            np.hstack([inside, inside + np.array([wide, tall])]), np.stack(taken)
        ).sum(-1)
        best = int(np.argmin(covered))
        before = self._side.get(place, best)
        if covered[before] <= STICKY * covered[best]:
            best = before
        self._side[place] = best
        return int(inside[best, 0]), int(inside[best, 1])

    def _label(
        self, picture: np.ndarray, x: int, y: int, track: TrackResult, frame: int,
        colour: lettering.Colour,
    ) -> None:  # fmt: skip
        under = picture[y : y + self._tall, x : x + self._wide]
        under[:] = cv2.addWeighted(under, DARK, under, 0, 0)
        under[:, : self._bar] = colour
        if self._several:
            text = str(track.number)
            across = (self._bar - lettering.width(text, self._unit)) // 2
            lettering.write(under, text, across, self._pad // 2, self._unit, BLACK)
        for row in range(self._rows):
            down = self._pad // 2 + row * self._line
            text = number(float(track.values[frame, row]))
            right = self._wide - self._pad - lettering.width(text, self._unit)
            left = self._bar + self._pad
            lettering.write(under, self._dims[row], left, down, self._unit, WHITE)
            lettering.write(under, text, right, down, self._unit, WHITE)


def number(value: float) -> str:
    """With sign and two digits; a question mark where it is not finite."""
    if not math.isfinite(value):
        return "?"
    return f"{round(value, 2) + 0.0:+.2f}".replace("-", lettering.MINUS)


def _shared(ones: np.ndarray, others: np.ndarray) -> np.ndarray:
    """The areas that boxes [n, 4] have in common with others [m, 4]: [n, m]."""
    low = np.maximum(ones[:, None, :2], others[None, :, :2])
    high = np.minimum(ones[:, None, 2:], others[None, :, 2:])
    return np.maximum(high - low, 0).prod(-1)
