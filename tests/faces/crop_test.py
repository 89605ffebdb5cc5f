"""Crops agree with hand-made geometry, under rotation and beyond the border, without aliasing."""

import cv2
import numpy as np
import pytest
from PIL import Image

from va_jax.faces.crop import (
    align,
    crop_box,
    crop_face,
    five_points,
    landmarks_in_crop,
    transform_points,
    warp,
)
from va_jax.types import InputError

UPRIGHT = np.array([[40, 50], [80, 50], [60, 65], [45, 80], [75, 80]], np.float64)


def turned(points: np.ndarray, degrees: float, centre: tuple[float, float]) -> np.ndarray:
    c, s = np.cos(np.radians(degrees)), np.sin(np.radians(degrees))
    return (points - centre) @ np.array([[c, s], [-s, c]]) + centre


def test_an_upright_face_lands_where_hand_calculation_puts_it():
    # eyes 40 apart, mouth 30 below: the square of side 80 around (60, 65), from (20, 25)
    _, matrix = align(np.zeros((200, 200, 3), np.uint8), UPRIGHT, 80)
    seen = transform_points(matrix, UPRIGHT)
    # edges are at -0.5 of pixel centres, so the square's middle falls on (39.5, 39.5)
    np.testing.assert_allclose(seen, UPRIGHT - [60, 65] + 39.5, atol=1e-9)


def test_a_long_face_is_bounded_by_the_height_of_mouth_to_eyes():
    long = UPRIGHT + np.array([[0, 0], [0, 0], [0, 0], [0, 30], [0, 30]])
    _, matrix = align(np.zeros((200, 200, 3), np.uint8), long, 60)
    assert matrix[0, 0] == pytest.approx(60 / (2 * 60))
    np.testing.assert_allclose(transform_points(matrix, np.array([[60.0, 80.0]])), [[29.5, 29.5]])


@pytest.mark.parametrize("degrees", [-170, -90, -20, 35, 90])
def test_alignment_undoes_any_rotation(degrees):
    image = np.zeros((200, 200, 3), np.uint8)
    _, upright = align(image, UPRIGHT, 64)
    _, matrix = align(image, turned(UPRIGHT, degrees, (90, 70)), 64)
    np.testing.assert_allclose(
        transform_points(matrix, turned(UPRIGHT, degrees, (90, 70))),
        transform_points(upright, UPRIGHT),
        atol=1e-9,
    )


def test_the_crop_agrees_with_its_matrix():
    image = np.zeros((200, 240, 3), np.uint8)
    points = turned(UPRIGHT, 25, (60, 65)) + np.array([60, 30])
    for colour, point in enumerate(points[[0, 1, 3]]):
        cv2.circle(image, np.round(point).astype(int).tolist(), 3, np.eye(3)[colour] * 255, -1)
    crop, matrix = align(image, points, 160)
    y, x = np.mgrid[:160, :160]
    for colour, point in enumerate(transform_points(matrix, points)[[0, 1, 3]]):
        weight = crop[..., colour].astype(float)
        centroid = [(weight * x).sum() / weight.sum(), (weight * y).sum() / weight.sum()]
        np.testing.assert_allclose(centroid, point, atol=1.5)  # drawn at whole pixels


def test_an_upright_crop_at_the_same_scale_copies_pixels():
    image = np.random.default_rng(0).integers(0, 256, (50, 60, 3), np.uint8)
    crop, matrix = crop_box(image, np.array([9.5, 4.5, 41.5, 36.5]), 32)
    np.testing.assert_array_equal(crop, image[5:37, 10:42])
    np.testing.assert_allclose(matrix, [[1, 0, -10], [0, 1, -5]])


def test_a_box_crop_is_square_with_its_margin_and_black_outside():
    image = np.full((100, 100, 3), 200, np.uint8)
    crop, matrix = crop_box(image, np.array([-10.0, 30, 10, 70]), 60, margin=0.25)
    assert matrix[0, 0] == pytest.approx(60 / (1.5 * 40))
    corners = transform_points(matrix, np.array([[-30.0, 20], [30, 80]]))
    np.testing.assert_allclose(corners, [[-0.5, -0.5], [59.5, 59.5]])
    assert (crop[:, :29] == 0).all()
    assert (crop[:, 31:] == 200).all()


