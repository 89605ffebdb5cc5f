"""Vision Transformers (Dosovitskiy et al., 2021), with the same parameters as in timm.

`blocks.0.attn.qkv` in timm is called `block0/qkv` here. The tokens of a frame are the class token,
followed by the patches, row by row from the top left.
"""

import math
from typing import Any

import flax.linen as nn
import jax
import jax.numpy as jnp
import numpy as np
from jaxtyping import Array, Bool, Float

from va_jax.models.inflate import FLAT, Inflation, Time
from va_jax.types import InputError

MLP_RATIO = 4
"""Number of hidden units in a block, relative to its number of channels."""

LAYER_SCALE = 1e-5
"""Initial factor of each residual branch in DINOv2 (Oquab et al., 2024)."""

INIT = nn.initializers.truncated_normal(0.02)
"""Initialisation of kernels and positions, as in timm."""


class LayerNorm(nn.Module):
    """Layer norm that computes in float32 or wider."""

    epsilon: float
    dtype: Any

    @nn.compact
    def __call__(self, x: Float[Array, "*axes channels"]) -> Float[Array, "*axes channels"]:
        scale = self.param("scale", nn.initializers.ones, x.shape[-1:], jnp.float32)
        bias = self.param("bias", nn.initializers.zeros, x.shape[-1:], jnp.float32)
        x = x.astype(scale.dtype)
        x = x - x.mean(-1, keepdims=True)
        factor = jax.lax.rsqrt(jnp.square(x).mean(-1, keepdims=True) + self.epsilon)
        return (x * factor * _wide(scale, x) + _wide(bias, x)).astype(self.dtype)


