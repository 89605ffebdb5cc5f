"""Contributions are derivatives, and standard errors agree with the theory of means."""

import numpy as np
import pytest

from va_jax.evaluation import bootstrap, jackknife
from va_jax.evaluation.jackknife import contributions, standard_errors
from va_jax.evaluation.metrics import METRICS, Moments, aggregate

AGGREGATIONS = ("pooled", "mean_of_recordings", "length_weighted")


def recordings(rng, count, shortest=20, longest=120):
    """Return moments of recordings that differ in level, spread, gain and bias."""
    size = (count, 1)
    level, gain, bias = (
        rng.normal(0, 0.25, size),
        rng.normal(0.6, 0.25, size),
        rng.normal(0, 0.15, size),
    )
    target = level + rng.gamma(4, 0.05, size) * rng.normal(size=(count, longest))
    pred = gain * target + bias + 0.15 * rng.normal(size=target.shape)
    lengths = rng.integers(shortest, longest, count)
    return Moments.stack(
        [
            Moments.of(p[:n, None], t[:n, None], np.ones(n, bool))
            for p, t, n in zip(pred, target, lengths, strict=True)
        ]
    )


@pytest.mark.parametrize("aggregation", AGGREGATIONS)
def test_a_contribution_is_the_derivative_of_the_score_by_the_weight(aggregation):
    moments = recordings(np.random.default_rng(0), 7)
    weights = bootstrap.resamples(7, 3)
    found = contributions(moments, weights)[aggregation]
    for i in range(7):
        step = 1e-5 * np.eye(7)[i]
        above, below = (aggregate(moments, weights + sign * step) for sign in (1, -1))
        for metric in METRICS:
            slope = (above[aggregation][metric] - below[aggregation][metric]) / 2e-5
            np.testing.assert_allclose(found[metric][:, i], slope, rtol=1e-4, atol=1e-6)


def test_the_standard_error_of_a_mean_of_recordings_is_that_of_a_mean():
    moments = recordings(np.random.default_rng(1), 12)
    found = standard_errors(moments, np.ones((1, 12)))["mean_of_recordings"]["ccc"][0]
    assert found == pytest.approx(moments.ccc().std(0) / np.sqrt(12))


def test_errors_do_not_depend_on_how_many_resamples_are_held_at_once(monkeypatch):
    moments = recordings(np.random.default_rng(2), 9)
    weights = bootstrap.resamples(9, 23)
    whole = standard_errors(moments, weights)
    monkeypatch.setattr(jackknife, "TOGETHER", 20)
    for name, row in standard_errors(moments, weights).items():
        for metric, value in row.items():
            np.testing.assert_allclose(value, whole[name][metric], rtol=1e-12)


def test_constant_recordings_have_no_error_and_nothing_is_nan():
    constant = np.full((10, 1), 0.5)
    moments = Moments.stack([Moments.of(constant, constant, np.ones(10, bool))] * 6)
    for row in standard_errors(moments, np.ones((1, 6))).values():
        for value in row.values():
            assert (value == 0).all()
