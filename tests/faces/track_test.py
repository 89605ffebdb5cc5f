"""Tracks of faces: identities, gaps, cuts, the subject, smoothing and filling."""

import dataclasses

import numpy as np
import pytest

from va_jax.faces import (
    Detections,
    Detector,
    FaceTrack,
    choose_subject,
    fill_gaps,
    smooth,
    track_faces,
)
from va_jax.types import InputError
from va_jax.video.read import read_frames

FPS = 25
Face = tuple[float, float, float]  # centre x, centre y, side


class Scene:
    """A synthetic video and its detector: the faces and the grey value of each frame."""

    def __init__(self, faces: list[list[Face]], grey: list[int] | None = None):
        self.faces, self.grey, self.searched = faces, grey or [100] * len(faces), []

    def frames(self):
        for number, grey in enumerate(self.grey):
            image = np.full((40, 64, 3), grey, np.uint8)
            image[0, 0] = number // 256, number % 256, 0
            yield number / FPS, image

    def detector(self, image: np.ndarray) -> Detections:
        number = int(image[0, 0, 0]) * 256 + int(image[0, 0, 1])
        self.searched.append(number)
        faces = np.array(self.faces[number], np.float32).reshape(-1, 3)
        centre, side = faces[:, :2], faces[:, 2:]
        shape = np.array([[-0.2, -0.2], [0.2, -0.2], [0, 0], [-0.15, 0.2], [0.15, 0.2]], np.float32)
        return Detections(
            np.concatenate([centre - side / 2, centre + side / 2], 1),
            np.full(len(faces), 0.9, np.float32),
            centre[:, None] + side[:, None] * shape,
        )

    def track(self, **options) -> list[FaceTrack]:
        return track_faces(self.frames(), self.detector, **options)


def centre_x(track: FaceTrack) -> np.ndarray:
    return track.boxes[:, [0, 2]].mean(1)


def test_a_face_found_in_every_frame_keeps_its_positions():
    track, *others = Scene([[(100 + n, 50, 40)] for n in range(30)]).track()
    assert not others
    assert track.shown.all()
    np.testing.assert_allclose(centre_x(track), 100 + np.arange(30))
    np.testing.assert_allclose(track.time_s, np.arange(30) / FPS)
    assert set(track.segment) == {0}


def test_crossing_faces_do_not_swap():
    right = [100 + 6 * n for n in range(60)]
    left = [450 - 6 * n for n in range(60)]
    both = [[(r, 100, 80), (w, 110, 72)] for r, w in zip(right, left, strict=True)]
    shuffled = [faces[:: (-1) ** n] for n, faces in enumerate(both)]
    one, other = sorted(Scene(shuffled).track(), key=lambda t: centre_x(t)[0])
    np.testing.assert_allclose(centre_x(one), right)
    np.testing.assert_allclose(centre_x(other), left)


def test_faces_that_hide_each_other_while_crossing_do_not_swap():
    frames = []
    for n in range(60):
        near, far = (100 + 6 * n, 100, 80), (450 - 6 * n, 104, 70)
        frames.append([near] if abs(near[0] - far[0]) < 40 else [far, near])
    tracks = sorted(Scene(frames).track(), key=lambda t: centre_x(t)[0])
    assert len(tracks) == 2
    near, far = tracks
    np.testing.assert_allclose(centre_x(near), 100 + 6 * np.arange(60))
    assert 0 < (~far.shown).sum() < 10
    np.testing.assert_allclose(centre_x(far)[far.shown], (450 - 6 * np.arange(60))[far.shown])


def test_a_face_in_front_that_stops_is_not_taken_for_the_face_it_hides():
    frames = []
    for n in range(0, 60, 3):  # searches are far apart, so the expected position is far off
        near = (120 + 7 * min(n, 30), 100, 80)
        far = (330 + 7 * max(n - 42, 0), 104, 76)
        frames.append([near] if abs(near[0] - far[0]) < 40 else [near, far])
    near, far = sorted(Scene(frames).track(), key=lambda t: centre_x(t)[0])
    assert near.shown.all()
    assert (centre_x(near)[10:] == 330).all()
    assert far.shown.tolist() == [n <= 24 or n >= 48 for n in range(0, 60, 3)]


def test_in_a_video_of_few_searches_a_face_must_be_found_by_all():
    assert [track.shown.tolist() for track in Scene([[(100, 50, 40)]]).track()] == [[True]]
    (track,) = Scene([[(100, 50, 40)]] * 20).track(every=50)
    assert track.shown.all()
    assert Scene([[(100, 50, 40)], []]).track() == []


