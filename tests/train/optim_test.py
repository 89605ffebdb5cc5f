"""Schedules by hand, and what each part of the parameters gets."""

import jax
import jax.numpy as jnp
import numpy as np
import optax
import pytest

from va_jax import keys
from va_jax.config import Optim
from va_jax.train.optim import average, is_averaged, make_schedule, make_tx
from va_jax.train.state import TrainState

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


@pytest.mark.parametrize("name", ["adam", "adamw", "sgd", "schedule_free"])
def test_every_optimiser_goes_down_the_gradient(name):
    moved = updates(settings(name=name))
    assert all((x < 0).all() for x in jax.tree.leaves(moved))


def test_muon_orthogonalises_kernels_and_leaves_heads_and_scales_to_nadam():
    rng = np.random.default_rng(0)
    params = {
        "backbone": {"conv1": {"kernel": jnp.ones((3, 3, 4, 8))}, "bn1": {"scale": jnp.ones(8)}},
        "head_valence": {"kernel": jnp.ones((8, 2))},
    }
    grads = jax.tree.map(lambda x: jnp.asarray(rng.normal(size=x.shape), jnp.float32), params)
    moved, adam = (
        tx.update(grads, tx.init(params), params)[0]
        for tx in (make_tx(settings(name=name), 10) for name in ("muon", "adam"))
    )
    matrix = np.asarray(moved["backbone"]["conv1"]["kernel"]).reshape(36, 8) / 0.1
    singular = np.linalg.svd(matrix, compute_uv=False) / (0.2 * 36**0.5)
    assert singular.min() > 0.6  # as far as five iterations go
    assert singular.max() < 1.3
    assert np.sqrt((matrix**2).mean()) == pytest.approx(0.2, rel=0.3)
    assert ((moved["head_valence"]["kernel"] < 0) == (adam["head_valence"]["kernel"] < 0)).all()
    for rest in (moved["head_valence"]["kernel"], moved["backbone"]["bn1"]["scale"]):
        np.testing.assert_allclose(np.abs(rest), 0.1474, rtol=1e-3)  # Nesterov's first step


def steps(config, count=4):
    """Return the states of a run whose gradients are all 1, from step 0."""
    tx = make_tx(config, 10)
    variables = {"params": PARAMS, "batch_stats": {"bn1": {"mean": jnp.zeros(2)}}}
    states = [TrainState.create(variables, tx, is_averaged(config))]
    grads = jax.tree.map(jnp.ones_like, PARAMS)
    for _ in range(count):
        before = states[-1]
        moved, opt_state = tx.update(grads, before.opt_state, before.params)
        after = before.replace(
            step=before.step + 1,
            params=optax.apply_updates(before.params, moved),
            batch_stats=jax.tree.map(lambda x: x + 1, before.batch_stats),
            opt_state=opt_state,
        )
        states.append(after.replace(average=average(config, before, after)))
    return states


def test_a_moving_average_is_that_by_hand_and_is_evaluated():
    states, expected = steps(settings(ema=0.3)), 1.0
    for number, state in enumerate(states[1:]):
        share = 1 - min(0.3, (1 + number) / (10 + number))
        expected += share * (float(state.params["head_valence"]["kernel"][0, 0]) - expected)
        found = state.variables["params"]["head_valence"]["kernel"]
        np.testing.assert_allclose(found, expected, rtol=1e-5)
    assert float(states[-1].variables["batch_stats"]["bn1"]["mean"][0]) < 4
    assert steps(settings())[-1].average is None


def test_the_schedule_free_average_is_that_by_hand_and_spares_frozen_parts():
    config = settings(name="schedule_free", rates__backbone=0.0)
    states = steps(config)
    # With equal gradients, Adam without momentum moves z by the learning rate at every step, and
    # the average x weights all z equally.
    z = 1 - 0.1 * np.arange(1, 5)
    found = states[-1].variables["params"]
    np.testing.assert_allclose(found["head_valence"]["kernel"], z.mean(), rtol=1e-5)
    trained = 0.9 * z.mean() + 0.1 * z[-1]
    np.testing.assert_allclose(states[-1].params["head_valence"]["kernel"], trained, rtol=1e-5)
    for tree in (found, states[-1].params):
        jax.tree.map(np.testing.assert_array_equal, tree["backbone"], PARAMS["backbone"])
