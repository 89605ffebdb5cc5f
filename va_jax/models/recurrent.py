"""LSTM and GRU stacks: unidirectional with a state to carry, or bidirectional over a whole window.

The input projection for all steps is one matrix product; `scans.py` contains the scan over time and
its gradient.
"""

import functools
from typing import Any

import flax.linen as nn
import jax
import jax.numpy as jnp
from jaxtyping import Array, Bool, Float

from va_jax.models import temporal
from va_jax.models.scans import gru_scan, lstm_scan
from va_jax.models.temporal import State

GATES = {"lstm": ("i", "f", "g", "o"), "gru": ("r", "z", "n")}
"""Column blocks in the kernels, each `units` wide, in the order of torch's rows."""


class LSTM(nn.Module):
    """One LSTM layer (Hochreiter and Schmidhuber, 1997) with forget gates (Gers et al., 2000).

    `bias` is the sum of torch's two biases. Its initial value is 1 for the forget gate (Jozefowicz
    et al., 2015; our choice) and 0 for the other gates. With peepholes (Gers et al., 2002), the
    gates see the cell state through diagonal weights. The rows of `peephole` apply to i and f,
    which see c before the step, and to o, which sees c after the step. Their initial value is 0
    (our choice), as in a plain LSTM.
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
    """One GRU layer (Cho et al., 2014) that, like torch, applies r after the recurrent product.

    n = tanh(x_n + r (h W_n + b_hn)), h' = (1 - z) n + z h. `bias` contains the input bias for n
    and, for r and z, the sum of torch's two biases. All biases start at 0.
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
    """LSTM or GRU layers with dropout between them; the stack takes and returns a state.

    Steps outside the mask are skipped: the state does not change and the last output is repeated.
    Therefore, padding at the end has no effect, and splitting a track into chunks of any length
    does not change the output if the state is carried from chunk to chunk.

    In a bidirectional stack (Schuster and Paliwal, 1997), every layer also runs backwards, with
    separate parameters (`layer_0_reverse`), and outputs [forward | reverse]. At a masked step, the
    reverse half repeats the next output, or is zero at the end. Such a stack requires the whole
    window: it starts from zeros and its state is ().

    The state of a unidirectional stack contains (h, c) for each LSTM layer or (h,) for each GRU
    layer, [batch, units] each.
    """

    kind: str  # key of GATES
    layers: int
    units: int
    dropout: float = 0.0  # dropout rate for the output of every layer except the last
    bidirectional: bool = False
    peepholes: bool = False  # LSTM only

    @property
    def features(self) -> int:
        """Return the width of the output."""
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
        """Return the last layer's outputs and the final state; `state=None` starts from zeros."""
        zeros = self._zeros(x.shape[0], x.dtype)
        state = temporal.first_state(self, x, state) or (zeros,) * self.layers
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
        """Return a zero state for a batch size, which may be symbolic; () if bidirectional."""
        return () if self.bidirectional else (self._zeros(batch, jnp.float32),) * self.layers

    @nn.nowrap
    def _zeros(self, batch: Any, dtype: Any) -> tuple[Array, ...]:
        """Return the state of one layer before the first step."""
        zeros = jnp.zeros((batch, self.units), dtype)
        return (zeros,) * {"lstm": 2, "gru": 1}[self.kind]


def _project(module: nn.Module, x: Array, kind: str, forget_bias: float) -> tuple[Array, Array]:
    """Compute the input projection [time, batch, gates x units] and return it with the kernel."""
    units, gates = module.units, GATES[kind]

    def per_gate(init: Any) -> Any:
        """Initialise one matrix per gate, since fans and orthogonality refer to single gates."""

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
    """Swap the batch and time axes."""
    return x.swapaxes(0, 1)
