"""Linear Recurrent Units (Orvieto et al., 2023, arXiv 2303.06349)."""

from typing import Any

import flax.linen as nn
import jax
import jax.numpy as jnp
from jaxtyping import Array, Bool, Complex, Float

from va_jax.models.temporal import PackedStack, State

RADII = (0.9, 0.999)
"""Smallest and largest initial absolute value of an eigenvalue, in the range used for the paper's
tasks with long-range dependencies. A component forgets half of its past after 7 to 690 frames."""

MAX_PHASE = jnp.pi / 10
"""Largest initial phase of an eigenvalue, as for the paper's tasks with the longest sequences."""


class LRU(nn.Module):
    """The linear recurrence h' = lambda h + gamma (B x) with the output Re(C h) + D x.

    lambda = exp(-exp(nu_log) + i exp(theta_log)) is complex, one value per unit, with an absolute
    value below 1. gamma = exp(gamma_log) starts at sqrt(1 - |lambda|^2), which keeps h at the scale
    of its input. B (`input_kernel`) and C (`output_kernel`) are stored as real and imaginary parts;
    D is `skip`.
    """

    units: int

    @nn.compact
    def __call__(
        self,
        x: Float[Array, "batch time {self.units}"],
        valid: Bool[Array, "batch time"],
        state: Float[Array, "batch 2*{self.units}"],
    ) -> tuple[Float[Array, "batch time {self.units}"], Float[Array, "batch 2*{self.units}"]]:
        """Return the outputs and the real and imaginary parts of the final h."""
        nu_log = self.param("nu_log", _nu_log, self.units)
        theta_log = self.param("theta_log", _theta_log, self.units)
        gamma_log = self.param(
            "gamma_log", lambda _: 0.5 * jnp.log(-jnp.expm1(-2 * jnp.exp(nu_log)))
        )
        b = self.param("input_kernel", _complex_normal(2), self.units)
        c = self.param("output_kernel", _complex_normal(1), self.units)
        skip = self.param("skip", nn.initializers.normal(1.0), (self.units,), jnp.float32)

        decay = jnp.exp(jax.lax.complex(-jnp.exp(nu_log), jnp.exp(theta_log)))[None, None]
        gamma = jnp.exp(gamma_log)[None, None]
        terms = jax.lax.complex(gamma * (x @ b[0]), gamma * (x @ b[1]))
        h = linear_scan(
            jnp.where(valid[..., None], decay, jnp.ones_like(decay)),
            jnp.where(valid[..., None], terms, jnp.zeros_like(terms)),
            jax.lax.complex(*jnp.split(state, 2, -1)),
        )
        y = h.real @ c[0] - h.imag @ c[1] + x * skip[None, None]
        return y, jnp.concatenate([h[:, -1].real, h[:, -1].imag], -1)


def linear_scan(
    factors: Complex[Array, "batch time units"],
    terms: Complex[Array, "batch time units"],
    h: Complex[Array, "batch units"],
) -> Complex[Array, "batch time units"]:
    """Return h' = factor h + term after every step, starting from `h`.

    The steps run in parallel (Blelloch, 1990) if their number is known, or one by one if it is
    symbolic.
    """

    def step(h: Array, row: tuple[Array, Array]) -> tuple[Array, Array]:
        h = row[0] * h + row[1]
        return h, h

    def join(first: tuple[Array, Array], second: tuple[Array, Array]) -> tuple[Array, Array]:
        return first[0] * second[0], second[0] * first[1] + second[1]

    if not isinstance(factors.shape[1], int):
        rows = factors.swapaxes(0, 1), terms.swapaxes(0, 1)
        return jax.lax.scan(step, h, rows)[1].swapaxes(0, 1)
    products, sums = jax.lax.associative_scan(join, (factors, terms), axis=1)
    return products * h[:, None] + sums


class LRUBlock(nn.Module):
    """Layer norm, LRU, GELU, gated linear unit and dropout, with a residual connection.

    If bidirectional, a second LRU runs backwards, and the gated linear unit mixes the outputs of
    both LRUs.
    """

    units: int
    dropout: float
    bidirectional: bool

    @nn.compact
    def __call__(
        self,
        x: Float[Array, "batch time {self.units}"],
        valid: Bool[Array, "batch time"],
        state: Float[Array, "batch 2*{self.units}"],
        *,
        train: bool,
    ) -> tuple[Float[Array, "batch time {self.units}"], Float[Array, "batch 2*{self.units}"]]:
        normed = nn.LayerNorm(name="norm")(x)
        y, final = LRU(self.units, name="lru")(normed, valid, state)
        if self.bidirectional:
            backwards = jnp.flip(normed, 1), jnp.flip(valid, 1)
            reverse, _ = LRU(self.units, name="lru_reverse")(*backwards, jnp.zeros_like(state))
            y = jnp.concatenate([y, jnp.flip(reverse, 1)], -1)
        value, gate = jnp.split(nn.Dense(2 * self.units, name="glu")(nn.gelu(y)), 2, -1)
        y = nn.Dropout(self.dropout, deterministic=not train)(value * nn.sigmoid(gate))
        return x + y, final


class LRUStack(PackedStack):
    """A linear layer and blocks with Linear Recurrent Units.

    Masked frames are skipped. The state contains h of each block, [batch, 2 x units] with the real
    parts first, and finally the last output, [batch, units].
    """

    def blocks(
        self,
        y: Float[Array, "batch time {self.units}"],
        valid: Bool[Array, "batch time"],
        state: State,
        train: bool,
    ) -> tuple[Float[Array, "batch time {self.units}"], State]:
        final, zeros = [], jnp.zeros((y.shape[0], 2 * self.units), y.dtype)
        for index in range(self.layers):
            block = LRUBlock(self.units, self.dropout, self.bidirectional, name=f"layer_{index}")
            y, h = block(y, valid, state[index][0] if state else zeros, train=train)
            final.append((h,))
        return y, tuple(final)

    @nn.nowrap
    def blocks_state(self, batch: Any) -> State:
        return ((jnp.zeros((batch, 2 * self.units), jnp.float32),),) * self.layers


def _nu_log(rng: Array, units: int) -> Array:
    """Draw |lambda| = exp(-exp(nu_log)), so that lambda fills a ring evenly."""
    low, high = RADII
    squares = jax.random.uniform(rng, (units,), jnp.float32, low**2, high**2)
    return jnp.log(-0.5 * jnp.log(squares))


def _theta_log(rng: Array, units: int) -> Array:
    """Draw the phase exp(theta_log) uniformly from 0 to MAX_PHASE."""
    tiny = jnp.finfo(jnp.float32).tiny
    return jnp.log(jax.random.uniform(rng, (units,), jnp.float32, tiny, MAX_PHASE))


def _complex_normal(parts: int) -> Any:
    """Return an initialiser for arrays [2, units, units] with a variance of 1 / (parts x units)."""

    def init(rng: Array, units: int) -> Array:
        return jax.random.normal(rng, (2, units, units), jnp.float32) / (parts * units) ** 0.5

    return init
