"""Choose the subject of a video among its face tracks, smooth a track, and fill its gaps."""

import dataclasses

import numpy as np

from va_jax.faces.track import FaceTrack, side_of
from va_jax.types import InputError

MIN_SIDE = 0.5
"""A track joins the main one if its faces have this share of the main side (our choice)."""


def choose_subject(tracks: list[FaceTrack]) -> FaceTrack | None:
    """Return the track of the one subject, who may leave and return; None if there is no track.

    Tracks are ranked by total area (box area summed over shown frames). The first one owns the
    frames from its first to its last shown one, gaps included, so a bystander never stands in for
    a moment. Each following track owns those that are left, if its median side is at least
    `MIN_SIDE` of the first one's.
    """
    if not tracks:
        return None
    ranked = sorted(tracks, key=lambda track: -(_sides(track) ** 2).sum())
    least = MIN_SIDE * np.median(_sides(ranked[0]))
    ranked = [track for track in ranked if np.median(_sides(track)) >= least]
    owner = np.full(len(ranked[0].time_s), -1)
    for number, track in enumerate(ranked):
        first, last = np.flatnonzero(track.shown)[[0, -1]]
        span = owner[first : last + 1]
        span[span < 0] = number
    owner = np.maximum(owner, 0)  # a frame without an owner is blank in every track
    frames = np.arange(len(owner))
    boxes, landmarks, scores, segment = (
        np.stack([getattr(track, name) for track in ranked])[owner, frames]
        for name in ("boxes", "landmarks", "scores", "segment")
    )
    begins = (np.diff(segment, prepend=-1) != 0) | (np.diff(owner, prepend=-1) != 0)
    segment = np.where(segment < 0, -1, np.cumsum(begins & (segment >= 0)) - 1).astype(np.int32)
    return FaceTrack(boxes, landmarks, scores, segment, ranked[0].time_s)


def smooth(track: FaceTrack, frames: float = 1.0) -> FaceTrack:
    """Smooth boxes and landmarks by a Gaussian over time, but never across a miss or a cut.

    Args:
        track: the track of one face.
        frames: standard deviation in median frame periods; the Gaussian reaches four of them.
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
    """Give frames without a face the last known position, or else the next; they stay not shown.

    Raises:
        InputError: the face is shown in no frame.
    """
    known = np.flatnonzero(track.shown)
    if not len(known):
        raise InputError("Cannot fill a track without any shown face. Leave it out.")
    last = np.searchsorted(known, np.arange(len(track.shown)), side="right") - 1
    source = known[np.maximum(last, 0)]
    return dataclasses.replace(track, boxes=track.boxes[source], landmarks=track.landmarks[source])


def _sides(track: FaceTrack) -> np.ndarray:
    return np.array([side_of(box) for box in track.boxes[track.shown]])
