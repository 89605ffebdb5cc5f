"""ResNet-18/34/50 and SE-ResNet-50, parameter for parameter torch's, 2-D or inflated.

torch's `layer1.0.conv1.weight` is `layer1_0/conv1/kernel` here: block dots become underscores,
`downsample.0` and `downsample.1` become `downsample_conv` and `downsample_bn`, OIHW becomes HWIO,
and a norm's weight, bias, running_mean, running_var are `scale`, `bias` in params and `mean`,
`var` in batch_stats.
"""

import math
from typing import Any, NamedTuple

import flax.linen as nn
import jax.numpy as jnp
from jaxtyping import Array, Bool, Float

from va_jax.models.conv import BatchNorm, Conv, stride_mask
from va_jax.models.inflate import FLAT, Inflation, Time
from va_jax.models.pooling import ceil_padding, max_over_time, max_pool

SQUEEZE = 16
"""Squeeze-and-excitation passes a 16th of the channels (Hu et al., 2018)."""


class Layer(NamedTuple):
    """One convolution of a block."""

    features: int
    side: int
    stride: int  # in space
    time: Time


class Block(nn.Module):
    """Convolutions with batch norm and a shortcut around them (He et al., 2016)."""

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
        """Each frame's channels, scaled by what the frame as a whole shows."""
        channels = y.shape[-1]
        waist = nn.Dense(channels // SQUEEZE, dtype=self.dtype, name="se_down")(y.mean((2, 3)))
        gate = nn.Dense(channels, dtype=self.dtype, name="se_up")(nn.relu(waist))
        return y * nn.sigmoid(gate)[:, :, None, None]


class ResNet(nn.Module):
    """A residual network from frames to the map of its last stage.

    `width` is the number of channels of the stem and the first stage, doubled at every further
    stage; `stage_sizes` the blocks of each. Width 64 and four stages are the published networks.
    """

    stage_sizes: tuple[int, ...]
    bottleneck: bool  # 1x1, 3x3, 1x1 and four times the width; else two 3x3
    width: int = 64
    squeeze_excite: bool = False
    caffe: bool = False  # as VGGFace2's: stride on the first 1x1, pool unpadded and rounding up
    zero_init_residual: bool = False  # each block starts as the identity (Goyal et al., 2017)
    inflation: Inflation = FLAT
    remat: bool = False  # compute the inside of each block again in the backward pass
    dtype: Any = jnp.float32  # of the convolutions; parameters and statistics are float32

    @nn.compact
    def __call__(
        self,
        x: Float[Array, "batch time height width 3"],
        mask: Bool[Array, "batch time"],
        train: bool,
    ) -> tuple[Float[Array, "batch time h w features"], Float[Array, "batch time h w features"]]:
        """The last map twice: after the last convolution and after the last pool are one here.

        Frames outside `mask` influence no other. Where time is strided, each output stands for
        the frames of its stride and is repeated for them.
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
                layers, shortcut = self._plan(stage, index)
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
        """How its convolutions and pools reach over time, one after the other."""
        places = [(stage, i) for stage, size in enumerate(self.stage_sizes) for i in range(size)]
        blocks = [layer.time for place in places for layer in self._plan(*place)[0]]
        return [self.inflation.stem(), self.inflation.pool(), *blocks]

    @nn.nowrap
    def _plan(self, stage: int, index: int) -> tuple[tuple[Layer, ...], Layer]:
        """The convolutions of a block, and the one of its shortcut."""
        features, over = self.width * 2**stage, self.inflation
        stride = 2 if stage > 0 and index == 0 else 1
        if not self.bottleneck:
            first = Layer(features, 3, stride, over.spatial(stage, stride))
            second = Layer(features, 3, 1, over.spatial(stage))
            return (first, second), Layer(features, 1, stride, over.shortcut(stride))
        early, late = (stride, 1) if self.caffe else (1, stride)
        layers = (
            Layer(features, 1, early, over.pointwise(stage, index, early)),
            Layer(features, 3, late, over.spatial(stage, late)),
            Layer(4 * features, 1, 1, Time()),
        )
        return layers, Layer(4 * features, 1, stride, over.shortcut(stride))


def pool_frames(x: Array, side: int, padding: tuple[int, int]) -> Array:
    """The max-pool of every frame by itself."""
    y = max_pool(x.reshape(-1, *x.shape[2:]), side, padding)
    return y.reshape(*x.shape[:2], *y.shape[1:])


def repeat_frames(x: Array, stride: int, frames: Any) -> Array:
    """Each output of a network strided in time, repeated for the frames it stands for."""
    return x if stride == 1 else jnp.repeat(x, stride, axis=1)[:, :frames]
