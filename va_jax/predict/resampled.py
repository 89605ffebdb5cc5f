"""Resample the predictions for a source: the rows that `--fps` asks for."""

import dataclasses

import numpy as np

from va_jax.predict.results import VideoResult
from va_jax.predict.tracks import TrackResult
from va_jax.scoring.resample import count_rows, nearest, resample


def resampled(result: VideoResult, fps: float | None) -> VideoResult:
    """Return the result with a row every 1 / fps seconds; unchanged if `fps` is None.

    The values are those of `resample`. The frame of a row is the one nearest in time; the box and
    the score are those of the nearest frame that shows the face.
    """
    if fps is None:
        return result
    grid = np.arange(count_rows(result.time_s, fps)) / fps
    return dataclasses.replace(
        result,
        time_s=grid,
        tracks=[_resample_track(track, result.time_s, grid, fps) for track in result.tracks],
        frames=nearest(result.time_s, grid),
    )


def _resample_track(
    track: TrackResult, time_s: np.ndarray, grid: np.ndarray, fps: float
) -> TrackResult:
    _, values, shown = resample(time_s, track.values, track.shown, fps, len(grid))
    boxes = np.full((len(grid), 4), np.nan, np.float32)
    scores = np.zeros(len(grid), np.float32)
    seen = np.flatnonzero(track.shown)
    if len(seen):
        frame = seen[nearest(time_s[seen], grid[shown])]
        boxes[shown], scores[shown] = track.boxes[frame], track.scores[frame]
    return TrackResult(track.number, shown, boxes, scores, values.astype(np.float32))
