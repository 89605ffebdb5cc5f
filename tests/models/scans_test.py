"""The scans and their gradients match loops over steps, differentiated exactly in float64."""

import functools

import jax
import jax.numpy as jnp
import numpy as np
import pytest

from va_jax.models.scans import gru_scan, lstm_scan

TIME, BATCH, UNITS = 5, 2, 3


def sigmoid(x):
    return 1 / (1 + np.exp(-x))


def lstm_loop(z, kernel, peephole, mask, h, c):
    """Gers, Schraudolph and Schmidhuber (2002); without peepholes the LSTM of torch's pages."""
    p_i, p_f, p_o = np.zeros((3, UNITS)) if peephole is None else peephole
    outputs = []
    for now, on in zip(z, mask, strict=True):
        i, f, g, o = np.split(now + h @ kernel, 4, axis=1)
        c_after = sigmoid(f + p_f * c) * c + sigmoid(i + p_i * c) * np.tanh(g)
        h_after = sigmoid(o + p_o * c_after) * np.tanh(c_after)
        h, c = np.where(on[:, None], h_after, h), np.where(on[:, None], c_after, c)
        outputs.append(h)
    return np.stack(outputs), h, c


def gru_loop(z, kernel, b_hn, mask, h):
    """The GRU of torch's pages."""
    outputs = []
    for now, on in zip(z, mask, strict=True):
        (x_r, x_z, x_n), (u_r, u_z, u_n) = np.split(now, 3, 1), np.split(h @ kernel, 3, 1)
        update = sigmoid(x_z + u_z)
        n = np.tanh(x_n + sigmoid(x_r + u_r) * (u_n + b_hn))
        h = np.where(on[:, None], (1 - update) * n + update * h, h)
        outputs.append(h)
    return np.stack(outputs), h


def drawn(*shapes):
    """Return normal arrays of these shapes (None for None), with a mask before the states."""
    rng = np.random.default_rng(0)
    weights = [None if shape is None else rng.normal(size=shape) for shape in shapes]
    return *weights[:3], rng.random((TIME, BATCH)) < 0.7, *weights[3:]


STATE = (BATCH, UNITS)
LSTM = (TIME, BATCH, 4 * UNITS), (UNITS, 4 * UNITS)
GRU = (TIME, BATCH, 3 * UNITS), (UNITS, 3 * UNITS)
CASES = {
    "lstm": (lstm_scan, lstm_loop, drawn(*LSTM, None, STATE, STATE)),
    "lstm with peepholes": (lstm_scan, lstm_loop, drawn(*LSTM, (3, UNITS), STATE, STATE)),
    "gru": (gru_scan, gru_loop, drawn(*GRU, UNITS, STATE)),
}


def weighted_sum(results):
    """Return a loss whose slope differs for every value of every result."""
    rng = np.random.default_rng(1)
    return sum((result * rng.normal(size=result.shape)).sum() for result in results)


def derivative(function, value):
    """Differentiate a real function by complex steps, which are exact."""
    steps = 1e-30j * np.eye(value.size).reshape(value.size, *value.shape)
    return np.reshape([function(value + step).imag / 1e-30 for step in steps], value.shape)


@pytest.mark.parametrize("cell", CASES)
def test_results_and_gradients_match_a_loop_over_steps(cell):
    scan, loop, arguments = CASES[cell]
    numbers = [i for i, a in enumerate(arguments) if a is not None and a.dtype != bool]

    def loss(*arguments):
        results = scan(*arguments)
        return weighted_sum(results), results

    with jax.enable_x64(True):
        (_, ours), gradients = jax.jit(jax.value_and_grad(loss, tuple(numbers), has_aux=True))(
            *jax.tree.map(jnp.asarray, arguments)
        )
    close = functools.partial(np.testing.assert_allclose, rtol=1e-12, atol=1e-12)
    jax.tree.map(close, ours, loop(*arguments))
    for index, gradient in zip(numbers, gradients, strict=True):

        def loss_by(value, index=index):
            return weighted_sum(loop(*arguments[:index], value, *arguments[index + 1 :]))

        close(gradient, derivative(loss_by, arguments[index]))
