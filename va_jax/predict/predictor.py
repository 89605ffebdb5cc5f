"""Process a single source: follow its faces, cut out their crops, and run the network on them."""

import contextlib
import dataclasses
import sys
from collections.abc import Callable, Iterator, Sequence

import numpy as np
from jaxtyping import Float64
from tqdm import tqdm

from va_jax import faces
from va_jax.export.metadata import SYNTHETIC_WARNING, is_synthetic
from va_jax.export.model import Model
from va_jax.faces import Detections, FaceTrack, Follow
from va_jax.predict import preprocessing
from va_jax.predict.crop_cache import CropCache
from va_jax.predict.inputs import Image, Video
from va_jax.predict.preprocessing import DETECT_EVERY, Preprocessing, stride_for
from va_jax.predict.results import VideoResult
from va_jax.predict.tracks import TrackResult
from va_jax.types import InputError, Trace
from va_jax.video.facts import mean_fps

TRACKS = ("largest", "all")
"""Which faces to use: the subject of the video (see `faces.choose_subject`), or all of them."""


class Progress(contextlib.AbstractContextManager["Progress"]):
    """A progress bar on standard error that restarts for every stage."""

    def __init__(self, name: str, shown: bool = True):
        self._name = name
        self._bar = tqdm(
            unit="frame", disable=not shown, leave=False, dynamic_ncols=True, file=sys.stderr
        )

    def __exit__(self, *_: object) -> None:
        self._bar.close()

    def stage(self, name: str, frames: int | None) -> None:
        """Begin a stage with `frames` frames; None if their number is not known."""
        self._bar.set_description(f"{self._name}: {name}", refresh=False)
        self._bar.reset(frames)

    def advance(self) -> None:
        """Count one frame."""
        self._bar.update()


SYNTHETIC_NOTE = "trained on drawings: values are not meaningful"


@dataclasses.dataclass(frozen=True)
class FollowedFaces:
    """The faces found in the first pass, in pixels of the (possibly shrunk) frames."""

    time_s: Float64[np.ndarray, "frames"]
    tracks: list[FaceTrack]  # smoothed; the last known position is kept while a face is not shown
    spans: list[range]  # for every track, the frames that the network is run on
    scale: float  # from these pixels to those of the upright frame


@dataclasses.dataclass(frozen=True)
class Predictor:
    """A model, and the settings for running it on sources."""

    model: Model
    preprocessing: Preprocessing
    detector: Callable[[np.ndarray], Detections]
    track: str = "largest"  # one of TRACKS
    every: int = DETECT_EVERY
    processed: bool = False  # whether to apply the fitted post-processing
    note: str = ""  # printed on overlays and plots
    follow: Follow | None = None  # finds faces again in the next image; see `faces.track_faces`

    def predict(self, video: Video | Image, progress: Progress) -> tuple[VideoResult, list[str]]:
        """Return the predictions for all frames that can be decoded, and any warnings.

        The source is decoded twice. Only a few frames, and a few numbers per frame, are kept in
        memory.

        Raises:
            InputError: no frame can be read, or a face cannot be cropped.
        """
        progress.stage("faces", video.frames)
        found = self._follow(video, progress.advance)
        fps = mean_fps(found.time_s)
        stride, warning = stride_for(self.model.metadata, fps)
        tracks = []
        if found.tracks:
            cache = self._cut_crops(video, found, progress)
            progress.stage("network", sum(map(len, found.spans)))
            source = cache.source(
                str(video.path), self.model.dims, self.preprocessing.size,
                fps or self.model.metadata["fps"], progress.advance,
            )  # fmt: skip
            tracks = self._results(found, self.model.traces(source, stride))
        result = VideoResult(
            video.path, found.time_s, tracks, self.model.dims, video.width, video.height, self.note
        )
        return result, [warning] if warning else []

    def _follow(self, video: Video | Image, on_frame: Callable[[], object]) -> FollowedFaces:
        """Follow the faces from the first frame to the last.

        For the subject of a video, the span is the whole video, as in a data set. If all faces are
        followed, each span runs from the first to the last frame that shows the face.
        """
        times_s, widths = [], []

        def counted() -> Iterator[tuple[float, np.ndarray]]:
            for time_s, image in video:
                times_s.append(time_s)
                widths[:] = [image.shape[1]]
                yield time_s, image
                on_frame()

        found = faces.track_faces(counted(), self.detector, self.follow, self.every, video.confirm)
        if self.track == "largest":
            subject = faces.choose_subject(found)
            found = [] if subject is None else [subject]
            spans = [range(len(times_s))] * len(found)
        else:
            ends = [np.flatnonzero(track.shown)[[0, -1]].tolist() for track in found]
            spans = [range(first, last + 1) for first, last in ends]
        tracks = [faces.fill_gaps(faces.smooth(track)) for track in found]
        return FollowedFaces(np.array(times_s, np.float64), tracks, spans, video.width / widths[0])

    def _cut_crops(
        self, video: Video | Image, found: FollowedFaces, progress: Progress
    ) -> CropCache:
        """Cut out the crops of every track in a second pass over the source."""
        cache = CropCache(len(found.tracks), self.preprocessing.points)
        progress.stage("crops", len(found.time_s))
        for frame, (time_s, image) in enumerate(video):
            for number, track in enumerate(found.tracks):
                if frame not in found.spans[number]:
                    continue
                shown = bool(track.shown[frame])
                try:
                    jpeg, landmarks = self.preprocessing.crop(
                        image, track.boxes[frame], track.landmarks[frame], shown
                    )
                except InputError as error:
                    raise InputError(f"{video.path}: at {time_s:.3f} s: {error}") from error
                cache.add(number, jpeg, shown, time_s, landmarks)
            progress.advance()
        return cache

    def _results(self, found: FollowedFaces, traces: Sequence[Trace]) -> list[TrackResult]:
        """Return the values for every track in every frame of the source."""
        results = []
        for trace, track, span in zip(traces, found.tracks, found.spans, strict=True):
            pred = trace.pred
            if self.processed and self.model.post_processing is not None:
                pred = self.model.post_processing.apply(pred, trace.time_s, self.model.dims)
            values = np.full((len(found.time_s), len(self.model.dims)), np.nan, np.float32)
            values[span.start : span.stop] = pred
            boxes = np.where(track.shown[:, None], track.boxes, np.nan) * found.scale
            results.append(
                TrackResult(
                    len(results), track.shown, boxes.astype(np.float32), track.scores, values
                )
            )
        return results


def of_model(model: Model, track: str, every: int, processed: bool) -> tuple[Predictor, list[str]]:
    """Return a predictor with the built-in detector, and warnings about the model's values.

    Raises:
        InputError: the network takes landmarks that the detector cannot find.
    """
    settings, warnings = preprocessing.from_metadata(model.metadata)
    synthetic = is_synthetic(model.metadata)
    detector = faces.Detector(min_face=preprocessing.MIN_FACE)
    predictor = Predictor(
        model, settings, detector, track, every, processed,
        SYNTHETIC_NOTE if synthetic else "", detector.follow,
    )  # fmt: skip
    return predictor, [SYNTHETIC_WARNING] * synthetic + warnings
