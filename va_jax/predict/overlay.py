"""Overlay: the source again, with boxes, values and traces drawn on it."""

import math
import pathlib
from collections.abc import Callable, Iterator, Sequence

import cv2
import numpy as np
from jaxtyping import UInt8

from va_jax.io import write_bytes
from va_jax.predict import text
from va_jax.predict.inputs import IMAGE_SUFFIXES
from va_jax.predict.results import TrackResult, VideoResult
from va_jax.predict.trace_panel import GROUND, SHIFT, TracePanel
from va_jax.types import InputError
from va_jax.video.read import probe, read_frames
from va_jax.video.write import open_writer

SAME_TIME_S = 1e-6  # times that differ by less belong to the same frame

COLOURS = (
    (86, 196, 255), (255, 158, 66), (120, 220, 130),
    (255, 118, 178), (246, 218, 80), (178, 150, 255),
)  # fmt: skip
"""Of the tracks in their order, repeated after the last; all stand out on dark."""
WHITE, BLACK, WARNING = (255, 255, 255), (0, 0, 0), (255, 190, 70)

MIN_SIDE = 480  # an image whose longer side is smaller is enlarged so that text can be read
DIMMED = 0.3  # share of the image's brightness that is left under text
STICKY = 1.15
"""A label moves only to a place that covers so many times less of the faces (our choice)."""


def write(
    path: pathlib.Path, result: VideoResult, on_frame: Callable[[], object] = lambda: None
) -> None:
    """Write the overlay of a result to `path`, atomically.

    It contains every frame of the result, with the time stamps and the sound of the source. The
    source is decoded again, so memory does not grow with its length.

    Args:
        path: a video file, or an image file if the source is an image.
        result: the predictions for a file.
        on_frame: is called after every frame.

    Raises:
        InputError: the source has changed since the prediction, or `path` cannot be written.
    """
    source = pathlib.Path(result.source)
    if source.suffix.lower() in IMAGE_SUFFIXES:
        _write_image(path, source, result)
        return
    frames, count, drawing = read_frames(source), 0, None
    with open_writer(path, source) as writer:
        for expected_s, (time_s, image) in zip(result.time_s, frames, strict=False):
            if abs(time_s - expected_s) > SAME_TIME_S:
                raise _changed(source, f"frame {count} is at {time_s:.3f} s")
            if drawing is None:
                aspect = probe(source).pixel_aspect
                drawing = Drawing(result, image.shape[1], image.shape[0], aspect)
            writer.write(time_s, drawing.draw(image, count))
            count += 1
            on_frame()
        if count < len(result.time_s):
            raise _changed(source, f"it has {count} frames, not {len(result.time_s)}")
        if _is_exhausted(frames):
            writer.write_remaining_sound()


def _is_exhausted(frames: Iterator[object]) -> bool:
    """Return whether a video ends here; if it breaks off, the prediction has reported that."""
    try:
        return next(frames, None) is None
    except InputError:
        return False


def _write_image(path: pathlib.Path, source: pathlib.Path, result: VideoResult) -> None:
    image = cv2.imread(str(source), cv2.IMREAD_COLOR_RGB)  # turned upright by its EXIF data
    if image is None:
        raise _changed(source, "it is not a readable image")
    drawn = Drawing(result, image.shape[1], image.shape[0]).draw(image, 0)
    write_bytes(path, cv2.imencode(path.suffix.lower(), drawn[..., ::-1])[1].tobytes())


def _changed(source: pathlib.Path, reason: str) -> InputError:
    return InputError(f"{source}: changed since it was predicted ({reason}); predict it again")


