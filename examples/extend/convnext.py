"""A backbone in the manner of ConvNeXt (Liu et al., 2022): an example of adding one to va_jax.

Copy this file to `va_jax/models/` and apply `convnext.patch`.
"""

from typing import Any

import flax.linen as nn
import jax.numpy as jnp
from jaxtyping import Array, Bool, Float

from va_jax.models.inflate import Time


class Block(nn.Module):
    """A convolution of each channel, and two layers across the channels, around a shortcut."""

    dtype: Any

    @nn.compact
    def __call__(
        self, x: Float[Array, "batch time height width channels"]
    ) -> Float[Array, "batch time height width channels"]:
        width = x.shape[-1]
        y = nn.Conv(width, (7, 7), feature_group_count=width, dtype=self.dtype, name="spatial")(x)
        y = nn.LayerNorm(dtype=self.dtype, name="norm")(y)
        y = nn.gelu(nn.Dense(4 * width, dtype=self.dtype, name="expand")(y))
        return x + nn.Dense(width, dtype=self.dtype, name="project")(y)


class ConvNeXt(nn.Module):
    """Stages of blocks; each stage after the first halves the sides and doubles the channels."""

    stage_sizes: tuple[int, ...]  # blocks per stage
    width: int = 64  # channels of the first stage
    remat: bool = False  # whether to recompute each block in the backward pass
    dtype: Any = jnp.float32  # type of the layers; parameters are float32

    @nn.compact
    def __call__(
        self,
        x: Float[Array, "batch time height width 3"],
        mask: Bool[Array, "batch time"],
        train: bool,
    ) -> tuple[Float[Array, "batch time h w features"], Float[Array, "batch time h w features"]]:
        """Return the last map twice, as the output of both the last convolution and the last pool.

        Frames outside `mask` do not affect other frames, since no layer combines frames.
        """
        block = nn.remat(Block) if self.remat else Block
        for stage, size in enumerate(self.stage_sizes):
            step = 4 if stage == 0 else 2
            shrink = nn.Conv(
                self.width * 2**stage, (step, step), step, dtype=self.dtype, name=f"shrink_{stage}"
            )
            x = nn.LayerNorm(dtype=self.dtype, name=f"norm_{stage}")(shrink(x))
            for index in range(size):
                x = block(self.dtype, name=f"block_{stage}_{index}")(x)
        return x, x

    @nn.nowrap
    def times(self) -> list[Time]:
        """Return no temporal extent, since every layer sees a single frame."""
        return []
