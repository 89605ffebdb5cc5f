"""One source predicted: faces followed, crops spooled, the network run over them."""

import dataclasses
from collections.abc import Callable
from typing import Any

import numpy as np

from va_jax.faces import Detections
from va_jax.predict import preprocessing as recipes
from va_jax.predict.crop_cache import Spool
from va_jax.predict.following import Followed, follow
from va_jax.predict.pictures import Image, Video
from va_jax.predict.preprocessing import Recipe
from va_jax.predict.progress import Progress
from va_jax.predict.results import TrackResult, VideoResult
from va_jax.types import InputError

NARROWED = 0.1
"""Log of the aspect of pixels from which on it is told; PAL's 16:15 is .065; ours."""


@dataclasses.dataclass(frozen=True)
class Predictor:
    """A model and all that is chosen of how it is used."""

    model: Any  # va_jax.model.Model
    recipe: Recipe
    detector: Callable[[np.ndarray], Detections]
    which: str = "largest"  # one of following.TRACKS
    every: int = recipes.DETECT_EVERY
    processed: bool = False  # values go through the fitted post-processing

    def predict(self, pictures: Video | Image, progress: Progress) -> tuple[VideoResult, list[str]]:
        """What is said of a source, up to where it breaks off, and warnings.

        Memory holds a few frames and some numbers a frame. Raises InputError where nothing can be
        read, or where a face cannot be cropped.
        """
        progress.stage("faces", pictures.frames)
        found = follow(pictures, self.detector, self.which, self.every, progress.advance)
        stride, warning = recipes.stride_for(self.model.passport, found.fps)
        warnings = [] if warning is None else [warning]
        if abs(np.log(pictures.pixel_aspect)) > NARROWED:
            warnings.append(
                f"its pixels are {pictures.pixel_aspect:.3g} times as wide as high, and faces are "
                "not stretched; values may suffer, make the pixels square first"
            )
        tracks = self._tracks(pictures, found, stride, progress)
        result = VideoResult(
            pictures.path,
            found.time_s,
            tracks,
            self.model.dims,
            pictures.width,
            pictures.height,
        )
        return result, warnings

    def _tracks(
        self, pictures: Video | Image, found: Followed, stride: int, progress: Progress
    ) -> list[TrackResult]:
        if not found.tracks:
            return []
        with Spool(len(found.tracks), self.recipe.points) as spool:
            progress.stage("crops", len(found.time_s))
            self._cut(pictures, found, spool, progress)
            progress.stage("network", sum(map(len, found.spans)))
            fps = found.fps or self.model.passport["fps"]
            traces = self.model.traces(
                spool.source(
                    str(pictures.path),
                    self.model.dims,
                    self.recipe.size,
                    fps,
                    progress.advance,
                ),
                stride,
            )
        tracks = []
        for number, (trace, track, span) in enumerate(
            zip(traces, found.tracks, found.spans, strict=True)
        ):
            pred = trace.pred
            if self.processed:
                pred = self.model.chain.apply(pred, trace.time_s, self.model.dims)
            values = np.full((len(found.time_s), len(self.model.dims)), np.nan, np.float32)
            values[span.start : span.stop] = pred
            boxes = np.where(track.shown[:, None], track.boxes, np.nan) * found.scale
            tracks.append(
                TrackResult(number, track.shown, boxes.astype(np.float32), track.scores, values)
            )
        return tracks

    def _cut(
        self, pictures: Video | Image, found: Followed, spool: Spool, progress: Progress
    ) -> None:
        """The second pass: every track's crops of its span."""
        count = 0
        for frame, (time_s, image) in enumerate(pictures):
            if frame == len(found.time_s):
                break  # what broke off before has grown since
            for number, track in enumerate(found.tracks):
                if frame not in found.spans[number]:
                    continue
                shown = bool(track.shown[frame])
                try:
                    jpeg, landmarks = self.recipe.store(
                        image, track.boxes[frame], track.landmarks[frame], shown
                    )
                except InputError as error:
                    raise InputError(f"{pictures.path}: at {time_s:.3f} s: {error}") from error
                spool.add(number, jpeg, shown, time_s, landmarks)
            count = frame + 1
            progress.advance()
        if count < len(found.time_s):
            raise InputError(
                f"{pictures.path}: had {len(found.time_s)} frames and now {count}; "
                "leave it alone while it is read"
            )