class Drawing:
    """Draws any frame of a result; `size` is the (width, height) of its drawings, both even.

    The image keeps its pixels, or is enlarged if it is small or its pixels are not square. Below
    it are the result's note, if there is one, and the trace panel, unless there is a single frame.
    A track is not drawn where its face is not shown. `width` and `height` are those of the image in
    pixels, `pixel_aspect` is the width of a pixel over its height.
    """

    def __init__(self, result: VideoResult, width: int, height: int, pixel_aspect: float = 1.0):
        factor = max(1, math.ceil(MIN_SIDE / max(width, height)))
        self._width = round(width * factor * max(1.0, pixel_aspect))
        self._height = round(height * factor / min(1.0, pixel_aspect))
        self._scale = np.tile([self._width / width, self._height / height], 2)
        self._tracks, self._note = result.tracks, result.note
        self._colours = [COLOURS[track.number % len(COLOURS)] for track in result.tracks]
        self._unit = max(11, round(14 * (min(self._width, self._height) / 360) ** 0.8))
        self._labels = _Labels(result, self._unit, self._width, self._height)
        wide = max(self._width, 20 * self._unit)
        wide += wide % 2
        self._note_size = max(8, round(0.72 * self._unit))
        self._panel_top = self._height
        if self._note:
            self._panel_top += round(1.5 * text.height(self._note_size))
        tall, self._panel = self._panel_top, None
        if len(result.time_s) > 1:
            values = [
                np.where(track.shown[:, None], track.values, np.nan) for track in result.tracks
            ]
            self._panel = TracePanel(
                result.time_s, values, result.dims, self._colours, wide, self._unit
            )
            tall += self._panel.height
        self.size = (wide, tall + tall % 2)

    def draw(
        self, image: UInt8[np.ndarray, "height width 3"], frame: int
    ) -> UInt8[np.ndarray, "tall wide 3"]:
        """Return the RGB frame of that number with everything drawn on it."""
        canvas = np.full((*self.size[::-1], 3), GROUND, np.uint8)
        picture = canvas[: self._height, : self._width]
        if picture.shape == image.shape:
            picture[:] = image
        else:
            picture[:] = cv2.resize(image, picture.shape[1::-1], interpolation=cv2.INTER_CUBIC)
        shown = [
            (place, track.boxes[frame] * self._scale)
            for place, track in enumerate(self._tracks)
            if track.shown[frame] and np.isfinite(track.boxes[frame]).all()
        ]
        for place, box in shown:
            self._draw_box(picture, box, self._colours[place])
        self._labels.draw(picture, frame, shown, self._colours)
        if self._note:
            y = self._height + text.height(self._note_size) // 4
            text.write(canvas, self._note, self._unit // 2, y, self._note_size, WARNING)
        if self._panel is not None:
            self._panel.draw(canvas[self._panel_top :][: self._panel.height], frame)
        return canvas

    def _draw_box(self, picture: np.ndarray, box: np.ndarray, colour: text.Colour) -> None:
        """Draw a box with a dark edge on both sides, to stand out on bright images too."""
        x1, y1, x2, y2 = np.round(np.clip(box, -1e4, 1e5) * 2**SHIFT).astype(int).tolist()
        thick = max(1, round(self._unit / 9))
        for thickness, shade in ((thick + 2, BLACK), (thick, colour)):
            cv2.rectangle(picture, (x1, y1), (x2, y2), shade, thickness, cv2.LINE_AA, SHIFT)


class _Labels:
    """The values beside the faces, inside the picture and off the faces if there is room."""

    def __init__(self, result: VideoResult, unit: int, width: int, height: int):
        self._tracks, self._dims, self._unit = result.tracks, result.dims, unit
        self._width, self._height = width, height
        self._several = len(result.tracks) > 1
        self._pad, self._line = round(0.4 * unit), text.height(unit)
        self._bar = round(0.3 * unit)
        if self._several:
            highest = max(track.number for track in result.tracks)
            self._bar = text.width(str(highest), unit) + self._pad
        names = max((text.width(dim, unit) for dim in result.dims), default=0)
        self._wide = self._bar + names + text.width(" +0.00", unit) + 2 * self._pad
        self._rows = max(1, min(len(result.dims), (height - self._pad) // self._line))
        self._tall = self._rows * self._line + self._pad
        self._side: dict[int, int] = {}

    def draw(
        self, picture: np.ndarray, frame: int, shown: Sequence[tuple[int, np.ndarray]],
        colours: Sequence[text.Colour],
    ) -> None:  # fmt: skip
        taken = [box for _, box in shown]
        for place, box in shown:
            x, y = self._choose_corner(place, box, taken)
            taken.append(np.array([x, y, x + self._wide, y + self._tall]))
            under = picture[y : y + self._tall, x : x + self._wide]
            self._draw_label(under, self._tracks[place], frame, colours[place])

    def _choose_corner(
        self, place: int, box: np.ndarray, taken: Sequence[np.ndarray]
    ) -> tuple[int, int]:
        """Return the corner above, below, right or left of the box that covers least."""
        x1, y1, x2, y2 = box
        gap, wide, tall = self._pad, self._wide, self._tall
        corners = np.array(
            [(x1, y1 - gap - tall), (x1, y2 + gap), (x2 + gap, y1), (x1 - gap - wide, y1)]
        )
        highest = np.maximum((self._width - wide, self._height - tall), 0)
        inside = np.clip(np.round(corners), 0, highest).astype(int)
        labels = np.hstack([inside, inside + np.array([wide, tall])])
        covered = _shared_areas(labels, np.stack(taken)).sum(-1)
        best = int(np.argmin(covered))
        before = self._side.get(place, best)
        if covered[before] <= STICKY * covered[best]:
            best = before
        self._side[place] = best
        return int(inside[best, 0]), int(inside[best, 1])

    def _draw_label(
        self, under: np.ndarray, track: TrackResult, frame: int, colour: text.Colour
    ) -> None:
        under[:] = cv2.addWeighted(under, DIMMED, under, 0, 0)
        under[:, : self._bar] = colour
        if self._several:
            name = str(track.number)
            x = (self._bar - text.width(name, self._unit)) // 2
            text.write(under, name, x, self._pad // 2, self._unit, BLACK)
        for row in range(self._rows):
            y = self._pad // 2 + row * self._line
            value = signed(float(track.values[frame, row]))
            right = self._wide - self._pad - text.width(value, self._unit)
            text.write(under, self._dims[row], self._bar + self._pad, y, self._unit, WHITE)
            text.write(under, value, right, y, self._unit, WHITE)


def signed(value: float) -> str:
    """Return a number with sign and two digits; a question mark if it is not finite."""
    if not math.isfinite(value):
        return "?"
    return f"{round(value, 2) + 0.0:+.2f}".replace("-", text.MINUS)


def _shared_areas(boxes: np.ndarray, others: np.ndarray) -> np.ndarray:
    """Return the areas that boxes [n, 4] share with others [m, 4], as [n, m]."""
    low = np.maximum(boxes[:, None, :2], others[None, :, :2])
    high = np.minimum(boxes[:, None, 2:], others[None, :, 2:])
    return np.maximum(high - low, 0).prod(-1)
