"""Camera: predict live, one csv row for every frame as it is taken."""

import contextlib
import pathlib
import time
from collections.abc import Callable, Iterator
from typing import Any, Protocol, runtime_checkable

import cv2
import numpy as np
import simplejpeg

from va_jax.data import transforms
from va_jax.export.stream import Stream
from va_jax.predict.inputs import shrink
from va_jax.predict.predictor import Predictor
from va_jax.predict.preprocessing import spacing_warning
from va_jax.predict.results import CsvWriter, box_cells, value_cells
from va_jax.types import InputError

EARLY = 0.25
"""A frame may come early by this share of the network's frame period (our choice)."""


@runtime_checkable
class Capture(Protocol):
    """A `cv2.VideoCapture`, or an object that reads like one."""

    def read(self) -> tuple[bool, Any]: ...


def check(drawing: pathlib.Path | None, processed: bool) -> None:
    """Raise an InputError for options that need all frames at once."""
    if drawing is not None:
        raise InputError(
            f"Cannot draw {drawing} from a camera: its pictures are not kept. Record a video first."
        )
    if processed:
        raise InputError(
            "Cannot apply --processed to a camera: it needs later frames. Leave the flag out."
        )


@contextlib.contextmanager
def opened(index: int) -> Iterator[cv2.VideoCapture]:
    """Open the camera with this number.

    Raises:
        InputError: there is no such camera, or another program uses it.
    """
    cv2.utils.logging.setLogLevel(cv2.utils.logging.LOG_LEVEL_ERROR)
    capture = cv2.VideoCapture(index)
    try:
        if not capture.isOpened():
            raise InputError(
                f"camera {index} cannot be opened; check that it is connected and not in use"
            )
        yield capture
    finally:
        capture.release()


def run(
    capture: Capture,
    name: str,
    predictor: Predictor,
    csv: CsvWriter,
    seconds: float | None,
    clock: Callable[[], float] = time.monotonic,
) -> str | None:
    """Write rows until `seconds` are over, the camera ends, or Ctrl-C is pressed.

    Returns:
        A warning if frames came at another rate than the network was trained at, else None.
    """
    times_s: list[float] = []
    with csv as writer, contextlib.suppress(KeyboardInterrupt):
        for time_s, cells in predict_live(capture, predictor, seconds, clock):
            times_s.append(time_s)
            writer.add([[name, *cells]])
            writer.flush()
    if len(times_s) < 2:
        return None
    spacing_s = (times_s[-1] - times_s[0]) / (len(times_s) - 1)
    warning = spacing_warning(1 / predictor.model.metadata["fps"], spacing_s)
    return warning and f"{name}: {warning}"


def predict_live(
    capture: Capture, predictor: Predictor, seconds: float | None, clock: Callable[[], float]
) -> Iterator[tuple[float, list[str]]]:
    """Yield the time and the csv cells from `frame` on, at about the network's frame rate.

    Frames that come faster are left out. The face is the largest one in each frame, without
    smoothing, because later frames are not known. Without a face a recurrent network repeats its
    last values.
    """
    model = predictor.model
    stream, period_s = model.stream(), 1 / model.metadata["fps"]
    begin_s, due_s, count = None, 0.0, 0
    while True:
        success, image = capture.read()
        now_s = clock()
        begin_s = now_s if begin_s is None else begin_s
        time_s = now_s - begin_s
        if not success or (seconds is not None and time_s > seconds):
            return
        if time_s < due_s - EARLY * period_s:
            continue
        due_s = max(due_s, time_s - period_s) + period_s
        cells = _predict_frame(np.ascontiguousarray(image[:, :, ::-1]), predictor, stream)
        yield time_s, [str(count), f"{time_s:.6f}", *cells]
        count += 1


def _predict_frame(image: np.ndarray, predictor: Predictor, stream: Stream) -> list[str]:
    """Return the csv cells from `track` on for one RGB frame."""
    preprocessing = predictor.preprocessing
    small = shrink(image)
    found = predictor.detector(small)
    if not len(found.boxes):
        points = np.full((preprocessing.points, 2), np.nan, np.float32)
        values = stream.push(None, face=False, landmarks=points if preprocessing.points else None)
        return [""] * 6 + value_cells(values) + ["0"]
    best = int((found.boxes[:, 2:] - found.boxes[:, :2]).prod(1).argmax())
    jpeg, points = preprocessing.crop(small, found.boxes[best], found.landmarks[best], True)
    crop = simplejpeg.decode_jpeg(jpeg, colorspace="RGB")
    geometry, _ = transforms.UNCHANGED
    crop = transforms.warp(crop[None], predictor.model.size, geometry)[0]
    values = stream.push(crop, face=True, landmarks=points if preprocessing.points else None)
    box = found.boxes[best] * (image.shape[1] / small.shape[1])
    return ["0", *box_cells(box, float(found.scores[best])), *value_cells(values), "1"]
