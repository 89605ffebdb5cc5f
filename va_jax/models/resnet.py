"""ResNet-18/34/50 and SE-ResNet-50, 2-D or inflated, with the same parameters as in torch.

The parameter `layer1.0.conv1.weight` in torch is called `layer1_0/conv1/kernel` here, and its axes
change from OIHW to HWIO. `downsample.0` and `downsample.1` are called `downsample_conv` and
`downsample_bn`. For a norm, weight and bias are `scale` and `bias` in params, while running_mean
and running_var are `mean` and `var` in batch_stats.
"""

import math
from typing import Any, NamedTuple

import flax.linen as nn
import jax.numpy as jnp
from jaxtyping import Array, Bool, Float

from va_jax.models.batch_norm import BatchNorm
from va_jax.models.conv import Conv, repeat_frames, stride_mask
from va_jax.models.inflate import FLAT, Inflation, Time
from va_jax.models.pooling import ceil_padding, max_over_time, pool_frames

SQUEEZE = 16
"""Factor by which squeeze-and-excitation reduces the channels (Hu et al., 2018)."""


class Layer(NamedTuple):
    """One convolution in a block."""

    features: int
    side: int
    stride: int  # spatial stride
    time: Time


class Block(nn.Module):
    """Convolutions with batch norm, and a shortcut around them (He et al., 2016)."""

    layers: tuple[Layer, ...]
    shortcut: Layer
    squeeze_excite: bool
    zero_init_residual: bool
    dtype: Any

    @nn.compact
    def __call__(
        self,
        x: Float[Array, "batch time height width channels"],
        mask: Bool[Array, "batch time"],
        train: bool,
    ) -> Float[Array, "batch out_time out_height out_width features"]:
        y, after = x, mask
        for number, layer in enumerate(self.layers, 1):
            y = Conv(*layer, dtype=self.dtype, name=f"conv{number}")(y, after)
            after = stride_mask(after, layer.time.stride)
            last = number == len(self.layers)
            zero = last and self.zero_init_residual
            scale_init = nn.initializers.zeros if zero else nn.initializers.ones
            y = BatchNorm(self.dtype, scale_init, name=f"bn{number}")(y, after, train)
            y = y if last else nn.relu(y)
        if self.squeeze_excite:
            y = self._excite(y)
        if x.shape != y.shape:
            x = Conv(*self.shortcut, dtype=self.dtype, name="downsample_conv")(x, mask)
            x = BatchNorm(self.dtype, name="downsample_bn")(x, after, train)
        return nn.relu(x + y)

    def _excite(self, y: Array) -> Array:
        """Scale each frame's channels by gates computed from their means."""
        channels = y.shape[-1]
        squeezed = nn.Dense(channels // SQUEEZE, dtype=self.dtype, name="se_down")(y.mean((2, 3)))
        gate = nn.Dense(channels, dtype=self.dtype, name="se_up")(nn.relu(squeezed))
        return y * nn.sigmoid(gate)[:, :, None, None]


class ResNet(nn.Module):
    """A residual network that maps frames to the feature map of its last stage."""

    stage_sizes: tuple[int, ...]  # blocks per stage; the published networks have four stages
    bottleneck: bool  # True: 1x1, 3x3, 1x1 with four times the output channels; False: two 3x3
    width: int = 64  # channels in the stem and the first stage; doubles in every further stage
    squeeze_excite: bool = False
    caffe: bool = False  # True: stride in the first 1x1, unpadded pool that rounds up (VGGFace2)
    zero_init_residual: bool = False  # whether blocks start as the identity (Goyal et al., 2017)
    inflation: Inflation = FLAT
    remat: bool = False  # whether to recompute the inside of each block in the backward pass
    dtype: Any = jnp.float32  # type of the convolutions; parameters and statistics are float32

    @nn.compact
    def __call__(
        self,
        x: Float[Array, "batch time height width 3"],
        mask: Bool[Array, "batch time"],
        train: bool,
    ) -> tuple[Float[Array, "batch time h w features"], Float[Array, "batch time h w features"]]:
        """Return the last map twice, as the output of both the last convolution and the last pool.

        Frames outside `mask` do not affect other frames. If time is strided, each output is
        repeated for all frames that it covers.
        """
        frames, strides = x.shape[1], []
        stem, pool = self.inflation.stem(), self.inflation.pool()
        x = Conv(self.width, 7, 2, stem, dtype=self.dtype, name="conv1")(x, mask)
        mask = stride_mask(mask, stem.stride)
        strides += [stem.stride, pool.stride]
        x = nn.relu(BatchNorm(self.dtype, name="bn1")(x, mask, train))
        padding = ceil_padding(3, x.shape[2]) if self.caffe else (1, 1)
        x = max_over_time(pool_frames(x, 3, padding), mask, pool)
        mask = stride_mask(mask, pool.stride)
        block_class = nn.remat(Block, static_argnums=(3,)) if self.remat else Block
        for stage, size in enumerate(self.stage_sizes):
            for index in range(size):
                layers, shortcut = self._block_layers(stage, index)
                x = block_class(
                    layers,
                    shortcut,
                    self.squeeze_excite,
                    self.zero_init_residual,
                    self.dtype,
                    name=f"layer{stage + 1}_{index}",
                )(x, mask, train)
                mask = stride_mask(mask, shortcut.time.stride)
                strides.append(shortcut.time.stride)
        x = repeat_frames(x, math.prod(strides), frames)
        return x, x

    @nn.nowrap
    def times(self) -> list[Time]:
        """Return the temporal extent of the convolutions and pools, in order."""
        places = [(stage, i) for stage, size in enumerate(self.stage_sizes) for i in range(size)]
        blocks = [layer.time for place in places for layer in self._block_layers(*place)[0]]
        return [self.inflation.stem(), self.inflation.pool(), *blocks]

    @nn.nowrap
    def _block_layers(self, stage: int, index: int) -> tuple[tuple[Layer, ...], Layer]:
        """Return the convolutions in a block, and the convolution in its shortcut."""
        features, inflation = self.width * 2**stage, self.inflation
        stride = 2 if stage > 0 and index == 0 else 1
        if not self.bottleneck:
            first = Layer(features, 3, stride, inflation.spatial(stage, stride))
            second = Layer(features, 3, 1, inflation.spatial(stage))
            return (first, second), Layer(features, 1, stride, inflation.shortcut(stride))
        early, late = (stride, 1) if self.caffe else (1, stride)
        layers = (
            Layer(features, 1, early, inflation.pointwise(stage, index, early)),
            Layer(features, 3, late, inflation.spatial(stage, late)),
            Layer(4 * features, 1, 1, Time()),
        )
        return layers, Layer(4 * features, 1, stride, inflation.shortcut(stride))
