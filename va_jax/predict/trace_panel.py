"""The strip below a video: the last seconds of every value, and the valence-arousal plane."""

import math
from collections.abc import Sequence

import cv2
import numpy as np
from jaxtyping import Float, UInt8

from va_jax.predict import lettering
from va_jax.types import DIMS, LABEL_RANGE

TRACE_S = 10.0
"""How far back the traces go."""

TAIL_S = 2.0
"""How far back the tail of a point in the plane goes."""

TAIL_PIECES = 24
"""Of a tail, each paler than the next."""

SHIFT = 4  # OpenCV takes coordinates as integers of 2 ** -SHIFT pixels

GROUND, FIELD, GRID, AXIS = (18, 20, 24), (29, 32, 38), (50, 54, 62), (84, 89, 98)
NAME, PALE = (208, 212, 219), (134, 140, 150)


class Strip:
    """Draws the strip of any frame; what all frames have in common is drawn once.

    `values` are those of each track at every frame, NaN where it is not seen; `unit` is the size of
    the text in pixels. The plane is left out where `dims` lacks valence or arousal.
    """

    def __init__(
        self, time_s: Float[np.ndarray, " frames"],
        values: Sequence[Float[np.ndarray, "frames dims"]], dims: Sequence[str],
        colours: Sequence[lettering.Colour], width: int, unit: int,
    ):  # fmt: skip
        self._time_s, self._values, self._colours, self._unit = time_s, values, colours, unit
        self._thick = max(1, round(unit / 11))
        small = max(8, round(0.72 * unit))
        pad, line, row = round(0.5 * unit), lettering.height(small), round(4.7 * unit)
        inside = max(2, len(dims)) * row
        self.height = inside + pad + line
        self._ground = np.full((self.height, width, 3), GROUND, np.uint8)
        self._columns = [list(dims).index(dim) for dim in DIMS if dim in dims]
        side = self.height - 2 * pad
        right = width - pad
        if len(self._columns) == 2:
            side = min(side, width // 2, round(10.5 * unit))
            right -= side + pad
            self._centre = (width - pad - side / 2, pad + side / 2)
            self._radius = side / 2 - max(2, unit / 4)
            self._draw_plane(small)
        left = pad + lettering.width("+1 ", small)
        self._left, self._right = left, max(right, left + 8)
        block = inside // len(dims)
        self._tops = [pad // 2 + i * block + line for i in range(len(dims))]
        self._tall = block - line - pad // 4
        for top, dim in zip(self._tops, dims, strict=True):
            self._draw_field(top, dim, small)
        self._foot, self._small = self.height - line - pad // 4, small
        ago = f"{lettering.MINUS}{TRACE_S:g} s"
        if self._right - self._left > 2 * lettering.width(f"{ago}  0:00.0", small):
            lettering.write(self._ground, ago, self._left, self._foot, small, PALE)

    def draw(self, image: UInt8[np.ndarray, "height width 3"], frame: int) -> None:
        """Onto the image, of the strip's size, as it is at that frame."""
        image[:] = self._ground
        now = float(self._time_s[frame])
        clock = f"{now:.1f} s" if now < 60 else f"{int(now // 60)}:{now % 60:04.1f}"
        x = self._right - lettering.width(clock, self._small)
        lettering.write(image, clock, x, self._foot, self._small, NAME)
        first = int(np.searchsorted(self._time_s[: frame + 1], now - TRACE_S))
        step = max(1, math.ceil((frame + 1 - first) / max((self._right - self._left) / 1.5, 1)))
        chosen = np.arange(first - first % step, frame + 1, step)
        if chosen[-1] != frame:
            chosen = np.append(chosen, frame)
        x = self._right - (now - self._time_s[chosen]) / TRACE_S * (self._right - self._left)
        x = np.maximum(x, self._left)
        for values, colour in zip(self._values, self._colours, strict=True):
            for dim, top in enumerate(self._tops):
                y = _down(values[chosen, dim], top, self._tall)
                self._draw_line(image, np.stack([x, y], -1), colour)
        if len(self._columns) == 2:
            for values, colour in zip(self._values, self._colours, strict=True):
                self._draw_point(image, frame, values, colour)

    def _draw_line(
        self, image: np.ndarray, points: Float[np.ndarray, "n 2"], colour: lettering.Colour
    ) -> None:
        """Through the points, with gaps where one is NaN; a point between two gaps is a dot."""
        known = np.concatenate([[False], np.isfinite(points[:, 1]), [False]])
        turns = np.flatnonzero(np.diff(known))
        fixed = _fixed(np.nan_to_num(points))
        for first, behind in zip(turns[::2], turns[1::2], strict=True):
            if behind - first == 1:
                radius = round(self._thick / 2 * 2**SHIFT)
                cv2.circle(image, fixed[first].tolist(), radius, colour, -1, cv2.LINE_AA, SHIFT)
            run = [fixed[first:behind]]
            cv2.polylines(image, run, False, colour, self._thick, cv2.LINE_AA, SHIFT)

    def _draw_point(
        self, image: np.ndarray, frame: int, values: np.ndarray, colour: lettering.Colour
    ) -> None:
        """Where the track is in the plane, and how it came there."""
        first = int(np.searchsorted(self._time_s[: frame + 1], self._time_s[frame] - TAIL_S))
        chosen = np.unique(np.linspace(first, frame, TAIL_PIECES + 1).round().astype(int))
        pair = np.clip(values[np.ix_(chosen, self._columns)], *LABEL_RANGE)
        points = self._centre + np.array([1, -1]) * self._radius * pair
        age = (self._time_s[frame] - self._time_s[chosen]) / TAIL_S
        fixed = _fixed(np.nan_to_num(points))
        for i in range(1, len(chosen)):
            if np.isfinite(values[chosen[i - 1] : chosen[i] + 1, self._columns[0]]).all():
                ends, pale = (fixed[i - 1].tolist(), fixed[i].tolist()), _mixed(colour, age[i])
                cv2.line(image, *ends, pale, self._thick, cv2.LINE_AA, SHIFT)
        if np.isfinite(points[-1]).all():
            centre = fixed[-1].tolist()
            for radius, shade in ((0.42, GROUND), (0.32, colour)):
                size = round(radius * self._unit * 2**SHIFT)
                cv2.circle(image, centre, size, shade, -1, cv2.LINE_AA, SHIFT)

    def _draw_field(self, top: int, dim: str, small: int) -> None:
        """The empty field of one dimension: its range, zero and name."""
        ground, left, right, tall = self._ground, self._left, self._right, self._tall
        ground[top : top + tall, left:right] = FIELD
        middle = top + tall // 2
        ground[middle : middle + max(1, self._unit // 14), left:right] = GRID
        line = lettering.height(small)
        for text, y in (
            ("+1", top - line // 6),
            (f"{lettering.MINUS}1", top + tall - line + line // 6),
        ):
            x = left - lettering.width(text, small) - small // 3
            lettering.write(ground, text, x, y, small, PALE)
        lettering.write(ground[:, :right], dim, left, top - line, small, NAME)

    def _draw_plane(self, small: int) -> None:
        ground, radius = self._ground, self._radius
        centre = _fixed(np.array(self._centre))
        look = {"lineType": cv2.LINE_AA, "shift": SHIFT}
        size, thin = round(radius * 2**SHIFT), max(1, self._unit // 14)
        cv2.circle(ground, centre.tolist(), size, FIELD, -1, **look)
        cv2.circle(ground, centre.tolist(), size, AXIS, thin, **look)
        x, y = (round(place) for place in self._centre)
        reach = int(radius)
        ground[y : y + thin, x - reach : x + reach] = GRID
        ground[y - reach : y + reach, x : x + thin] = GRID
        valence, arousal = DIMS
        start = x + reach - lettering.width(valence, small) - small // 2
        lettering.write(ground, valence, start, y + small // 6, small, PALE)
        lettering.write(ground, arousal, x + small // 2, y - reach + small // 3, small, PALE)


def _down(values: np.ndarray, top: int, tall: int) -> np.ndarray:
    low, high = LABEL_RANGE
    return top + (high - np.clip(values, low, high)) / (high - low) * (tall - 1)


def _fixed(points: np.ndarray) -> np.ndarray:
    return np.round(points * 2**SHIFT).astype(np.int32)


def _mixed(colour: lettering.Colour, age: float) -> lettering.Colour:
    """The colour, the paler the older."""
    share = 0.85 * (1 - min(max(age, 0.0), 1.0)) + 0.1
    return tuple(round(a * share + b * (1 - share)) for a, b in zip(colour, FIELD, strict=True))
