"""Masked losses over the global batch (CCC, squared error, cross-entropy), and a weighted sum.

Every loss takes optional weights of frames and dimensions. The weights are constants of the data
set (see `data.rater_weights`), so no loss depends on how a batch is divided.
"""

import jax
import jax.numpy as jnp
from jaxtyping import Array, Bool, Float

from va_jax.config import Loss
from va_jax.models.regressor import bin_centres

EPSILON = 1e-8
"""Term that keeps the CCC of two constant signals at 0. Our choice: 1e-6 would swamp signals with a
standard deviation of 1e-3."""


def ccc_loss(
    pred: Float[Array, "batch time dims"],
    target: Float[Array, "batch time dims"],
    mask: Bool[Array, "batch time"],
    weight: Float[Array, "batch time dims"] | None = None,
) -> Float[Array, " dims"]:
    """Return 1 - CCC per dimension over all frames in the batch, with population moments.

    With weights, the moments are weighted means, so only ratios of weights matter.

    This is the loss of tzirakis2021 and kollias2017. Frames outside `mask` are replaced before any
    arithmetic, so their values, even NaN, affect neither the loss nor the gradient. The loss is 1
    and its gradient is 0 if labels and predictions are both constant, or if no frame is valid.
    """
    pred, target, count = _masked(pred, target, mask)
    if weight is not None:
        total = _weighted(jnp.ones_like(pred), mask, weight).sum((0, 1))
        count = jnp.where(total > 0, total, 1)

    def total_of(values: Array) -> Array:
        return _weighted(values, mask, weight).sum((0, 1))

    mean_pred, mean_target = total_of(pred) / count, total_of(target) / count
    dev_pred = jnp.where(mask[..., None], pred - mean_pred[None, None], 0)
    dev_target = jnp.where(mask[..., None], target - mean_target[None, None], 0)
    covariance = total_of(dev_pred * dev_target) / count
    spread = (total_of(dev_pred**2) + total_of(dev_target**2)) / count
    return 1 - 2 * covariance / (spread + (mean_pred - mean_target) ** 2 + EPSILON)


def mse_loss(
    pred: Float[Array, "batch time dims"],
    target: Float[Array, "batch time dims"],
    mask: Bool[Array, "batch time"],
    weight: Float[Array, "batch time dims"] | None = None,
) -> Float[Array, " dims"]:
    """Return the mean squared error per dimension over the valid frames; 0 if there are none.

    Errors are multiplied by the weights but divided by the number of frames, so a batch of
    uncertain labels counts less than other batches.
    """
    pred, target, count = _masked(pred, target, mask)
    return _weighted((pred - target) ** 2, mask, weight).sum((0, 1)) / count


def bin_loss(
    logits: Float[Array, "batch time dims bins"],
    target: Float[Array, "batch time dims"],
    mask: Bool[Array, "batch time"],
    weight: Float[Array, "batch time dims"] | None = None,
) -> Float[Array, " dims"]:
    """Return the cross-entropy per dimension; the target class is the bin nearest to the label.

    The cross-entropy is averaged over the valid frames, with weights as in `mse_loss`; it is 0 if
    there are none. Labels are not smoothed.
    """
    where = mask[..., None]
    target = jnp.where(where, target.astype(jnp.float32), 0)
    logits = jnp.where(where[..., None], logits.astype(jnp.float32), 0)
    distance = jnp.abs(target[..., None] - bin_centres(logits.shape[-1])[None, None, None])
    own = jnp.argmin(distance, -1)[..., None]
    likelihood = jnp.take_along_axis(jax.nn.log_softmax(logits), own, -1)[..., 0]
    count = jnp.maximum(mask.sum().astype(jnp.float32), 1)
    return _weighted(jnp.where(where, -likelihood, 0), mask, weight).sum((0, 1)) / count


def weighted_loss(
    pred: Float[Array, "batch time dims"],
    target: Float[Array, "batch time dims"],
    mask: Bool[Array, "batch time"],
    weights: Loss,
    logits: Float[Array, "batch time dims bins"] | None = None,
    weight: Float[Array, "batch time dims"] | None = None,
) -> Float[Array, ""]:
    """Return the sum of the losses, weighted and averaged over the dimensions.

    `logits` are those of `model.bins`; None for a network without bins. `weight` contains the
    weights of the frames; None for equal ones.
    """
    loss = weights.ccc * ccc_loss(pred, target, mask, weight).mean()
    loss = loss + weights.mse * mse_loss(pred, target, mask, weight).mean()
    if weights.cross_entropy and logits is not None:
        loss = loss + weights.cross_entropy * bin_loss(logits, target, mask, weight).mean()
    return loss


def _weighted(values: Array, mask: Array, weight: Array | None) -> Array:
    """Return values, which must be 0 outside the mask, times the weights, if there are any."""
    return values if weight is None else values * jnp.where(mask[..., None], weight, 0)


def _masked(pred: Array, target: Array, mask: Array) -> tuple[Array, Array, Array]:
    """Return float32 signals (0 outside the mask) and the number of valid frames (at least 1)."""
    where = mask[..., None]
    pred = jnp.where(where, pred.astype(jnp.float32), 0)
    target = jnp.where(where, target.astype(jnp.float32), 0)
    return pred, target, jnp.maximum(mask.sum().astype(jnp.float32), 1)
