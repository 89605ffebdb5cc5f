"""Run the three MTCNN nets, as functions of their weights, on images or on crops of boxes.

Images are RGB [n, height, width, 3], normalized as (x - 127.5) / 128. Every net returns the box
corrections first and the logits for (no face, face) last.
"""

import dataclasses
from collections.abc import Callable
from typing import Any

import jax
import jax.numpy as jnp
from jaxtyping import Array, Bool, Float

EXACT = jax.lax.Precision.HIGHEST  # the nets are small, and their scores are thresholded


def pnet(weights: Any, x: Array) -> tuple[Array, Array]:
    """Apply the proposal net every two pixels; return [n, rows, columns, 4] and [.., 2]."""
    x, (kernel, bias, *rest) = _trunk(weights, x, [(2, "SAME"), None, None])
    return _conv(x, kernel, bias), _conv(x, *rest)


def rnet(weights: Any, x: Array) -> tuple[Array, Array]:
    """Apply the refinement net to crops [n, 24, 24, 3]; return [n, 4] and [n, 2]."""
    x, heads = _trunk(weights, x, [(3, "SAME"), (3, "VALID"), None])
    return _heads(heads, x)


def onet(weights: Any, x: Array) -> tuple[Array, Array, Array]:
    """Apply the output net to crops [n, 48, 48, 3]; return [n, 4], landmarks [n, 10] and [n, 2].

    The landmarks consist of five x coordinates, followed by five y coordinates.
    """
    x, heads = _trunk(weights, x, [(3, "SAME"), (3, "VALID"), (2, "SAME"), None])
    return _heads(heads, x)


@dataclasses.dataclass(frozen=True)
class CropNet:
    """A net that takes crops of boxes."""

    apply: Callable[[Any, Array], tuple[Array, ...]]
    size: int  # side of its crops, in pixels
    batch: int  # crops per step


RNET = CropNet(rnet, size=24, batch=8)
ONET = CropNet(onet, size=48, batch=2)


def apply_to_crops(
    net: CropNet,
    weights: Any,
    image: Array,
    boxes: Float[Array, "n 4"],
    valid: Bool[Array, "n"],
) -> Any:
    """Apply a net to the crops of `boxes`, which must have the valid boxes first.

    The loop ends after the last valid box, so generous caps cost nothing if there are few faces.
    Outputs for the remaining boxes are zero or arbitrary.
    """
    slots = -(-boxes.shape[0] // net.batch) * net.batch
    padded = jnp.pad(boxes, ((0, slots - boxes.shape[0]), (0, 0)))

    def apply_from(start: Array) -> Any:
        batch = jax.lax.dynamic_slice_in_dim(padded, start, net.batch)
        return net.apply(weights, _cut_crops(image, batch, net.size))

    def step(i: Array, outputs: Any) -> Any:
        return jax.tree.map(
            lambda out, new: jax.lax.dynamic_update_slice_in_dim(out, new, i * net.batch, 0),
            outputs,
            apply_from(i * net.batch),
        )

    shapes = jax.eval_shape(apply_from, jnp.int32(0))
    empty = jax.tree.map(lambda s: jnp.zeros((slots, *s.shape[1:]), s.dtype), shapes)
    outputs = jax.lax.fori_loop(0, -(-valid.sum() // net.batch), step, empty)
    return jax.tree.map(lambda out: out[: boxes.shape[0]], outputs)


def _cut_crops(
    image: Array, boxes: Float[Array, "n 4"], size: int
) -> Float[Array, "n size size 3"]:
    """Cut normalized bilinear crops, aligned at the corner pixels and zero outside the image.

    The factor (side - 1) / side is the usual convention for these weights.
    """
    height, width = image.shape[:2]
    steps = jnp.linspace(0, 1, size, dtype=jnp.float32)[None]

    def taps(low: Array, high: Array, side: int) -> tuple[Array, Array, Array, Array]:
        at = (low[:, None] + (high - low)[:, None] * steps) * ((side - 1) / side)
        before = jnp.floor(at)
        first = jnp.clip(before.astype(jnp.int32), 0, side - 1)
        return first, jnp.minimum(first + 1, side - 1), at - before, (at >= 0) & (at <= side - 1)

    top, bottom, down, inside_y = taps(boxes[:, 1], boxes[:, 3], height)
    left, right, along, inside_x = taps(boxes[:, 0], boxes[:, 2], width)

    def row(y: Array) -> Array:
        a, b = (image[y[:, :, None], x[:, None]].astype(jnp.float32) for x in (left, right))
        return a + (b - a) * along[:, None, :, None]

    upper, lower = row(top), row(bottom)
    crop = upper + (lower - upper) * down[:, :, None, None]
    inside = (inside_y[:, :, None] & inside_x[:, None])[..., None]
    return jnp.where(inside, (crop - 127.5) / 128, 0)


def _trunk(weights: Any, x: Array, pools: list[tuple[int, str] | None]) -> tuple[Array, Any]:
    """Apply convolution, PReLU and pooling for each of `pools`; also return the unused weights."""
    for pool in pools:
        kernel, bias, slope, *weights = weights
        x = _prelu(_conv(x, kernel, bias), slope)
        if pool:
            window = (1, pool[0], pool[0], 1)
            x = jax.lax.reduce_window(x, -jnp.inf, jax.lax.max, window, (1, 2, 2, 1), pool[1])
    return x, weights


def _heads(weights: Any, x: Array) -> Any:
    kernel, bias, slope, *heads = weights
    x = x.swapaxes(1, 2).reshape(x.shape[0], -1)  # the weights expect columns before rows
    x = _prelu(_dense(x, kernel, bias), slope)
    return tuple(_dense(x, k, b) for k, b in zip(heads[::2], heads[1::2], strict=True))


def _conv(x: Array, kernel: Array, bias: Array) -> Array:
    dims = ("NHWC", "HWIO", "NHWC")
    out = jax.lax.conv_general_dilated(
        x, kernel, (1, 1), "VALID", dimension_numbers=dims, precision=EXACT
    )
    return out + bias.reshape(1, 1, 1, -1)


def _dense(x: Array, kernel: Array, bias: Array) -> Array:
    return jnp.dot(x, kernel, precision=EXACT) + bias[None]


def _prelu(x: Array, slope: Array) -> Array:
    return jnp.where(x > 0, x, slope.reshape((1,) * (x.ndim - 1) + (-1,)) * x)
