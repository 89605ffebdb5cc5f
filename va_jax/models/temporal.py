"""Shared parts of all temporal stacks: the state, and a way to skip masked frames.

Recurrent stacks skip a masked frame in their scan. The other stacks run on packed frames: those
inside the mask move to the front of the window, and the outputs move back afterwards. So a masked
frame does not affect any stack, and the output for such a frame repeats the previous output.
"""

from typing import Any

import flax.linen as nn
import jax
import jax.numpy as jnp
from jaxtyping import Array, Bool, Float

from va_jax.types import InputError

State = tuple[tuple[Array, ...], ...]
"""Arrays [batch, ...] of each layer, float32, zero before the first frame of a track.

The state of a bidirectional stack is (), since such a stack cannot carry one.
"""


class PackedStack(nn.Module):
    """A linear layer and blocks that run on packed frames.

    A subclass defines the blocks and their state. The state of the stack ends with the last output,
    [batch, units].
    """

    layers: int
    units: int
    dropout: float = 0.0
    bidirectional: bool = False

    @property
    def features(self) -> int:
        """Return the width of the output."""
        return self.units

    @nn.compact
    def __call__(
        self,
        x: Float[Array, "batch time features"],
        mask: Bool[Array, "batch time"],
        state: State | None = None,
        *,
        train: bool,
    ) -> tuple[Float[Array, "batch time {self.units}"], State]:
        """Return the outputs and the final state; None stands for the start of a track."""
        state = first_state(self, x, state)
        packed, valid = pack(x, mask)
        y = nn.Dense(self.units, name="input")(packed)
        y, final = self.blocks(y, valid, state[:-1], train)
        y, last = unpack(y, mask, state[-1][0] if state else jnp.zeros_like(y[:, 0]))
        return y, () if self.bidirectional else (*final, (last,))

    def blocks(
        self,
        y: Float[Array, "batch time {self.units}"],
        valid: Bool[Array, "batch time"],
        state: State,
        train: bool,
    ) -> tuple[Float[Array, "batch time {self.units}"], State]:
        """Return the output and the final state of the blocks; `state` may be ()."""
        raise NotImplementedError

    def blocks_state(self, batch: Any) -> State:
        """Return the state of the blocks before the first frame."""
        raise NotImplementedError

    @nn.nowrap
    def initial_state(self, batch: Any) -> State:
        """Return a zero state for a batch size, which may be symbolic; () if bidirectional."""
        if self.bidirectional:
            return ()
        return (*self.blocks_state(batch), (jnp.zeros((batch, self.units), jnp.float32),))


def first_state(stack: Any, x: Float[Array, "batch time features"], state: State | None) -> State:
    """Return the state before the frames `x`: `state`, or the initial one if `state` is None or ().

    Raises:
        InputError: a bidirectional stack got a state.
    """
    if not state:
        zeros = stack.initial_state(x.shape[0])
        return jax.tree.map(lambda leaf: leaf.astype(x.dtype), zeros)
    if stack.bidirectional:
        raise InputError(
            f"a bidirectional stack got a state with {len(state)} layers, but it cannot use a "
            "state, since it reads the whole window; pass state=None or set bidirectional=False"
        )
    return state


def pack(
    x: Float[Array, "batch time features"], mask: Bool[Array, "batch time"]
) -> tuple[Float[Array, "batch time features"], Bool[Array, "batch time"]]:
    """Move the frames inside the mask to the front, in order, and fill the rest with zeros.

    Returns:
        The packed frames, and a mask that is False for the zeros at the end.
    """
    order = jnp.argsort(~mask, axis=1, stable=True)
    valid = jnp.take_along_axis(mask, order, 1)
    return only(jnp.take_along_axis(x, order[..., None], 1), valid), valid


def unpack(
    y: Float[Array, "batch time features"],
    mask: Bool[Array, "batch time"],
    last: Float[Array, "batch features"],
) -> tuple[Float[Array, "batch time features"], Float[Array, "batch features"]]:
    """Move the outputs for packed frames back to the original positions of the frames.

    Args:
        y: outputs for packed frames.
        mask: the mask that was passed to `pack`.
        last: last output before these frames; zero at the start of a track.

    Returns:
        The outputs, which repeat the previous output at masked frames, and the last output.
    """
    outputs = jnp.concatenate([last[:, None], y], 1)
    placed = jnp.take_along_axis(outputs, jnp.cumsum(mask, 1)[..., None], 1)
    return placed, placed[:, -1]


def only(
    x: Float[Array, "batch time features"], valid: Bool[Array, "batch time"]
) -> Float[Array, "batch time features"]:
    """Return `x` with zeros at frames that are not valid."""
    return jnp.where(valid[..., None], x, jnp.zeros_like(x))


def latest(
    x: Float[Array, "batch both features"], valid: Bool[Array, "batch time"]
) -> Float[Array, "batch past features"]:
    """Return the past of the next frame: the last `both` - `time` frames up to the last valid one.

    Args:
        x: the past of the first packed frame, [batch, both - time, features], followed by the
            packed frames.
        valid: which of the packed frames are valid.
    """
    past = jnp.arange(x.shape[1] - valid.shape[1])
    places = valid.sum(1)[:, None] + past[None]
    return jnp.take_along_axis(x, places[..., None], 1)
