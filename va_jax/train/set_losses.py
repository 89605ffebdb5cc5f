"""The loss of a batch from several data sets that have a head each."""

from collections.abc import Sequence
from typing import NamedTuple

import jax.numpy as jnp
from jaxtyping import Array, Bool, Float, Int

from va_jax.config import Loss
from va_jax.train import losses


class SetsOfRows(NamedTuple):
    """The data sets of a batch."""

    dataset: Int[Array, " batch"]  # index of the data set of each row
    shares: Sequence[float]  # of the windows of each data set; they sum to 1


def weighted_loss(
    pred: Float[Array, "batch time dims"],
    target: Float[Array, "batch time dims"],
    mask: Bool[Array, "batch time"],
    weights: Loss,
    sets: SetsOfRows,
    logits: Float[Array, "batch time dims bins"] | None = None,
) -> Float[Array, ""]:
    """Return the losses over the frames of each data set, averaged according to their shares.

    Labels of different data sets differ in mean and spread. A CCC over all frames together would
    mostly reward a head for the difference between the sets, which it gets for free, so each data
    set has its own CCC (our choice). A data set with no frames in the batch contributes a constant.

    Args:
        pred: predictions.
        target: labels.
        mask: frames that count.
        weights: section `loss` of the config.
        sets: the data set of each row, and their shares.
        logits: those of `model.bins`; None for a network without bins.
    """
    total = jnp.zeros((), jnp.float32)
    for number, share in enumerate(sets.shares):
        own = mask & (sets.dataset == number)[:, None]
        total = total + share * losses.weighted_loss(pred, target, own, weights, logits)
    return total
