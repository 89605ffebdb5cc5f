"""Median filters and shifts in time, and the lag at which predictions and labels agree best."""

import numpy as np
import pytest
from hypothesis import given, settings
from hypothesis import strategies as st

from va_jax.evaluation.filters import median_filter, shift
from va_jax.evaluation.lags import LagCurve, lag_curve, sweep
from va_jax.evaluation.metrics import Moments
from va_jax.types import Trace, Track


def times(frames, fps=10.0):
    return (np.arange(frames) / fps).astype(np.float32)


def uneven_times(frames, seed=0):
    return np.cumsum(np.random.default_rng(seed).uniform(0.02, 0.3, frames)).astype(np.float32)


def trace(pred, target, face=None, time_s=None):
    """Return a trace of one dimension."""
    track = Track("t", "v", "s", "", 10.0, len(pred), 0)
    face = np.ones(len(pred), bool) if face is None else face
    time_s = times(len(pred)) if time_s is None else time_s
    columns = [np.asarray(x, np.float32)[:, None] for x in (pred, target)]
    return Trace(track, *columns, face, time_s)


def wandering(frames, seed=0, channels=1):
    steps = np.random.default_rng(seed).normal(size=(frames, channels))
    return (0.7 * np.tanh(np.cumsum(steps, 0) / 8)).astype(np.float32)


def test_a_positive_lag_moves_late_predictions_earlier_and_holds_the_end():
    pred = np.array([[1.0], [2.0], [3.0], [4.0]], np.float32)
    np.testing.assert_array_equal(shift(pred, times(4), 0.2)[:, 0], [3, 4, 4, 4])
    np.testing.assert_array_equal(shift(pred, times(4), -0.1)[:, 0], [1, 1, 2, 3])


def test_a_shift_beyond_the_track_leaves_its_first_or_last_value():
    pred = wandering(30)[:, 0]
    np.testing.assert_array_equal(shift(pred, times(30), 99.0), np.full(30, pred[-1]))
    np.testing.assert_array_equal(shift(pred, times(30), -99.0), np.full(30, pred[0]))


@pytest.mark.parametrize("lag_s", [-1.3, -0.1, 0.0, 0.05, 0.8])
def test_between_uneven_frames_the_nearest_one_is_taken(lag_s):
    time_s, pred = uneven_times(60), wandering(60, channels=2)
    wanted = time_s.astype(np.float64) + lag_s
    nearest = np.abs(time_s.astype(np.float64) - wanted[:, None]).argmin(1)
    np.testing.assert_array_equal(shift(pred, time_s, lag_s), pred[nearest])


@pytest.mark.parametrize("fps", [25.0, 29.97, 50.0])
def test_a_lag_moves_every_frame_of_an_hour_alike(fps):
    frames = int(3600 * fps)  # float32 time stamps are off by a hundredth of a frame here
    numbers = np.arange(frames, dtype=np.float32)
    shifted = shift(numbers, times(frames, fps), -7 / fps)
    np.testing.assert_array_equal(shifted[7:], numbers[:-7])


@pytest.mark.parametrize(("window_s", "half"), [(0.4, 2), (1.2, 6), (20.0, 100)])
def test_the_median_is_that_of_the_frames_within_half_a_window(window_s, half):
    pred = wandering(90, channels=2)
    padded = np.pad(pred, ((half, half), (0, 0)), mode="edge")
    expected = [np.median(padded[i : i + 2 * half + 1], axis=0) for i in range(90)]
    np.testing.assert_array_equal(median_filter(pred, times(90), window_s), expected)


def test_a_window_of_less_than_two_frames_filters_nothing():
    pred = wandering(20)
    np.testing.assert_array_equal(median_filter(pred, times(20), 0.09), pred)


def test_a_track_of_one_frame_stays_as_it_is():
    one = np.array([[0.3, -0.2]], np.float32)
    np.testing.assert_array_equal(median_filter(one, times(1), 5.0), one)
    np.testing.assert_array_equal(shift(one, times(1), -3.0), one)
    assert sweep([trace([0.1], [0.2])], 0, 5.0).lags_s == (0.0,)


@settings(max_examples=30)
@given(st.integers(0, 10_000))
def test_the_curve_is_the_ccc_of_predictions_shifted_by_each_lag(seed):
    rng = np.random.default_rng(seed)
    traces = []
    for frames in rng.integers(1, 60, 3):
        target = wandering(frames, rng.integers(99))[:, 0]
        target = np.where(rng.random(frames) < 0.2, np.nan, target)
        pred = 0.5 * wandering(frames, rng.integers(99))[:, 0] + rng.choice([0.0, 100.0])
        time_s = uneven_times(frames, seed) if rng.random() < 0.5 else times(frames)
        traces.append(trace(pred, target, rng.random(frames) < 0.8, time_s))
    lags_s = [-2.0, -0.3, 0.0, 0.1, 0.77]
    curve = lag_curve(traces, 0, lags_s)
    for lag_s, ccc in zip(lags_s, curve, strict=True):
        parts = [Moments.of(shift(t.pred, t.time_s, lag_s), t.target, t.mask) for t in traces]
        assert ccc == pytest.approx(Moments.stack(parts).merged().ccc()[0], abs=1e-9)


@pytest.mark.parametrize("lag", [-8, 0, 5])
def test_the_best_lag_is_the_planted_one(lag):
    base = [wandering(250, seed)[:, 0] for seed in range(3)]
    traces = [trace(b[20 - lag : 220 - lag], b[20:220]) for b in base]
    best = sweep(traces, 0, 1.5)
    assert best.best_lag_s == pytest.approx(lag / 10)
    assert best.best_ccc == max(best.ccc) > 0.99
    assert len(best.lags_s) == len(best.ccc) == 31


def test_lags_are_seconds_of_each_recording():
    base = [wandering(900, seed)[:, 0] for seed in range(3)]
    slow = [trace(b[50:-50:2], b[60:-40:2], time_s=times(400, 5.0)) for b in base[:2]]
    fast = trace(base[2][50:-50], base[2][60:-40], time_s=times(800))
    assert sweep([*slow, fast], 0, 3.0).best_lag_s == pytest.approx(1.0)


@pytest.mark.parametrize("target", [np.full(40, 0.2), np.full(40, np.nan), wandering(40)[:, 0]])
def test_of_equal_lags_the_one_nearest_zero_is_best(target):
    found = sweep([trace(np.full(40, 0.2), target)], 0, 1.0)
    assert (found.best_lag_s, found.best_ccc) == (0.0, 0.0)


@pytest.mark.parametrize("count", [1, 3, 201, 501, 6001])
def test_a_thinned_curve_keeps_its_middle_and_its_best(count):
    lags_s = tuple(float(n) for n in range(-(count // 2), count // 2 + 1))
    curve = LagCurve(lags_s, tuple(0.1 * x for x in lags_s), 7.0, 0.7).thinned(200)
    assert len(curve.lags_s) <= 200
    assert 0.0 in curve.lags_s
    assert curve.lags_s == tuple(-x for x in reversed(curve.lags_s))
    assert (curve.best_lag_s, curve.best_ccc) == (7.0, 0.7)
    assert curve.ccc == tuple(0.1 * x for x in curve.lags_s)
