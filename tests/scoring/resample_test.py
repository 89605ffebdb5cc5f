"""Resampling by time: means over frames, interpolation between them, and frames without a face."""

import numpy as np
import pytest

from va_jax.scoring.resample import count_rows, nearest, resample


def by_hand(time_s, values, shown, fps):
    """The same as `resample`, one row after the other."""
    rows = []
    for row in range(int(np.floor(time_s[-1] * fps + 0.5)) + 1):
        here = [n for n, t in enumerate(time_s) if np.floor(t * fps + 0.5) == row]
        seen = [n for n in here if shown[n]]
        if here:
            rows.append((np.mean(values[seen or here], axis=0), bool(seen)))
            continue
        right = next(n for n, t in enumerate(time_s) if t >= row / fps)
        share = (row / fps - time_s[right - 1]) / (time_s[right] - time_s[right - 1])
        value = values[right - 1] + share * (values[right] - values[right - 1])
        rows.append((value, bool(shown[right - 1] and shown[right])))
    return np.array([value for value, _ in rows]), np.array([visible for _, visible in rows])


@pytest.mark.parametrize("fps", [0.5, 5.0, 12.5, 100.0])
@pytest.mark.parametrize("seed", range(5))
def test_a_video_of_varying_frame_rate_is_resampled_as_by_hand(fps, seed):
    rng = np.random.default_rng(seed)
    steps = rng.choice([0.01, 0.04, 0.5, 2.0], 60, p=[0.4, 0.4, 0.15, 0.05])
    time_s = np.concatenate([[0.0], np.cumsum(steps * rng.uniform(0.9, 1.1, 60))])
    values, shown = rng.normal(size=(61, 2)), rng.uniform(size=61) < 0.7
    found = resample(time_s, values, shown, fps)
    expected, visible = by_hand(time_s, values, shown, fps)
    np.testing.assert_allclose(found.values, expected, atol=1e-12)
    np.testing.assert_array_equal(found.shown, visible)
    np.testing.assert_allclose(found.time_s, np.arange(len(expected)) / fps)


def test_a_straight_line_stays_in_place_whatever_the_grid():
    time_s = np.arange(0, 10, 0.04)
    for fps in (1.0, 5.0, 60.0):
        found = resample(time_s, time_s[:, None], np.ones(len(time_s), bool), fps)
        inner = slice(1, -1)  # half of the first and the last row lies outside the video
        np.testing.assert_allclose(found.values[inner, 0], found.time_s[inner], atol=0.021)
        assert abs(np.mean(found.values[inner, 0] - found.time_s[inner])) < 0.021


def test_every_frame_belongs_to_one_row_also_the_last_one():
    time_s = np.array([0, 0.1, 0.29, 0.31, 0.52])
    shown = np.ones(5, bool)
    found = resample(time_s, np.arange(5.0)[:, None], shown, 5.0)
    np.testing.assert_allclose(found.values[:, 0], [0, 1.5, 3, 4])  # 0.1 s rounds up
    assert count_rows(time_s, 5.0) == 4


def test_a_row_between_two_frames_counts_only_if_both_show_the_face():
    time_s, values = np.array([0.0, 1, 2]), np.array([[0.0], [1], [3]])
    found = resample(time_s, values, np.array([True, True, False]), 2.0)
    assert found.values[:, 0].tolist() == [0, 0.5, 1, 2, 3]
    assert found.shown.tolist() == [True, True, True, False, False]


def test_nothing_is_known_outside_the_track():
    values = np.array([[np.nan], [1], [1], [np.nan]])
    found = resample(np.arange(4.0), values, np.array([False, True, True, False]), 1.0)
    assert found.shown.tolist() == [False, True, True, False]
    np.testing.assert_array_equal(np.isnan(found.values[:, 0]), ~found.shown)


def test_rows_beyond_the_given_number_are_left_out():
    found = resample(np.arange(10.0), np.ones((10, 1)), np.ones(10, bool), 1.0, rows=3)
    assert len(found.values) == 3
    found = resample(np.arange(2.0), np.ones((2, 1)), np.ones(2, bool), 1.0, rows=4)
    assert found.shown.tolist() == [True, True, False, False]


def test_the_nearest_frame_of_two_at_the_same_distance_is_the_earlier_one():
    assert nearest(np.array([0.0, 1, 5]), np.array([0, 0.4, 0.5, 0.6, 3.1, 9])).tolist() == [
        0, 0, 0, 1, 2, 2,
    ]  # fmt: skip
    assert nearest(np.array([2.0]), np.array([0.0, 7])).tolist() == [0, 0]
