"""The memory of a step is estimated before it is compiled, and compared with what there is."""

import jax
import pytest

from va_jax import config as configuration
from va_jax.cli import config_file
from va_jax.models.build import build_model
from va_jax.train import memory, optim, summary
from va_jax.train.state import TrainState, initial_variables
from va_jax.types import DIMS

GIB = 2**30


@pytest.fixture(autouse=True)
def _optax_promotes_types():
    with jax.numpy_dtype_promotion("standard"), jax.numpy_rank_promotion("allow"):
        yield


def network(file, *overrides):
    """Return a config, its network, and its abstract state."""
    tree = config_file.read(file, ["--data.name=x", *overrides]).to_dict()
    config = configuration.parse(tree)
    model = build_model(config.model, DIMS)
    tx = optim.make_tx(config.optim, config.train.steps)
    state = jax.eval_shape(lambda: TrainState.create(initial_variables(model, 48, 0), tx))
    return config, model, state


@pytest.mark.slow
def test_the_estimate_is_near_the_plan_of_the_compiler():
    config, model, state = network("quickstart.py", "--train.batch_size=4")
    planned = summary.step_cost(config, model, 48).temporaries
    assert memory.estimate(config, model, state, 48) == pytest.approx(planned, rel=0.2)


@pytest.mark.slow
def test_the_defaults_on_112_pixels_need_17_gib_and_a_machine_with_less_is_warned(monkeypatch):
    config, model, state = network("default.py")
    needed = memory.estimate(config, model, state, 112)
    assert needed == pytest.approx(17.4 * GIB, rel=0.1)  # measured: 18.7 GB
    monkeypatch.setattr(memory, "available", lambda: 8 * GIB)
    line = memory.warning(config, model, state, 112)
    assert "8.0 GiB" in line
    assert "train.batch_size" in line
    monkeypatch.setattr(memory, "available", lambda: 32 * GIB)
    assert memory.warning(config, model, state, 112) is None


def test_a_small_batch_is_not_even_traced(monkeypatch):
    config, model, state = network("quickstart.py")
    monkeypatch.setattr(memory, "available", lambda: 8 * GIB)
    monkeypatch.setattr(memory, "estimate", None)
    assert memory.warning(config, model, state, 48) is None


def test_where_the_memory_is_unknown_nothing_is_said(monkeypatch):
    monkeypatch.setattr(memory, "available", lambda: None)
    assert memory.warning(*network("default.py"), 112) is None


def test_files_in_the_cache_of_a_container_count_as_free(monkeypatch, tmp_path):
    stat = f"anon {2 * GIB}\ninactive_file {5 * GIB}\n"
    for name, text in (("max", str(8 * GIB)), ("current", str(7 * GIB)), ("stat", stat)):
        (tmp_path / f"memory.{name}").write_text(text)
    monkeypatch.setattr(memory, "GROUP", tmp_path)
    monkeypatch.setattr(memory, "_free_here", lambda: 100 * GIB)
    assert memory.available() == 6 * GIB
    (tmp_path / "memory.max").write_text("max\n")
    assert memory.available() == 100 * GIB


def test_the_memory_of_this_machine_is_found():
    assert 2**20 < memory.available() < 2**50
