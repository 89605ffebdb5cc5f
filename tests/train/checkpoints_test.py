"""Which checkpoints stay, and what they give back on another layout."""

import jax
import jax.numpy as jnp
import numpy as np
import optax
import pytest
from jax.experimental import multihost_utils

from va_jax.config import parse
from va_jax.train import sharding
from va_jax.train.checkpoints import Checkpoints, read_beside, read_best, restore_best, write_beside
from va_jax.train.state import TrainState, abstract
from va_jax.types import InputError


def state(step):
    variables = {"params": {"w": jnp.full((3,), float(step))}, "batch_stats": {"m": jnp.ones(2)}}
    return TrainState.create(variables, optax.adam(0.1)).replace(step=jnp.asarray(step, jnp.int32))


def saved_run(workdir, scores, keep=1):
    with Checkpoints(workdir, keep) as saved:
        for step, score in scores.items():
            dev = None if score is None else {"valence": score, "arousal": score}
            saved.save(state(step), parse({"data": {"name": "some_set"}}), dev)


def test_the_newest_and_the_best_stay(tmp_path):
    saved_run(tmp_path, {1: 0.1, 2: 0.6, 3: None, 4: 0.3, 5: None, 6: 0.2}, keep=2)
    kept = sorted(int(path.name) for path in (tmp_path / "checkpoints").iterdir())
    assert kept == [2, 5, 6]
    with Checkpoints(tmp_path) as saved:
        assert (saved.latest_step(), saved.best_step()) == (6, 2)


@pytest.mark.parametrize("devices", [1, 4])
def test_a_state_comes_back_bit_for_bit_on_any_number_of_devices(tmp_path, devices):
    saved_run(tmp_path, {7: 0.5})
    layout = sharding.replicated(sharding.make_mesh(jax.devices()[:devices]))
    with Checkpoints(tmp_path) as saved:
        restored, step = saved.restore(7, abstract(state(0), layout))
    assert step == 7
    jax.tree.map(np.testing.assert_array_equal, restored, state(7))
    assert len(restored.params["w"].devices()) == devices


def test_the_best_variables_come_without_the_optimiser(tmp_path):
    saved_run(tmp_path, {1: 0.9, 2: 0.1})
    layout = sharding.replicated(sharding.make_mesh())
    variables, step = restore_best(tmp_path, abstract(state(0).variables, layout))
    assert step == 1
    np.testing.assert_array_equal(variables["params"]["w"], np.ones(3))


def test_the_average_is_what_the_best_variables_are(tmp_path):
    average = {"params": {"w": jnp.full((3,), 9.0)}, "batch_stats": {"m": jnp.zeros(2)}}
    averaged = state(1).replace(average=average)
    with Checkpoints(tmp_path) as saved:
        saved.save(averaged, parse({"data": {"name": "some_set"}}), {"valence": 0.5})
    layout = sharding.replicated(sharding.make_mesh())
    found, _ = restore_best(tmp_path, abstract(state(0).variables, layout))
    jax.tree.map(np.testing.assert_array_equal, found, average)
    jax.tree.map(np.testing.assert_array_equal, read_best(tmp_path)[0], average)
    with Checkpoints(tmp_path) as saved:
        restored, _ = saved.restore(1, abstract(averaged, layout))
    jax.tree.map(np.testing.assert_array_equal, restored, averaged)


def test_a_run_without_an_evaluated_checkpoint_is_refused(tmp_path):
    saved_run(tmp_path, {1: None})
    layout = sharding.replicated(sharding.make_mesh())
    with pytest.raises(InputError, match="no evaluated checkpoint"):
        restore_best(tmp_path, abstract(state(0).variables, layout))


def test_a_file_beside_a_checkpoint_leaves_it_as_it_was(tmp_path):
    saved_run(tmp_path, {1: 0.1, 2: 0.6})
    write_beside(tmp_path, 2, "note.json", {})
    layout = sharding.replicated(sharding.make_mesh())
    with Checkpoints(tmp_path) as saved:
        assert (saved.latest_step(), saved.best_step()) == (2, 2)
        restored, _ = saved.restore(2, abstract(state(0), layout))
    jax.tree.map(np.testing.assert_array_equal, restored, state(2))
    variables, _ = restore_best(tmp_path, abstract(state(0).variables, layout))
    np.testing.assert_array_equal(variables["params"]["w"], np.full(3, 2.0))
    np.testing.assert_array_equal(read_best(tmp_path)[0]["params"]["w"], np.full(3, 2.0))
    assert read_beside(tmp_path, 2, "note.json") == {}
    assert read_beside(tmp_path, 2, "other.json") is None


def test_a_file_beside_a_checkpoint_lives_as_long_as_that(tmp_path):
    saved_run(tmp_path, {1: 0.6, 2: 0.1})
    write_beside(tmp_path, 1, "note.json", {})
    saved_run(tmp_path, {3: 0.2, 4: None})  # the run goes on; step 1 is still the best
    assert read_beside(tmp_path, 1, "note.json") == {}
    saved_run(tmp_path, {5: 0.9, 6: 0.3})
    assert not (tmp_path / "checkpoints" / "1").exists()
    assert read_beside(tmp_path, 1, "note.json") is None
    assert sorted(path.name for path in (tmp_path / "checkpoints").iterdir()) == ["5", "6"]


def test_saving_leaves_the_count_of_calls_alone_by_which_processes_stop_together(
    tmp_path, monkeypatch
):
    calls = []
    monkeypatch.setattr(multihost_utils, "reached_preemption_sync_point", calls.append)
    with Checkpoints(tmp_path) as saved:
        saved.save(state(1), parse({"data": {"name": "some_set"}}), {"valence": 0.1})
        saved.wait()
    assert calls == []
