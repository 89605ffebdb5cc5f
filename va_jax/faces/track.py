"""Track the faces in a video: link detections over time based on position, motion and size."""

import collections
import dataclasses
from collections.abc import Iterable

import numpy as np
from jaxtyping import Bool, Float, Float32, Float64, Int32
from scipy.optimize import linear_sum_assignment

from va_jax.faces.detect import iou
from va_jax.faces.search import Find, Follow, Search, Searches
from va_jax.types import InputError

# These values are our choice; distances are relative to the side of the face.
REACH = 0.5  # largest distance of a face from its expected position,
REACH_PER_S = 2.0  # plus this distance for every second since the last detection,
MAX_REACH = 1.5  # up to this limit
MAX_GROWTH = 0.5  # largest change in the logarithm of the side between two detections
MISSED_COST = 0.5  # cost of continuing a track that the previous search did not find
MAX_JUMP = 1.0  # largest distance between two positions to interpolate


@dataclasses.dataclass(frozen=True)
class FaceTrack:
    """One face in all frames of a video, in frame pixels.

    In frames where the face has no position, boxes and landmarks are NaN and scores are 0. Frames
    with the same `segment` number are consecutive, without a miss or a cut; frames that do not show
    the face have the number -1. A track never continues after a hard cut; tracks with the same
    `shot` lie between the same two cuts.
    """

    boxes: Float32[np.ndarray, "frames 4"]  # x1, y1, x2, y2
    landmarks: Float32[np.ndarray, "frames 5 2"]  # in the order of Detections
    scores: Float32[np.ndarray, "frames"]
    segment: Int32[np.ndarray, "frames"]
    time_s: Float64[np.ndarray, "frames"]
    shot: int = 0

    @property
    def shown(self) -> Bool[np.ndarray, "frames"]:
        """True for frames with a detection, or between two successive searches with detections."""
        return self.segment >= 0


class _Tracklet:
    """The detections of one face in one shot."""

    def __init__(self, search: Search, face: int):
        self.hits = [(search, face)]
        self.box = search.found.boxes[face].astype(np.float64)
        self._speed = np.zeros(2)  # pixels per second

    @property
    def last(self) -> Search:
        return self.hits[-1][0]

    def add(self, search: Search, face: int) -> None:
        box = search.found.boxes[face].astype(np.float64)
        speed = (_centre(box) - _centre(self.box)) / (search.time_s - self.last.time_s)
        self._speed = speed if len(self.hits) == 1 else (self._speed + speed) / 2
        self.hits.append((search, face))
        self.box = box

    def cost(self, search: Search, box: np.ndarray) -> float:
        """Return how poorly a box continues the tracklet, or infinity if it is too far away.

        The cost is the sum of the distance, the change in size and the lack of overlap with the
        expected box. It is higher if the last search missed the face. Without this rule, a hidden
        face could take over the detection of the face in front of it when that face turns round.
        """
        unseen_s = search.time_s - self.last.time_s
        expected = self.box + np.tile(self._speed * min(unseen_s, 0.5), 2)
        distance = _distance(box, expected)
        growth = abs(np.log(side_of(box) / side_of(expected)))
        if distance > min(REACH + REACH_PER_S * unseen_s, MAX_REACH) or growth > MAX_GROWTH:
            return np.inf
        missed = search.number - self.last.number > 1
        return distance + growth + 1 - iou(expected, box) + MISSED_COST * missed

    def longest_run(self) -> int:
        """Return the largest number of full searches in a run of successive hits."""
        numbers = np.array([search.number for search, _ in self.hits])
        full = np.array([search.full for search, _ in self.hits])
        runs = np.split(full, np.flatnonzero(np.diff(numbers) > 1) + 1)
        return max(int(run.sum()) for run in runs)


