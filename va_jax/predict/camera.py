"""A camera predicted live: a row for every frame that is taken, as it is taken."""

import contextlib
import pathlib
import time
from collections.abc import Callable, Iterator
from typing import Any

import cv2
import numpy as np
import simplejpeg

from va_jax.data import transforms
from va_jax.faces import Detections
from va_jax.predict.pictures import shrunk
from va_jax.predict.preprocessing import NEAREST_STEP, Recipe
from va_jax.predict.rows import Table, placed, told
from va_jax.predict.source import Predictor
from va_jax.types import InputError

EARLY = 0.25
"""A frame may come before its time by this share of a period of the network's; ours."""


def check(drawn: pathlib.Path | None, processed: bool) -> None:
    """Raises InputError for what can only be done when all frames are there."""
    if drawn is not None:
        raise InputError(f"{drawn}: of a camera only the values are kept; record a video first")
    if processed:
        raise InputError("--processed looks ahead in time, which a camera cannot; leave it out")


@contextlib.contextmanager
def opened(index: int) -> Iterator[cv2.VideoCapture]:
    """The camera with that number."""
    cv2.utils.logging.setLogLevel(cv2.utils.logging.LOG_LEVEL_ERROR)
    capture = cv2.VideoCapture(index)
    try:
        if not capture.isOpened():
            raise InputError(f"camera {index} cannot be opened; see that no other program uses it")
        yield capture
    finally:
        capture.release()


def run(
    capture: Any,  # cv2.VideoCapture, or what reads like it
    name: str,
    predictor: Predictor,
    csv: pathlib.Path | None,
    seconds: float | None,
    clock: Callable[[], float] = time.monotonic,
) -> str | None:
    """Write rows until so many seconds are over, the camera ends, or Ctrl-C.

    Gives back a warning where frames came another time apart than the network is used to.
    """
    times_s: list[float] = []
    with Table(csv, predictor.model.dims) as table, contextlib.suppress(KeyboardInterrupt):
        for time_s, cells in live(capture, predictor, seconds, clock):
            times_s.append(time_s)
            table.add([[name, *cells]])
            table.flush()
    if len(times_s) < 2:
        return None
    fps = predictor.model.passport["fps"]
    step_s = (times_s[-1] - times_s[0]) / (len(times_s) - 1)
    if abs(step_s * fps - 1) <= NEAREST_STEP:
        return None
    return (
        f"{name}: the network is used to frames {1 / fps:.3g} s apart, they came {step_s:.3g} s "
        "apart; values may suffer"
    )


def live(
    capture: Any, predictor: Predictor, seconds: float | None, clock: Callable[[], float]
) -> Iterator[tuple[float, list[str]]]:
    """Time and cells, from `frame` on, of frames about as far apart as the network is used to.

    Frames that come faster are left out. The face is the largest one in each frame, without any
    smoothing, for what comes next is not known; without a face a recurrent network repeats itself.
    """
    model = predictor.model
    stream, period_s = model.stream(), 1 / model.passport["fps"]
    begin_s, due_s, count = None, 0.0, 0
    while True:
        well, image = capture.read()
        now_s = clock()
        begin_s = now_s if begin_s is None else begin_s
        time_s = now_s - begin_s
        if not well or (seconds is not None and time_s > seconds):
            return
        if time_s < due_s - EARLY * period_s:
            continue
        due_s = max(due_s, time_s - period_s) + period_s
        found = predictor.detector(small := shrunk(np.ascontiguousarray(image[:, :, ::-1])))
        place, values = _predicted(stream, model.size, predictor.recipe, small, found)
        scale = image.shape[1] / small.shape[1]
        cells = ["", *[""] * 5] if place is None else ["0", *placed(place[0] * scale, place[1])]
        valid = str(int(place is not None))
        yield time_s, [str(count), f"{time_s:.6f}", *cells, *told(values), valid]
        count += 1


def _predicted(
    stream: Any, size: int, recipe: Recipe, image: np.ndarray, found: Detections
) -> tuple[tuple[np.ndarray, float] | None, np.ndarray]:
    """Box and score of the largest face, None where there is no face; the values of the frame."""
    if not len(found.boxes):
        points = np.full((recipe.points, 2), np.nan, np.float32)
        given = {"landmarks": points} if recipe.points else {}
        return None, stream.push(None, face=False, **given)
    sides = found.boxes[:, 2:] - found.boxes[:, :2]
    best = int(sides.prod(1).argmax())
    data, points = recipe.store(image, found.boxes[best], found.landmarks[best], True)
    crop = simplejpeg.decode_jpeg(data, colorspace="RGB")
    geometry, _ = transforms.UNCHANGED
    crop = transforms.warp(crop[None], size, geometry)[0]
    given = {"landmarks": points} if recipe.points else {}
    return (found.boxes[best], float(found.scores[best])), stream.push(crop, face=True, **given)
