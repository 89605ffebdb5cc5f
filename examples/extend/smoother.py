"""A temporal stack of moving averages with learned rates: an example of adding one to va_jax.

Copy this file to `va_jax/models/` and apply `smoother.patch`.
"""

from typing import Any

import flax.linen as nn
import jax
import jax.numpy as jnp
from jaxtyping import Array, Bool, Float

from va_jax.models.temporal import PackedStack, State


class SmootherBlock(nn.Module):
    """A moving average of each unit and a nonlinear layer on it, around a shortcut."""

    units: int
    dropout: float
    bidirectional: bool

    @nn.compact
    def __call__(
        self,
        x: Float[Array, "batch time {self.units}"],
        valid: Bool[Array, "batch time"],
        mean: Float[Array, "batch {self.units}"],
        train: bool,
    ) -> tuple[Float[Array, "batch time {self.units}"], Float[Array, "batch {self.units}"]]:
        """Return the output and the average after the last valid frame, given the one before."""
        start = nn.initializers.constant(-2.0)  # a rate of 0.12: half of the past after 5 frames
        logit = self.param("rate", start, (self.units,), jnp.float32)
        rate = jax.nn.sigmoid(logit)[None]

        def follow(mean: Array, frame: tuple[Array, Array]) -> tuple[Array, Array]:
            value, counts = frame
            mean = mean + jnp.where(counts[:, None], rate * (value - mean), 0)
            return mean, mean

        frames = (x.swapaxes(0, 1), valid.T)  # time first
        final, means = jax.lax.scan(follow, mean, frames)
        if self.bidirectional:
            _, backward = jax.lax.scan(follow, mean, frames, reverse=True)
            means = (means + backward) / 2
        y = nn.gelu(nn.Dense(self.units, name="mix")(means.swapaxes(0, 1)))
        return x + nn.Dropout(self.dropout, deterministic=not train)(y), final


class Smoother(PackedStack):
    """A linear layer and blocks of moving averages, which skip masked frames.

    The state contains the averages of each block, [batch, units], and finally the last output.
    """

    def blocks(
        self,
        y: Float[Array, "batch time {self.units}"],
        valid: Bool[Array, "batch time"],
        state: State,
        train: bool,
    ) -> tuple[Float[Array, "batch time {self.units}"], State]:
        final = []
        for index in range(self.layers):
            mean = state[index][0] if state else jnp.zeros_like(y[:, 0])
            block = SmootherBlock(
                self.units, self.dropout, self.bidirectional, name=f"layer_{index}"
            )
            y, mean = block(y, valid, mean, train)
            final.append((mean,))
        return y, tuple(final)

    @nn.nowrap
    def blocks_state(self, batch: Any) -> State:
        return ((jnp.zeros((batch, self.units), jnp.float32),),) * self.layers
