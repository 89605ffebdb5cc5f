"""Max-pooling over space and time with a gradient that the CPU computes fast.

XLA's own gradient (select-and-scatter) is slow there. Here the forward pass keeps the number of
the winning tap, one byte an output, and the gradient is one masked copy a tap.
"""

import functools

import jax
import jax.numpy as jnp
from jaxtyping import Array, Bool, Float

from va_jax.models.conv import stride_frames
from va_jax.models.inflate import Time

STRIDE = 2


@functools.partial(jax.custom_vjp, nondiff_argnums=(1, 2))
def max_pool(
    x: Float[Array, "n height width channels"], side: int = 3, padding: tuple[int, int] = (1, 1)
) -> Float[Array, "n h w channels"]:
    """Maximum over `side` x `side` pixels, stride 2, padded before and behind with -inf.

    Of equals the first wins, as in torch.
    """
    return _forward(x, side, padding)[0]


def ceil_padding(side: int, size: int) -> tuple[int, int]:
    """Padding with which a pool covers its last pixels too: torch's ceil_mode without padding."""
    outputs = -(-(size - side) // STRIDE) + 1
    return 0, max((outputs - 1) * STRIDE + side - size, 0)


def max_over_time(
    x: Float[Array, "batch time height width channels"], mask: Bool[Array, "batch time"], time: Time
) -> Float[Array, "batch out_time height width channels"]:
    """Maximum of every frame and the frames around it that the mask admits, strided in time."""
    best, reach = x, time.taps // 2
    if reach:
        edges = ((0, 0), (reach, reach), (0, 0), (0, 0), (0, 0))
        shown = jnp.where(mask[..., None, None, None], x, -jnp.inf)
        padded = jnp.pad(shown, edges, constant_values=-jnp.inf)
        for tap in range(time.taps):
            best = jnp.maximum(best, padded[:, tap : tap + x.shape[1]])
    return stride_frames(best, mask, time.stride)


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
    # Linear: only the shape of x matters.
    _, spread = jax.vjp(lambda x: _taps(x, side, padding), x)
    return spread([jnp.where(winner == i, slope, 0) for i in range(side**2)])


def _taps(x: Array, side: int, padding: tuple[int, int]) -> list[Array]:
    """For each place in the window the inputs that stand there, one for every output."""
    padded = jnp.pad(x, ((0, 0), padding, padding, (0, 0)), constant_values=-jnp.inf)
    height, width = (STRIDE * ((n + sum(padding) - side) // STRIDE) + 1 for n in x.shape[1:3])
    places = [(i, j) for i in range(side) for j in range(side)]
    return [padded[:, i : i + height : STRIDE, j : j + width : STRIDE] for i, j in places]


max_pool.defvjp(_forward, _backward)
