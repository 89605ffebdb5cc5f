"""Time forms of single operations on a GPU: temporal convolutions, and LSTMs including cuDNN's.

    python -m benchmarks.operations

The command prints a line of JSON for each form, with the milliseconds for the forward pass and for
the forward and backward passes together, as medians over 15 calls. The error of a convolution is
relative to the largest output of the 3-D convolution in float32.
"""

import functools
import json
import statistics
import time
from collections.abc import Callable
from typing import Any

import jax
import jax.numpy as jnp
import numpy as np
from jax import lax
from jax.experimental import rnn

from va_jax.models.recurrent import RecurrentStack

ROUNDS = 15


def main() -> None:
    print(json.dumps({"device": jax.devices()[0].device_kind, "jax": jax.__version__}))
    for side, channels in ((28, 64), (14, 128), (7, 256), (4, 512)):
        temporal(side, channels)
    lstms(batch=8, steps=150, width=2048, units=256)


def temporal(side: int, channels: int) -> None:
    """Time a 3x3x3 convolution of 8 windows of 32 frames."""
    rng = np.random.default_rng(0)
    x = jnp.asarray(rng.normal(size=(8, 32, side, side, channels)), jnp.float32)
    kernel = rng.normal(size=(3, 3, 3, channels, channels)) / np.sqrt(27 * channels)
    kernel = jnp.asarray(kernel, jnp.float32)
    exact = np.asarray(jax.jit(native)(x[:1, :4], kernel))
    for dtype in ("bfloat16", "float32"):
        inputs = x.astype(dtype), kernel.astype(dtype)
        for form in (native, tap_sum, side_by_side):
            found = jax.jit(form)(inputs[0][:1, :4], inputs[1]).astype(jnp.float32)
            error = float(np.abs(np.asarray(found) - exact).max() / np.abs(exact).max())
            facts = {"dtype": dtype, "shape": x.shape, "max_error": error}
            say("temporal 3x3x3", form.__name__, form, inputs, facts)


def native(x: jax.Array, kernel: jax.Array) -> jax.Array:
    layout = ("NDHWC", "DHWIO", "NDHWC")
    return lax.conv_general_dilated(x, kernel, (1, 1, 1), "SAME", dimension_numbers=layout)


def tap_sum(x: jax.Array, kernel: jax.Array) -> jax.Array:
    return functools.reduce(jnp.add, map(each_frame, taps(x), kernel))


def side_by_side(x: jax.Array, kernel: jax.Array) -> jax.Array:
    joined = jnp.moveaxis(kernel, 0, 2).reshape(*kernel.shape[1:3], -1, kernel.shape[-1])
    return each_frame(jnp.concatenate(taps(x), -1), joined)


def taps(x: jax.Array) -> list[jax.Array]:
    padded = jnp.pad(x, ((0, 0), (1, 1), (0, 0), (0, 0), (0, 0)))
    return [padded[:, start : start + x.shape[1]] for start in range(3)]


def each_frame(x: jax.Array, kernel: jax.Array) -> jax.Array:
    flat, layout = x.reshape(-1, *x.shape[2:]), ("NHWC", "HWIO", "NHWC")
    y = lax.conv_general_dilated(flat, kernel, (1, 1), "SAME", dimension_numbers=layout)
    return y.reshape(*x.shape[:2], *y.shape[1:])


def lstms(batch: int, steps: int, width: int, units: int) -> None:
    """Time two LSTM layers in float32."""
    facts = {"shape": [batch, steps, width, units]}
    x = jax.random.normal(jax.random.key(0), (batch, steps, width))
    stack, mask = RecurrentStack("lstm", 2, units), jnp.ones((batch, steps), bool)
    variables = stack.init(jax.random.key(1), x, mask, train=False)

    def ours(variables: Any, x: jax.Array) -> jax.Array:
        return stack.apply(variables, x, mask, train=False)[0]

    say("lstm x 2", "va_jax", ours, (variables, x), facts)
    if jax.default_backend() != "gpu":
        return
    count = rnn.get_num_params_in_lstm(width, units, 2, False)
    weights = 0.05 * jax.random.normal(jax.random.key(2), (count,))
    lengths, zeros = jnp.full((batch,), steps, jnp.int32), jnp.zeros((2, batch, units))

    def cudnn(weights: jax.Array, x: jax.Array) -> jax.Array:
        return rnn.lstm(x, zeros, zeros, weights, lengths, width, units, 2, 0.0, False)[0]

    say("lstm x 2", "cudnn", cudnn, (weights, x), facts)


def say(what: str, form: str, call: Callable[..., Any], inputs: tuple, facts: dict) -> None:
    """Time a form and print its line."""

    def both(*inputs: Any) -> Any:
        y, pull = jax.vjp(call, *inputs)
        return y, pull(jnp.ones_like(y))

    times = {
        "forward_ms": median_ms(jax.jit(call), inputs),
        "both_ms": median_ms(jax.jit(both), inputs),
    }
    print(json.dumps({"what": what, "form": form, **facts, **times}), flush=True)


def median_ms(call: Callable[..., Any], inputs: tuple) -> float:
    times_s = []
    for _ in range(2 + ROUNDS):
        start = time.perf_counter()
        jax.block_until_ready(call(*inputs))
        times_s.append(time.perf_counter() - start)
    return 1e3 * statistics.median(times_s[2:])


if __name__ == "__main__":
    main()
