"""ResNet-18/34/50 on single frames, parameter for parameter torchvision's, with masked batch norm.

torch's `layer1.0.conv1.weight` is `layer1_0/conv1/kernel` here: block dots become underscores,
`downsample.0` and `downsample.1` become `downsample_conv` and `downsample_bn`, OIHW becomes HWIO,
and a norm's weight, bias, running_mean, running_var are `scale`, `bias` in params and `mean`,
`var` in batch_stats.
"""

from collections.abc import Callable
from typing import Any

import flax.linen as nn
import jax.numpy as jnp
from jax import lax
from jaxtyping import Array, Bool, Float

from va_jax.models.pooling import max_pool

BN_EPSILON = 1e-5
BN_MOMENTUM = 0.9  # the share the running statistics keep; torch calls the rest momentum

KAIMING = nn.initializers.variance_scaling(2.0, "fan_out", "normal")
"""He et al. (2015), fan-out, as torchvision initialises its convolutions."""


class Conv(nn.Module):
    """Convolution without bias, zero-padded by kernel // 2 on every side as torch does.

    SAME padding would shift a strided convolution by one pixel on even sizes: 3-6 % of the output.
    """

    features: int
    kernel: int  # side, odd
    stride: int = 1
    dtype: Any = jnp.float32

    @nn.compact
    def __call__(
        self, x: Float[Array, "n height width channels"]
    ) -> Float[Array, "n out_height out_width features"]:
        shape = (self.kernel, self.kernel, x.shape[-1], self.features)
        kernel = self.param("kernel", KAIMING, shape, jnp.float32).astype(self.dtype)
        x = x.astype(self.dtype)
        if self.kernel == 1:  # as one matrix product: a third of a CPU training step is saved
            return lax.dot_general(
                x[:, :: self.stride, :: self.stride], kernel[0, 0], (((3,), (0,)), ((), ()))
            )
        return lax.conv_general_dilated(
            x,
            kernel,
            window_strides=(self.stride, self.stride),
            padding=[(self.kernel // 2, self.kernel // 2)] * 2,
            dimension_numbers=("NHWC", "HWIO", "NHWC"),
        )


class BatchNorm(nn.Module):
    """Batch norm whose statistics come only from the frames where `mask` is True.

    Statistics are float32 whatever the compute type, over the global batch where the batch is
    sharded. The running variance is the unbiased one, as in torch. In a training batch without
    one valid frame the running statistics stand in and stay as they are: there is nothing to
    learn from it, and nothing becomes NaN.
    """

    dtype: Any = jnp.float32
    scale_init: Callable[..., Any] = nn.initializers.ones

    @nn.compact
    def __call__(
        self,
        x: Float[Array, "n height width channels"],
        mask: Bool[Array, " n"],
        *,
        train: bool,
    ) -> Float[Array, "n height width channels"]:
        channels = x.shape[-1:]
        scale = self.param("scale", self.scale_init, channels, jnp.float32)
        bias = self.param("bias", nn.initializers.zeros, channels, jnp.float32)
        running_mean = self.variable("batch_stats", "mean", jnp.zeros, channels, jnp.float32)
        running_var = self.variable("batch_stats", "var", jnp.ones, channels, jnp.float32)
        mean, var = running_mean.value, running_var.value
        x = x.astype(scale.dtype)
        if train:
            some = mask.any()
            batch_mean, batch_var, count = _moments(x, mask, centre=mean)
            if not self.is_initializing():
                unbiased = batch_var * (count / jnp.maximum(count - 1, 1))
                running_mean.value = jnp.where(some, _follow(mean, batch_mean), mean)
                running_var.value = jnp.where(some, _follow(var, unbiased), var)
            mean, var = jnp.where(some, batch_mean, mean), jnp.where(some, batch_var, var)
        factor = scale * lax.rsqrt(var + BN_EPSILON)
        y = (x - mean[None, None, None]) * factor[None, None, None] + bias[None, None, None]
        return y.astype(self.dtype)


def _moments(x: Array, mask: Array, centre: Array) -> tuple[Array, Array, Array]:
    """Mean and population variance [channels] of the masked frames, and the count of positions.

    One pass over the activations; taken around `centre`, the running mean, so that no digits are
    lost where the mean is large against the spread.
    """
    dev = jnp.where(mask[:, None, None, None], x - centre[None, None, None], 0)
    count = jnp.maximum(mask.sum().astype(x.dtype) * x.shape[1] * x.shape[2], 1)
    mean = dev.sum((0, 1, 2)) / count
    square = (dev**2).sum((0, 1, 2)) / count
    return mean + centre, jnp.maximum(square - mean**2, 0), count


def _follow(running: Array, batch: Array) -> Array:
    return BN_MOMENTUM * running + (1 - BN_MOMENTUM) * batch


class BasicBlock(nn.Module):
    """Two 3x3 convolutions and a shortcut (ResNet-18 and -34)."""

    features: int
    stride: int
    zero_init_residual: bool
    dtype: Any

    @nn.compact
    def __call__(
        self, x: Float[Array, "n height width channels"], mask: Bool[Array, " n"], *, train: bool
    ) -> Float[Array, "n out_height out_width features"]:
        last = nn.initializers.zeros if self.zero_init_residual else nn.initializers.ones
        y = Conv(self.features, 3, self.stride, self.dtype, name="conv1")(x)
        y = nn.relu(BatchNorm(self.dtype, name="bn1")(y, mask, train=train))
        y = Conv(self.features, 3, 1, self.dtype, name="conv2")(y)
        y = BatchNorm(self.dtype, last, name="bn2")(y, mask, train=train)
        if x.shape != y.shape:
            x = Conv(self.features, 1, self.stride, self.dtype, name="downsample_conv")(x)
            x = BatchNorm(self.dtype, name="downsample_bn")(x, mask, train=train)
        return nn.relu(x + y)


class BottleneckBlock(nn.Module):
    """1x1, 3x3, 1x1 and a shortcut (ResNet-50); the stride is on the 3x3, as in torchvision."""

    features: int  # of the 3x3; the block gives four times as many
    stride: int
    zero_init_residual: bool
    dtype: Any

    @nn.compact
    def __call__(
        self, x: Float[Array, "n height width channels"], mask: Bool[Array, " n"], *, train: bool
    ) -> Float[Array, "n out_height out_width out"]:
        last = nn.initializers.zeros if self.zero_init_residual else nn.initializers.ones
        y = Conv(self.features, 1, 1, self.dtype, name="conv1")(x)
        y = nn.relu(BatchNorm(self.dtype, name="bn1")(y, mask, train=train))
        y = Conv(self.features, 3, self.stride, self.dtype, name="conv2")(y)
        y = nn.relu(BatchNorm(self.dtype, name="bn2")(y, mask, train=train))
        y = Conv(4 * self.features, 1, 1, self.dtype, name="conv3")(y)
        y = BatchNorm(self.dtype, last, name="bn3")(y, mask, train=train)
        if x.shape != y.shape:
            x = Conv(4 * self.features, 1, self.stride, self.dtype, name="downsample_conv")(x)
            x = BatchNorm(self.dtype, name="downsample_bn")(x, mask, train=train)
        return nn.relu(x + y)


class ResNet(nn.Module):
    """A residual network (He et al., 2016) from frames to pooled features.

    `width` is the number of channels of the stem and the first stage, doubled at every further
    stage; `stage_sizes` the blocks of each. Width 64 and four stages are the published networks.
    """

    stage_sizes: tuple[int, ...]
    bottleneck: bool
    width: int = 64
    zero_init_residual: bool = False  # each block starts as the identity (Goyal et al., 2017)
    dtype: Any = jnp.float32  # of the convolutions; parameters and statistics are float32

    @nn.compact
    def __call__(
        self,
        x: Float[Array, "n height width 3"],
        mask: Bool[Array, " n"],
        *,
        train: bool,
    ) -> Float[Array, "n features"]:
        """Global average of the last stage, float32; frames outside `mask` influence no other."""
        x = Conv(self.width, 7, 2, self.dtype, name="conv1")(x)
        x = nn.relu(BatchNorm(self.dtype, name="bn1")(x, mask, train=train))
        x = max_pool(x)
        block_class = BottleneckBlock if self.bottleneck else BasicBlock
        for stage, size in enumerate(self.stage_sizes):
            for index in range(size):
                x = block_class(
                    features=self.width * 2**stage,
                    stride=2 if stage > 0 and index == 0 else 1,
                    zero_init_residual=self.zero_init_residual,
                    dtype=self.dtype,
                    name=f"layer{stage + 1}_{index}",
                )(x, mask, train=train)
        if x.dtype == jnp.bfloat16:
            x = x.astype(jnp.float32)
        return x.mean((1, 2))
