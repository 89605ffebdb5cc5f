"""Losses against float64 numpy, under masks, constants and half precision."""

import jax
import jax.numpy as jnp
import numpy as np
import pytest

from va_jax.config import Loss
from va_jax.train.losses import bin_loss, ccc_loss, mse_loss, weighted_loss


def batch(seed=0, shape=(4, 16)):
    rng = np.random.default_rng(seed)
    target = rng.uniform(-1, 1, (*shape, 2)).astype(np.float32)
    pred = (0.5 * target + 0.3 * rng.normal(size=target.shape)).astype(np.float32)
    return jnp.asarray(pred), jnp.asarray(target), jnp.asarray(rng.random(shape) < 0.7)


def reference(pred, target, mask):
    mask = np.asarray(mask)
    x = np.asarray(pred, np.float64)[mask]
    y = np.asarray(target, np.float64)[mask]
    cov = ((x - x.mean(0)) * (y - y.mean(0))).mean(0)
    return 1 - 2 * cov / (x.var(0) + y.var(0) + (x.mean(0) - y.mean(0)) ** 2)


def test_ccc_loss_is_one_minus_ccc_of_the_flattened_batch():
    pred, target, mask = batch()
    np.testing.assert_allclose(ccc_loss(pred, target, mask), reference(pred, target, mask), 1e-6)


def test_bin_loss_is_the_cross_entropy_of_the_nearest_bin():
    _, target, mask = batch()
    logits = np.random.default_rng(1).normal(size=(*target.shape, 5)).astype(np.float32)
    logits = jnp.asarray(logits)
    own = np.round((np.asarray(target) + 1) * 2).astype(int)  # centres -1, -0.5, 0, 0.5 and 1
    likelihood = np.exp(logits) / np.exp(logits).sum(-1, keepdims=True)
    each = -np.log(np.take_along_axis(likelihood, own[..., None], -1)[..., 0])
    expected = each[np.asarray(mask)].mean(0)
    np.testing.assert_allclose(bin_loss(logits, target, mask), expected, rtol=1e-5)
    weights = Loss(ccc=1.0, mse=0.0, cross_entropy=0.5)
    pred = jax.nn.softmax(logits) @ jnp.linspace(-1, 1, 5, dtype=jnp.float32)
    whole = ccc_loss(pred, target, mask).mean() + 0.5 * expected.mean()
    found = weighted_loss(pred, target, mask, weights, logits)
    np.testing.assert_allclose(found, whole, rtol=1e-5)


def test_bins_outside_the_mask_change_neither_loss_nor_gradient():
    _, target, mask = batch()
    logits = np.random.default_rng(1).normal(size=(*target.shape, 5)).astype(np.float32)

    @jax.jit
    def found(logits, target, mask):
        return jax.value_and_grad(lambda x: bin_loss(x, target, mask).sum())(logits)

    hidden = np.where(np.asarray(mask)[..., None], np.asarray(target), np.float32(np.nan))
    changed = np.where(np.asarray(mask)[..., None, None], logits, np.float32(np.nan))
    ours, expected = found(changed, hidden, mask), found(logits, target, mask)
    jax.tree.map(np.testing.assert_array_equal, ours, expected)
    nothing = found(logits, target, jnp.zeros_like(mask))
    jax.tree.map(lambda x: np.testing.assert_array_equal(x, np.zeros_like(x)), nothing)


def test_mse_loss_is_the_mean_over_valid_frames():
    pred, target, mask = batch()
    expected = np.asarray((pred[mask] - target[mask]) ** 2).mean(0)
    np.testing.assert_allclose(mse_loss(pred, target, mask), expected, rtol=1e-6)


@pytest.mark.parametrize("loss", [ccc_loss, mse_loss])
def test_what_stands_outside_the_mask_changes_neither_loss_nor_gradient(loss):
    pred, target, mask = batch()
    dirty_pred = jnp.where(mask[..., None], pred, jnp.nan)
    dirty_target = jnp.where(mask[..., None], target, jnp.inf)
    value = jax.value_and_grad(lambda p, t: loss(p, t, mask).sum())
    clean, dirty = value(pred, target), value(dirty_pred, dirty_target)
    np.testing.assert_array_equal(clean[0], dirty[0])
    np.testing.assert_array_equal(clean[1], dirty[1])
    assert (np.asarray(dirty[1])[~np.asarray(mask)] == 0).all()


@pytest.mark.parametrize("loss", [ccc_loss, mse_loss])
def test_constant_signals_and_empty_masks_have_finite_loss_and_gradient(loss):
    constant = jnp.full((2, 8, 2), 0.25)
    for mask in (jnp.ones((2, 8), bool), jnp.zeros((2, 8), bool)):
        value, slope = jax.value_and_grad(lambda p, m=mask: loss(p, constant, m).sum())(constant)
        assert np.isfinite(value)
        np.testing.assert_array_equal(slope, 0)


def test_a_trace_of_tiny_deviation_keeps_its_ccc():
    pred, target, mask = batch()
    value = ccc_loss(pred * 1e-3, target * 1e-3, mask)
    np.testing.assert_allclose(value, reference(pred, target, mask), atol=0.03)


def test_half_precision_predictions_are_summed_in_float32():
    pred, target, mask = batch(shape=(8, 512))
    half = jnp.asarray(pred, jnp.bfloat16)
    value = ccc_loss(half, target, mask)
    assert value.dtype == jnp.float32
    expected = reference(np.asarray(half.astype(jnp.float32)), target, mask)
    np.testing.assert_allclose(value, expected, rtol=1e-5)


