"""The transformer matches masked softmax over all pairs of frames, in float64 numpy."""

import functools

import jax
import numpy as np
import pytest

from va_jax.models.transformer import Transformer

BATCH, TIME, FEATURES, UNITS, HEADS = 2, 11, 3, 8, 2


def norm(x, params):
    x = x - x.mean(-1, keepdims=True)
    x = x / np.sqrt((x**2).mean(-1, keepdims=True) + 1e-6)
    return x * params["scale"] + params["bias"]


def dense(x, params):
    return x @ params["kernel"] + params["bias"]


def gelu(x):
    return x / 2 * (1 + np.tanh(np.sqrt(2 / np.pi) * (x + 0.044715 * x**3)))


def rotated(x):
    """Rotate [time, width] by multiplying complex numbers, as in equation (13) of the paper."""
    half = x.shape[-1] // 2
    pairs = x[:, :half] + 1j * x[:, half:]
    angles = np.arange(len(x))[:, None] / 10_000.0 ** (np.arange(half) / half)
    turned = pairs * np.exp(1j * angles)
    return np.concatenate([turned.real, turned.imag], -1)


def attention(x, params, allowed):
    q, k, v = np.split(dense(x, params["qkv"]), 3, -1)
    outputs = []
    for head in np.split(np.arange(UNITS), HEADS):
        scores = rotated(q[:, head]) @ rotated(k[:, head]).T / np.sqrt(UNITS / HEADS)
        weights = np.where(allowed, np.exp(scores), 0)
        outputs.append(weights / weights.sum(-1, keepdims=True) @ v[:, head])
    return dense(np.concatenate(outputs, -1), params["output"])


def expected(params, x, window):
    """Return the output for one track; `window` None attends to all frames."""
    ago = np.arange(len(x))[:, None] - np.arange(len(x))
    allowed = (ago >= 0) & (ago < window) if window else np.ones_like(ago, bool)
    x = dense(x, params["input"])
    for index in range(sum(name.startswith("layer_") for name in params)):
        layer = params[f"layer_{index}"]
        x = x + attention(norm(x, layer["norm_attention"]), layer["attention"], allowed)
        x = x + dense(gelu(dense(norm(x, layer["norm_wide"]), layer["wide"])), layer["narrow"])
    return norm(x, params["norm"])


@pytest.mark.parametrize(
    "window",
    [4, *(pytest.param(window, marks=pytest.mark.slow) for window in (2, 5, 11, 30, None))],
)
def test_outputs_match_masked_softmax_over_all_pairs_of_frames(window):
    rng = np.random.default_rng(0)
    stack = Transformer(2, UNITS, heads=HEADS, window=window or 2, bidirectional=window is None)
    x, mask = rng.normal(size=(BATCH, TIME, FEATURES)), np.ones((BATCH, TIME), bool)
    mask[1, [0, 3, 4, 10]] = False
    init = functools.partial(stack.init, train=False)
    shapes = jax.eval_shape(init, jax.random.key(0), x, mask)
    variables = jax.tree.map(lambda leaf: rng.normal(size=leaf.shape) / 2, shapes)
    # Flax finds the type of a layer norm by a promotion to at least float32.
    with jax.enable_x64(True), jax.numpy_dtype_promotion("standard"):
        y, _ = jax.jit(functools.partial(stack.apply, train=False))(variables, x, mask)
        y = np.asarray(y)
    for row in range(BATCH):
        seen = expected(variables["params"], x[row, mask[row]], window)
        np.testing.assert_allclose(y[row, mask[row]], seen, rtol=1e-9, atol=1e-10)


def test_the_largest_array_grows_linearly_with_the_track():
    stack = Transformer(1, UNITS, heads=HEADS, window=16)

    def largest(time):
        x, mask = np.zeros((1, time, FEATURES), np.float32), np.ones((1, time), bool)
        apply = functools.partial(stack.init_with_output, train=False)
        jaxpr = jax.make_jaxpr(apply)(jax.random.key(0), x, mask)
        return max(var.aval.size for eqn in jaxpr.eqns for var in eqn.outvars)

    assert largest(1600) <= 10 * largest(160)
