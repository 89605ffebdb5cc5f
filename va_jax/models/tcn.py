"""Temporal convolutional network (Bai, Kolter and Koltun, 2018, arXiv 1803.01271)."""

from typing import Any

import flax.linen as nn
import jax
import jax.numpy as jnp
from jaxtyping import Array, Bool, Float

from va_jax.models import temporal
from va_jax.models.temporal import PackedStack, State


class DilatedConv(nn.Module):
    """A dilated convolution over time with weight normalisation (Salimans and Kingma, 2016).

    Each filter is the direction of its part of `kernel`, multiplied by `scale`. `scale` starts at
    the square root of 2, the expected norm of a filter under He initialisation (our choice).
    """

    features: int
    taps: int
    dilation: int  # distance between taps in frames

    @nn.compact
    def __call__(
        self, x: Float[Array, "batch both channels"]
    ) -> Float[Array, "batch time {self.features}"]:
        """Return the outputs without padding; `both` is `time` plus (taps - 1) x dilation."""
        shape = (self.taps, x.shape[-1], self.features)
        kernel = self.param("kernel", nn.initializers.he_normal(), shape, jnp.float32)
        scale = self.param("scale", nn.initializers.constant(2**0.5), shape[2:], jnp.float32)
        bias = self.param("bias", nn.initializers.zeros, shape[2:], jnp.float32)
        time = x.shape[1] - (self.taps - 1) * self.dilation
        starts = (tap * self.dilation for tap in range(self.taps))
        seen = [jax.lax.slice_in_dim(x, start, start + time, axis=1) for start in starts]
        # A single product, with the outputs scaled instead of the filters, takes a fifth of the
        # time for one frame.
        y = jnp.concatenate(seen, -1) @ kernel.reshape(-1, self.features)
        factors = scale / jnp.sqrt((kernel**2).sum((0, 1)))
        return y * factors[None, None] + bias[None, None]


class TCNBlock(nn.Module):
    """Two dilated convolutions with a residual connection.

    A PReLU (He et al., 2015) and dropout follow each convolution, and one more PReLU follows the
    sum.
    """

    units: int
    taps: int
    dilation: int
    dropout: float

    @nn.compact
    def __call__(
        self,
        x: Float[Array, "batch time {self.units}"],
        valid: Bool[Array, "batch time"],
        state: tuple[Array, ...],
        *,
        train: bool,
    ) -> tuple[Float[Array, "batch time {self.units}"], tuple[Array, ...]]:
        """Return the output and, if a state was passed, the new state; () for a centred block."""
        y, reach, final = x, (self.taps - 1) * self.dilation, []
        for index in range(2):
            y = temporal.only(y, valid)
            if state:
                y = jnp.concatenate([state[index], y], 1)
                final.append(temporal.latest(y, valid))
            else:
                y = jnp.pad(y, ((0, 0), (reach // 2, reach // 2), (0, 0)))
            y = DilatedConv(self.units, self.taps, self.dilation, name=f"conv_{index}")(y)
            y = nn.PReLU(negative_slope_init=0.25, name=f"prelu_{index}")(y)
            y = nn.Dropout(self.dropout, deterministic=not train)(y)
        return nn.PReLU(negative_slope_init=0.25, name="prelu_sum")(x + y), tuple(final)


class TCN(PackedStack):
    """A linear layer and residual blocks whose dilation doubles from block to block.

    Unlike the paper's network, it has PReLUs with one slope each instead of ReLUs, as in the code
    of Mamba-VA (2025), and a linear layer that gives all blocks the same width.

    Masked frames are skipped. A causal network sees the last 1 + 2 (kernel_size - 1) (2^layers - 1)
    of the remaining frames, and zeros before the first one. A bidirectional network looks half as
    far in either direction, and sees zeros outside the window.

    The state contains, for each block, the inputs that its two convolutions still need, [batch,
    (kernel_size - 1) x dilation, units] each, and finally the last output, [batch, units].
    """

    kernel_size: int = 3  # odd if bidirectional

    def blocks(
        self,
        y: Float[Array, "batch time {self.units}"],
        valid: Bool[Array, "batch time"],
        state: State,
        train: bool,
    ) -> tuple[Float[Array, "batch time {self.units}"], State]:
        final = []
        for index in range(self.layers):
            block = TCNBlock(
                self.units, self.kernel_size, 2**index, self.dropout, name=f"layer_{index}"
            )
            y, past = block(y, valid, state[index] if state else (), train=train)
            final.append(past)
        return y, tuple(final)

    @nn.nowrap
    def blocks_state(self, batch: Any) -> State:
        pasts = [(self.kernel_size - 1) * 2**index for index in range(self.layers)]
        return tuple((jnp.zeros((batch, past, self.units), jnp.float32),) * 2 for past in pasts)
