"""Helpers: a drawn video, a detector that finds the drawn faces, a model that returns colours."""

import dataclasses
import pathlib
from fractions import Fraction

import av
import numpy as np

from va_jax.export.model import Model
from va_jax.export.stream import Stream
from va_jax.faces import Detections
from va_jax.predict.predictor import Predictor, Progress
from va_jax.predict.preprocessing import Preprocessing
from va_jax.types import Trace

METADATA = {
    "dims": ["valence", "arousal"],
    "input": {"size": 32, "landmarks": {"points": 0, "place": "none"}},
    "crop": {
        "size": 32, "source": "detect", "margin": 0.0, "alignment": "level eyes",
        "jpeg_quality": 90,
    },
    "fps": 25.0,
    "stride": 1,
    "temporal": "causal",
    "checkpoint_step": 7,
    "data": {"name": "drawn"},
}  # fmt: skip
PLAIN = Preprocessing(32, 90, None, 0)
COLOURS = ((255, 0, 0), (0, 255, 0))
"""Of the first and the second face; the fake model returns them as valence and arousal."""


def write_video(
    path: pathlib.Path,
    places: list[list[tuple[int, int, int, int]]],  # of every frame: face, left, top, side
    stamps_ms: list[int] | None = None,
    rotation: int = 0,
) -> pathlib.Path:
    """Write coloured squares on black, 160 x 96 pixels; later ones hide earlier ones."""
    with av.open(str(path), "w") as container:
        stream = container.add_stream("libx264", rate=25, options={"crf": "0"})
        stream.width, stream.height, stream.pix_fmt = 160, 96, "yuv444p"
        stream.time_base = stream.codec_context.time_base = Fraction(1, 1000)
        if rotation:
            stream.set_display_rotation(rotation)
        for number, each in enumerate(places):
            image = np.zeros((96, 160, 3), np.uint8)
            for face, left, top, side in each:
                image[top : top + side, left : left + side] = COLOURS[face]
            frame = av.VideoFrame.from_ndarray(image, format="rgb24")
            frame.pts = 40 * number if stamps_ms is None else stamps_ms[number]
            frame.time_base = Fraction(1, 1000)
            container.mux(stream.encode(frame))
        container.mux(stream.encode())
    return path


def detect(image: np.ndarray) -> Detections:
    """Return a frontal face for every colour that is fully visible, the largest first."""
    boxes = []
    for colour in COLOURS:
        y, x = np.nonzero((np.abs(image.astype(int) - colour) < 90).all(-1))
        if len(x) and 0.8 < np.ptp(x) / max(np.ptp(y), 1) < 1.25:
            boxes.append([x.min(), y.min(), x.max() + 1, y.max() + 1])
    boxes = np.array(boxes, np.float32).reshape(-1, 4)
    sides = boxes[:, 2:] - boxes[:, :2]
    order = np.argsort(-sides.prod(1), kind="stable")
    boxes, sides = boxes[order], sides[order]
    where = np.array([[0.3, 0.35], [0.7, 0.35], [0.5, 0.5], [0.35, 0.7], [0.65, 0.7]], np.float32)
    landmarks = boxes[:, None, :2] + sides[:, None] * where
    return Detections(boxes, np.full(len(boxes), 0.9, np.float32), landmarks)


detect.follow = None  # so that every frame is searched, as without `Detector.follow`


class FakeModel(Model):
    """Valence is the red, arousal the green of the middle of the crop, each of 0 to 1."""

    dims, size, post_processing = ("valence", "arousal"), 32, None

    def __init__(self, metadata=METADATA):
        self.metadata = metadata
        self.strides, self.jpegs = [], []

    def traces(self, source, stride=None):
        self.strides.append(stride)
        traces = []
        for index, track in enumerate(source.tracks):
            numbers, labels = np.arange(track.frames), source.labels(index)
            images = np.empty((track.frames, source.size, source.size, 3), np.uint8)
            source.read(index, numbers, images)
            self.jpegs.append(source.jpegs(index, numbers))
            self.landmarks = labels.landmarks
            middle = images[:, source.size // 2, source.size // 2, :2]
            pred = (middle / 255).astype(np.float32)
            traces.append(Trace(track, pred, labels.target, labels.face, labels.time_s))
        return traces

    def stream(self):
        return FakeStream()


class FakeStream(Stream):
    """Returns the red of the middle, and how many frames were pushed."""

    def __init__(self):
        self.pushed, self.last = 0, 0.0

    def push(self, frame, face=True, landmarks=None):
        self.pushed += 1
        if face:
            self.last = frame[16, 16, 0] / 255
        return np.array([self.last, self.pushed], np.float32)


def predictor(model=None, **chosen) -> Predictor:
    found = Predictor(model or FakeModel(), PLAIN, detect)
    return dataclasses.replace(found, **chosen)


def quiet() -> Progress:
    return Progress("test", shown=False)