def test_all_faces_move_along_when_the_camera_jerks():
    # each face lands where its neighbour was nearer: the nearest pair alone would be wrong
    frames = [[(100, 100, 80), (150, 100, 80)]] * 10 + [[(138, 100, 80), (188, 100, 80)]] * 10
    one, other = sorted(Scene(frames).track(), key=lambda t: centre_x(t)[0])
    np.testing.assert_allclose(centre_x(one), [100] * 10 + [138] * 10)
    np.testing.assert_allclose(centre_x(other), [150] * 10 + [188] * 10)


def test_a_face_that_leaves_does_not_take_the_identity_of_the_other():
    frames = [[(100, 100, 60), (300, 100, 60)]] * 20 + [[(300, 100, 60)]] * 20
    one, other = sorted(Scene(frames).track(), key=lambda t: centre_x(t)[0])
    assert one.shown.tolist() == [True] * 20 + [False] * 20
    assert np.isnan(one.boxes[20:]).all()
    assert (one.scores[20:] == 0).all()
    assert other.shown.all()
    assert (centre_x(other) == 300).all()


def test_a_face_keeps_its_identity_over_a_short_gap_which_is_not_shown():
    frames = [[(100, 100, 60)]] * 10 + [[]] * 5 + [[(110, 100, 60)]] * 10
    (track,) = Scene(frames).track()
    assert track.shown.tolist() == [True] * 10 + [False] * 5 + [True] * 10
    assert track.segment.tolist() == [0] * 10 + [-1] * 5 + [1] * 10


def test_a_face_that_stays_away_for_longer_returns_as_another_track():
    frames = [[(100, 100, 60)]] * 10 + [[]] * 40 + [[(100, 100, 60)]] * 10
    assert len(Scene(frames).track(keep_s=1.0)) == 2
    assert len(Scene(frames).track(keep_s=2.0)) == 1


def test_false_positives_shorter_than_three_searches_are_dropped():
    frames = [[(100, 100, 60)] if n in (5, 6, 8, 40, 80, 81) else [] for n in range(120)]
    assert Scene(frames).track() == []
    frames[82] = [(100, 100, 60)]
    (track,) = Scene(frames).track()
    assert np.flatnonzero(track.shown).tolist() == [80, 81, 82]


@pytest.mark.parametrize(("fps", "every"), [(0.5, 1), (1, 3), (0.1, 1), (25, 100)])
def test_a_face_in_every_frame_is_found_at_any_frame_rate(fps, every):
    scene = Scene([[(100 + n % 2, 50, 40)] for n in range(24)])
    frames = [(n / fps, image) for n, (_, image) in enumerate(scene.frames())]
    (track,) = track_faces(iter(frames), scene.detector, every=every)
    assert track.shown.all()
    assert set(track.segment) == {0}


def test_in_a_shot_of_few_searches_a_face_must_be_found_by_all():
    grey = [60] * 10 + [160] * 4 + [60] * 10
    faces = [[(100, 50, 40)]] * 24
    first, second, third = Scene(faces, grey).track(every=5)
    assert np.flatnonzero(second.shown).tolist() == [10, 11, 12, 13]
    faces[13] = []
    first, third = Scene(faces, grey).track(every=5)
    assert np.flatnonzero(first.shown).tolist() == list(range(10))
    assert np.flatnonzero(third.shown).tolist() == list(range(14, 24))


def test_positions_between_searches_follow_the_time_stamps():
    scene = Scene([[(100 + n**1.5, 50, 40)] for n in range(23)])
    stamps = np.cumsum(np.random.default_rng(0).uniform(0.01, 0.09, 23))
    frames = [(float(t), image) for t, (_, image) in zip(stamps, scene.frames(), strict=True)]
    (track,) = track_faces(iter(frames), scene.detector, every=5)
    assert scene.searched == [0, 5, 10, 15, 20, 22]
    assert track.shown.all()
    searched = np.array(scene.searched)
    expected = np.interp(stamps, stamps[searched], 100 + searched**1.5)
    np.testing.assert_allclose(centre_x(track), expected, rtol=1e-6)


def test_no_face_is_shown_between_a_hit_and_a_miss():
    faces = [[(100, 100, 60)]] * 40
    faces[20] = []
    (track,) = Scene(faces).track(every=5)
    assert np.flatnonzero(~track.shown).tolist() == list(range(16, 25))


