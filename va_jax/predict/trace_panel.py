"""Trace panel under an overlay video: the last seconds of every value, and the emotion plane."""

import math
from collections.abc import Sequence

import cv2
import numpy as np
from jaxtyping import Float, UInt8

from va_jax.predict import text
from va_jax.types import DIMS, LABEL_RANGE

TRACE_S = 10.0  # length of the traces
TAIL_S = 2.0  # length of the tail of a point in the plane
TAIL_PIECES = 24  # pieces of a tail, each paler than the next

SHIFT = 4  # OpenCV takes coordinates as integers of 2 ** -SHIFT pixels

GROUND, FIELD, GRID, AXIS = (18, 20, 24), (29, 32, 38), (50, 54, 62), (84, 89, 98)
NAME, PALE = (208, 212, 219), (134, 140, 150)


class TracePanel:
    """Draws the panel for any frame; the parts that all frames share are drawn once.

    `values` are those of each track, NaN where its face is not shown; `unit` is the size of the
    text in pixels. Without valence or arousal in `dims` there is no plane.
    """

    def __init__(
        self, time_s: Float[np.ndarray, " frames"],
        values: Sequence[Float[np.ndarray, "frames dims"]], dims: Sequence[str],
        colours: Sequence[text.Colour], width: int, unit: int,
    ):  # fmt: skip
        self._time_s, self._values, self._colours, self._unit = time_s, values, colours, unit
        self._thick = max(1, round(unit / 11))
        self._small = small = max(8, round(0.72 * unit))
        pad, line = round(0.5 * unit), text.height(small)
        fields = max(2, len(dims)) * round(4.7 * unit)
        self.height = fields + pad + line
        self._ground = np.full((self.height, width, 3), GROUND, np.uint8)
        self._columns = [list(dims).index(dim) for dim in DIMS if dim in dims]
        right = width - pad
        if len(self._columns) == 2:
            side = min(self.height - 2 * pad, width // 2, round(10.5 * unit))
            right -= side + pad
            self._centre = (width - pad - side / 2, pad + side / 2)
            self._radius = side / 2 - max(2, unit / 4)
            self._draw_empty_plane()
        self._left = pad + text.width("+1 ", small)
        self._right = max(right, self._left + 8)
        block = fields // len(dims)
        self._tops = [pad // 2 + i * block + line for i in range(len(dims))]
        self._field_height = block - line - pad // 4
        for top, dim in zip(self._tops, dims, strict=True):
            self._draw_empty_field(top, dim)
        self._foot = self.height - line - pad // 4
        start = f"{text.MINUS}{TRACE_S:g} s"
        if self._right - self._left > 2 * text.width(f"{start}  0:00.0", small):
            text.write(self._ground, start, self._left, self._foot, small, PALE)

    def draw(self, image: UInt8[np.ndarray, "height width 3"], frame: int) -> None:
        """Draw the panel for a frame onto an image of the panel's size."""
        image[:] = self._ground
        now_s = float(self._time_s[frame])
        clock = f"{now_s:.1f} s" if now_s < 60 else f"{int(now_s // 60)}:{now_s % 60:04.1f}"
        clock_x = self._right - text.width(clock, self._small)
        text.write(image, clock, clock_x, self._foot, self._small, NAME)
        frames = self._visible_frames(frame)
        length = self._right - self._left
        x = self._right - (now_s - self._time_s[frames]) / TRACE_S * length
        x = np.maximum(x, self._left)
        low, high = LABEL_RANGE
        for values, colour in zip(self._values, self._colours, strict=True):
            depth = (high - np.clip(values[frames], low, high)) / (high - low)
            for dim, top in enumerate(self._tops):
                y = top + depth[:, dim] * (self._field_height - 1)
                self._draw_line(image, np.stack([x, y], -1), colour)
            if len(self._columns) == 2:
                self._draw_point(image, frame, values, colour)

    def _visible_frames(self, frame: int) -> np.ndarray:
        """Return the frames of the last seconds, thinned to what the pixels can show."""
        first = int(np.searchsorted(self._time_s[: frame + 1], self._time_s[frame] - TRACE_S))
        most = max((self._right - self._left) / 1.5, 1)
        step = max(1, math.ceil((frame + 1 - first) / most))
        frames = np.arange(first - first % step, frame + 1, step)
        return frames if frames[-1] == frame else np.append(frames, frame)

    def _draw_line(
        self, image: np.ndarray, points: Float[np.ndarray, "n 2"], colour: text.Colour
    ) -> None:
        """Draw a line with gaps where a point is NaN; a point between two gaps is a dot."""
        known = np.concatenate([[False], np.isfinite(points[:, 1]), [False]])
        turns = np.flatnonzero(np.diff(known))
        fixed = _fixed_point(points)
        for first, end in zip(turns[::2], turns[1::2], strict=True):
            if end - first == 1:
                radius = round(self._thick / 2 * 2**SHIFT)
                cv2.circle(image, fixed[first].tolist(), radius, colour, -1, cv2.LINE_AA, SHIFT)
            run = [fixed[first:end]]
            cv2.polylines(image, run, False, colour, self._thick, cv2.LINE_AA, SHIFT)

    def _draw_point(
        self, image: np.ndarray, frame: int, values: np.ndarray, colour: text.Colour
    ) -> None:
        """Draw a track's place in the plane with a tail of the last seconds."""
        now_s = self._time_s[frame]
        first = int(np.searchsorted(self._time_s[: frame + 1], now_s - TAIL_S))
        frames = np.unique(np.linspace(first, frame, TAIL_PIECES + 1).round().astype(int))
        pairs = np.clip(values[frames][:, self._columns], *LABEL_RANGE)
        points = self._centre + np.array([1, -1]) * self._radius * pairs
        age = (now_s - self._time_s[frames]) / TAIL_S
        fixed = _fixed_point(points)
        for i in range(1, len(frames)):
            if np.isfinite(values[frames[i - 1] : frames[i] + 1, self._columns[0]]).all():
                ends, pale = (fixed[i - 1].tolist(), fixed[i].tolist()), _faded(colour, age[i])
                cv2.line(image, *ends, pale, self._thick, cv2.LINE_AA, SHIFT)
        if np.isfinite(points[-1]).all():
            for radius, shade in ((0.42, GROUND), (0.32, colour)):
                size = round(radius * self._unit * 2**SHIFT)
                cv2.circle(image, fixed[-1].tolist(), size, shade, -1, cv2.LINE_AA, SHIFT)

    def _draw_empty_field(self, top: int, dim: str) -> None:
        """Draw the field of one dimension: its range, zero line and name."""
        ground, left, right, small = self._ground, self._left, self._right, self._small
        ground[top : top + self._field_height, left:right] = FIELD
        middle = top + self._field_height // 2
        ground[middle : middle + max(1, self._unit // 14), left:right] = GRID
        line = text.height(small)
        bottom = top + self._field_height - line + line // 6
        for label, y in (("+1", top - line // 6), (f"{text.MINUS}1", bottom)):
            x = left - text.width(label, small) - small // 3
            text.write(ground, label, x, y, small, PALE)
        text.write(ground[:, :right], dim, left, top - line, small, NAME)

    def _draw_empty_plane(self) -> None:
        """Draw the circle, the axes and their names."""
        ground, reach, small = self._ground, int(self._radius), self._small
        centre = _fixed_point(np.array(self._centre)).tolist()
        radius, thin = round(self._radius * 2**SHIFT), max(1, self._unit // 14)
        cv2.circle(ground, centre, radius, FIELD, -1, cv2.LINE_AA, SHIFT)
        cv2.circle(ground, centre, radius, AXIS, thin, cv2.LINE_AA, SHIFT)
        x, y = (round(place) for place in self._centre)
        ground[y : y + thin, x - reach : x + reach] = GRID
        ground[y - reach : y + reach, x : x + thin] = GRID
        valence, arousal = DIMS
        start = x + reach - text.width(valence, small) - small // 2
        text.write(ground, valence, start, y + small // 6, small, PALE)
        text.write(ground, arousal, x + small // 2, y - reach + small // 3, small, PALE)


def _fixed_point(points: np.ndarray) -> np.ndarray:
    return np.round(np.nan_to_num(points) * 2**SHIFT).astype(np.int32)


def _faded(colour: text.Colour, age: float) -> text.Colour:
    """Return the colour, paler for a higher age of 0 to 1."""
    share = 0.85 * (1 - min(max(age, 0.0), 1.0)) + 0.1
    red, green, blue = (
        round(a * share + b * (1 - share)) for a, b in zip(colour, FIELD, strict=True)
    )
    return red, green, blue
