"""A temporal convolutional network followed by Linear Recurrent Units."""

from typing import Any

import flax.linen as nn
import jax.numpy as jnp
from jaxtyping import Array, Bool, Float

from va_jax.models.lru import LRUBlock
from va_jax.models.tcn import TCNBlock
from va_jax.models.temporal import PackedStack, State


class TCNLRU(PackedStack):
    """A linear layer, followed by `layers` TCN blocks and the same number of LRU blocks.

    The convolutions see short patterns, and the LRUs have a long memory. This order is that of
    Mamba-VA (2025), which uses Mamba instead of LRUs. Masked frames are skipped. The state contains
    the states of the TCN blocks and of the LRU blocks, and the last output (see `TCN` and
    `LRUStack`).
    """

    kernel_size: int = 3  # odd if bidirectional

    def blocks(
        self,
        y: Float[Array, "batch time {self.units}"],
        valid: Bool[Array, "batch time"],
        state: State,
        train: bool,
    ) -> tuple[Float[Array, "batch time {self.units}"], State]:
        pasts, memories = [], []
        for index in range(self.layers):
            tcn = TCNBlock(
                self.units, self.kernel_size, 2**index, self.dropout, name=f"tcn_{index}"
            )
            y, past = tcn(y, valid, state[index] if state else (), train=train)
            pasts.append(past)
        zeros = jnp.zeros((y.shape[0], 2 * self.units), y.dtype)
        for index in range(self.layers):
            lru = LRUBlock(self.units, self.dropout, self.bidirectional, name=f"lru_{index}")
            h = state[self.layers + index][0] if state else zeros
            y, h = lru(y, valid, h, train=train)
            memories.append((h,))
        return y, (*pasts, *memories)

    @nn.nowrap
    def blocks_state(self, batch: Any) -> State:
        pasts = [(self.kernel_size - 1) * 2**index for index in range(self.layers)]
        return (
            *((jnp.zeros((batch, past, self.units), jnp.float32),) * 2 for past in pasts),
            *((jnp.zeros((batch, 2 * self.units), jnp.float32),),) * self.layers,
        )
