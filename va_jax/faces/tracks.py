"""What is done with faces once followed: choose the subject, smooth, fill in what is not seen."""

import dataclasses

import numpy as np
from jaxtyping import Bool, Float32, Float64, Int32

from va_jax.types import InputError

MIN_SIDE = 0.5  # a track joins the main face if its faces have this share of the main side; ours


@dataclasses.dataclass(frozen=True)
class FaceTrack:
    """One face through all frames 0..N-1 of a video, in pixels of the frames.

    Boxes and landmarks are NaN and scores 0 where the face has no placement. Frames of one
    `segment` number follow each other without a miss or a cut; it is -1 where no face is shown.
    """

    boxes: Float32[np.ndarray, "frames 4"]  # x1, y1, x2, y2
    landmarks: Float32[np.ndarray, "frames 5 2"]  # order as in Detections
    scores: Float32[np.ndarray, "frames"]
    segment: Int32[np.ndarray, "frames"]
    times_s: Float64[np.ndarray, "frames"]

    @property
    def shown(self) -> Bool[np.ndarray, "frames"]:
        """True where the face was found, or lies between two neighbouring looks that found it."""
        return self.segment >= 0


def main_face(tracks: list[FaceTrack]) -> FaceTrack | None:
    """The one subject of a video, who may leave and return; None where there is no track.

    Tracks are ranked by total area (box area summed over shown frames). The first one owns the
    frames from its first to its last shown one, gaps included, so that a bystander never stands
    in for a moment. Each next track owns those that are left, if its median side is at least
    half of the first one's.
    """
    if not tracks:
        return None
    ranked = sorted(tracks, key=lambda t: -(_sides(t) ** 2).sum())
    least = MIN_SIDE * np.median(_sides(ranked[0]))
    ranked = [t for t in ranked if np.median(_sides(t)) >= least]
    owner = np.full(len(ranked[0].times_s), -1)
    for number, track in enumerate(ranked):
        first, last = np.flatnonzero(track.shown)[[0, -1]]
        span = owner[first : last + 1]
        span[span < 0] = number
    # a frame that nobody owns is blank in every track
    owner = np.maximum(owner, 0)
    frames = np.arange(len(owner))
    boxes, landmarks, scores, segment = (
        np.stack([getattr(t, name) for t in ranked])[owner, frames]
        for name in ("boxes", "landmarks", "scores", "segment")
    )
    begins = (np.diff(segment, prepend=-1) != 0) | (np.diff(owner, prepend=-1) != 0)
    segment = np.where(segment < 0, -1, np.cumsum(begins & (segment >= 0)) - 1).astype(np.int32)
    return FaceTrack(boxes, landmarks, scores, segment, ranked[0].times_s)


def smooth(track: FaceTrack, frames: float = 1.0) -> FaceTrack:
    """Boxes and landmarks under a Gaussian over time, never across a miss or a cut.

    Its standard deviation is `frames` median frame periods; it reaches four of them.
    """
    count = len(track.times_s)
    if count < 2:
        return track
    sd_s = frames * float(np.median(np.diff(track.times_s)))
    values = np.concatenate([track.boxes, track.landmarks.reshape(-1, 10)], 1).astype(np.float64)
    total, weight = np.zeros_like(values), np.zeros(count)
    for offset in range(-int(np.ceil(4 * frames)), int(np.ceil(4 * frames)) + 1):
        other = np.clip(np.arange(count) + offset, 0, count - 1)
        near = (np.arange(count) + offset == other) & (track.segment[other] == track.segment)
        gap_s = track.times_s[other] - track.times_s
        share = np.where(near & track.shown, np.exp(-0.5 * (gap_s / sd_s) ** 2), 0)
        total += share[:, None] * np.where(share[:, None] > 0, values[other], 0)
        weight += share
    safe = np.where(weight > 0, weight, 1)[:, None]
    values = np.where(track.shown[:, None], total / safe, values).astype(np.float32)
    return dataclasses.replace(
        track, boxes=values[:, :4], landmarks=values[:, 4:].reshape(-1, 5, 2)
    )


def held(track: FaceTrack) -> FaceTrack:
    """Frames without a face get the last known placement, else the next, and stay not shown."""
    known = np.flatnonzero(track.shown)
    if not len(known):
        raise InputError("a track without any shown face has no placement to hold")
    last = np.searchsorted(known, np.arange(len(track.shown)), side="right") - 1
    source = known[np.maximum(last, 0)]
    return dataclasses.replace(track, boxes=track.boxes[source], landmarks=track.landmarks[source])


def side_of(box: np.ndarray) -> float:
    return float(np.sqrt(max((box[2] - box[0]) * (box[3] - box[1]), 1.0)))


def _sides(track: FaceTrack) -> np.ndarray:
    return np.array([side_of(box) for box in track.boxes[track.shown]])
