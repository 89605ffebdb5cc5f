"""Intervals cover the truth at their nominal rate and depend on nothing but the seed."""

import numpy as np
import pytest

from tests.evaluation.jackknife_test import AGGREGATIONS, recordings
from va_jax.evaluation import bootstrap
from va_jax.evaluation.jackknife import standard_errors
from va_jax.evaluation.metrics import Moments, aggregate

CHECKED = ("ccc", "rmse", "sagr")


def estimates(moments, weights):
    return aggregate(moments, weights), standard_errors(moments, weights)


def bootstrapped(moments, seed, count=500):
    size = len(moments.count)
    weights = bootstrap.resamples(size, count, seed)
    return *estimates(moments, np.ones((1, size))), *estimates(moments, weights)


def test_resamples_draw_every_recording_equally_often():
    drawn = bootstrap.resamples(25, 4000)
    assert (drawn.sum(1) == 25).all()
    np.testing.assert_allclose(drawn.mean(0), 1, atol=0.08)
    np.testing.assert_array_equal(drawn, bootstrap.resamples(25, 4000))
    assert (drawn != bootstrap.resamples(25, 4000, seed=1)).any()


def test_a_weighted_score_is_that_of_repeated_recordings():
    moments = recordings(np.random.default_rng(0), 6)
    weights = bootstrap.resamples(6, 20)
    drawn = aggregate(moments, weights)
    for i, row in enumerate(weights.astype(int)):
        chosen = np.repeat(np.arange(6), row)
        fields = (getattr(moments, name)[chosen] for name in vars(moments))
        repeated = aggregate(Moments(*fields))
        for name in AGGREGATIONS:
            for metric, value in drawn[name].items():
                np.testing.assert_allclose(value[i], repeated[name][metric], rtol=1e-9, atol=1e-12)


@pytest.mark.slow
@pytest.mark.parametrize("size", [12, 40])
def test_intervals_cover_the_truth_at_the_nominal_rate(size):
    rng = np.random.default_rng(3)
    truth = aggregate(recordings(rng, 20_000))
    trials, hits = 200, {}
    for trial in range(trials):
        value, error, resampled, errors = bootstrapped(recordings(rng, size), trial)
        for name in AGGREGATIONS:
            for metric in CHECKED:
                parts = (each[name][metric] for each in (resampled, errors))
                point = (each[name][metric][0] for each in (value, error))
                low, high = bootstrap.interval(*point, *parts)
                inside = bool((low <= truth[name][metric]) & (truth[name][metric] <= high))
                hits[name, metric] = hits.get((name, metric), 0) + inside
    rates = {key: count / trials for key, count in hits.items()}
    assert np.mean(list(rates.values())) == pytest.approx(0.95, abs=0.025)
    assert min(rates.values()) > 0.88, rates  # three standard errors of 200 trials are 0.046


@pytest.mark.slow
def test_p_is_uniform_if_two_systems_are_equally_good():
    rng = np.random.default_rng(4)
    ps = []
    for trial in range(200):
        first, second = recordings(rng, 30), recordings(rng, 30)
        weights = bootstrap.resamples(30, 199, trial)
        difference = first.rmse() - second.rmse()
        value, resampled = difference.mean(0), weights @ difference / 30
        error = difference.std(0) / np.sqrt(30)
        around = weights @ difference**2 / 30 - resampled**2
        ps.append(bootstrap.p_value(value, error, resampled, np.sqrt(around / 30))[0])
    shares = [np.mean(np.array(ps) <= level) for level in (0.05, 0.2, 0.5)]
    np.testing.assert_allclose(shares, (0.05, 0.2, 0.5), atol=0.09)


def test_p_is_one_without_a_difference_and_smallest_for_a_constant_one():
    none, some = np.zeros((99, 1)), np.full((99, 1), 0.5)
    zero = np.zeros(1)
    assert bootstrap.p_value(zero, zero, none, none)[0] == 1
    assert bootstrap.p_value(some[0], zero, some, none)[0] == pytest.approx(0.01)


def test_a_score_that_is_equal_in_every_recording_has_an_interval_of_width_zero():
    value, none = np.array([0.5]), np.zeros((99, 1))
    low, high = bootstrap.interval(value, none[0], none + 0.5, none)
    assert low == high == 0.5
