"""LSTM and GRU stacks whose gradient costs no more than it must.

The input projection of all steps is one matrix product; the scan over time holds the recurrent
product alone. Going back, the scan computes only what the next step needs, the gradients at the
gates and at the state; the weight gradients are one product each, after it.
"""

from typing import Any

import flax.linen as nn
import jax
import jax.numpy as jnp
from jaxtyping import Array, Bool, Float

State = tuple[tuple[Array, ...], ...]
"""Of every layer (h, c) for the LSTM, (h,) for the GRU; each float32 [batch, units]."""

GATES = {"lstm": ("i", "f", "g", "o"), "gru": ("r", "z", "n")}
"""Column blocks of the kernels, `units` wide each, in torch's order of rows."""


class LSTM(nn.Module):
    """One LSTM layer (Hochreiter and Schmidhuber, 1997; forget gate of Gers et al., 2000).

    `bias` is the sum of torch's two. The forget gate's part of it starts at 1 (ours, after
    Jozefowicz et al., 2015), the rest at 0.
    """

    units: int

    @nn.compact
    def __call__(
        self,
        x: Float[Array, "batch time features"],
        mask: Bool[Array, "batch time"],
        state: tuple[Float[Array, "batch {self.units}"], Float[Array, "batch {self.units}"]],
    ) -> tuple[Float[Array, "batch time {self.units}"], tuple[Array, Array]]:
        z, kernel = _project(self, x, "lstm", forget_bias=1.0)
        y, h, c = lstm_scan(z, kernel, _time_major(mask), *state)
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
    """

    kind: str  # a key of GATES
    layers: int
    units: int
    dropout: float = 0.0  # rate, on the output of every layer but the last

    @nn.compact
    def __call__(
        self,
        x: Float[Array, "batch time features"],
        mask: Bool[Array, "batch time"],
        state: State | None = None,
        *,
        train: bool,
    ) -> tuple[Float[Array, "batch time {self.units}"], State]:
        """Outputs of the last layer, and the state after the last step; no state means zeros."""
        if state is None:
            state = self.initial_state(x.shape[0])
        layer_class = {"lstm": LSTM, "gru": GRU}[self.kind]
        final = []
        for index in range(self.layers):
            if index > 0:
                x = nn.Dropout(self.dropout, deterministic=not train)(x)
            x, carry = layer_class(self.units, name=f"layer_{index}")(x, mask, state[index])
            final.append(carry)
        return x, tuple(final)

    @nn.nowrap
    def initial_state(self, batch: Any) -> State:
        """Zeros for a batch of that size, a symbolic one included."""
        zeros = jnp.zeros((batch, self.units), jnp.float32)
        return ((zeros,) * {"lstm": 2, "gru": 1}[self.kind],) * self.layers


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
        return jnp.concatenate([jnp.full(units, forget_bias * (gate == "f")) for gate in gates])

    inputs = module.param("input_kernel", per_gate(nn.initializers.glorot_uniform()), x.shape[-1])
    recurrent = module.param("recurrent_kernel", per_gate(nn.initializers.orthogonal()), units)
    bias = module.param("bias", bias_init)
    return _time_major(x @ inputs + bias[None, None]), recurrent


def _time_major(x: Array) -> Array:
    """Swap batch and time."""
    return x.swapaxes(0, 1)


@jax.custom_vjp
def lstm_scan(
    z: Float[Array, "time batch columns"],
    kernel: Float[Array, "units columns"],
    mask: Bool[Array, "time batch"],
    h: Float[Array, "batch units"],
    c: Float[Array, "batch units"],
) -> tuple[
    Float[Array, "time batch units"], Float[Array, "batch units"], Float[Array, "batch units"]
]:
    """Outputs of all steps, final h and final c, from the projected inputs and the state."""
    return _lstm_forward(z, kernel, mask, h, c)[0]


def _lstm_forward(z: Array, kernel: Array, mask: Array, h: Array, c: Array) -> tuple[Any, Any]:
    def step(carry, step_inputs):
        h, c = carry
        z, on = step_inputs
        i, f, g, o = jnp.split(z + h @ kernel, 4, axis=-1)
        i, f, g, o = jax.nn.sigmoid(i), jax.nn.sigmoid(f), jnp.tanh(g), jax.nn.sigmoid(o)
        next_c = f * c + i * g
        next_h = o * jnp.tanh(next_c)
        h, c = jnp.where(on, next_h, h), jnp.where(on, next_c, c)
        return (h, c), (h, c, jnp.concatenate([i, f, g, o], -1))

    (last_h, last_c), (hs, cs, gates) = jax.lax.scan(step, (h, c), (z, mask[..., None]))
    before = jnp.concatenate([h[None], hs[:-1]]), jnp.concatenate([c[None], cs[:-1]])
    return (hs, last_h, last_c), (kernel, mask, gates, *before)


def _lstm_backward(saved: Any, grads: Any) -> tuple[Array | None, ...]:
    kernel, mask, gates, h_before, c_before = saved
    i, f, g, o = jnp.split(gates, 4, axis=-1)
    tanh_c = jnp.tanh(f * c_before + i * g)
    # Local derivatives of all steps at once: of h by o's input and by c, of c by the other three.
    by_o, h_by_c = tanh_c * o * (1 - o), o * (1 - tanh_c**2)
    by_i, by_f, by_g = g * i * (1 - i), c_before * f * (1 - f), i * (1 - g**2)

    def step(carry, step_inputs):
        dh, dc = carry
        dy, on, f, by_i, by_f, by_g, by_o, h_by_c = step_inputs
        dh = dh + dy
        total_dc = dc + dh * h_by_c
        dz = [total_dc * by_i, total_dc * by_f, total_dc * by_g, dh * by_o]
        dz = jnp.where(on, jnp.concatenate(dz, -1), 0)
        return (jnp.where(on, dz @ kernel.T, dh), jnp.where(on, total_dc * f, dc)), dz

    dy, dh, dc = grads
    factors = (dy, mask[..., None], f, by_i, by_f, by_g, by_o, h_by_c)
    (dh, dc), dz = jax.lax.scan(step, (dh, dc), factors, reverse=True)
    return dz, jnp.einsum("tbu,tbg->ug", h_before, dz), None, dh, dc


lstm_scan.defvjp(_lstm_forward, _lstm_backward)


@jax.custom_vjp
def gru_scan(
    z: Float[Array, "time batch columns"],
    kernel: Float[Array, "units columns"],
    b_hn: Float[Array, " units"],
    mask: Bool[Array, "time batch"],
    h: Float[Array, "batch units"],
) -> tuple[Float[Array, "time batch units"], Float[Array, "batch units"]]:
    """Outputs of all steps and final h, from the projected inputs and the state."""
    return _gru_forward(z, kernel, b_hn, mask, h)[0]


def _gru_forward(z: Array, kernel: Array, b_hn: Array, mask: Array, h: Array) -> tuple[Any, Any]:
    def step(h, step_inputs):
        z, on = step_inputs
        z_r, z_z, z_n = jnp.split(z, 3, axis=-1)
        u_r, u_z, u_n = jnp.split(h @ kernel, 3, axis=-1)
        r, update, q = jax.nn.sigmoid(z_r + u_r), jax.nn.sigmoid(z_z + u_z), u_n + b_hn[None]
        n = jnp.tanh(z_n + r * q)
        h = jnp.where(on, (1 - update) * n + update * h, h)
        return h, (h, jnp.concatenate([r, update, n, q], -1))

    last, (hs, gates) = jax.lax.scan(step, h, (z, mask[..., None]))
    return (hs, last), (kernel, mask, gates, jnp.concatenate([h[None], hs[:-1]]))


def _gru_backward(saved: Any, grads: Any) -> tuple[Array | None, ...]:
    kernel, mask, gates, h_before = saved
    r, update, n, q = jnp.split(gates, 4, axis=-1)
    # Local derivatives of all steps at once: of h by z's and n's inputs, of n's input by r's.
    by_z, by_n = (h_before - n) * update * (1 - update), (1 - update) * (1 - n**2)
    n_by_r = q * r * (1 - r)

    def step(dh, step_inputs):
        dy, on, update, r, by_z, by_n, n_by_r = step_inputs
        dh = dh + dy
        dn = dh * by_n
        # At the recurrent product: r, z and q = h W_n + b_hn.
        du = jnp.where(on, jnp.concatenate([dn * n_by_r, dh * by_z, dn * r], -1), 0)
        return jnp.where(on, dh * update + du @ kernel.T, dh), (du, jnp.where(on, dn, 0))

    dy, dh = grads
    factors = (dy, mask[..., None], update, r, by_z, by_n, n_by_r)
    dh, (du, dn) = jax.lax.scan(step, dh, factors, reverse=True)
    dz = jnp.concatenate([du[..., : -dn.shape[-1]], dn], -1)
    db_hn = du[..., -dn.shape[-1] :].sum((0, 1))
    return dz, jnp.einsum("tbu,tbg->ug", h_before, du), db_hn, None, dh


gru_scan.defvjp(_gru_forward, _gru_backward)
