"""Transformer (Vaswani et al., 2017) with rotary positions, either causal or bidirectional.

In a causal network, each frame attends to the last `window` frames, including itself. A long track
is processed in blocks of that length, so the cost grows linearly with the length of the track.
"""

from typing import Any

import flax.linen as nn
import jax.numpy as jnp
from jaxtyping import Array, Bool, Float

from va_jax.models import temporal
from va_jax.models.temporal import PackedStack, State

WIDER = 4
"""Width of a block's hidden layer relative to that of the block, as in the paper."""

BASE = 10_000
"""Base of the rotary frequencies, as in the RoPE paper."""


def rotate(
    x: Float[Array, "batch blocks frames heads width"], start: int = 0
) -> Float[Array, "batch blocks frames heads width"]:
    """Rotate queries or keys by their positions (RoPE; Su et al., 2021, arXiv 2104.09864).

    Components i and i + width / 2 form a pair, which turns by BASE^(-2 i / width) per frame.

    Args:
        x: queries or keys.
        start: position of the first frame of each block; only differences between positions matter.
    """
    half = x.shape[-1] // 2
    frequencies = BASE ** (-jnp.arange(half, dtype=x.dtype) / half)
    positions = start + jnp.arange(x.shape[2]).astype(x.dtype)
    angles = (positions[:, None] * frequencies[None])[None, None, :, None]
    first, second = jnp.split(x, 2, -1)
    cos, sin = jnp.cos(angles), jnp.sin(angles)
    return jnp.concatenate([first * cos - second * sin, first * sin + second * cos], -1)


def attend(
    q: Float[Array, "batch blocks queries heads width"],
    k: Float[Array, "batch blocks keys heads width"],
    v: Float[Array, "batch blocks keys heads width"],
    allowed: Bool[Array, "batch blocks #queries keys"],
) -> Float[Array, "batch blocks queries heads width"]:
    """Return scaled dot-product attention; it is finite even for a query without keys."""
    scores = jnp.einsum("bnqhd,bnkhd->bnhqk", q, k) / q.shape[-1] ** 0.5
    lowest = jnp.full((), jnp.finfo(scores.dtype).min, scores.dtype)
    weights = nn.softmax(jnp.where(allowed[:, :, None], scores, lowest), -1)
    return jnp.einsum("bnhqk,bnkhd->bnqhd", weights, v)


