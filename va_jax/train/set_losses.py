"""The loss of a batch from several data sets that have a head each."""

from collections.abc import Callable, Sequence
from typing import NamedTuple

import jax.numpy as jnp
from jaxtyping import Array, Bool, Float, Int


class SetsOfRows(NamedTuple):
    """The data sets of a batch."""

    dataset: Int[Array, " batch"]  # index of the data set of each row
    shares: Sequence[float]  # of the windows of each data set; they sum to 1


def mean_over_sets(
    loss: Callable[[Bool[Array, "batch time"]], Float[Array, ""]],
    mask: Bool[Array, "batch time"],
    sets: SetsOfRows,
) -> Float[Array, ""]:
    """Return the losses over the frames of each data set, averaged according to their shares.

    Labels of different data sets differ in mean and spread. A CCC over all frames together would
    mostly reward a head for the difference between the sets, which it gets for free, so each data
    set has its own CCC (our choice). A data set with no frames in the batch contributes a constant.

    Args:
        loss: function that returns the loss over the frames in a mask.
        mask: frames that count.
        sets: the data set of each row, and their shares.
    """
    total = jnp.zeros((), jnp.float32)
    for number, share in enumerate(sets.shares):
        total = total + share * loss(mask & (sets.dataset == number)[:, None])
    return total
