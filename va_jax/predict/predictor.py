"""Predict one source: follow its faces, cut their crops, run the network over them."""

import dataclasses
import sys
from collections.abc import Callable, Iterator

import numpy as np
from jaxtyping import Float64
from tqdm import tqdm

from va_jax import faces
from va_jax.export.model import Model
from va_jax.faces import Detections, FaceTrack
from va_jax.predict.crop_cache import CropCache
from va_jax.predict.inputs import Image, Video
from va_jax.predict.preprocessing import DETECT_EVERY, Preprocessing, stride_for
from va_jax.predict.results import TrackResult, VideoResult
from va_jax.types import InputError
from va_jax.video.facts import mean_fps

TRACKS = ("largest", "all")
"""Predict the one subject of a video (see `faces.choose_subject`), or every face."""

ASPECT_TOLERANCE = 0.1
"""Warn if the log of the pixel aspect is further from 0 (our choice; PAL's 16:15 gives 0.065)."""


class Progress:
    """Context manager that shows a progress bar on standard error, restarted for every stage."""

    def __init__(self, name: str, shown: bool = True):
        self._name = name
        self._bar = tqdm(
            unit="frame", disable=not shown, leave=False, dynamic_ncols=True, file=sys.stderr
        )

    def __enter__(self) -> "Progress":
        return self

    def __exit__(self, *_: object) -> None:
        self._bar.close()

    def stage(self, name: str, frames: int | None) -> None:
        """Begin a stage of `frames` frames; None if the number is not known."""
        self._bar.set_description(f"{self._name}: {name}", refresh=False)
        self._bar.reset(frames)

    def advance(self) -> None:
        """Count one frame."""
        self._bar.update()


@dataclasses.dataclass(frozen=True)
class FollowedFaces:
    """The faces found in the first pass, in pixels of the (maybe shrunk) frames."""

    time_s: Float64[np.ndarray, "frames"]
    tracks: list[FaceTrack]  # smoothed; where not shown, the last known placement is held
    spans: list[range]  # for every track the frames that are cropped and predicted
    scale: float  # from these pixels to those of the upright frame

    @property
    def fps(self) -> float | None:
        """Mean frames per second; None for a single frame."""
        return mean_fps(self.time_s)


@dataclasses.dataclass(frozen=True)
class Predictor:
    """A model and the settings for predicting sources with it."""

    model: Model
    preprocessing: Preprocessing
    detector: Callable[[np.ndarray], Detections]
    track: str = "largest"  # one of TRACKS
    every: int = DETECT_EVERY
    processed: bool = False  # whether values go through the fitted post-processing
    note: str = ""  # printed on overlays and plots

    def predict(self, video: Video | Image, progress: Progress) -> tuple[VideoResult, list[str]]:
        """Return the predictions for a source, up to where it breaks off, and warnings.

        The source is decoded twice. Memory holds a few frames and some numbers per frame.

        Raises:
            InputError: nothing can be read, or a face cannot be cropped.
        """
        progress.stage("faces", video.frames)
        found = self._follow(video, progress.advance)
        stride, warning = stride_for(self.model.metadata, found.fps)
        warnings = [] if warning is None else [warning]
        if abs(np.log(video.pixel_aspect)) > ASPECT_TOLERANCE:
            warnings.append(
                f"its pixels are {video.pixel_aspect:.3g} times as wide as high and crops are not "
                "corrected for that, which may make the values worse; convert it to square pixels"
            )
        tracks = self._predict_tracks(video, found, stride, progress) if found.tracks else []
        result = VideoResult(
            video.path, found.time_s, tracks, self.model.dims, video.width, video.height, self.note
        )
        return result, warnings

    def _follow(self, video: Video | Image, on_frame: Callable[[], object]) -> FollowedFaces:
        """Follow the faces from the first frame to the last.

        The one subject of a video is predicted in every frame, as in a data set; with all faces,
        each is predicted from its first shown frame to its last.
        """
        times_s, widths = [], []

        def counted() -> Iterator[tuple[float, np.ndarray]]:
            for time_s, image in video:
                times_s.append(time_s)
                widths[:] = [image.shape[1]]
                yield time_s, image
                on_frame()

        found = faces.track_faces(counted(), self.detector, every=self.every, confirm=video.confirm)
        if self.track == "largest":
            subject = faces.choose_subject(found)
            found = [] if subject is None else [subject]
            spans = [range(len(times_s))] * len(found)
        else:
            ends = [np.flatnonzero(track.shown)[[0, -1]].tolist() for track in found]
            spans = [range(first, last + 1) for first, last in ends]
        tracks = [faces.fill_gaps(faces.smooth(track)) for track in found]
        return FollowedFaces(np.array(times_s, np.float64), tracks, spans, video.width / widths[0])

    def _predict_tracks(
        self, video: Video | Image, found: FollowedFaces, stride: int, progress: Progress
    ) -> list[TrackResult]:
        model = self.model
        with CropCache(len(found.tracks), self.preprocessing.points) as cache:
            progress.stage("crops", len(found.time_s))
            self._cut_crops(video, found, cache, progress)
            progress.stage("network", sum(map(len, found.spans)))
            fps = found.fps or model.metadata["fps"]
            source = cache.source(
                str(video.path), model.dims, self.preprocessing.size, fps, progress.advance
            )
            traces = model.traces(source, stride)
        results = []
        for number, (trace, track, span) in enumerate(
            zip(traces, found.tracks, found.spans, strict=True)
        ):
            pred = trace.pred
            if self.processed and model.post_processing is not None:
                pred = model.post_processing.apply(pred, trace.time_s, model.dims)
            values = np.full((len(found.time_s), len(model.dims)), np.nan, np.float32)
            values[span.start : span.stop] = pred
            boxes = np.where(track.shown[:, None], track.boxes, np.nan) * found.scale
            results.append(
                TrackResult(number, track.shown, boxes.astype(np.float32), track.scores, values)
            )
        return results

    def _cut_crops(
        self, video: Video | Image, found: FollowedFaces, cache: CropCache, progress: Progress
    ) -> None:
        """Cut the crops of every track in a second pass over the source."""
        count = 0
        for frame, (time_s, image) in enumerate(video):
            if frame == len(found.time_s):
                break  # a file that broke off in the first pass has grown since
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
            count = frame + 1
            progress.advance()
        if count < len(found.time_s):
            raise InputError(
                f"{video.path}: the file had {len(found.time_s)} frames and now has {count}; do "
                "not change it during the prediction"
            )