def attend_to_past(
    q: Float[Array, "batch time heads width"],
    k: Float[Array, "batch both heads width"],
    v: Float[Array, "batch both heads width"],
    valid: Bool[Array, "batch both"],
) -> Float[Array, "batch time heads width"]:
    """Return each frame's attention to itself and to valid frames among the `past` ones before it.

    Args:
        q: queries.
        k: keys of the `past` = both - time earlier frames, followed by keys of the frames
            themselves.
        v: values of the same frames.
        valid: mask of the frames in `k` that exist and are not masked.
    """
    time = q.shape[1]
    past = k.shape[1] - time
    block = min(past + 1, time) if isinstance(time, int) else past + 1
    blocks = -(-time // block)
    missing = blocks * block - time
    q, k, v, valid = (_pad(each, missing) for each in (q, k, v, valid))
    # Block n sees all frames from `past` frames before its first query up to its last query.
    seen = jnp.arange(blocks)[:, None] * block + jnp.arange(past + block)[None]
    k, v, valid = k[:, seen], v[:, seen], valid[:, seen]
    q = q.reshape(q.shape[0], blocks, block, *q.shape[2:])
    distance = past + jnp.arange(block)[:, None] - jnp.arange(past + block)[None]
    near = (distance >= 0) & (distance <= past)
    y = attend(rotate(q, past), rotate(k), v, near[None, None] & valid[:, :, None])
    return y.reshape(y.shape[0], blocks * block, *y.shape[3:])[:, :time]


class Attention(nn.Module):
    """Multi-head attention; its state contains the keys and values of the last frames."""

    heads: int

    @nn.compact
    def __call__(
        self,
        x: Float[Array, "batch time units"],
        valid: Bool[Array, "batch both"],
        state: tuple[Array, ...],
    ) -> tuple[Float[Array, "batch time units"], tuple[Array, ...]]:
        """Return the output and the new state.

        The state consists of two arrays [batch, past, units]; it is () in a bidirectional network.
        `valid` covers the frames of the state, followed by those of `x`.
        """
        units, time = x.shape[-1], x.shape[1]
        q, k, v = jnp.split(nn.Dense(3 * units, name="qkv")(x), 3, -1)
        final: tuple[Array, ...] = ()
        if state:
            k, v = (jnp.concatenate(pair, 1) for pair in zip(state, (k, v), strict=True))
            new = valid[:, k.shape[1] - time :]
            final = temporal.latest(k, new), temporal.latest(v, new)
        q, k, v = (
            each.reshape(*each.shape[:2], self.heads, units // self.heads) for each in (q, k, v)
        )
        if state:
            y = attend_to_past(q, k, v, valid)
        else:
            q, k, v = (each[:, None] for each in (q, k, v))
            y = attend(rotate(q), rotate(k), v, valid[:, None, None])[:, 0]
        return nn.Dense(units, name="output")(y.reshape(x.shape)), final


class TransformerBlock(nn.Module):
    """Attention and a two-layer perceptron (GELU), each with a norm and a residual connection.

    The layer norm comes before each part, as in Xiong et al. (2020). Dropout applies to the output
    of each part before the residual sum.
    """

    heads: int
    dropout: float

    @nn.compact
    def __call__(
        self,
        x: Float[Array, "batch time units"],
        valid: Bool[Array, "batch both"],
        state: tuple[Array, ...],
        *,
        train: bool,
    ) -> tuple[Float[Array, "batch time units"], tuple[Array, ...]]:
        drop = nn.Dropout(self.dropout, deterministic=not train)
        y, final = Attention(self.heads, name="attention")(
            nn.LayerNorm(name="norm_attention")(x), valid, state
        )
        x = x + drop(y)
        y = nn.Dense(WIDER * x.shape[-1], name="wide")(nn.LayerNorm(name="norm_wide")(x))
        return x + drop(nn.Dense(x.shape[-1], name="narrow")(nn.gelu(y))), final


class Transformer(PackedStack):
    """A linear layer, transformer blocks and a final layer norm.

    Masked frames are skipped: no frame attends to them, and they count neither in positions nor in
    the window. In a bidirectional network, each frame attends to all frames in its input window.

    The state contains, for each block, the keys and values of the last window - 1 frames, [batch,
    window - 1, units] each; then a 1 for each of these frames that exists and a 0 for the others,
    [batch, window - 1, 1]; and finally the last output, [batch, units].
    """

    heads: int = 4  # units / heads must be even
    window: int = 64  # number of frames to attend to, at least 2, unless bidirectional

    def blocks(
        self,
        y: Float[Array, "batch time {self.units}"],
        valid: Bool[Array, "batch time"],
        state: State,
        train: bool,
    ) -> tuple[Float[Array, "batch time {self.units}"], State]:
        final, exist = [], valid[..., None].astype(y.dtype)
        if state:
            exist = jnp.concatenate([state[-1][0], exist], 1)
        for index in range(self.layers):
            block = TransformerBlock(self.heads, self.dropout, name=f"layer_{index}")
            y, past = block(y, exist[..., 0] > 0, state[index] if state else (), train=train)
            final.append(past)
        y = nn.LayerNorm(name="norm")(y)
        return y, (*final, (temporal.latest(exist, valid),)) if state else ()

    @nn.nowrap
    def blocks_state(self, batch: Any) -> State:
        past = jnp.zeros((batch, self.window - 1, self.units), jnp.float32)
        return (*(((past, past),) * self.layers), (past[..., :1],))


def _pad(x: Array, frames: Any) -> Array:
    """Append zeros to the time axis."""
    return jnp.pad(x, ((0, 0), (0, frames), *((0, 0),) * (x.ndim - 2)))
