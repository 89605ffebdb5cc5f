"""VGG-16 with or without batch norm, 2-D or inflated; also the backbone of VGG-Face.

Layers are named as in VGG-Face: `conv3_2` is the second convolution in the third stage, and `bn3_2`
is its norm. The fully connected layers belong to the regressor, since they process single frames.
"""

from typing import Any

import flax.linen as nn
import jax.numpy as jnp
from jaxtyping import Array, Bool, Float

from va_jax.models.batch_norm import BatchNorm
from va_jax.models.conv import Conv, repeat_frames, stride_mask
from va_jax.models.inflate import FLAT, Inflation, Time
from va_jax.models.pooling import max_over_time, pool_frames
from va_jax.types import InputError

MAX_WIDENING = 8  # largest number of channels relative to the first stage


class VGG(nn.Module):
    """The convolutional part of VGG-16 (Simonyan and Zisserman, 2015).

    The published network has `stage_sizes` (2, 2, 3, 3, 3) and `width` 64.
    """

    stage_sizes: tuple[int, ...]
    batch_norm: bool
    width: int = 64
    inflation: Inflation = FLAT
    remat: bool = False  # whether to recompute each stage in the backward pass
    dtype: Any = jnp.float32  # type of the convolutions; parameters and statistics are float32

    @nn.compact
    def __call__(
        self,
        x: Float[Array, "batch time height width 3"],
        mask: Bool[Array, "batch time"],
        train: bool,
    ) -> tuple[Float[Array, "batch time H W features"], Float[Array, "batch time h w features"]]:
        """Return the output of the last convolution before and after the last pool.

        Frames outside `mask` do not affect other frames. If time is strided, each output is
        repeated for all frames that it covers.

        Raises:
            InputError: the frames are too small for the pools.
        """
        smallest = 2 ** len(self.stage_sizes)
        if min(x.shape[2:4]) < smallest:
            raise InputError(
                f"data.size={min(x.shape[2:4])} leaves no pixels after {len(self.stage_sizes)} "
                f"pooling layers, each of which halves it; set it to {smallest} or more"
            )
        frames, pool, conv = x.shape[1], self.inflation.pool(), x
        for stage in range(len(self.stage_sizes)):

            def convolve(self: "VGG", x: Array, mask: Array, stage: int = stage) -> Array:
                return self._convolve(stage, x, mask, train)

            conv = (nn.remat(convolve) if self.remat else convolve)(self, x, mask)
            x = max_over_time(pool_frames(conv, 2, (0, 0)), mask, pool)
            mask = stride_mask(mask, pool.stride)
        stride = pool.stride ** len(self.stage_sizes)
        return repeat_frames(conv, stride // pool.stride, frames), repeat_frames(x, stride, frames)

    @nn.nowrap
    def times(self) -> list[Time]:
        """Return the temporal extent of the convolutions and pools, in order."""
        times = []
        for stage, size in enumerate(self.stage_sizes):
            times += [self.inflation.spatial(stage)] * size + [self.inflation.pool()]
        return times

    def _convolve(self, stage: int, x: Array, mask: Array, train: bool) -> Array:
        """Apply the 3x3 convolutions of a stage to `x`, with a ReLU after each."""
        features, time = self.width * min(2**stage, MAX_WIDENING), self.inflation.spatial(stage)
        for number in range(1, self.stage_sizes[stage] + 1):
            name = f"{stage + 1}_{number}"
            conv = Conv(features, 3, 1, time, use_bias=True, dtype=self.dtype, name=f"conv{name}")
            x = conv(x, mask)
            if self.batch_norm:
                x = BatchNorm(self.dtype, name=f"bn{name}")(x, mask, train)
            x = nn.relu(x)
        return x
