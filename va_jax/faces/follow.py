"""Follow faces through a video: detections linked in time by position, motion and size."""

import dataclasses
from collections.abc import Callable, Iterable

import cv2
import numpy as np
from scipy.optimize import linear_sum_assignment

from va_jax.faces.mtcnn import Detections
from va_jax.faces.tracks import FaceTrack, side_of
from va_jax.types import InputError

# All ours; distances are in sides of the face.
CUT = 25.0  # mean change of a grey thumbnail, of 255, that makes a hard cut
REACH = (0.5, 2.0, 1.5)  # a face is looked for within 0.5 + 2.0 per second unseen, at most 1.5
GROWTH = 0.5  # greatest change of the log of its side from one hit to the next
HIDDEN = 0.5  # what it costs to go on with a face that the look before did not find
JUMP = 1.0  # a longer step between two looks is not interpolated


@dataclasses.dataclass
class _Look:
    frame: int
    time_s: float
    shot: int
    found: Detections


class _Path:
    """Hits of one face in one shot: (number of the look, number of the detection in it)."""

    def __init__(self, number: int, look: _Look, hit: int):
        self.hits = [(number, hit)]
        self.look, self.box = look, look.found.boxes[hit].astype(np.float64)
        self.speed = np.zeros(2)

    def add(self, number: int, look: _Look, hit: int) -> None:
        box = look.found.boxes[hit].astype(np.float64)
        speed = (_centre(box) - _centre(self.box)) / (look.time_s - self.look.time_s)
        self.speed = speed if len(self.hits) == 1 else (self.speed + speed) / 2
        self.hits.append((number, hit))
        self.look, self.box = look, box

    def cost(self, number: int, look: _Look, box: np.ndarray) -> float:
        """Distance + change of size + lack of overlap with where it should be now; inf: too far.

        Who is hidden costs more, or would take over the one in front where that one turns round.
        """
        unseen_s = look.time_s - self.look.time_s
        expected = self.box + np.tile(self.speed * min(unseen_s, 0.5), 2)
        side = np.sqrt(side_of(expected) * side_of(box))
        distance = np.hypot(*(_centre(box) - _centre(expected))) / side
        growth = abs(np.log(side_of(box) / side_of(expected)))
        if distance > min(REACH[0] + REACH[1] * unseen_s, REACH[2]) or growth > GROWTH:
            return np.inf
        hidden = HIDDEN * (number - self.hits[-1][0] > 1)
        return distance + growth + 1 - _overlap(expected, box) + hidden


def follow(
    frames: Iterable[tuple[float, np.ndarray]],
    detector: Callable[[np.ndarray], Detections],
    every: int = 1,
    confirm: int = 3,
    keep_s: float = 1.0,
) -> list[FaceTrack]:
    """The faces of a video, each as a track over all its frames, by first appearance.

    Looks at every `every`-th frame, at both sides of a hard cut and at the last frame, and
    interpolates between two neighbouring looks that both found the face. A face keeps its
    identity while it is unseen for at most `keep_s` seconds within one shot; the frames of such
    a gap are not shown. Faces never found by `confirm` looks in a row, or by all where there are
    fewer, are dropped: the detector's errors rarely last. Holds two frames at a time; raises
    InputError where there is none.
    """
    if every < 1 or confirm < 1:
        raise InputError(f"every={every} and confirm={confirm} must be at least 1")
    times_s, looks = _look(frames, detector, every)
    paths = []
    for number, look in enumerate(looks):
        alive = [p for p in paths if p.look.shot == look.shot]
        alive = [p for p in alive if look.time_s - p.look.time_s <= keep_s]
        taken = _assign(alive, number, look)
        for hit in range(len(look.found.boxes)):
            if hit in taken:
                taken[hit].add(number, look, hit)
            else:
                paths.append(_Path(number, look, hit))
    least = min(confirm, len(looks))
    return [_track(p, looks, times_s) for p in paths if _longest_run(p) >= least]


def _look(
    frames: Iterable[tuple[float, np.ndarray]],
    detector: Callable[[np.ndarray], Detections],
    every: int,
) -> tuple[np.ndarray, list[_Look]]:
    times_s, looks, shot = [], [], 0
    previous, before = None, None

    def look(image: np.ndarray) -> None:
        looks.append(_Look(len(times_s) - 1, times_s[-1], shot, detector(image)))

    for time_s, image in frames:
        thumbnail = cv2.resize(image, (32, 32), interpolation=cv2.INTER_AREA).mean(-1)
        cut = before is not None and np.abs(thumbnail - before).mean() > CUT
        if cut:
            if looks[-1].frame < len(times_s) - 1:
                look(previous)
            shot += 1
        times_s.append(time_s)
        if cut or not looks or len(times_s) - 1 - looks[-1].frame >= every:
            look(image)
        previous, before = image, thumbnail
    if not looks:
        raise InputError("there is no frame to follow a face through")
    if looks[-1].frame < len(times_s) - 1:
        look(previous)
    return np.array(times_s, np.float64), looks


def _assign(paths: list[_Path], number: int, look: _Look) -> dict[int, _Path]:
    """Which path each detection continues: the pairs of least total cost."""
    costs = np.array([[p.cost(number, look, box) for box in look.found.boxes] for p in paths])
    if not costs.size:
        return {}
    far = 1e3  # above any sum of real costs, so that as many as can be are paired
    pairs = np.stack(linear_sum_assignment(np.minimum(costs, far)), 1).tolist()
    return {hit: paths[path] for path, hit in pairs if np.isfinite(costs[path, hit])}


def _longest_run(path: _Path) -> int:
    numbers = np.array([number for number, _ in path.hits])
    return max(len(run) for run in np.split(numbers, np.flatnonzero(np.diff(numbers) > 1) + 1))


def _track(path: _Path, looks: list[_Look], times_s: np.ndarray) -> FaceTrack:
    values = np.full((len(times_s), 15), np.nan)
    segment = np.full(len(times_s), -1, np.int32)
    last, number = None, -1
    for count, hit in path.hits:
        look = looks[count]
        found = look.found
        value = np.concatenate(
            [found.boxes[hit], found.landmarks[hit].ravel(), found.scores[hit : hit + 1]]
        )
        if last is not None and count == last[0] + 1 and _step(last[2], value) <= JUMP:
            between = slice(last[1] + 1, look.frame)
            share = (times_s[between] - times_s[last[1]]) / (look.time_s - times_s[last[1]])
            values[between] = last[2] + share[:, None] * (value - last[2])
            segment[between] = number
        else:
            number += 1
        values[look.frame], segment[look.frame] = value, number
        last = (count, look.frame, value)
    values = values.astype(np.float32)
    scores = np.where(segment >= 0, values[:, 14], np.float32(0))
    return FaceTrack(values[:, :4], values[:, 4:14].reshape(-1, 5, 2), scores, segment, times_s)


def _centre(box: np.ndarray) -> np.ndarray:
    return (box[:2] + box[2:4]) / 2


def _step(one: np.ndarray, other: np.ndarray) -> float:
    distance = np.hypot(*(_centre(one) - _centre(other)))
    return float(distance / np.sqrt(side_of(one) * side_of(other)))


def _overlap(one: np.ndarray, other: np.ndarray) -> float:
    shared = np.prod(np.maximum(np.minimum(one[2:], other[2:]) - np.maximum(one[:2], other[:2]), 0))
    return float(shared / (side_of(one) ** 2 + side_of(other) ** 2 - shared))