def test_shrinking_averages_without_aliasing():
    stripes = np.zeros((512, 512, 3), np.uint8)
    stripes[:, ::2] = 255
    crop, _ = crop_box(stripes, np.array([-0.5, -0.5, 511.5, 511.5]), 64)
    np.testing.assert_allclose(crop, 127.5, atol=2)
    noise = np.random.default_rng(0).integers(0, 256, (512, 512, 3), np.uint8)
    crop, _ = crop_box(noise, np.array([-0.5, -0.5, 511.5, 511.5]), 64)
    mean = noise.reshape(64, 8, 64, 8, 3).astype(float).mean((1, 3))
    np.testing.assert_allclose(crop, mean, atol=1)


def test_a_face_is_cropped_along_its_landmarks_or_with_a_margin_around_its_box():
    image = np.random.default_rng(0).integers(0, 256, (200, 200, 3), np.uint8)
    box = np.array([20.0, 25, 100, 105])
    for margin, (expected, matrix) in (
        (None, align(image, UPRIGHT, 48)),
        (0.2, crop_box(image, box, 48, 0.2)),
    ):
        crop, points = crop_face(image, box, UPRIGHT, True, 48, margin)
        np.testing.assert_array_equal(crop, expected)
        np.testing.assert_allclose(points, (transform_points(matrix, UPRIGHT) + 0.5) / 48)
        np.testing.assert_array_equal(points, landmarks_in_crop(matrix, UPRIGHT, 48))
        crop, points = crop_face(image, box, UPRIGHT, False, 48, margin)
        np.testing.assert_array_equal(crop, expected)
        assert np.isnan(points).all()


def test_pixels_outside_the_image_take_the_given_value():
    matrix = np.array([[1.0, 0, 100], [0, 1, 0]])
    assert (warp(np.zeros((8, 8, 3), np.uint8), matrix, 8, outside=128) == 128).all()


def test_five_points_of_68_and_of_49_are_the_same():
    points = np.random.default_rng(0).uniform(0, 100, (68, 2))
    inner = np.delete(points[17:], [60 - 17, 64 - 17], 0)  # without jaw and inner mouth corners
    assert len(inner) == 49
    expected = [points[36:42].mean(0), points[42:48].mean(0), points[30], points[48], points[54]]
    np.testing.assert_allclose(five_points(points), expected)
    np.testing.assert_allclose(five_points(inner), expected)


def test_landmarks_and_boxes_without_a_square_are_refused():
    image = np.zeros((20, 20, 3), np.uint8)
    for landmarks in (np.full((5, 2), 7.0), np.full((5, 2), np.nan)):
        with pytest.raises(InputError, match=r"landmarks.*the eyes coincide"):
            align(image, landmarks, 16)
    with pytest.raises(InputError, match=r"box \[5.*no area"):
        crop_box(image, np.array([5.0, 5, 5, 9]), 16)
    with pytest.raises(InputError, match="21 landmarks"):
        five_points(np.zeros((21, 2)))


def test_a_stretched_box_fills_the_crop_with_itself_and_maps_its_corners_to_those_of_the_crop():
    image = np.zeros((100, 80, 3), np.uint8)
    image[20:80, 30:60] = 255
    crop, matrix = crop_box(image, np.array([29.5, 19.5, 59.5, 79.5]), 32, stretched=True)
    assert crop[1:-1, 1:-1].min() == 255
    corners = transform_points(matrix, np.array([[29.5, 19.5], [59.5, 79.5]]))
    np.testing.assert_allclose(corners, [[-0.5, -0.5], [31.5, 31.5]], atol=1e-6)


def test_a_stretched_box_ends_at_the_edge_of_the_image():
    image = np.full((40, 40, 3), 200, np.uint8)
    crop, _ = crop_box(image, np.array([-20.0, -5, 30, 60]), 16, stretched=True)
    assert (crop == 200).all()
    with pytest.raises(InputError, match="has no area"):
        crop_box(image, np.array([50.0, 0, 60, 30]), 16, stretched=True)


def test_a_stretched_crop_is_close_to_pillows_resized_crop():
    image = np.random.default_rng(0).integers(0, 256, (12, 9, 3), np.uint8)
    image = np.asarray(Image.fromarray(image).resize((270, 360), Image.Resampling.BICUBIC))
    box = (40, 60, 240, 330)
    theirs = Image.fromarray(image).crop(box).resize((64, 64), Image.Resampling.BILINEAR)
    ours, _ = crop_box(image, np.array(box) - 0.5, 64, stretched=True)
    assert np.abs(ours.astype(int) - np.asarray(theirs)).mean() < 1.5
