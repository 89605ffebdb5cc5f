"""Masked losses over the global batch (CCC, squared error, cross-entropy), and a weighted sum."""

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
) -> Float[Array, " dims"]:
    """Return 1 - CCC per dimension over all frames in the batch, with population moments.

    This is the loss of tzirakis2021 and kollias2017. Frames outside `mask` are replaced before any
    arithmetic, so their values, even NaN, affect neither the loss nor the gradient. The loss is 1
    and its gradient is 0 if labels and predictions are both constant, or if no frame is valid.
    """
    pred, target, count = _masked(pred, target, mask)
    mean_pred, mean_target = pred.sum((0, 1)) / count, target.sum((0, 1)) / count
    dev_pred = jnp.where(mask[..., None], pred - mean_pred[None, None], 0)
    dev_target = jnp.where(mask[..., None], target - mean_target[None, None], 0)
    covariance = (dev_pred * dev_target).sum((0, 1)) / count
    spread = ((dev_pred**2).sum((0, 1)) + (dev_target**2).sum((0, 1))) / count
    return 1 - 2 * covariance / (spread + (mean_pred - mean_target) ** 2 + EPSILON)


def mse_loss(
    pred: Float[Array, "batch time dims"],
    target: Float[Array, "batch time dims"],
    mask: Bool[Array, "batch time"],
) -> Float[Array, " dims"]:
    """Return the mean squared error per dimension over the valid frames; 0 if there are none."""
    pred, target, count = _masked(pred, target, mask)
    return ((pred - target) ** 2).sum((0, 1)) / count


def bin_loss(
    logits: Float[Array, "batch time dims bins"],
    target: Float[Array, "batch time dims"],
    mask: Bool[Array, "batch time"],
) -> Float[Array, " dims"]:
    """Return the cross-entropy per dimension; the target class is the bin nearest to the label.

    The cross-entropy is averaged over the valid frames; it is 0 if there are none. Labels are not
    smoothed.
    """
    where = mask[..., None]
    target = jnp.where(where, target.astype(jnp.float32), 0)
    logits = jnp.where(where[..., None], logits.astype(jnp.float32), 0)
    distance = jnp.abs(target[..., None] - bin_centres(logits.shape[-1])[None, None, None])
    own = jnp.argmin(distance, -1)[..., None]
    likelihood = jnp.take_along_axis(jax.nn.log_softmax(logits), own, -1)[..., 0]
    count = jnp.maximum(mask.sum().astype(jnp.float32), 1)
    return jnp.where(where, -likelihood, 0).sum((0, 1)) / count


def weighted_loss(
    pred: Float[Array, "batch time dims"],
    target: Float[Array, "batch time dims"],
    mask: Bool[Array, "batch time"],
    weights: Loss,
    logits: Float[Array, "batch time dims bins"] | None = None,
) -> Float[Array, ""]:
    """Return the sum of the losses, weighted and averaged over the dimensions.

    `logits` are those of `model.bins`; None for a network without bins.
    """
    loss = weights.ccc * ccc_loss(pred, target, mask).mean()
    loss = loss + weights.mse * mse_loss(pred, target, mask).mean()
    if weights.cross_entropy and logits is not None:
        loss = loss + weights.cross_entropy * bin_loss(logits, target, mask).mean()
    return loss


def _masked(pred: Array, target: Array, mask: Array) -> tuple[Array, Array, Array]:
    """Return float32 signals (0 outside the mask) and the number of valid frames (at least 1)."""
    where = mask[..., None]
    pred = jnp.where(where, pred.astype(jnp.float32), 0)
    target = jnp.where(where, target.astype(jnp.float32), 0)
    return pred, target, jnp.maximum(mask.sum().astype(jnp.float32), 1)
