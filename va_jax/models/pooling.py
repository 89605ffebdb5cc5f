"""The 3x3 max-pool of ResNet with a gradient that the CPU computes fast.

XLA's own gradient (select-and-scatter) is slow there. Here the forward pass
keeps the number of the winning tap, one byte an output, and the gradient is nine masked copies.
"""

import jax
import jax.numpy as jnp
from jaxtyping import Array, Float

SIDE, STRIDE, PADDING = 3, 2, 1


@jax.custom_vjp
def max_pool(x: Float[Array, "n height width channels"]) -> Float[Array, "n h w channels"]:
    """Maximum over 3x3, stride 2, padded by 1 with -inf; of equals the first wins, as in torch."""
    return _forward(x)[0]


def _forward(x: Array) -> tuple[Array, tuple[Array, Array]]:
    taps = _taps(x)
    best, winner = taps[0], jnp.zeros(taps[0].shape, jnp.uint8)
    for index, tap in enumerate(taps[1:], 1):
        better = tap > best
        best = jnp.where(better, tap, best)
        winner = jnp.where(better, jnp.uint8(index), winner)
    return best, (winner, x)


def _backward(saved: tuple[Array, Array], slope: Array) -> tuple[Array]:
    winner, x = saved
    _, spread = jax.vjp(_taps, x)  # linear: only the shape of x matters
    return spread([jnp.where(winner == i, slope, 0) for i in range(SIDE**2)])


def _taps(x: Array) -> list[Array]:
    """For each place in the 3x3 window the inputs that stand there, one for every output."""
    edges = ((0, 0), (PADDING, PADDING), (PADDING, PADDING), (0, 0))
    padded = jnp.pad(x, edges, constant_values=-jnp.inf)
    height, width = (STRIDE * ((n + 2 * PADDING - SIDE) // STRIDE) + 1 for n in x.shape[1:3])
    places = [(i, j) for i in range(SIDE) for j in range(SIDE)]
    return [padded[:, i : i + height : STRIDE, j : j + width : STRIDE] for i, j in places]


max_pool.defvjp(_forward, _backward)
