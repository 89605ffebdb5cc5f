"""Choose the subject among the face tracks in a video, smooth a track, and fill its gaps."""

import dataclasses
from collections.abc import Sequence

import numpy as np
from jaxtyping import Int

from va_jax.faces.track import FaceTrack, side_of
from va_jax.types import InputError

MIN_SIDE = 0.5
"""Smallest face that can join the main track, relative to the main track's faces (our choice)."""


def choose_subject(tracks: list[FaceTrack]) -> FaceTrack | None:
    """Return the track of the subject, who may leave and return; None if there are no tracks.

    Tracks are ranked by total area: their box area summed over the frames that show the face. The
    first track owns every frame between its first and last shown frames, including gaps, so a
    bystander never fills a gap. Each further track owns the frames that remain within its own
    range, if its median side is at least `MIN_SIDE` times that of the first track.
    """
    if not tracks:
        return None
    ranked = sorted(tracks, key=lambda track: -total_area(track))
    least = MIN_SIDE * median_side(ranked[0])
    ranked = [track for track in ranked if median_side(track) >= least]
    owner = np.full(len(ranked[0].time_s), -1)
    for number, track in enumerate(ranked):
        own_free_frames(owner, track, number)
    return combine(ranked, owner)


def own_free_frames(owner: Int[np.ndarray, "frames"], track: FaceTrack, number: int) -> None:
    """Set `owner` to `number` where it is -1, from the first to the last frame that shows a face.

    This includes the gaps of the track.
    """
    first, last = np.flatnonzero(track.shown)[[0, -1]]
    span = owner[first : last + 1]
    span[span < 0] = number


def combine(tracks: Sequence[FaceTrack], owner: Int[np.ndarray, "frames"]) -> FaceTrack:
    """Return a track that takes every frame from the track with the number `owner`, -1 for none."""
    frames, nobody = np.arange(len(owner)), owner < 0
    boxes, landmarks, scores, segment = (
        np.stack([getattr(track, name) for track in tracks])[np.maximum(owner, 0), frames]
        for name in ("boxes", "landmarks", "scores", "segment")
    )
    boxes[nobody], landmarks[nobody], scores[nobody], segment[nobody] = np.nan, np.nan, 0, -1
    begins = (np.diff(segment, prepend=-1) != 0) | (np.diff(owner, prepend=-1) != 0)
    segment = np.where(segment < 0, -1, np.cumsum(begins & (segment >= 0)) - 1).astype(np.int32)
    return FaceTrack(boxes, landmarks, scores, segment, tracks[0].time_s)


def total_area(track: FaceTrack) -> float:
    """Return the sum of the box areas, in square pixels, over the frames that show the face."""
    return float((_sides(track) ** 2).sum())


def median_side(track: FaceTrack) -> float:
    """Return the median side of the boxes, in pixels."""
    return float(np.median(_sides(track)))


def smooth(track: FaceTrack, frames: float = 1.0) -> FaceTrack:
    """Smooth boxes and landmarks with a Gaussian over time, but never across a miss or a cut.

    Args:
        track: track of one face.
        frames: standard deviation, in median frame periods; the Gaussian is cut off at four
            standard deviations.
    """
    count = len(track.time_s)
    if count < 2:
        return track
    sd_s = frames * float(np.median(np.diff(track.time_s)))
    values = np.concatenate([track.boxes, track.landmarks.reshape(-1, 10)], 1).astype(np.float64)
    total, weight = np.zeros_like(values), np.zeros(count)
    for offset in range(-int(np.ceil(4 * frames)), int(np.ceil(4 * frames)) + 1):
        other = np.clip(np.arange(count) + offset, 0, count - 1)
        near = (np.arange(count) + offset == other) & (track.segment[other] == track.segment)
        gap_s = track.time_s[other] - track.time_s
        share = np.where(near & track.shown, np.exp(-0.5 * (gap_s / sd_s) ** 2), 0)
        total += share[:, None] * np.where(share[:, None] > 0, values[other], 0)
        weight += share
    safe = np.where(weight > 0, weight, 1)[:, None]
    values = np.where(track.shown[:, None], total / safe, values).astype(np.float32)
    return dataclasses.replace(
        track, boxes=values[:, :4], landmarks=values[:, 4:].reshape(-1, 5, 2)
    )


def fill_gaps(track: FaceTrack) -> FaceTrack:
    """Fill frames without a face with the last known position, or with the first one at the start.

    These frames are still marked as not shown.

    Raises:
        InputError: no frame shows the face.
    """
    known = np.flatnonzero(track.shown)
    if not len(known):
        raise InputError(
            "Cannot fill the gaps in a track: no frame shows the face. Omit this track."
        )
    last = np.searchsorted(known, np.arange(len(track.shown)), side="right") - 1
    source = known[np.maximum(last, 0)]
    return dataclasses.replace(track, boxes=track.boxes[source], landmarks=track.landmarks[source])


def _sides(track: FaceTrack) -> np.ndarray:
    return np.array([side_of(box) for box in track.boxes[track.shown]])
