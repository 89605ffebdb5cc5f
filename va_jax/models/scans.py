"""LSTM and GRU scans over time, with hand-written gradients.

The forward scan contains only the operations that need the state: the recurrent product and the
gates. The backward scan computes only the gradients that the previous step needs, with respect to
the gates and the state. The gradient of each weight is one matrix product after the scan.
"""

from typing import Any

import jax
import jax.numpy as jnp
from jaxtyping import Array, Bool, Float

from va_jax.models import forms


@jax.custom_vjp
def lstm_scan(
    z: Float[Array, "time batch columns"],
    kernel: Float[Array, "units columns"],
    peephole: Float[Array, "3 units"] | None,
    mask: Bool[Array, "time batch"],
    h: Float[Array, "batch units"],
    c: Float[Array, "batch units"],
) -> tuple[
    Float[Array, "time batch units"], Float[Array, "batch units"], Float[Array, "batch units"]
]:
    """Run an LSTM over all steps.

    Args:
        z: projected inputs, with columns for the gates i, f, g and o.
        kernel: recurrent kernel.
        peephole: weights through which i and f see c before the step and o sees c after the step,
            or None.
        mask: True for steps to run, False for steps to skip.
        h: state before the first step.
        c: cell state before the first step.

    Returns:
        The outputs of all steps, the final h and the final c.
    """
    return _lstm_forward(z, kernel, peephole, mask, h, c)[0]


def _lstm_forward(
    z: Array, kernel: Array, peephole: Array | None, mask: Array, h: Array, c: Array
) -> tuple[Any, Any]:
    def step(carry, step_inputs):
        h, c = carry
        z, on = step_inputs
        i, f, g, o = jnp.split(z + h @ kernel, 4, axis=-1)
        if peephole is not None:
            i, f = i + peephole[0:1] * c, f + peephole[1:2] * c
        i, f, g = jax.nn.sigmoid(i), jax.nn.sigmoid(f), jnp.tanh(g)
        next_c = f * c + i * g
        if peephole is not None:
            o = o + peephole[2:3] * next_c
        o = jax.nn.sigmoid(o)
        next_h = o * jnp.tanh(next_c)
        h, c = jnp.where(on, next_h, h), jnp.where(on, next_c, c)
        return (h, c), (h, c, jnp.concatenate([i, f, g, o], -1))

    (last_h, last_c), (hs, cs, gates) = _scan(step, (h, c), (z, mask[..., None]))
    before = jnp.concatenate([h[None], hs[:-1]]), jnp.concatenate([c[None], cs[:-1]])
    return (hs, last_h, last_c), (kernel, peephole, mask, gates, *before)


def _lstm_backward(saved: Any, grads: Any) -> tuple[Array | None, ...]:
    kernel, peephole, mask, gates, h_before, c_before = saved
    i, f, g, o = jnp.split(gates, 4, axis=-1)
    c = f * c_before + i * g
    tanh_c = jnp.tanh(c)
    # Compute the local derivatives for all steps at once: the derivatives of h with respect to the
    # input of o and to c, and of c with respect to the other inputs and the previous c. Peepholes
    # only add to the derivatives with respect to c.
    by_o, h_by_c = tanh_c * o * (1 - o), o * (1 - tanh_c**2)
    by_i, by_f, by_g, by_c = g * i * (1 - i), c_before * f * (1 - f), i * (1 - g**2), f
    if peephole is not None:
        p_i, p_f, p_o = peephole[:, None, None]
        h_by_c, by_c = h_by_c + p_o * by_o, by_c + p_i * by_i + p_f * by_f

    def step(carry, step_inputs):
        dh, dc = carry
        dy, on, by_c, by_i, by_f, by_g, by_o, h_by_c = step_inputs
        dh = dh + dy
        total_dc = dc + dh * h_by_c
        dz = [total_dc * by_i, total_dc * by_f, total_dc * by_g, dh * by_o]
        dz = jnp.where(on, jnp.concatenate(dz, -1), 0)
        return (jnp.where(on, dz @ kernel.T, dh), jnp.where(on, total_dc * by_c, dc)), dz

    dy, dh, dc = grads
    factors = (dy, mask[..., None], by_c, by_i, by_f, by_g, by_o, h_by_c)
    (dh, dc), dz = _scan(step, (dh, dc), factors, reverse=True)
    dpeephole = None
    if peephole is not None:
        dz_i, dz_f, _, dz_o = jnp.split(dz, 4, axis=-1)
        products = dz_i * c_before, dz_f * c_before, dz_o * c
        dpeephole = jnp.stack([product.sum((0, 1)) for product in products])
    return dz, jnp.einsum("tbu,tbg->ug", h_before, dz), dpeephole, None, dh, dc


lstm_scan.defvjp(_lstm_forward, _lstm_backward)


@jax.custom_vjp
def gru_scan(
    z: Float[Array, "time batch columns"],
    kernel: Float[Array, "units columns"],
    b_hn: Float[Array, " units"],
    mask: Bool[Array, "time batch"],
    h: Float[Array, "batch units"],
) -> tuple[Float[Array, "time batch units"], Float[Array, "batch units"]]:
    """Run a GRU over all steps.

    Args:
        z: projected inputs, with columns for the gates r, z and n.
        kernel: recurrent kernel.
        b_hn: bias added to the recurrent product for n before r scales it.
        mask: True for steps to run, False for steps to skip.
        h: state before the first step.

    Returns:
        The outputs of all steps and the final h.
    """
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

    last, (hs, gates) = _scan(step, h, (z, mask[..., None]))
    return (hs, last), (kernel, mask, gates, jnp.concatenate([h[None], hs[:-1]]))


def _gru_backward(saved: Any, grads: Any) -> tuple[Array | None, ...]:
    kernel, mask, gates, h_before = saved
    r, update, n, q = jnp.split(gates, 4, axis=-1)
    # Compute the local derivatives for all steps at once: the derivatives of h with respect to the
    # inputs of z and n, and of the input of n with respect to the input of r.
    by_z, by_n = (h_before - n) * update * (1 - update), (1 - update) * (1 - n**2)
    n_by_r = q * r * (1 - r)

    def step(dh, step_inputs):
        dy, on, update, r, by_z, by_n, n_by_r = step_inputs
        dh = dh + dy
        dn = dh * by_n
        # Gradients with respect to the recurrent product, for r, z and q = h W_n + b_hn.
        du = jnp.where(on, jnp.concatenate([dn * n_by_r, dh * by_z, dn * r], -1), 0)
        return jnp.where(on, dh * update + du @ kernel.T, dh), (du, jnp.where(on, dn, 0))

    dy, dh = grads
    factors = (dy, mask[..., None], update, r, by_z, by_n, n_by_r)
    dh, (du, dn) = _scan(step, dh, factors, reverse=True)
    dz = jnp.concatenate([du[..., : -dn.shape[-1]], dn], -1)
    db_hn = du[..., -dn.shape[-1] :].sum((0, 1))
    return dz, jnp.einsum("tbu,tbg->ug", h_before, du), db_hn, None, dh


gru_scan.defvjp(_gru_forward, _gru_backward)


def _scan(step: Any, carry: Any, inputs: Any, reverse: bool = False) -> Any:
    return jax.lax.scan(step, carry, inputs, reverse=reverse, unroll=forms.chosen().steps_at_once)
