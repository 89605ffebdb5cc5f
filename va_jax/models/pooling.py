"""Max-pooling over space and time.

XLA's own gradient (select-and-scatter) is slow on a CPU. In the indexed form, the forward pass
saves the index of the largest tap in one byte per output, and the gradient is one masked copy per
tap.
"""

import functools
from typing import cast

import jax
import jax.numpy as jnp
from jax import lax
from jaxtyping import Array, Bool, Float

from va_jax.models import forms
from va_jax.models.conv import stride_frames
from va_jax.models.inflate import Time

STRIDE = 2


def max_pool(
    x: Float[Array, "n height width channels"], side: int = 3, padding: tuple[int, int] = (1, 1)
) -> Float[Array, "n h w channels"]:
    """Return the maximum over `side` x `side` pixels with stride 2.

    Args:
        x: feature maps.
        side: side of the window, in pixels.
        padding: number of -inf pixels before and after each spatial axis.

    Returns:
        Feature maps with half the side. If several values are equal, the first one gets the
        gradient, as in torch.
    """
    if forms.chosen().max_pool == "indexed":
        return cast(Array, _indexed(x, side, padding))
    edges = ((0, 0), padding, padding, (0, 0))
    window, strides = (1, side, side, 1), (1, STRIDE, STRIDE, 1)
    return lax.reduce_window(x, -jnp.inf, lax.max, window, strides, edges)


def pool_frames(x: Array, side: int, padding: tuple[int, int]) -> Array:
    """Max-pool every frame in x [batch, time, height, width, channels]."""
    y = max_pool(x.reshape(-1, *x.shape[2:]), side, padding)
    return y.reshape(*x.shape[:2], *y.shape[1:])


def ceil_padding(side: int, size: int) -> tuple[int, int]:
    """Return the padding that makes a pool cover the last pixels, as with torch's `ceil_mode`."""
    outputs = -(-(size - side) // STRIDE) + 1
    return 0, max((outputs - 1) * STRIDE + side - size, 0)


def max_over_time(
    x: Float[Array, "batch time height width channels"], mask: Bool[Array, "batch time"], time: Time
) -> Float[Array, "batch out_time height width channels"]:
    """Return the maximum over each frame and its neighbours in the mask, strided in time."""
    best, reach = x, time.taps // 2
    if reach:
        edges = ((0, 0), (reach, reach), (0, 0), (0, 0), (0, 0))
        shown = jnp.where(mask[..., None, None, None], x, -jnp.inf)
        padded = jnp.pad(shown, edges, constant_values=-jnp.inf)
        for tap in range(time.taps):
            best = jnp.maximum(best, padded[:, tap : tap + x.shape[1]])
    return stride_frames(best, mask, time.stride)


@functools.partial(jax.custom_vjp, nondiff_argnums=(1, 2))
def _indexed(x: Array, side: int, padding: tuple[int, int]) -> Array:
    return _forward(x, side, padding)[0]


def _forward(x: Array, side: int, padding: tuple[int, int]) -> tuple[Array, tuple[Array, Array]]:
    taps = _taps(x, side, padding)
    best, winner = taps[0], jnp.zeros(taps[0].shape, jnp.uint8)
    for index, tap in enumerate(taps[1:], 1):
        better = tap > best
        best = jnp.where(better, tap, best)
        winner = jnp.where(better, jnp.uint8(index), winner)
    return best, (winner, x)


def _backward(
    side: int, padding: tuple[int, int], saved: tuple[Array, Array], slope: Array
) -> tuple[Array]:
    winner, x = saved
    # `_taps` is linear, so only the shape of x matters.
    _, spread = jax.vjp(lambda x: _taps(x, side, padding), x)
    return spread([jnp.where(winner == i, slope, 0) for i in range(side**2)])


def _taps(x: Array, side: int, padding: tuple[int, int]) -> list[Array]:
    """Return, for each position in the pooling window, its input to every output."""
    padded = jnp.pad(x, ((0, 0), padding, padding, (0, 0)), constant_values=-jnp.inf)
    height, width = (STRIDE * ((n + sum(padding) - side) // STRIDE) + 1 for n in x.shape[1:3])
    places = [(i, j) for i in range(side) for j in range(side)]
    return [padded[:, i : i + height : STRIDE, j : j + width : STRIDE] for i, j in places]


_indexed.defvjp(_forward, _backward)
