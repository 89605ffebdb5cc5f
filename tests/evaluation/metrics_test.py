"""Metrics from moments equal float64 numpy for any split, order and offset."""

import itertools

import numpy as np
import pytest

from va_jax.evaluation.metrics import METRICS, Moments, aggregate


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


def test_merged_pieces_score_like_the_whole_in_any_order():
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


def test_a_prediction_at_half_the_scale_has_the_scores_calculated_by_hand():
    target = np.array([[-1.0], [1.0], [-1.0], [1.0]])
    moments = Moments.of(target / 2, target, np.ones(4, bool))
    assert moments.ccc()[0] == pytest.approx(2 * 0.5 / (0.25 + 1))
    assert moments.pcc()[0] == pytest.approx(1)
    assert moments.rmse()[0] == pytest.approx(0.5)


@pytest.mark.slow
@pytest.mark.parametrize("offset", [0.0, 1e3])
def test_a_million_points_in_any_pieces_and_order_keep_their_digits(offset):
    pred, target, mask = signals(1_000_000, offset)
    x, y = pred[mask], target[mask]
    error = x - y
    expected = {
        "ccc": [reference_ccc(x[:, i], y[:, i]) for i in range(2)],
        "pcc": [np.corrcoef(x[:, i], y[:, i])[0, 1] for i in range(2)],
        "mse": (error**2).mean(0),
        "rmse": np.sqrt((error**2).mean(0)),
        "sagr": (np.sign(x) == np.sign(y)).mean(0),
    }
    rng = np.random.default_rng(1)
    for pieces in (1, 3, 1000):
        cuts = np.sort(rng.integers(0, len(pred), pieces - 1))
        parts = zip(*(np.split(each, cuts) for each in (pred, target, mask)), strict=True)
        stack = Moments.stack([Moments.of(*part) for part in parts])
        order = rng.permutation(pieces)
        shuffled = Moments(*(getattr(stack, name)[order] for name in vars(stack)))
        for metric in METRICS:
            value = aggregate(shuffled)["pooled"][metric]
            np.testing.assert_allclose(value, expected[metric], rtol=1e-9)


def test_float32_predictions_keep_five_digits_of_the_ccc():
    pred, target, mask = signals(100_000, offset=0.25)
    exact = Moments.of(pred, target, mask)
    single = Moments.of(pred.astype(np.float32), target.astype(np.float32), mask)
    np.testing.assert_allclose(single.ccc(), exact.ccc(), rtol=1e-5)


def test_avecs_formula_divides_variances_by_one_less():
    pred, target, mask = signals(100)
    x, y = pred[mask], target[mask]
    found = Moments.of(pred, target, mask).ccc("avec")
    for i in range(2):
        covariance = np.cov(x[:, i], y[:, i], bias=True)[0, 1]
        spread = x[:, i].var(ddof=1) + y[:, i].var(ddof=1)
        gap = (x[:, i].mean() - y[:, i].mean()) ** 2
        assert found[i] == pytest.approx(2 * covariance / (spread + gap), rel=1e-12)


def test_the_two_formulas_differ_less_for_longer_signals():
    for frames, largest in ((100, 1e-2), (40_032, 2.5e-5)):
        pred, target, _ = signals(frames)
        moments = Moments.of(pred, target, np.ones(frames, bool))
        gap = np.abs(moments.ccc()) - np.abs(moments.ccc("avec"))
        assert (gap > 0).all()
        assert (gap < largest).all()


def test_an_unknown_formula_is_refused():
    with pytest.raises(ValueError, match="formula='lin'"):
        Moments.of(*signals(10)).ccc("lin")


def test_recordings_of_one_frame_score_zero_alone_and_count_when_pooled():
    pred, target, _ = signals(50)
    single = [
        Moments.of(p[None], t[None], np.ones(1, bool)) for p, t in zip(pred, target, strict=True)
    ]
    whole = Moments.of(pred, target, np.ones(50, bool))
    rows = aggregate(Moments.stack(single))
    np.testing.assert_allclose(rows["pooled"]["ccc"], whole.ccc(), rtol=1e-12)
    assert (rows["mean_of_recordings"]["ccc"] == 0).all()
    assert np.isfinite(aggregate(Moments.stack(single), formula="avec")["pooled"]["ccc"]).all()


def test_constant_recordings_score_zero_in_a_resample_of_one_of_them():
    _, target, mask = signals(60)
    parts = [
        Moments.of(np.full((20, 2), level), target[i * 20 : i * 20 + 20], mask[:20])
        for i, level in enumerate((0.1, 0.7, 1 / 3))
    ]
    weights = 3 * np.eye(3)
    drawn = aggregate(Moments.stack(parts), weights)["pooled"]
    assert (drawn["ccc"] == 0).all()
    assert (drawn["pcc"] == 0).all()