def test_weighted_loss_is_the_sum_of_its_weighted_means():
    pred, target, mask = batch()
    value = weighted_loss(pred, target, mask, Loss(ccc=0.5, mse=2.0))
    expected = 0.5 * ccc_loss(pred, target, mask).mean() + 2 * mse_loss(pred, target, mask).mean()
    np.testing.assert_allclose(value, expected, rtol=1e-6)


def weights(seed=7, shape=(4, 16)):
    return jnp.asarray(np.random.default_rng(seed).uniform(0.2, 5, (*shape, 2)), jnp.float32)


def test_a_weighted_ccc_loss_has_weighted_moments():
    pred, target, mask = batch()
    where = np.asarray(mask)
    x, y, w = (np.asarray(each, np.float64)[where] for each in (pred, target, weights()))
    expected = []
    for dim in range(2):
        mean_x, mean_y = (np.average(each[:, dim], weights=w[:, dim]) for each in (x, y))
        cov = np.cov(x[:, dim], y[:, dim], aweights=w[:, dim], ddof=0)
        gap = (mean_x - mean_y) ** 2
        expected.append(1 - 2 * cov[0, 1] / (cov[0, 0] + cov[1, 1] + gap))
    found = ccc_loss(pred, target, mask, weights())
    np.testing.assert_allclose(found, expected, rtol=1e-5)
    np.testing.assert_allclose(ccc_loss(pred, target, mask, 3 * weights()), found, rtol=1e-5)


def test_weighted_errors_and_bins_are_divided_by_the_number_of_frames():
    pred, target, mask = batch()
    where, w = np.asarray(mask), np.asarray(weights())
    errors = w * np.asarray(pred - target) ** 2
    expected = errors[where].sum(0) / where.sum()
    np.testing.assert_allclose(mse_loss(pred, target, mask, weights()), expected, rtol=1e-5)
    logits = jnp.asarray(np.random.default_rng(1).normal(size=(*target.shape, 5)), jnp.float32)
    own = np.round((np.asarray(target) + 1) * 2).astype(int)[..., None]
    likelihood = np.take_along_axis(np.asarray(jax.nn.log_softmax(logits)), own, -1)[..., 0]
    expected = -(w * likelihood)[where].sum(0) / where.sum()
    np.testing.assert_allclose(bin_loss(logits, target, mask, weights()), expected, rtol=1e-4)


@pytest.mark.parametrize("loss", [ccc_loss, mse_loss])
def test_a_frame_of_weight_2_counts_like_two_frames(loss):
    pred, target, _ = batch()
    mask = jnp.ones((4, 16), bool)
    weight = jnp.ones((4, 16, 2)).at[3].set(2.0)
    twice = [jnp.concatenate([each, each[3:]]) for each in (pred, target, mask)]
    share = 1 if loss is ccc_loss else 5 / 4  # the mean is over the frames, not their weights
    found = loss(pred, target, mask, weight)
    np.testing.assert_allclose(found, share * loss(*twice), rtol=1e-5)


@pytest.mark.parametrize("loss", [ccc_loss, mse_loss])
def test_weights_outside_the_mask_change_neither_loss_nor_gradient(loss):
    pred, target, mask = batch()
    value = jax.value_and_grad(lambda p, w: loss(p, target, mask, w).sum())
    dirty = jnp.where(mask[..., None], weights(), jnp.nan)
    jax.tree.map(np.testing.assert_array_equal, value(pred, dirty), value(pred, weights()))
    nothing = value(pred * 0 + 0.5, jnp.zeros_like(weights()))
    assert all(np.isfinite(each).all() for each in nothing)


def test_without_weights_the_loss_is_the_same_to_the_bit_as_before_there_were_any():
    pred, target, mask = batch(shape=(8, 64))

    def masked(pred, target):
        where = mask[..., None]
        pred = jnp.where(where, pred.astype(jnp.float32), 0)
        target = jnp.where(where, target.astype(jnp.float32), 0)
        return pred, target, jnp.maximum(mask.sum().astype(jnp.float32), 1)

    def earlier_ccc_loss(pred, target):
        pred, target, count = masked(pred, target)
        mean_pred, mean_target = pred.sum((0, 1)) / count, target.sum((0, 1)) / count
        dev_pred = jnp.where(mask[..., None], pred - mean_pred[None, None], 0)
        dev_target = jnp.where(mask[..., None], target - mean_target[None, None], 0)
        covariance = (dev_pred * dev_target).sum((0, 1)) / count
        spread = ((dev_pred**2).sum((0, 1)) + (dev_target**2).sum((0, 1))) / count
        return 1 - 2 * covariance / (spread + (mean_pred - mean_target) ** 2 + 1e-8)

    def earlier(pred):
        x, y, count = masked(pred, target)
        loss = 0.5 * earlier_ccc_loss(pred, target).mean()
        return loss + 0.1 * (((x - y) ** 2).sum((0, 1)) / count).mean()

    def now(pred):
        return weighted_loss(pred, target, mask, Loss(ccc=0.5, mse=0.1))

    one, other = (jax.jit(jax.value_and_grad(each))(pred) for each in (earlier, now))
    jax.tree.map(np.testing.assert_array_equal, one, other)
