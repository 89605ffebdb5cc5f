"""Overlay: a copy of the source with boxes, values and traces drawn on it."""

import math
import pathlib
from collections.abc import Callable

import cv2
import numpy as np
from jaxtyping import UInt8
from PIL import Image, ImageDraw, ImageFont

from va_jax.io import write_bytes
from va_jax.predict.inputs import IMAGE_SUFFIXES
from va_jax.predict.results import VideoResult
from va_jax.predict.trace_panel import GROUND, WHITE, TracePanel, panel_height
from va_jax.predict.tracks import TrackResult
from va_jax.video.image import decode_image, read_bytes
from va_jax.video.read import read_frames
from va_jax.video.write import open_writer

COLOURS = ("#56c4ff", "#ff9e42", "#78dc82", "#ff76b2", "#f6da50", "#b296ff")
"""Colours of the tracks, in order and repeating; all stand out against a dark background."""

WARNING = "#ffbe46"
MIN_SIDE = 480  # an image whose longer side is smaller is enlarged so that text can be read


def write(
    path: pathlib.Path, result: VideoResult, on_frame: Callable[[], object] = lambda: None
) -> None:
    """Write the overlay for a result to `path`, atomically.

    It contains every frame in the result, with the timestamps and audio of the source. The source
    is decoded again, so memory use does not depend on its length.

    Args:
        path: path to a video file, or to an image file if the source is an image.
        result: predictions for the source.
        on_frame: called after every frame.

    Raises:
        InputError: the source cannot be read, or `path` cannot be written.
    """
    source, drawing = pathlib.Path(result.source), Drawing(result)
    if source.suffix.lower() in IMAGE_SUFFIXES:
        image = decode_image(source, read_bytes(source))
        drawn = drawing.draw(image, 0)[..., ::-1]
        write_bytes(path, cv2.imencode(path.suffix.lower(), drawn)[1].tobytes())
        return
    with open_writer(path, source) as writer:
        numbered = zip(range(len(result.time_s)), read_frames(source), strict=False)
        for frame, (time_s, image) in numbered:
            writer.write(time_s, drawing.draw(image, frame))
            on_frame()
        writer.write_remaining_sound()


class Drawing:
    """Draws any frame in a result; `size` is the (width, height) of the drawings, both even.

    A small image is enlarged. Below it are the result's note, if there is one, and the trace panel,
    unless there is only a single frame. A track is drawn only in frames that show its face.
    """

    def __init__(self, result: VideoResult):
        factor = max(1, math.ceil(MIN_SIDE / max(result.width, result.height)))
        width, height = result.width * factor, result.height * factor
        unit = max(11, round(14 * (min(width, height) / 360) ** 0.8))
        self._result, self._factor, self._unit = result, factor, unit
        self._image_size = (width, height)
        self._font = ImageFont.load_default(unit)
        self._colours = [COLOURS[track.number % len(COLOURS)] for track in result.tracks]
        panel_top = height + (2 * unit if result.note else 0)
        has_panel = len(result.time_s) > 1
        wide = max(width, 20 * unit)
        tall = panel_top + (panel_height(result.drawn, unit) if has_panel else 0)
        self.size = (wide + wide % 2, tall + tall % 2)
        self._ground = Image.new("RGB", self.size, GROUND)
        draw = ImageDraw.Draw(self._ground)
        draw.text((unit / 2, height + unit / 2), result.note, WARNING, self._font)
        self._panel = None
        if has_panel:
            self._panel = TracePanel(result, self._colours, draw, (wide, panel_top), unit)

    def draw(
        self, image: UInt8[np.ndarray, "height width 3"], frame: int
    ) -> UInt8[np.ndarray, "tall wide 3"]:
        """Return the RGB image of frame number `frame` with everything drawn on it."""
        picture = Image.fromarray(image).resize(self._image_size, Image.Resampling.BICUBIC)
        draw = ImageDraw.Draw(picture)
        for track, colour in zip(self._result.tracks, self._colours, strict=True):
            if track.shown[frame]:
                self._draw_face(draw, track, frame, colour)
        canvas = self._ground.copy()
        canvas.paste(picture)
        if self._panel is not None:
            self._panel.draw(ImageDraw.Draw(canvas), frame)
        return np.asarray(canvas)

    def _draw_face(
        self, draw: ImageDraw.ImageDraw, track: TrackResult, frame: int, colour: str
    ) -> None:
        """Draw a box around a face, and its values above, below, to the right or to the left."""
        x1, y1, x2, y2 = (track.boxes[frame] * self._factor).tolist()
        thick = max(2, self._unit // 8)
        draw.rectangle((x1, y1, x2, y2), outline=colour, width=thick)
        values = dict(zip(self._result.dims, track.values[frame].tolist(), strict=True))
        lines = [f"{dim} {round(values[dim], 2) + 0.0:+.2f}" for dim in self._result.drawn]
        if len(self._result.tracks) > 1:
            lines.insert(0, f"face {track.number}")
        text, pad = "\n".join(lines), self._unit // 3
        _, _, right, bottom = draw.multiline_textbbox((0, 0), text, self._font)
        wide, tall = round(right) + 2 * pad + thick, round(bottom) + 2 * pad
        corners = np.array([(x1, y1 - tall), (x1, y2), (x2, y1), (x1 - wide, y1)])
        highest = np.maximum(np.array(self._image_size) - (wide, tall), 0)
        inside = np.clip(corners, 0, highest)
        moved_least = np.abs(inside - corners).sum(-1).argmin()
        x, y = inside[moved_least].round().tolist()
        draw.rectangle((x, y, x + wide - 1, y + tall - 1), fill=GROUND)
        draw.rectangle((x, y, x + thick - 1, y + tall - 1), fill=colour)
        draw.multiline_text((x + pad + thick, y + pad), text, WHITE, self._font)