class Block(nn.Module):
    """Self-attention and a two-layer perceptron, each with a norm and a residual connection."""

    heads: int
    layer_scale: bool
    clip: bool
    dtype: Any

    @nn.compact
    def __call__(
        self, x: Float[Array, "batch time tokens width"]
    ) -> Float[Array, "batch time tokens width"]:
        x = x + self._scaled("layer_scale1", self._attend(self._norm("norm1", x)))
        hidden = self._dense("fc1", MLP_RATIO * x.shape[-1])(self._norm("norm2", x))
        hidden = quick_gelu(hidden) if self.clip else nn.gelu(hidden, approximate=False)
        return x + self._scaled("layer_scale2", self._dense("fc2", x.shape[-1])(hidden))

    def _attend(self, x: Array) -> Array:
        qkv = self._dense("qkv", 3 * x.shape[-1])(x)
        qkv = qkv.reshape(*x.shape[:3], 3, self.heads, x.shape[-1] // self.heads)
        attended = attention(*qkv.transpose(3, 0, 1, 4, 2, 5)).swapaxes(2, 3)
        return self._dense("proj", x.shape[-1])(attended.reshape(x.shape))

    def _dense(self, name: str, features: int) -> nn.Dense:
        return nn.Dense(features, dtype=self.dtype, kernel_init=INIT, name=name)

    def _norm(self, name: str, x: Array) -> Array:
        return LayerNorm(_epsilon(self.clip), self.dtype, name=name)(x)

    def _scaled(self, name: str, x: Array) -> Array:
        if not self.layer_scale:
            return x
        init = nn.initializers.constant(LAYER_SCALE)
        return x * _wide(self.param(name, init, x.shape[-1:], jnp.float32).astype(self.dtype), x)


class ViT(nn.Module):
    """A Vision Transformer that maps each frame to its patch tokens and its class token.

    The size of the frames at initialisation fixes the number of position embeddings.
    `resize_positions` converts the embeddings to a different size.
    """

    stage_sizes: tuple[int, ...]  # number of blocks; a single entry
    patch: int  # side of a patch, in pixels
    heads: int
    width: int = 64  # channels per head
    layer_scale: bool = False  # whether to learn a factor per channel of a residual branch (DINOv2)
    clip: bool = False  # True: norm before the blocks, no patch bias, QuickGELU (CLIP, FaRL)
    inflation: Inflation = FLAT  # every frame is processed alone
    remat: bool = False  # whether to recompute the inside of each block in the backward pass
    dtype: Any = jnp.float32  # type of the products; parameters, norms and softmax are float32

    @nn.compact
    def __call__(
        self,
        x: Float[Array, "batch time height width 3"],
        mask: Bool[Array, "batch time"],
        train: bool,
    ) -> tuple[Float[Array, "batch time h w features"], Float[Array, "batch time 1 1 features"]]:
        """Return the patch tokens as a map, and the class token, both after the last norm.

        Raises:
            InputError: the side of the frames is not a multiple of the patch.
        """
        sides = x.shape[2:4]
        for side in sides:
            if side % self.patch:
                smaller = max(side // self.patch, 1) * self.patch
                raise InputError(
                    f"data.size={side} must be a multiple of {self.patch}, the side of a patch; "
                    f"set it to {smaller} or {smaller + self.patch}"
                )
        rows, columns = (side // self.patch for side in sides)
        x = self._tokens(x.astype(self.dtype), rows, columns)
        if self.clip:
            x = LayerNorm(_epsilon(self.clip), self.dtype, name="norm_pre")(x)
        block_class = nn.remat(Block) if self.remat else Block
        for index in range(sum(self.stage_sizes)):
            name = f"block{index}"
            x = block_class(self.heads, self.layer_scale, self.clip, self.dtype, name=name)(x)
        x = LayerNorm(_epsilon(self.clip), self.dtype, name="norm")(x)
        patches = x[:, :, 1:].reshape(*x.shape[:2], rows, columns, x.shape[-1])
        return patches, x[:, :, :1, None]

    @nn.nowrap
    def times(self) -> list[Time]:
        """Return no temporal extent, since every frame is processed alone."""
        return []

    def _tokens(self, x: Array, rows: int, columns: int) -> Array:
        """Return the class token and the embedded patches of each frame, with their positions."""
        frames, side, features = x.shape[:2], self.patch, self.heads * self.width
        kernel = self.param("patch_kernel", INIT, (side, side, 3, features), jnp.float32)
        x = x.reshape(*frames, rows, side, columns, side, 3).transpose(0, 1, 2, 4, 3, 5, 6)
        x = x.reshape(*frames, rows * columns, side * side * 3)
        x = x @ kernel.reshape(-1, features).astype(self.dtype)
        if not self.clip:
            bias = self.param("patch_bias", nn.initializers.zeros, (features,), jnp.float32)
            x = x + _wide(bias.astype(self.dtype), x)
        token = self.param("class_token", INIT, (1, features), jnp.float32)
        token = jnp.broadcast_to(token[None, None].astype(self.dtype), (*frames, 1, features))
        shape = (1 + rows * columns, features)
        positions = self.param("positions", INIT, shape, jnp.float32)
        return jnp.concatenate([token, x], 2) + positions[None, None].astype(self.dtype)


def attention(
    query: Float[Array, "*axes queries width"],
    key: Float[Array, "*axes keys width"],
    value: Float[Array, "*axes keys width"],
) -> Float[Array, "*axes queries width"]:
    """Return scaled dot-product attention (Vaswani et al., 2017), with a softmax in float32.

    Here, the axis of heads comes before that of tokens. With `jax.nn.dot_product_attention`, where
    it comes after, the forward pass of a network takes a quarter longer on a CPU.
    """
    exact = np.promote_types(query.dtype, np.float32)
    query = query * np.asarray(1 / math.sqrt(query.shape[-1]), query.dtype)
    scores = jnp.einsum("...qw,...kw->...qk", query, key, preferred_element_type=exact)
    weights = nn.softmax(scores, -1).astype(query.dtype)
    return jnp.einsum("...qk,...kw->...qw", weights, value)


def quick_gelu(x: Array) -> Array:
    """Return the sigmoid approximation of GELU, as in CLIP."""
    return x * nn.sigmoid(np.asarray(1.702, x.dtype) * x)


def resize_positions(
    positions: Float[np.ndarray, "tokens width"], tokens: int
) -> Float[np.ndarray, "new_tokens width"]:
    """Interpolate the position embeddings of the patches to a different square grid, as in timm.

    The position of the class token, which comes first, is kept. The interpolation is bicubic; if
    the new grid is smaller, the kernel is wider, to avoid aliasing.

    Args:
        positions: embeddings of the class token and of a square grid of patches, row by row.
        tokens: number of tokens after the interpolation.

    Raises:
        ValueError: the patches do not form a square grid before or after the interpolation.
    """
    before, after = (math.isqrt(count - 1) for count in (len(positions), tokens))
    if before**2 != len(positions) - 1 or after**2 != tokens - 1:
        raise ValueError(
            f"{len(positions)} position embeddings cannot be resized to {tokens}: both numbers "
            "must be a square number plus 1, for the class token"
        )
    width = positions.shape[1]
    grid = positions[1:].reshape(before, before, width)
    resized = jax.image.resize(grid, (after, after, width), "bicubic")
    return np.concatenate([positions[:1], np.asarray(resized).reshape(-1, width)])


def _epsilon(clip: bool) -> float:
    """Return the number that a layer norm adds to the variance."""
    return 1e-5 if clip else 1e-6


def _wide(channels: Array, x: Array) -> Array:
    """Reshape [channels] to have as many axes as `x`."""
    return channels.reshape((1,) * (x.ndim - 1) + channels.shape)
