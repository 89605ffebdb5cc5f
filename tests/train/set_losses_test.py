"""The loss over several data sets with heads of their own, against a computation in numpy."""

import jax
import jax.numpy as jnp
import numpy as np
import pytest

from va_jax.config import Loss
from va_jax.train import losses
from va_jax.train.set_losses import SetsOfRows, mean_over_sets

BATCH, TIME, DIMS = 6, 9, 2
DATASET = np.array([0, 1, 1, 0, 1, 0], np.int32)
SHARES = (0.3, 0.7)
CCC = Loss(ccc=1.0)


def weighted_loss(pred, target, mask, weights, sets):
    return mean_over_sets(lambda own: losses.weighted_loss(pred, target, own, weights), mask, sets)


@pytest.fixture
def signals():
    rng = np.random.default_rng(0)
    target = rng.uniform(-1, 1, (BATCH, TIME, DIMS)).astype(np.float32)
    pred = (target + rng.normal(0, 0.5, target.shape)).astype(np.float32)
    return pred, target, rng.random((BATCH, TIME)) < 0.8


def ccc(pred, target):
    pred, target = pred.astype(np.float64), target.astype(np.float64)
    co = ((pred - pred.mean(0)) * (target - target.mean(0))).mean(0)
    gap = (pred.mean(0) - target.mean(0)) ** 2
    return 2 * co / (pred.var(0) + target.var(0) + gap)


def test_the_loss_is_the_mean_over_the_sets_weighted_by_their_shares(signals):
    pred, target, mask = signals
    expected = 0.0
    for number, share in enumerate(SHARES):
        own = mask & (number == DATASET)[:, None]
        values = 1 - ccc(pred[own], target[own]).mean()
        values += 0.5 * ((pred[own].astype(np.float64) - target[own]) ** 2).mean()
        expected += share * values
    given = map(jnp.asarray, signals)
    loss = weighted_loss(*given, Loss(ccc=1.0, mse=0.5), SetsOfRows(jnp.asarray(DATASET), SHARES))
    assert float(loss) == pytest.approx(expected, rel=1e-5)


def test_a_difference_between_the_sets_that_the_heads_know_earns_nothing(signals):
    pred, target, mask = signals
    shift = 0.8 * DATASET[:, None, None].astype(np.float32)
    both = [list(map(jnp.asarray, x)) for x in (signals, (pred + shift, target + shift, mask))]
    sets = SetsOfRows(jnp.asarray(DATASET), SHARES)
    own = [weighted_loss(*given, CCC, sets) for given in both]
    pooled = [losses.weighted_loss(*given, CCC) for given in both]
    assert float(own[1]) == pytest.approx(float(own[0]), rel=1e-4)
    assert float(pooled[1]) < 0.9 * float(pooled[0])


def test_a_set_that_is_absent_from_the_batch_changes_no_gradient(signals):
    pred, target, mask = map(jnp.asarray, signals)
    first = SetsOfRows(jnp.zeros(BATCH, jnp.int32), SHARES)
    slope = jax.grad(lambda x: weighted_loss(x, target, mask, CCC, first))(pred)
    alone = jax.grad(lambda x: losses.weighted_loss(x, target, mask, CCC))(pred)
    np.testing.assert_allclose(slope, SHARES[0] * alone, atol=1e-7)
