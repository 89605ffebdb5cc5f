"""EfficientNet-B0 with TensorFlow's padding and the same parameters as timm's `tf_efficientnet_b0`.

The parameter `blocks.S.B.conv_pw.weight` in timm is called `blocks_S_B/conv_pw/kernel` here, and
its axes change from OIHW to HWIO. `se.conv_reduce` and `se.conv_expand` correspond to the dense
layers `se_reduce` and `se_expand`.
"""

import functools
from typing import Any, NamedTuple

import flax.linen as nn
import jax.numpy as jnp
from jax import lax
from jaxtyping import Array, Bool, Float

from va_jax.models import forms
from va_jax.models.batch_norm import BatchNorm
from va_jax.models.conv import pointwise
from va_jax.models.inflate import Time

BN_EPSILON = 1e-3

PUBLISHED_WIDTH = 64
"""Value of `width` at which all layers have their published widths."""

STEM, HEAD = 32, 1280
"""Numbers of output channels of the first and the last convolution."""

INIT = nn.initializers.variance_scaling(2.0, "fan_out", "normal")


class Stage(NamedTuple):
    """A sequence of blocks, of which only the first is strided."""

    side: int  # side of the depthwise kernel
    stride: int
    expansion: int  # channels inside a block, relative to those of its input
    channels: int  # channels of the output


STAGES = (
    Stage(3, 1, 1, 16),
    Stage(3, 2, 6, 24),
    Stage(5, 2, 6, 40),
    Stage(3, 2, 6, 80),
    Stage(5, 1, 6, 112),
    Stage(5, 2, 6, 192),
    Stage(3, 1, 6, 320),
)
"""Stages of EfficientNet-B0 (Tan and Le, 2019, table 1), with 1, 2, 2, 3, 3, 4 and 1 blocks."""


class Block(nn.Module):
    """An inverted residual block: expand, convolve each channel, excite, project."""

    stage: Stage
    stride: int
    dtype: Any

    @nn.compact
    def __call__(
        self,
        x: Float[Array, "batch time height width channels"],
        mask: Bool[Array, "batch time"],
        train: bool,
    ) -> Float[Array, "batch time out_height out_width features"]:
        stage, channels, y = self.stage, x.shape[-1], x
        norms = iter(("bn1", "bn2", "bn3"))

        def norm(y: Array) -> Array:
            layer = BatchNorm(self.dtype, epsilon=BN_EPSILON, name=next(norms))
            return layer(y, mask, train)

        if stage.expansion > 1:
            expand = Pointwise(stage.expansion * channels, self.dtype, name="conv_pw")
            y = nn.silu(norm(expand(y)))
        depthwise = SameConv(y.shape[-1], stage.side, self.stride, True, self.dtype, name="conv_dw")
        y = self._excite(nn.silu(norm(depthwise(y))), max(channels // 4, 1))
        last = "conv_pwl" if stage.expansion > 1 else "conv_pw"
        y = norm(Pointwise(stage.channels, self.dtype, name=last)(y))
        return x + y if x.shape == y.shape else y

    def _excite(self, y: Array, squeezed: int) -> Array:
        """Scale each frame's channels by gates computed from their means (Hu et al., 2018)."""
        gate = nn.silu(nn.Dense(squeezed, dtype=self.dtype, name="se_reduce")(y.mean((2, 3))))
        gate = nn.Dense(y.shape[-1], dtype=self.dtype, name="se_expand")(gate)
        return y * nn.sigmoid(gate)[:, :, None, None]


class EfficientNet(nn.Module):
    """A network that maps single frames to the feature map of its last convolution."""

    stage_sizes: tuple[int, ...]  # blocks per stage; there are seven stages
    width: int = PUBLISHED_WIDTH  # scale of the number of channels in all layers
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

        Frames outside `mask` do not affect other frames.
        """
        x = SameConv(self._scaled(STEM), 3, 2, False, self.dtype, name="conv_stem")(x)
        x = nn.silu(BatchNorm(self.dtype, epsilon=BN_EPSILON, name="bn1")(x, mask, train))
        block_class = nn.remat(Block, static_argnums=(3,)) if self.remat else Block
        for number, (stage, size) in enumerate(zip(STAGES, self.stage_sizes, strict=True)):
            scaled = stage._replace(channels=self._scaled(stage.channels))
            for index in range(size):
                stride = 1 if index else stage.stride
                block = block_class(scaled, stride, self.dtype, name=f"blocks_{number}_{index}")
                x = block(x, mask, train)
        x = Pointwise(self._scaled(HEAD), self.dtype, name="conv_head")(x)
        x = nn.silu(BatchNorm(self.dtype, epsilon=BN_EPSILON, name="bn2")(x, mask, train))
        return x, x

    @nn.nowrap
    def times(self) -> list[Time]:
        """Return no temporal extent, since every layer sees a single frame."""
        return []

    @nn.nowrap
    def _scaled(self, channels: int) -> int:
        return max(channels * self.width // PUBLISHED_WIDTH, 1)


class Pointwise(nn.Module):
    """A 1x1 convolution."""

    features: int
    dtype: Any

    @nn.compact
    def __call__(self, x: Float[Array, "*axes channels"]) -> Float[Array, "*axes {self.features}"]:
        shape = (1, 1, x.shape[-1], self.features)
        kernel = self.param("kernel", INIT, shape, jnp.float32).astype(self.dtype)
        flat = x.astype(self.dtype).reshape(-1, *x.shape[2:])
        return pointwise(flat, kernel).reshape(*x.shape[:-1], self.features)


class SameConv(nn.Module):
    """A convolution of single frames with TensorFlow's "SAME" padding.

    With a stride of 2, an even side gets one pixel less padding at its start than at its end.
    """

    features: int
    side: int  # side of the kernel, odd
    stride: int
    depthwise: bool  # whether each channel has its own kernel, [side, side, 1, channels]
    dtype: Any

    @nn.compact
    def __call__(
        self, x: Float[Array, "batch time height width channels"]
    ) -> Float[Array, "batch time out_height out_width {self.features}"]:
        shape = (self.side, self.side, 1 if self.depthwise else x.shape[-1], self.features)
        kernel = self.param("kernel", INIT, shape, jnp.float32).astype(self.dtype)
        flat = x.astype(self.dtype).reshape(-1, *x.shape[2:])
        if self.depthwise and forms.chosen().depthwise == "taps":
            y = _depthwise_by_taps(flat, kernel, self.stride)
        else:
            y = lax.conv_general_dilated(
                flat,
                kernel,
                window_strides=(self.stride, self.stride),
                padding="SAME",
                dimension_numbers=("NHWC", "HWIO", "NHWC"),
                feature_group_count=self.features if self.depthwise else 1,
            )
        return y.reshape(*x.shape[:2], *y.shape[1:])


def _depthwise_by_taps(x: Array, kernel: Array, stride: int) -> Array:
    """Convolve each channel of x [n, height, width, channels] as a sum over the kernel's taps.

    On a CPU, XLA's own convolution takes 3 to 20 times as long, and its gradient 3 to 25 times.
    """
    side = kernel.shape[0]
    heights, widths = lax.padtype_to_pads(x.shape[1:3], (side, side), (stride, stride), "SAME")
    padded = jnp.pad(x, ((0, 0), heights, widths, (0, 0)))
    down, along = (stride * ((n - 1) // stride) + 1 for n in x.shape[1:3])
    views = (
        padded[:, i : i + down : stride, j : j + along : stride] * kernel[i, j, 0][None, None, None]
        for i in range(side)
        for j in range(side)
    )
    return functools.reduce(jnp.add, views)
