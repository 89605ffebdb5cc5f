"""Trace panel under an overlay video: recent values of every dimension, and the emotion plane."""

from collections.abc import Sequence

import numpy as np
from PIL import ImageDraw, ImageFont

from va_jax.predict.results import VideoResult
from va_jax.report.trace_plots import runs
from va_jax.types import DIMS, LABEL_RANGE

TRACE_S = 10.0  # length of the traces in seconds

GROUND, FIELD, AXIS, PALE, WHITE = "#121418", "#1d2026", "#54595f", "#868c96", "#ffffff"


def panel_height(dims: Sequence[str], unit: int) -> int:
    """Return the height of the panel in pixels for text of size `unit`."""
    return (4 * len(dims) + 2) * unit


class TracePanel:
    """Draws the panel for any frame; parts common to all frames are drawn only once.

    The plane is drawn only if both valence and arousal are predicted.

    Args:
        result: predictions for the source.
        colours: a colour for each track.
        ground: background of all frames; the empty panel is drawn on it.
        corner: (right, top) of the panel in pixels.
        unit: size of the text in pixels.
    """

    def __init__(
        self, result: VideoResult, colours: Sequence[str], ground: ImageDraw.ImageDraw,
        corner: tuple[int, int], unit: int,
    ):  # fmt: skip
        right, top = corner
        self._result, self._colours, self._thick = result, colours, max(2, unit // 8)
        self._font = ImageFont.load_default(0.8 * unit)
        self._bottom = top + panel_height(result.drawn, unit) - unit // 2
        self._shown = [result.dims.index(dim) for dim in result.drawn]
        self._columns = [result.drawn.index(dim) for dim in DIMS if dim in result.drawn]
        self._left, self._right, self._height = 2 * unit, right - unit, 2.8 * unit
        if len(self._columns) == len(DIMS):
            radius = 4.2 * unit
            self._centre, self._radius = np.array([right - 5 * unit, top + 5 * unit]), radius
            self._right -= 10 * unit
            x, y = self._centre.tolist()
            ground.circle((x, y), radius, FIELD, AXIS)
            ground.line((x - radius, y, x + radius, y), AXIS)
            ground.line((x, y - radius, x, y + radius), AXIS)
            ground.text((x + radius, y), DIMS[0], PALE, self._font, "rt")
            ground.text((x, y - radius), DIMS[1], PALE, self._font, "lt")
        self._tops = [top + (4 * i + 1.2) * unit for i in range(len(result.drawn))]
        for field, dim in zip(self._tops, result.drawn, strict=True):
            end, middle = field + self._height, field + self._height / 2
            ground.rectangle((self._left, field, self._right, end), FIELD)
            ground.line((self._left, middle, self._right, middle), AXIS)
            ground.text((self._left, field), dim, WHITE, self._font, "lb")
            ground.text((self._left, field), "+1 ", PALE, self._font, "rt")
            ground.text((self._left, end), "-1 ", PALE, self._font, "rb")
        ground.text((self._left, self._bottom), f"-{TRACE_S:g} s", PALE, self._font, "lb")

    def draw(self, draw: ImageDraw.ImageDraw, frame: int) -> None:
        """Draw the traces up to a frame, and the values for that frame in the plane."""
        now_s = self._result.time_s[frame]
        first = int(np.searchsorted(self._result.time_s, now_s - TRACE_S))
        age = (now_s - self._result.time_s[first : frame + 1]) / TRACE_S
        x = self._right - age * (self._right - self._left)
        clock = f"{now_s:.1f} s"
        draw.text((self._right, self._bottom), clock, WHITE, self._font, "rb")
        for track, colour in zip(self._result.tracks, self._colours, strict=True):
            values = np.clip(track.values[first : frame + 1, self._shown], *LABEL_RANGE)
            known = track.shown[first : frame + 1] & np.isfinite(values).all(-1)
            for begin, end in runs(known):
                for top, column in zip(self._tops, values[begin:end].T, strict=True):
                    y = top + (1 - column) / 2 * self._height
                    points = np.stack([x[begin:end], y], -1)
                    draw.line(points.ravel().tolist(), colour, self._thick)
            if len(self._columns) == len(DIMS) and known[-1]:
                pair = values[-1, self._columns] * (1, -1)
                x_y = (self._centre + self._radius * pair).tolist()
                draw.circle(x_y, 3 * self._thick, colour, GROUND)
