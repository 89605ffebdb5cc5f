"""Every form of an operation gives the outputs, gradients and statistics of the others."""

import dataclasses
from typing import get_args, get_type_hints

import jax
import jax.numpy as jnp
import numpy as np
import pytest

from va_jax.models import forms
from va_jax.models.batch_norm import BatchNorm
from va_jax.models.conv import Conv
from va_jax.models.efficientnet import SameConv
from va_jax.models.inflate import Time
from va_jax.models.pooling import pool_frames
from va_jax.models.recurrent import RecurrentStack

CPU = forms.BY_BACKEND["cpu"]
MASK = np.array([[True, True, False, True, True], [False, True, True, True, False]])


def slow(*values):
    return pytest.param(*values, marks=pytest.mark.slow)


def frames(channels):
    return np.random.default_rng(0).normal(size=(2, 5, 6, 7, channels))


def results(module, *inputs, **keywords):
    """Return output and new statistics, and the gradient by parameters and input, in float64."""
    with jax.enable_x64(True):
        single = [jnp.asarray(x, jnp.float32 if x.dtype == np.float64 else None) for x in inputs]
        inputs = [jnp.asarray(x) for x in inputs]
        variables = module.init(jax.random.key(0), *single, **keywords)
        variables = jax.tree.map(lambda value: value.astype(jnp.float64), variables)

        def loss(params, x):
            given = {**variables, "params": params}
            found = module.apply(given, x, *inputs[1:], **keywords, mutable=["batch_stats"])
            y = jax.tree.leaves(found[0])[0]
            weights = jnp.cos(jnp.arange(y.size)).reshape(y.shape)
            return (weights * y).sum(), found

        by = jax.jit(jax.value_and_grad(loss, argnums=(0, 1), has_aux=True))
        return jax.tree.map(np.asarray, by(variables["params"], inputs[0]))


def assert_same_as_on_a_cpu(change, module, *inputs, **keywords):
    with forms.using(CPU):
        expected = results(module, *inputs, **keywords)
    with forms.using(dataclasses.replace(CPU, **change)):
        found = results(module, *inputs, **keywords)
    jax.tree.map(
        lambda a, b: np.testing.assert_allclose(a, b, rtol=1e-9, atol=1e-9), found, expected
    )


@pytest.mark.parametrize("stride", [slow(1), 2])
def test_a_1x1_convolution(stride):
    conv = Conv(6, 1, stride, dtype=jnp.float64)
    assert_same_as_on_a_cpu({"pointwise": "convolution"}, conv, frames(4), MASK)


@pytest.mark.parametrize(
    ("channels", "stride", "time"),
    [
        slow(3, 2, Time(taps=3)),
        (6, 1, Time(taps=3, padding="edge")),
        slow(6, 2, Time(taps=3, dilation=2)),
        slow(6, 1, Time(taps=3, stride=2)),
    ],
)
def test_a_convolution_over_time(channels, stride, time):
    conv = Conv(5, 3, stride, time, use_bias=True, dtype=jnp.float64)
    assert_same_as_on_a_cpu({"time_convolution": "native"}, conv, frames(channels), MASK)


@pytest.mark.parametrize("stride", [slow(1), 2])
def test_a_depthwise_convolution(stride):
    conv = SameConv(4, 3, stride, True, jnp.float64)
    assert_same_as_on_a_cpu({"depthwise": "native"}, conv, frames(4))


@pytest.mark.parametrize("mask", [MASK, slow(np.zeros_like(MASK))])
def test_batch_norm(mask):
    change = {"batch_norm": "derived"}
    assert_same_as_on_a_cpu(change, BatchNorm(jnp.float64), frames(4), mask, train=True)


@pytest.mark.parametrize("kind", [slow("lstm"), "gru"])
def test_several_steps_of_a_recurrent_stack_at_once(kind):
    stack = RecurrentStack(kind, 2, 3)
    x = frames(1).reshape(2, 5, -1)
    assert_same_as_on_a_cpu({"steps_at_once": 2}, stack, x, MASK, train=False)


def test_a_max_pool_gives_the_gradient_to_the_first_of_equal_values():
    x = np.round(frames(4)).astype(np.float32)

    def found(form):
        with forms.using(dataclasses.replace(CPU, max_pool=form)):
            by = jax.value_and_grad(lambda x: (pool_frames(x, 3, (1, 1)) ** 3).sum())
            return jax.jit(by)(x)

    jax.tree.map(np.testing.assert_array_equal, found("native"), found("indexed"))


def test_every_form_of_every_device_is_legal():
    for each in forms.BY_BACKEND.values():
        for name, kind in get_type_hints(forms.Forms).items():
            assert getattr(each, name) in (get_args(kind) or [1])


def test_forms_hold_only_inside_their_block():
    other = forms.BY_BACKEND["tpu"]
    with forms.using(other):
        assert forms.chosen() == other
    assert forms.chosen() == CPU
