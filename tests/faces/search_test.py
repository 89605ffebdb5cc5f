"""Following faces between full searches gives the tracks of searching every frame."""

import numpy as np
import pytest

from tests.faces.track_test import Scene, centre_x
from va_jax.faces import Detections, Detector, FaceTrack, track_faces
from va_jax.faces.search import FULL_EVERY, MERGED
from va_jax.video.read import read_frames

STILL = (100.0, 50.0, 40.0)


class Followed(Scene):
    """A scene whose faces can be followed: the nearest face within half a side is the same one."""

    score = 0.95

    def follow(self, image: np.ndarray, boxes: np.ndarray) -> Detections:
        found = super().detector(image)
        self.searched.pop()
        centre, known = ((b[:, :2] + b[:, 2:]) / 2 for b in (found.boxes, boxes))
        results = []
        for box, middle in zip(boxes, known, strict=True):
            distance = np.linalg.norm(centre - middle, axis=1)
            if len(distance) and distance.min() < (box[2] - box[0]) / 2:
                nearest = distance.argmin()
                results.append((found.boxes[nearest], self.score, found.landmarks[nearest]))
            else:
                results.append((box, 0, np.zeros((5, 2))))
        boxes, scores, landmarks = zip(*results, strict=True)
        return Detections(*(np.array(x, np.float32) for x in (boxes, scores, landmarks)))

    def track(self, **options) -> list[FaceTrack]:
        return track_faces(self.frames(), self.detector, self.follow, **options)


def test_a_face_is_searched_until_it_is_confirmed_and_then_from_time_to_time():
    scene = Followed([[STILL]] * 50)
    (track,) = scene.track()
    assert track.shown.all()
    assert set(track.segment) == {0}
    assert scene.searched == [0, 1, 2, *range(2 + FULL_EVERY, 50, FULL_EVERY)]


@pytest.mark.parametrize("every", [3, 7, FULL_EVERY, 12])
def test_with_fewer_searches_full_ones_are_no_farther_apart(every):
    scene = Followed([[STILL]] * 100)
    (track,) = scene.track(every=every)
    assert track.shown.all()
    apart = np.diff(scene.searched)
    assert max(apart) == max(every * (FULL_EVERY // every), every)
    assert scene.searched[:3] == [0, every, 2 * every]


def test_a_face_that_appears_is_shown_from_its_first_frame():
    other = (300.0, 50.0, 40.0)
    scene = Followed([[STILL] + [other] * (n >= 15) for n in range(50)])
    one, two = scene.track()
    assert one.shown.all()
    assert two.shown.tolist() == [n >= 15 for n in range(50)]
    assert scene.searched[3:8] == [12, 22, 23, 24, 34]


def test_a_face_that_leaves_is_lost_at_once_and_searched_for():
    scene = Followed([[STILL] * (n < 20) for n in range(50)])
    (track,) = scene.track()
    assert track.shown.tolist() == [n < 20 for n in range(50)]
    assert {20, 21, 22} <= set(scene.searched)


def test_a_false_detection_is_dropped_although_it_could_be_followed():
    scene = Followed([[STILL]] * 50)
    find = scene.detector
    scene.detector = lambda image: find(image) if len(scene.searched) == 3 else nothing(find(image))
    assert scene.track() == []


def nothing(found: Detections) -> Detections:
    return Detections(found.boxes[:0], found.scores[:0], found.landmarks[:0])


def test_an_uncertain_face_is_searched_fully():
    scene = Followed([[STILL]] * 20)
    scene.score = 0.85
    (track,) = scene.track()
    assert track.shown.all()
    assert scene.searched == list(range(20))


def test_two_faces_that_are_followed_to_the_same_place_are_searched_fully():
    frames = [[(76.0 + 3 * n, 50.0, 40.0), (120.0, 50.0, 40.0)] for n in range(20)]
    merged = next(n for n in range(20) if (44 - 3 * n) / 40 < 1 - MERGED)
    scene = Followed(frames)
    scene.track()
    assert merged < 2 + FULL_EVERY
    assert scene.searched[:4] == [0, 1, 2, merged]


def test_a_face_after_a_cut_is_not_followed_back_into_the_shot_before():
    scene = Followed([[STILL]] * 6 + [[STILL, (300.0, 50.0, 40.0)]] * 10, [0] * 6 + [200] * 10)
    asked, follow = [], scene.follow

    def following(image, boxes):
        asked.append((int(image[1, 1, 0]), len(boxes)))
        return follow(image, boxes)

    scene.follow = following
    scene.track()
    assert (0, 2) not in asked
    assert all(count == 1 for grey, count in asked if grey == 0)
    assert sum(grey == 0 for grey, _ in asked) == 3  # frames 3 to 5, once each


def test_the_first_frames_of_a_shot_are_searched_fully():
    scene = Followed([[STILL]] * 20, [0] * 7 + [200] * 13)
    first, second = scene.track()
    assert first.shown.tolist() == [n < 7 for n in range(20)]
    assert second.shown.tolist() == [n >= 7 for n in range(20)]
    assert scene.searched == [0, 1, 2, 7, 8, 9, 19]


@pytest.mark.parametrize("seed", range(5))
def test_tracks_are_those_of_searching_every_frame(seed):
    rng = np.random.default_rng(seed)
    frames: list[list] = [[] for _ in range(120)]
    for row in range(4):
        first = int(rng.integers(0, 60))
        last = first + int(rng.integers(25, 60))
        x = 200 + np.cumsum(rng.normal(0, 4, 120))
        for n in range(first, min(last, 120)):
            frames[n].append((float(x[n]), 50.0 + 150 * row, 60.0))
    expected, found = Scene(frames).track(), Followed(frames).track()
    assert len(expected) == len(found)
    order = [
        sorted(tracks, key=lambda t: np.nanmean(t.boxes[:, 1])) for tracks in (expected, found)
    ]
    for one, other in zip(*order, strict=True):
        np.testing.assert_array_equal(one.shown, other.shown)
        np.testing.assert_allclose(centre_x(one), centre_x(other), rtol=1e-6)


@pytest.mark.slow
@pytest.mark.parametrize("name", ["smile", "tears_to_laughter", "no_face"])
def test_real_faces_are_followed_to_where_the_full_search_finds_them(media, name):
    detector, searched = Detector(), []

    def counting(image: np.ndarray) -> Detections:
        searched.append(0)
        return detector(image)

    frames = list(read_frames(media / f"{name}.mp4"))
    expected = track_faces(frames, detector)
    found = track_faces(frames, counting, detector.follow)
    assert len(found) == len(expected)
    for one, other in zip(expected, found, strict=True):
        np.testing.assert_array_equal(one.shown, other.shown)
        shown = one.shown
        apart = np.linalg.norm(one.landmarks[shown] - other.landmarks[shown], axis=-1)
        side = np.median(one.boxes[shown][:, 2] - one.boxes[shown][:, 0])
        assert np.median(apart) < 0.005 * side
    assert len(searched) < len(frames) / 2
