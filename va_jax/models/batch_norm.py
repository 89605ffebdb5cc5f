"""Batch norm that ignores frames outside the mask."""

import functools
from collections.abc import Callable
from typing import Any, cast

import flax.linen as nn
import jax
import jax.numpy as jnp
from jax import lax
from jaxtyping import Array, Bool, Float

from va_jax.models import forms

BN_EPSILON = 1e-5
BN_MOMENTUM = 0.9  # weight of the old running statistics; torch's momentum is 1 minus this value


class BatchNorm(nn.Module):
    """Batch norm that computes its statistics only from the frames in the mask.

    The statistics are always float32, and cover the global batch if it is sharded. The running
    variance is unbiased, as in torch. If no frame of a training batch is in the mask, the running
    statistics normalise the batch and stay unchanged, so nothing becomes NaN.
    """

    dtype: Any = jnp.float32
    scale_init: Callable[..., Any] = nn.initializers.ones
    epsilon: float = BN_EPSILON  # added to the variance

    @nn.compact
    def __call__(
        self,
        x: Float[Array, "batch time height width channels"],
        mask: Bool[Array, "batch time"],
        train: bool,
    ) -> Float[Array, "batch time height width channels"]:
        channels = x.shape[-1:]
        scale = self.param("scale", self.scale_init, channels, jnp.float32)
        bias = self.param("bias", nn.initializers.zeros, channels, jnp.float32)
        running_mean = self.variable("batch_stats", "mean", jnp.zeros, channels, jnp.float32)
        running_var = self.variable("batch_stats", "var", jnp.ones, channels, jnp.float32)
        mean, var = running_mean.value, running_var.value
        if not train:
            exact = x.astype(scale.dtype)
            return _normalise(exact, mean, var, scale, bias, self.epsilon).astype(self.dtype)
        written = forms.chosen().batch_norm == "written"
        normalise = _batch_normalise if written else _derived_normalise
        result = normalise(x, mask, scale, bias, mean, var, self.epsilon)
        y, (batch_mean, batch_var, count) = cast(Any, result)
        if not self.is_initializing():
            some = mask.any()
            unbiased = batch_var * (count / jnp.maximum(count - 1, 1))
            running_mean.value = jnp.where(some, _follow(mean, batch_mean), mean)
            running_var.value = jnp.where(some, _follow(var, unbiased), var)
        return y.astype(self.dtype)


@functools.partial(jax.custom_vjp, nondiff_argnums=(6,))
def _batch_normalise(
    x: Array, mask: Array, scale: Array, bias: Array, mean: Array, var: Array, epsilon: float
) -> tuple[Array, tuple[Array, Array, Array]]:
    """Normalise all frames with the moments of the frames in the mask; also return these moments.

    If no frame is in the mask, use `mean` and `var`. No gradient flows through the returned
    moments. The gradient is written by hand, since the one that JAX derives takes three times as
    long on a CPU.
    """
    return _batch_forward(x, mask, scale, bias, mean, var, epsilon)[0]


def _batch_forward(
    x: Array, mask: Array, scale: Array, bias: Array, mean: Array, var: Array, epsilon: float
) -> tuple[Any, Any]:
    exact = x.astype(scale.dtype)
    moments = _moments(exact, mask, centre=mean)
    some = mask.any()
    mean, var = jnp.where(some, moments[0], mean), jnp.where(some, moments[1], var)
    y = _normalise(exact, mean, var, scale, bias, epsilon)
    # Save x in its own type for the gradient, since bfloat16 takes half the memory.
    return (y, moments), (x, mask, scale, mean, lax.rsqrt(var + epsilon), moments[2])


def _batch_backward(epsilon: float, saved: Any, slopes: Any) -> tuple[Array | None, ...]:
    x, mask, scale, mean, by_spread, count = saved
    slope, _ = slopes
    normal = (x.astype(scale.dtype) - _wide(mean)) * _wide(by_spread)
    every = jnp.ones_like(mask)
    by_bias, by_scale = _masked_sum(slope, every), _masked_sum(slope * normal, every)
    through_moments = (_wide(by_bias) + normal * _wide(by_scale)) / count
    rest = jnp.where(mask[..., None, None, None], through_moments, 0)
    by_x = (slope - rest) * _wide(scale * by_spread)
    return by_x.astype(x.dtype), None, by_scale, by_bias, None, None


_batch_normalise.defvjp(_batch_forward, _batch_backward)


def _derived_normalise(*args: Any) -> tuple[Array, tuple[Array, Array, Array]]:
    """Do the same as `_batch_normalise`, but with the gradient that JAX derives."""
    (y, moments), _ = _batch_forward(*args)
    return y, lax.stop_gradient(moments)


def _normalise(
    x: Array, mean: Array, var: Array, scale: Array, bias: Array, epsilon: float
) -> Array:
    return (x - _wide(mean)) * _wide(scale * lax.rsqrt(var + epsilon)) + _wide(bias)


def _moments(x: Array, mask: Array, centre: Array) -> tuple[Array, Array, Array]:
    """Return the mean and variance [channels] over frames in the mask, and the number of positions.

    One pass over the activations is enough. Deviations are taken from `centre` (the running mean),
    to keep precision if the mean is large compared with the spread.
    """
    dev = x - _wide(centre)
    count = jnp.maximum(mask.sum().astype(x.dtype) * x.shape[2] * x.shape[3], 1)
    mean, square = _masked_sum(dev, mask) / count, _masked_sum(dev**2, mask) / count
    return mean + centre, jnp.maximum(square - mean**2, 0), count


def _masked_sum(x: Array, mask: Array) -> Array:
    """Sum over the frames in the mask; summing within each frame first is faster on a CPU."""
    return jnp.where(mask[..., None], x.sum((2, 3)), 0).sum((0, 1))


def _wide(channels: Array) -> Array:
    """Reshape [channels] to [1, 1, 1, 1, channels]."""
    return channels[None, None, None, None]


def _follow(running: Array, batch: Array) -> Array:
    return BN_MOMENTUM * running + (1 - BN_MOMENTUM) * batch