def track_faces(
    frames: Iterable[tuple[float, np.ndarray]],
    detector: Find,
    follow: Follow | None = None,
    every: int = 1,
    confirm: int = 3,
    keep_s: float = 1.0,
) -> list[FaceTrack]:
    """Detect the faces in a video and link them into tracks that cover all frames.

    Every `every`-th frame, the frames on both sides of a hard cut and the last frame are searched,
    as described in `search.Searches`. Positions are interpolated between two successive searches
    that both found the face. The face counts as not shown in longer gaps.

    Args:
        frames: (time in seconds, RGB image) in time order.
        detector: function that returns the faces in an image.
        follow: function that finds known faces again in the next image, such as `Detector.follow`;
            without it, the detector processes every frame that is searched.
        every: number of frames from one search to the next.
        confirm: number of successive full searches that must find a face, since false detections
            rarely persist. If there are fewer full searches in a shot, all of them must find it.
        keep_s: longest time, in seconds, that a face can be missing from a shot without losing its
            identity. A face that two successive searches find keeps its identity at any frame rate.

    Returns:
        The tracks, in order of their first appearance.

    Raises:
        InputError: there are no frames, or an option is out of range.
    """
    if every < 1 or confirm < 1:
        raise InputError(f"every={every} and confirm={confirm} must both be at least 1")
    searches = Searches(detector, follow, every, confirm)
    for now_s, image in frames:
        searches.add(now_s, image)
    if not searches.done:
        raise InputError("Cannot track faces: the video has no frames. Use a different video.")
    searches.end()
    time_s = np.array(searches.times_s, np.float64)
    tracklets: list[_Tracklet] = []
    for search in searches.done:
        alive = [
            tracklet
            for tracklet in tracklets
            if tracklet.last.shot == search.shot
            and (
                search.number == tracklet.last.number + 1
                or search.time_s - tracklet.last.time_s <= keep_s
            )
        ]
        continued = _assign(alive, search)
        for face in range(len(search.found.boxes)):
            if face in continued:
                continued[face].add(search, face)
            else:
                tracklets.append(_Tracklet(search, face))
    in_shot = collections.Counter(search.shot for search in searches.done if search.full)
    return [
        _interpolate(each, time_s)
        for each in tracklets
        if each.longest_run() >= min(confirm, in_shot[each.last.shot])
    ]


def _assign(tracklets: list[_Tracklet], search: Search) -> dict[int, _Tracklet]:
    """Return the tracklet that each detection continues, with the lowest total cost."""
    costs = np.array([[each.cost(search, box) for box in search.found.boxes] for each in tracklets])
    if not costs.size:
        return {}
    far = 1e3  # greater than any sum of real costs, so that as many as possible are paired
    pairs = zip(*linear_sum_assignment(np.minimum(costs, far)), strict=True)
    return {int(face): tracklets[row] for row, face in pairs if np.isfinite(costs[row, face])}


def _interpolate(tracklet: _Tracklet, time_s: np.ndarray) -> FaceTrack:
    """Turn a tracklet into a track, with interpolated positions between successive detections."""
    values = np.full((len(time_s), 15), np.nan)
    segment = np.full(len(time_s), -1, np.int32)
    last, last_value, number = None, np.empty(0), -1
    for search, face in tracklet.hits:
        found, frame = search.found, search.frame
        value = np.concatenate(
            [found.boxes[face], found.landmarks[face].ravel(), found.scores[face : face + 1]]
        )
        if (
            last is not None
            and search.number == last.number + 1
            and _distance(value, last_value) <= MAX_JUMP
        ):
            between = slice(last.frame + 1, frame)
            share = (time_s[between] - last.time_s) / (search.time_s - last.time_s)
            values[between] = last_value + share[:, None] * (value - last_value)
            segment[between] = number
        else:
            number += 1
        values[frame], segment[frame] = value, number
        last, last_value = search, value
    values = values.astype(np.float32)
    scores = np.where(segment >= 0, values[:, 14], np.float32(0))
    boxes, landmarks = values[:, :4], values[:, 4:14].reshape(-1, 5, 2)
    return FaceTrack(boxes, landmarks, scores, segment, time_s, tracklet.last.shot)


def side_of(box: Float[np.ndarray, "values"]) -> float:
    """Return the side of a square with the same area as a box, at least 1 pixel."""
    return float(np.sqrt(max((box[2] - box[0]) * (box[3] - box[1]), 1.0)))


def _centre(box: np.ndarray) -> np.ndarray:
    return (box[:2] + box[2:4]) / 2


def _distance(box: np.ndarray, other: np.ndarray) -> float:
    """Return the distance between two centres, relative to the sides of the boxes."""
    distance = np.hypot(*(_centre(box) - _centre(other)))
    return float(distance / np.sqrt(side_of(box) * side_of(other)))
