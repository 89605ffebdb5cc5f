"""Schedules by hand, and what each part of the parameters gets."""

import jax
import jax.numpy as jnp
import numpy as np
import optax
import pytest

from va_jax import keys
from va_jax.config import Optim
from va_jax.train.optim import make_schedule, make_tx

PARAMS = {
    "backbone": {"conv1": {"kernel": jnp.ones((1, 1, 2, 2))}, "bn1": {"scale": jnp.ones(2)}},
    "temporal": {"layer_0": {"bias": jnp.ones(3)}},
    "head_valence": {"kernel": jnp.ones((2, 1))},
}


@pytest.fixture(autouse=True)
def _optax_promotes_types():
    with jax.numpy_dtype_promotion("standard"), jax.numpy_rank_promotion("allow"):
        yield


def settings(**changes):
    given = {k.replace("__", "."): v for k, v in changes.items()}
    return keys.parse(Optim, keys.unflatten({"name": "sgd", "learning_rate": 0.1} | given))


def updates(config, size=1.0):
    tx = make_tx(config, 10)
    grads = jax.tree.map(lambda x: jnp.full_like(x, size), PARAMS)
    return tx.update(grads, tx.init(PARAMS), PARAMS)[0]


def test_the_schedule_warms_up_to_the_peak_and_ends_at_zero():
    schedule = make_schedule(settings(schedule="cosine", warmup_steps=4), 12)
    values = [float(schedule(step)) for step in (0, 2, 4, 8, 12)]
    np.testing.assert_allclose(values, [0, 0.05, 0.1, 0.05, 0], atol=1e-7)
    constant = make_schedule(settings(), 12)
    assert [float(constant(step)) for step in (0, 11)] == pytest.approx([0.1, 0.1])


def test_every_part_moves_at_its_own_rate_and_a_rate_of_zero_freezes():
    moved = updates(settings(rates__backbone=0.0, rates__temporal=0.5))
    first = 0.1 * 1.9  # Nesterov: gradient + 0.9 x momentum
    assert all((x == 0).all() for x in jax.tree.leaves(moved["backbone"]))
    np.testing.assert_allclose(moved["temporal"]["layer_0"]["bias"], -0.5 * first, rtol=1e-6)
    np.testing.assert_allclose(moved["head_valence"]["kernel"], -first, rtol=1e-6)


def test_weight_decay_touches_kernels_only():
    plain, decayed = updates(settings(), 0.0), updates(settings(weight_decay=0.5), 0.0)
    change = jax.tree.map(lambda x, y: float(abs(x - y).max()), plain, decayed)
    assert change["backbone"]["conv1"]["kernel"] == pytest.approx(0.05)
    assert change["head_valence"]["kernel"] == pytest.approx(0.05)
    assert change["backbone"]["bn1"]["scale"] == change["temporal"]["layer_0"]["bias"] == 0


@pytest.mark.slow
def test_the_clipped_norm_leaves_frozen_parts_out():
    moved = updates(settings(clip_norm=1.0, rates__backbone=0.0))
    assert float(optax.tree.norm(moved)) == pytest.approx(0.1 * 1.9, rel=1e-5)


@pytest.mark.parametrize("name", ["adam", "adamw", "sgd"])
def test_every_optimiser_goes_down_the_gradient(name):
    moved = updates(settings(name=name))
    assert all((x < 0).all() for x in jax.tree.leaves(moved))
