"""The target among several faces: the most visible one, or the faces that are named."""

import numpy as np
import pytest

from va_jax.faces import FaceTrack, Named, choose_target

FRAMES = 40
EVERYWHERE = range(FRAMES)


def face(frames, x, side=40.0, shot=0):
    """Return the track of a face whose centre is at (x, 50) in some frames."""
    frames = np.array(frames)
    box = np.array([x - side / 2, 50 - side / 2, x + side / 2, 50 + side / 2])
    boxes = np.full((FRAMES, 4), np.nan, np.float32)
    landmarks = np.full((FRAMES, 5, 2), np.nan, np.float32)
    scores, segment = np.zeros(FRAMES, np.float32), np.full(FRAMES, -1, np.int32)
    boxes[frames], landmarks[frames], scores[frames] = box, x, 0.9
    segment[frames] = np.cumsum(np.diff(frames, prepend=frames[0]) > 1)
    return FaceTrack(boxes, landmarks, scores, segment, np.arange(FRAMES) / 25, shot)


def places(target):
    """Return the x of the face in every frame, 0 where none is shown."""
    x = target.track.boxes[:, [0, 2]].mean(1)
    np.testing.assert_array_equal(np.isfinite(x), target.track.shown)
    np.testing.assert_array_equal(target.track.scores > 0, target.track.shown)
    np.testing.assert_array_equal(target.track.landmarks[:, 0, 0], x)
    return np.nan_to_num(x).astype(int).tolist()


def test_the_largest_total_area_wins():
    small, large = face(EVERYWHERE, 100, side=30), face(range(10, 35), 200, side=40)
    target = choose_target([small, large])
    assert places(target) == [0] * 10 + [200] * 25 + [0] * 5
    assert target.main.tolist() == target.track.shown.tolist()


@pytest.mark.parametrize("gap", [[12], range(10, 20)])
def test_who_was_seen_with_the_target_never_replaces_it(gap):
    shown = [n for n in range(30) if n not in gap]
    target = choose_target([face(shown, 100, side=60), face(range(5, 40), 200)])
    assert places(target) == [100 if n in shown else 0 for n in EVERYWHERE]


def test_a_face_that_is_never_seen_with_the_target_replaces_it_unless_it_is_small():
    first, later, small = face(range(20), 100), face(range(25, 35), 200), face(range(36, 40), 9, 15)
    target = choose_target([later, small, first])
    assert places(target) == [100] * 20 + [0] * 5 + [200] * 10 + [0] * 5
    assert np.flatnonzero(target.main).tolist() == list(range(20))
    assert target.track.segment.tolist() == [0] * 20 + [-1] * 5 + [1] * 10 + [-1] * 5


def test_a_name_beats_size_and_holds_until_the_next():
    tracks = [face(EVERYWHERE, 100), face(EVERYWHERE, 200, side=90)]
    target = choose_target(tracks, [Named(10, 0), Named(25, 1), Named(30, None), Named(35, 0)])
    assert places(target) == [100] * 25 + [200] * 5 + [0] * 5 + [100] * 5
    assert target.main.sum() == 35
    assert target.track.segment.tolist() == [0] * 25 + [1] * 5 + [-1] * 5 + [2] * 5


def test_the_first_name_in_a_shot_holds_from_its_start_but_in_no_other_shot():
    tracks = [face(range(10), 100, shot=0), face(range(10, 20), 110, shot=1)]
    tracks += [face(range(20, 40), 120, shot=2), face(range(20, 40), 200, shot=2)]
    target = choose_target(tracks, [Named(5, 0), Named(30, 3), Named(35, 2)])
    assert places(target) == [100] * 10 + [0] * 10 + [200] * 15 + [120] * 5


def test_a_hidden_target_stays_hidden_until_the_next_name_of_its_shot():
    target = choose_target([face(EVERYWHERE, 100)], [Named(0, None), Named(30, 0)])
    assert places(target) == [0] * 30 + [100] * 10


def test_a_named_face_that_is_lost_is_replaced_within_its_shot_only():
    tracks = [face(range(10), 100), face(range(15, 25), 105), face(range(25, 40), 110, shot=1)]
    assert (
        places(choose_target(tracks, [Named(3, 0)])) == [100] * 10 + [0] * 5 + [105] * 10 + [0] * 15
    )


def test_without_faces_or_visible_names_there_is_no_target():
    assert choose_target([]) is None
    assert choose_target([face(EVERYWHERE, 100)], [Named(0, None)]) is None
