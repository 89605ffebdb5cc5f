"""Crops along boxes and landmarks; frames without a picture or a face keep their place."""

from collections import Counter
from types import SimpleNamespace

import cv2
import numpy as np
import simplejpeg

from tests.tfds_builders.layouts import picture, shown, write_video
from tfds_builders.crops import cut
from tfds_builders.material import Material
from va_jax import faces

CONFIG = SimpleNamespace(size=32, jpeg_quality=95, margin=0.0, max_side=1280, min_face=40)
BOX = np.array([16.0, 8, 48, 40])


def pixels(each):
    return simplejpeg.decode_jpeg(each.jpeg).astype(float)


def test_boxes_cut_the_right_place_of_the_right_frame(tmp_path):
    path = write_video(tmp_path / "a.mp4", 6, fps=20)
    places = {1: BOX, 2: BOX + 8, 4: BOX, 99: BOX}
    tally = Counter()
    fps, cuts = cut(Material(path, "boxes", first=1, places=places), CONFIG, 2, tally)
    cuts = list(cuts)
    assert fps == 20
    assert [each.number for each in cuts] == [1, 2, 3, 4, 5, 6]
    np.testing.assert_allclose([each.time_s for each in cuts], np.arange(6) / 20)
    assert [each.face for each in cuts] == [True, True, False, True, False, False]
    assert tally["no_place"] == 3
    held = [BOX, BOX + 8, BOX + 8, BOX, BOX, BOX]
    for number, (each, box) in enumerate(zip(cuts, held, strict=True)):
        x1, y1, x2, y2 = box.astype(int)
        expected = picture(number, 64, 48)[y1:y2, x1:x2].astype(float)
        assert np.abs(pixels(each) - expected).mean() < 6
        assert each.landmarks.shape == (2, 2)
        assert np.isnan(each.landmarks).all()


def test_before_the_first_box_the_crop_shows_the_first_place(tmp_path):
    path = write_video(tmp_path / "a.mp4", 3)
    _, cuts = cut(Material(path, "boxes", places={2: BOX}), CONFIG, 0, Counter())
    first = pixels(next(iter(cuts)))
    assert np.abs(first - picture(0, 64, 48)[8:40, 16:48]).mean() < 4


def test_without_any_box_the_crops_are_black(tmp_path):
    path = write_video(tmp_path / "a.mp4", 3)
    tally = Counter()
    _, cuts = cut(Material(path, "boxes"), CONFIG, 0, tally)
    assert all(not each.face and pixels(each).max() < 3 for each in cuts)
    assert tally["no_place"] == 3


def test_places_that_are_not_finite_or_too_large_do_not_count(tmp_path):
    path = write_video(tmp_path / "a.mp4", 4)
    bad = {0: BOX * np.nan, 1: BOX[[2, 3, 0, 1]], 2: np.array([16.0, 8, 9e6, 40]), 3: BOX}
    tally = Counter()
    _, cuts = cut(Material(path, "boxes", places=bad), CONFIG, 0, tally)
    assert [each.face for each in cuts] == [False, False, False, True]
    assert tally["no_place"] == 3


def test_landmarks_whose_eyes_coincide_place_no_face(tmp_path):
    path = write_video(tmp_path / "a.mp4", 1)
    points = np.array([[24.0, 18], [24, 18], [31, 26], [26, 32], [36, 34]])
    (each,) = cut(Material(path, "landmarks", places={0: points}), CONFIG, 0, Counter())[1]
    assert not each.face


def test_landmarks_align_and_are_stored_in_units_of_the_crop(tmp_path):
    path = write_video(tmp_path / "a.mp4", 1)
    points = np.array([[24.0, 18], [40, 22], [31, 26], [26, 32], [36, 34]])
    material = Material(path, "landmarks", places={0: points}, landmarks={0: points})
    (each,) = cut(material, CONFIG, 5, Counter())[1]
    expected, matrix = faces.align(picture(0, 64, 48), points, 32)
    assert np.abs(pixels(each) - expected).mean() < 4
    moved = cv2.transform(points[None], matrix)[0]
    np.testing.assert_allclose(each.landmarks, (moved + 0.5) / 32, rtol=1e-5)
    eyes = each.landmarks[:2]
    assert abs(eyes[0, 1] - eyes[1, 1]) < 1e-6  # level


def test_images_are_identified_by_number_and_missing_ones_keep_their_place(tmp_path):
    for number in (10, 9, 7):
        cv2.imwrite(str(tmp_path / f"{number}.png"), picture(number, 64, 48)[..., ::-1])
    places = dict.fromkeys(range(5, 12), BOX)
    tally = Counter()
    material = Material(tmp_path, "boxes", first=7, last=11, fps=10, places=places)
    fps, cuts = cut(material, CONFIG, 0, tally)
    cuts = list(cuts)
    assert fps == 10
    assert [each.face for each in cuts] == [True, False, True, True, False]
    assert [shown(each.jpeg) for each in cuts] == [7, 7, 9, 10, 10]
    np.testing.assert_allclose([each.time_s for each in cuts], np.arange(5) / 10)
    assert tally["no_image"] == 2


def test_a_margin_widens_the_box(tmp_path):
    path = write_video(tmp_path / "a.mp4", 1)
    config = SimpleNamespace(**{**vars(CONFIG), "margin": 0.25})
    material = Material(path, "boxes", places={0: np.array([20.0, 12, 44, 36])})
    (each,) = cut(material, config, 0, Counter())[1]
    expected, _ = faces.crop_box(picture(0, 64, 48), np.array([14.0, 6, 50, 42]), 32)
    assert np.abs(pixels(each) - expected).mean() < 4
