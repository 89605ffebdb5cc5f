"""LSTM and GRU stacks: one direction with the state handed on, or both over a whole window.

The input projection of all steps is one matrix product; what is left for the scan over time, and
its gradient, is in `scans.py`.
"""

import functools
from typing import Any

import flax.linen as nn
import jax
import jax.numpy as jnp
from jaxtyping import Array, Bool, Float

from va_jax.models.scans import gru_scan, lstm_scan
from va_jax.types import InputError

State = tuple[tuple[Array, ...], ...]
"""Of every layer (h, c) for the LSTM, (h,) for the GRU; each float32 [batch, units].

() for a bidirectional stack, which has nothing to hand on.
"""

GATES = {"lstm": ("i", "f", "g", "o"), "gru": ("r", "z", "n")}
"""Column blocks of the kernels, `units` wide each, in torch's order of rows."""


class LSTM(nn.Module):
    """One LSTM layer (Hochreiter and Schmidhuber, 1997; forget gate of Gers et al., 2000).

    `bias` is the sum of torch's two. The forget gate's part of it starts at 1 (ours, after
    Jozefowicz et al., 2015), the rest at 0. With peepholes (Gers et al., 2002) the gates see the
    cell through diagonal weights: rows of `peephole` are those of i and f, which see c before the
    step, and of o, which sees it after. They start at 0 (ours), so that a new layer is a plain one.
    """

    units: int
    peepholes: bool = False

    @nn.compact
    def __call__(
        self,
        x: Float[Array, "batch time features"],
        mask: Bool[Array, "batch time"],
        state: tuple[Float[Array, "batch {self.units}"], Float[Array, "batch {self.units}"]],
    ) -> tuple[Float[Array, "batch time {self.units}"], tuple[Array, Array]]:
        z, kernel = _project(self, x, "lstm", forget_bias=1.0)
        peephole = None
        if self.peepholes:
            zeros = nn.initializers.zeros
            peephole = self.param("peephole", zeros, (3, self.units), jnp.float32)
        y, h, c = lstm_scan(z, kernel, peephole, _time_major(mask), *state)
        return _time_major(y), (h, c)


class GRU(nn.Module):
    """One GRU layer (Cho et al., 2014) in torch's form: r is applied after the recurrent product.

    n = tanh(x_n + r (h W_n + b_hn)), h' = (1 - z) n + z h. `bias` holds the input bias of n and,
    for r and z, the sum of torch's two; all biases start at 0.
    """

    units: int

    @nn.compact
    def __call__(
        self,
        x: Float[Array, "batch time features"],
        mask: Bool[Array, "batch time"],
        state: tuple[Float[Array, "batch {self.units}"]],
    ) -> tuple[Float[Array, "batch time {self.units}"], tuple[Array]]:
        z, kernel = _project(self, x, "gru", forget_bias=0.0)
        b_hn = self.param("b_hn", nn.initializers.zeros, (self.units,), jnp.float32)
        y, h = gru_scan(z, kernel, b_hn, _time_major(mask), *state)
        return _time_major(y), (h,)


class RecurrentStack(nn.Module):
    """Layers of LSTM or GRU, dropout between them, with the state passed in and handed out.

    A step whose mask is False does not happen: the state passes through and the output repeats
    the last one. So padding at the end changes nothing, and a track fed in chunks of any length,
    the state carried along, gives what it gives in one piece.

    In a bidirectional stack (Schuster and Paliwal, 1997) every layer also runs from the last step
    to the first, with parameters of its own (`layer_0_reverse`), and hands up [forward | reverse].
    At a masked step the reverse half repeats what follows, zeros where nothing does. Such a stack
    needs the whole window: it starts from zeros and its state is ().
    """

    kind: str  # a key of GATES
    layers: int
    units: int
    dropout: float = 0.0  # rate, on the output of every layer but the last
    bidirectional: bool = False
    peepholes: bool = False  # of the LSTM; a GRU has none

    def __post_init__(self) -> None:
        if self.peepholes and self.kind != "lstm":
            raise InputError(
                f"peepholes=True does not fit kind={self.kind!r}, which has no cell to look into;"
                " set peepholes=False or kind='lstm'"
            )
        super().__post_init__()

    @property
    def features(self) -> int:
        """Width of the output."""
        return self.units * (2 if self.bidirectional else 1)

    @nn.compact
    def __call__(
        self,
        x: Float[Array, "batch time features"],
        mask: Bool[Array, "batch time"],
        state: State | None = None,
        *,
        train: bool,
    ) -> tuple[Float[Array, "batch time {self.features}"], State]:
        """Outputs of the last layer, and the state after the last step; no state means zeros."""
        if self.bidirectional and state:
            raise InputError(
                f"a state of {len(state)} layers was handed to a bidirectional stack, which cannot"
                " go on from one: it needs the whole window; pass state=None or bidirectional=False"
            )
        zeros = self._zeros(x.shape[0], x.dtype)
        if self.bidirectional or state is None:
            state = (zeros,) * self.layers
        layer = {"lstm": functools.partial(LSTM, peepholes=self.peepholes), "gru": GRU}[self.kind]
        final = []
        for index in range(self.layers):
            if index > 0:
                x = nn.Dropout(self.dropout, deterministic=not train)(x)
            y, carry = layer(self.units, name=f"layer_{index}")(x, mask, state[index])
            if self.bidirectional:
                backwards = jnp.flip(x, 1), jnp.flip(mask, 1)
                reverse, _ = layer(self.units, name=f"layer_{index}_reverse")(*backwards, zeros)
                y = jnp.concatenate([y, jnp.flip(reverse, 1)], -1)
            x = y
            final.append(carry)
        return x, () if self.bidirectional else tuple(final)

    @nn.nowrap
    def initial_state(self, batch: Any) -> State:
        """Zeros for a batch of that size, a symbolic one included; () if bidirectional."""
        return () if self.bidirectional else (self._zeros(batch, jnp.float32),) * self.layers

    @nn.nowrap
    def _zeros(self, batch: Any, dtype: Any) -> tuple[Array, ...]:
        """The state of one layer before its first step."""
        zeros = jnp.zeros((batch, self.units), dtype)
        return (zeros,) * {"lstm": 2, "gru": 1}[self.kind]


def _project(module: nn.Module, x: Array, kind: str, forget_bias: float) -> tuple[Array, Array]:
    """Input projection [time, batch, gates x units] of all steps, and the recurrent kernel."""
    units, gates = module.units, GATES[kind]

    def per_gate(init: Any) -> Any:
        """Each gate is a matrix of its own: fans and orthogonality are per gate."""

        def kernel(rng: Array, rows: int) -> Array:
            rngs = jax.random.split(rng, len(gates))
            return jnp.concatenate([init(rng, (rows, units), jnp.float32) for rng in rngs], 1)

        return kernel

    def bias_init(_: Array) -> Array:
        starts = [forget_bias * (gate == "f") for gate in gates]
        return jnp.repeat(jnp.asarray(starts, jnp.float32), units)

    inputs = module.param("input_kernel", per_gate(nn.initializers.glorot_uniform()), x.shape[-1])
    recurrent = module.param("recurrent_kernel", per_gate(nn.initializers.orthogonal()), units)
    bias = module.param("bias", bias_init)
    return _time_major(x @ inputs + bias[None, None]), recurrent


def _time_major(x: Array) -> Array:
    """Swap batch and time."""
    return x.swapaxes(0, 1)
