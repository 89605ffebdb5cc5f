"""Camera: live predictions, with a csv row for every frame as it arrives."""

import contextlib
import time
from collections.abc import Callable, Iterator
from typing import Any

import cv2
import numpy as np
import simplejpeg

from va_jax.data import transforms
from va_jax.export.stream import Stream
from va_jax.predict.inputs import shrink
from va_jax.predict.predictor import Predictor
from va_jax.predict.preprocessing import spacing_warning
from va_jax.predict.results import WriteRows, box_cells, value_cells
from va_jax.types import InputError

EARLY = 0.25
"""A frame may arrive early by up to this share of the network's frame period (our choice)."""


@contextlib.contextmanager
def open_camera(index: int) -> Iterator[cv2.VideoCapture]:
    """Open the camera with this number; InputError if it does not exist or is in use."""
    cv2.utils.logging.setLogLevel(cv2.utils.logging.LOG_LEVEL_ERROR)
    capture = cv2.VideoCapture(index)
    try:
        if not capture.isOpened():
            raise InputError(
                f"camera {index} cannot be opened; check that it is connected and that no other "
                "program uses it"
            )
        yield capture
    finally:
        capture.release()


def run(
    capture: Any,
    name: str,
    predictor: Predictor,
    write_rows: WriteRows,
    seconds: float | None,
    clock: Callable[[], float] = time.monotonic,
) -> str | None:
    """Write a row per frame until `seconds` have passed, the camera stops, or Ctrl-C is pressed.

    The largest face in each frame is used, without smoothing, because later frames are not known
    yet. If there is no face, a temporal stack repeats its last values.

    Args:
        capture: a `cv2.VideoCapture`, or an object with the same `read` method.
        name: name of the source in the csv file.
        predictor: predictor whose model depends only on past frames.
        write_rows: function that appends rows to the csv file.
        seconds: length of the recording; None: no limit.
        clock: function that returns the time in seconds.

    Returns:
        A warning if the frame rate differs from the one in training, else None.
    """
    stream, period_s = predictor.model.stream(), 1 / predictor.model.metadata["fps"]
    count, last_s = 0, 0.0
    with contextlib.suppress(KeyboardInterrupt):
        for time_s, image in _read_frames(capture, period_s, clock):
            if seconds is not None and time_s > seconds:
                break
            cells = _predict_frame(np.ascontiguousarray(image[:, :, ::-1]), predictor, stream)
            write_rows([[name, str(count), f"{time_s:.6f}", *cells]])
            count, last_s = count + 1, time_s
    if count < 2:
        return None
    warning = spacing_warning(period_s, last_s / (count - 1))
    return warning and f"{name}: {warning}"


def _read_frames(
    capture: Any, period_s: float, clock: Callable[[], float]
) -> Iterator[tuple[float, np.ndarray]]:
    """Yield (time_s, BGR image) about every `period_s`, skipping any frames in between."""
    begin_s, due_s = None, 0.0
    while True:
        success, image = capture.read()
        if not success:
            return
        begin_s = clock() if begin_s is None else begin_s
        time_s = clock() - begin_s
        if time_s >= due_s - EARLY * period_s:
            due_s = max(due_s, time_s - period_s) + period_s
            yield time_s, image


def _predict_frame(image: np.ndarray, predictor: Predictor, stream: Stream) -> list[str]:
    """Return the csv cells for an RGB frame, starting with the `track` column."""
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