def test_both_sides_of_a_cut_are_searched_and_the_cut_ends_the_track():
    faces = [[(100, 100, 60)]] * 17 + [[(104, 100, 60)]] * 16
    scene = Scene(faces, [60] * 17 + [160] * 16)
    one, other = scene.track(every=5)
    assert scene.searched == [0, 5, 10, 15, 16, 17, 22, 27, 32]
    assert np.flatnonzero(one.shown).tolist() == list(range(17))
    assert (centre_x(one)[:17] == 100).all()
    assert (centre_x(other)[17:] == 104).all()


def test_the_subjects_track_joins_its_shots():
    faces = [[(100, 100, 60)]] * 20 + [[]] * 40 + [[(300, 100, 70)]] * 20
    track = choose_subject(Scene(faces, [60] * 40 + [160] * 40).track())
    assert track.shown.tolist() == [True] * 20 + [False] * 40 + [True] * 20
    assert (centre_x(track)[:20] == 100).all()
    assert (centre_x(track)[60:] == 300).all()
    assert track.segment.tolist() == [0] * 20 + [-1] * 40 + [1] * 20


def test_a_bystander_never_stands_in_for_the_subject():
    subject = [(100.0, 100.0, 80.0)]
    small, near = (300.0, 100.0, 30.0), (500.0, 100.0, 76.0)
    faces = [[*subject, small, near] if n not in (10, 11) else [small, near] for n in range(50)]
    faces += [[small]] * 50
    track = choose_subject(Scene(faces).track())
    assert np.flatnonzero(~track.shown).tolist() == [10, 11, *range(50, 100)]
    assert (centre_x(track)[track.shown] == 100).all()
    assert choose_subject([]) is None


def test_smoothing_weighs_by_time():
    rng = np.random.default_rng(0)
    track, *_ = Scene([[(100 + x, 50, 40)] for x in rng.normal(size=40)]).track()
    track = dataclasses.replace(track, time_s=np.cumsum(rng.uniform(0.02, 0.06, 40)))
    gap = track.time_s[:, None] - track.time_s
    weight = np.exp(-0.5 * (gap / np.median(np.diff(track.time_s))) ** 2)
    expected = weight @ centre_x(track) / weight.sum(1)
    np.testing.assert_allclose(centre_x(smooth(track)), expected, atol=0.02)


def test_smoothing_never_crosses_a_miss_or_a_cut():
    faces = [[(100, 100, 60)]] * 10 + [[]] * 2 + [[(120, 100, 60)]] * 10 + [[(140, 100, 60)]] * 10
    track = choose_subject(Scene(faces, [60] * 22 + [160] * 10).track())
    calm = smooth(track)
    np.testing.assert_allclose(calm.boxes, track.boxes, atol=1e-4)
    np.testing.assert_allclose(calm.landmarks, track.landmarks, atol=1e-4)
    assert (calm.segment == track.segment).all()


def test_a_gap_takes_the_last_position_or_else_the_next():
    faces = [[]] * 3 + [[(100, 100, 60)]] * 5 + [[]] * 4 + [[(110, 100, 60)]] * 5 + [[]] * 3
    (track,) = Scene(faces).track()
    still = fill_gaps(track)
    assert centre_x(still).tolist() == [100] * 12 + [110] * 8
    assert np.isfinite(still.landmarks).all()
    assert (still.shown == track.shown).all()


def test_a_video_without_frames_and_options_out_of_range_are_refused():
    with pytest.raises(InputError, match="no frame"):
        Scene([]).track()
    with pytest.raises(InputError, match="every=0"):
        Scene([[]]).track(every=0)


@pytest.mark.slow
def test_a_smile_is_tracked_through_every_frame(media):
    tracks = track_faces(read_frames(media / "smile.mp4"), Detector())
    assert [track.shown.sum() for track in tracks] == [72]
    eyes = tracks[0].landmarks[:, :2]
    shake = np.diff(eyes, 2, axis=0).std(0).max()
    calm = np.diff(smooth(tracks[0]).landmarks[:, :2], 2, axis=0).std(0).max()
    assert calm < 0.5 * shake


@pytest.mark.slow
def test_a_face_is_tracked_while_a_hand_covers_part_of_it(media):
    tracks = track_faces(read_frames(media / "tears_to_laughter.mp4"), Detector())
    assert [track.shown.sum() for track in tracks] == [472]
    assert choose_subject(tracks).shown.all()


@pytest.mark.slow
def test_a_video_without_a_face_has_no_track(media):
    assert track_faces(read_frames(media / "no_face.mp4"), Detector()) == []
