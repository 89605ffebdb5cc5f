"""The source again, with faces, values and traces drawn on it."""

import os
import pathlib
from collections.abc import Callable, Iterator

import cv2
import numpy as np
from jaxtyping import UInt8

from va_jax.predict.drawing import Drawing
from va_jax.predict.inputs import IMAGES
from va_jax.predict.results import VideoResult
from va_jax.types import InputError
from va_jax.video.read import probe, read_frames
from va_jax.video.write import FORMATS, VideoWriter

PICTURES = (".png", ".jpg", ".jpeg")
"""Endings of an overlay of an image."""

SAME_S = 1e-6
"""Times that differ by less are the same frame's."""


def check(out: pathlib.Path, source: pathlib.Path | str, overwrite: bool) -> None:
    """Raises InputError where no overlay of that source may be written as `out`."""
    if isinstance(source, str):
        raise InputError(f"{out}: a camera cannot be read a second time; record it, then draw")
    still = source.suffix.lower() in IMAGES
    if out.suffix.lower() not in (PICTURES if still else FORMATS):
        kind = "an image" if still else "a video"
        endings = " or ".join(PICTURES[:2] if still else FORMATS)
        raise InputError(f"{out}: the overlay of {source} is {kind}; let its name end in {endings}")
    if not out.parent.is_dir():
        raise InputError(f"{out}: the folder {out.parent} does not exist; make it first")
    if out.exists() and source.exists() and out.samefile(source):
        raise InputError(f"{out} is the source itself; choose another name")
    if out.is_dir() or (out.exists() and not overwrite):
        raise InputError(f"{out} exists already; choose another name, or --overwrite")


def write(
    out: pathlib.Path, result: VideoResult, overwrite: bool,
    advance: Callable[[], None] | None = None,
) -> None:  # fmt: skip
    """The file `out`, whole or not at all; `advance` is called after every frame.

    Every frame of the result is there, at the source's times, and the source's sound. The source
    is decoded a second time, so memory does not grow with its length. Where it breaks off behind
    the last frame of the result, the overlay ends there; that it breaks is told by whoever made
    the result. Raises InputError as `check` does, where the source is no longer the one of the
    result, and where `out` cannot be written.
    """
    check(out, result.source, overwrite)
    source = pathlib.Path(result.source)
    if source.suffix.lower() in IMAGES:
        _write_image(out, source, result)
        return
    frames, pixel_aspect = _Frames(source, result), probe(source).pixel_aspect
    with VideoWriter(out, source) as writer:
        drawing = None
        for frame, (time_s, image) in enumerate(frames):
            if drawing is None:
                drawing = Drawing(result, image.shape[1], image.shape[0], pixel_aspect)
            writer.write(time_s, drawing.draw(image, frame))
            if advance is not None:
                advance()
        if frames.to_the_end:
            writer.rest_of_sound()


class _Frames:
    """The frames of the source that the result has, as (time_s, image)."""

    def __init__(self, source: pathlib.Path, result: VideoResult):
        self._source, self._time_s = source, result.time_s
        self.to_the_end = False

    def __iter__(self) -> Iterator[tuple[float, UInt8[np.ndarray, "height width 3"]]]:
        count, frames = 0, len(self._time_s)
        try:
            for time_s, image in read_frames(self._source):
                if count == frames:
                    return
                if abs(time_s - self._time_s[count]) > SAME_S:
                    raise _changed(self._source, f"frame {count} is at {time_s:.3f} s")
                yield time_s, image
                count += 1
        except InputError:
            if count < frames or not count:
                raise
            return
        if count < frames:
            raise _changed(self._source, f"it has {count} frames, not {frames}")
        self.to_the_end = True


def _write_image(out: pathlib.Path, source: pathlib.Path, result: VideoResult) -> None:
    image = cv2.imread(str(source), cv2.IMREAD_COLOR_RGB)  # upright, as its EXIF data say
    if image is None:
        raise _changed(source, "it is no readable image")
    drawn = Drawing(result, image.shape[1], image.shape[0]).draw(image, 0)
    content = cv2.imencode(out.suffix.lower(), drawn[..., ::-1])[1].tobytes()
    temporary = out.with_name(f".{out.name}.{os.getpid()}.tmp")
    try:
        temporary.write_bytes(content)
        os.replace(temporary, out)
    finally:
        temporary.unlink(missing_ok=True)


def _changed(source: pathlib.Path, what: str) -> InputError:
    return InputError(f"{source}: no longer the one that was predicted ({what}); predict it again")
