"""Augmentation: geometry, colour, and one draw for a whole window."""

import colorsys

import numpy as np
import pytest

from va_jax.config import Augment
from va_jax.data.transforms import Colour, Geometry, draw, recolour, warp


def augment(frames, seed, settings, size):
    """Augment frames with everything off that `settings` do not change."""
    rng = np.random.default_rng(seed)
    geometry, colour = draw(rng, Augment(**{"flip": False} | settings))
    return recolour(warp(frames, size, geometry), colour)


def images(time=3, size=32, seed=0):
    rng = np.random.default_rng(seed)
    coarse = rng.integers(0, 256, (1, 8, 8, 3)).astype(np.uint8)
    smooth = warp(coarse, size, Geometry())
    return np.repeat(smooth, time, axis=0)


def test_with_everything_off_the_frames_are_unchanged():
    frames = images()
    np.testing.assert_array_equal(augment(frames, 0, {}, 32), frames)


def test_every_frame_of_a_window_gets_the_same_draw():
    settings = {"flip": True, "crop": 0.7, "rotation_deg": 20.0, "hue": 0.1, "contrast": 0.3}
    out = augment(images(), 1, settings, 24)
    assert out.shape == (3, 24, 24, 3)
    np.testing.assert_array_equal(out[0], out[1])
    np.testing.assert_array_equal(out[0], out[2])


def test_the_same_seed_gives_the_same_frames_and_another_seed_gives_others():
    settings = {"crop": 0.7, "brightness": 0.3}
    first, same, other = (augment(images(), seed, settings, 32) for seed in (1, 1, 2))
    np.testing.assert_array_equal(first, same)
    assert (first != other).any()


def test_switching_one_augmentation_off_leaves_the_draws_of_the_others():
    both = augment(images(), 3, {"flip": True, "crop": 0.5}, 32)
    crop = augment(images(), 3, {"crop": 0.5}, 32)
    assert (np.array_equal(both, crop)) or np.abs(both[:, :, ::-1].astype(int) - crop).max() <= 1


def test_a_flip_is_its_own_inverse():
    frames, flip = images(), Geometry(flip=True)
    np.testing.assert_array_equal(warp(warp(frames, 32, flip), 32, flip), frames)
    np.testing.assert_array_equal(warp(frames, 32, flip), frames[:, :, ::-1])


def test_a_flip_mirrors_the_turned_and_cut_image():
    frames, plain = images(), Geometry(rotation_deg=25.0, side=0.7, centre=(0.2, 0.9))
    mirrored = warp(frames, 32, plain._replace(flip=True)).astype(int)
    np.testing.assert_allclose(mirrored, warp(frames, 32, plain)[:, :, ::-1], atol=1)


def test_a_quarter_turn_moves_the_rows_to_columns():
    frames = images()
    turned = warp(frames, 32, Geometry(rotation_deg=90.0))
    np.testing.assert_allclose(turned[0], np.rot90(frames[0], 1), atol=1)


@pytest.mark.parametrize(
    ("corner", "rows"), [((0.0, 0.0), slice(0, 16)), ((1.0, 1.0), slice(16, 32))]
)
def test_a_crop_of_half_the_side_is_that_part_of_the_image(corner, rows):
    frames = images()
    cut = warp(frames, 16, Geometry(side=0.5, centre=corner))
    np.testing.assert_array_equal(cut, frames[:, rows, rows])


def test_shrinking_averages_areas():
    frames = np.zeros((1, 64, 64, 3), np.uint8)
    frames[:, ::2] = 200
    np.testing.assert_array_equal(warp(frames, 32, Geometry()), np.full((1, 32, 32, 3), 100))


def test_colour_changes_of_zero_change_nothing():
    frames = images()
    np.testing.assert_array_equal(recolour(frames, Colour()), frames)


def test_no_saturation_is_grey_and_brightness_scales():
    frames = images()
    grey = recolour(frames, Colour(saturation=-1.0)).astype(int)
    assert np.ptp(grey, axis=-1).max() <= 1
    darker = recolour(frames, Colour(brightness=-0.5))
    np.testing.assert_allclose(darker, frames / 2, atol=0.51)


def test_contrast_scales_about_mid_grey():
    frames = np.array([0, 100, 155, 255], np.uint8).reshape(1, 2, 2, 1).repeat(3, -1)
    out = recolour(frames, Colour(contrast=0.5))[..., 0].ravel()
    np.testing.assert_allclose(out, [0, 86, 169, 255], atol=1)


def test_hue_turns_the_colour_and_keeps_grey():
    grey = np.full((1, 2, 2, 3), 77, np.uint8)
    np.testing.assert_allclose(recolour(grey, Colour(hue=0.3)), grey, atol=1)
    red = np.array([150, 100, 100], np.uint8).reshape(1, 1, 1, 3)
    turned = recolour(red, Colour(hue=1 / 3))[0, 0, 0] / 255
    assert abs(colorsys.rgb_to_hsv(*turned)[0] - 1 / 3) < 0.1 or (
        abs(colorsys.rgb_to_hsv(*turned)[0] - 2 / 3) < 0.1
    )
