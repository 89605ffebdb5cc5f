"""Moments against float64 numpy, whatever the split, the order and the offset."""

import itertools

import numpy as np
import pytest

from va_jax.metrics import Moments


def reference_ccc(x, y):
    return 2 * np.cov(x, y, bias=True)[0, 1] / (x.var() + y.var() + (x.mean() - y.mean()) ** 2)


def signals(frames=5000, offset=0.0, seed=0):
    rng = np.random.default_rng(seed)
    target = np.cumsum(rng.normal(size=(frames, 2)), 0) / 100
    pred = 0.7 * target + rng.normal(size=target.shape) / 5
    return pred + offset, target + offset, rng.random(frames) < 0.8


@pytest.mark.parametrize("offset", [0.0, 1e3])
def test_metrics_equal_their_definitions_in_numpy(offset):
    pred, target, mask = signals(offset=offset)
    moments = Moments.of(pred, target, mask)
    x, y = pred[mask], target[mask]
    for i in range(2):
        error = y[:, i] - x[:, i]
        expected = {
            "ccc": reference_ccc(x[:, i], y[:, i]),
            "pcc": np.corrcoef(x[:, i], y[:, i])[0, 1],
            "rmse": np.sqrt(np.mean(error**2)),
            "mse": np.mean(error**2),
            "sagr": np.mean(np.sign(x[:, i]) == np.sign(y[:, i])),
        }
        for name, value in expected.items():
            assert getattr(moments, name)()[i] == pytest.approx(value, rel=1e-9)


def test_ccc_of_merged_pieces_is_ccc_of_the_whole_in_any_order():
    pred, target, mask = signals()
    whole = Moments.of(pred, target, mask)
    cuts = [0, 1, 7, 7, 900, 3333, 5000]
    pieces = [Moments.of(pred[a:b], target[a:b], mask[a:b]) for a, b in itertools.pairwise(cuts)]
    for order in (pieces, pieces[::-1]):
        merged = Moments.stack(order).merged()
        for name in ("ccc", "pcc", "rmse", "sagr"):
            np.testing.assert_allclose(getattr(merged, name)(), getattr(whole, name)(), rtol=1e-12)


def test_mean_over_windows_is_not_the_pooled_ccc():
    pred, target, mask = signals()
    windows = Moments.stack(
        [Moments.of(p, t, m) for p, t, m in zip(
            np.split(pred, 50), np.split(target, 50), np.split(mask, 50), strict=True)]
    )  # fmt: skip
    assert windows.ccc().mean() < windows.merged().ccc().mean() - 0.2


def test_frames_outside_the_mask_change_nothing_even_nan():
    pred, target, mask = signals()
    expected = Moments.of(pred, target, mask).ccc()
    pred[~mask], target[~mask] = np.nan, np.inf
    np.testing.assert_array_equal(Moments.of(pred, target, mask).ccc(), expected)


def test_constant_or_absent_signals_score_zero_not_nan():
    constant, empty = np.full((10, 2), 0.3), np.zeros((0, 2))
    for moments in (
        Moments.of(constant, constant, np.ones(10, bool)),
        Moments.of(constant, constant, np.zeros(10, bool)),
        Moments.of(empty, empty, np.zeros(0, bool)),
    ):
        assert (moments.ccc() == 0).all()
        assert (moments.pcc() == 0).all()
        assert np.isfinite(moments.rmse()).all()


def test_a_prediction_of_half_the_scale_has_the_ccc_worked_out_by_hand():
    target = np.array([[-1.0], [1.0], [-1.0], [1.0]])
    moments = Moments.of(target / 2, target, np.ones(4, bool))
    assert moments.ccc()[0] == pytest.approx(2 * 0.5 / (0.25 + 1))
    assert moments.pcc()[0] == pytest.approx(1)
    assert moments.rmse()[0] == pytest.approx(0.5)
