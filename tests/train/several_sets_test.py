"""Whole runs on two data sets: resumption, processes, the criterion, and refusals."""

import json
import shutil
import statistics

import jax
import numpy as np
import pytest

from tests.train.loop_test import assert_identical
from tests.train.multiprocess_test import finish, losses, start, start_two
from tests.two_sets import FIRST, SECOND, config_of
from va_jax.config import with_values
from va_jax.data import sources
from va_jax.data.mixture import MixedData
from va_jax.evaluation.evaluate import evaluate
from va_jax.train import logs, optim, provenance, setup, sharding, step, workdir
from va_jax.train.checkpoints import Checkpoints, read_best
from va_jax.train.loop import train
from va_jax.train.state import Tally
from va_jax.types import InputError

pytestmark = pytest.mark.usefixtures("without_page")
PER_SET = {"model.heads": "per_set"}


@pytest.fixture(autouse=True)
def _optax_promotes_types():
    with jax.numpy_dtype_promotion("standard"), jax.numpy_rank_promotion("allow"):
        yield


def test_the_best_checkpoint_is_that_with_the_best_mean_over_sets_and_dimensions(two_sets_run):
    lines = {line["step"]: line for line in logs.history(two_sets_run) if line["kind"] == "dev"}
    scores = {}
    for number, line in lines.items():
        own = [
            line[f"ccc_{dim}/{name}"] for dim in ("valence", "arousal") for name in (FIRST, SECOND)
        ]
        means = [line[f"ccc_{dim}"] for dim in ("valence", "arousal")]
        scores[number] = statistics.fmean(own)
        assert statistics.fmean(means) == pytest.approx(scores[number])
    with Checkpoints(two_sets_run) as saved:
        assert saved.best_step() == max(scores, key=lambda number: (scores[number], number))


def test_a_run_stores_facts_about_every_set(two_sets_run):
    facts = provenance.read(two_sets_run)
    assert facts["dims"] == ["valence", "arousal"]
    assert facts["input_size"] == 32
    for name, fps, stride in ((FIRST, 10.0, 2), (SECOND, 25.0, 5)):
        stored = sources.metadata(workdir.load(two_sets_run).data.dir, name)
        own = facts["sets"][name]
        assert (own["fps"], own["stride"], own["share"]) == (fps, stride, 0.5)
        assert own["split_hash"] == stored["split_hash"]


def test_only_sets_that_have_the_split_can_be_trained_on(two_sets, tmp_path):
    config = config_of(two_sets, **{"data.test": "extra"})
    with pytest.raises(InputError, match=rf"'{FIRST}' has no split 'extra'"):
        train(config, tmp_path / "run")
    config = config_of(two_sets, **{"data.name": f"{FIRST},synthetic_faces/none"})
    with pytest.raises(InputError, match=r"'synthetic_faces/none': not found"):
        train(config, tmp_path / "run")
    config = config_of(two_sets, **{"data.size": 0})
    with pytest.raises(InputError, match=rf"{FIRST} \(32 px\), {SECOND} \(24 px\)"):
        train(config, tmp_path / "run")
    assert not (tmp_path / "run").exists()


@pytest.mark.slow
@pytest.mark.parametrize("heads", ["shared", "per_set"])
def test_a_run_on_two_sets_that_was_stopped_ends_bit_identical(two_sets, tmp_path, heads):
    config = config_of(
        two_sets, **{"train.steps": 4, "model.heads": heads, "data.weights": (1.0, 3.0)}
    )
    train(config, tmp_path / "whole")
    train(config, tmp_path / "parts")
    for later in (tmp_path / "parts" / "checkpoints").iterdir():
        if later.name.isdigit() and int(later.name) > 3:
            shutil.rmtree(later)
    train(config, tmp_path / "parts")
    for name in ("whole", "parts"):
        evaluate(config, tmp_path / name)
    assert_identical(*(read_best(tmp_path / name)[0] for name in ("whole", "parts")))
    assert losses(tmp_path / "parts") == losses(tmp_path / "whole")
    text = [(tmp_path / name / "metrics.json").read_text() for name in ("whole", "parts")]
    assert text[0] == text[1]


def run_steps(config, count, devices):
    """Mean loss and parameters after `count` steps on the first devices."""
    opened = setup.open_data(config)
    data = MixedData(opened, config)
    sets_with_heads = config.data.head_names if config.model.heads == "per_set" else ()
    model = setup.build_model(config.model, opened[0].train.dims, sets_with_heads)
    tx = optim.make_tx(config.optim, config.train.steps)
    mesh = sharding.make_mesh(jax.devices()[:devices])
    state = sharding.replicate(mesh, setup.initial_state(model, tx, 32, config.seed))
    tally = sharding.replicate(mesh, Tally.zero())
    take_step, batches = step.make_step(config, model, tx), data.batches(0, 1)
    for _ in range(count):
        state, tally = take_step(state, tally, sharding.shard_batch(mesh, next(batches)))
    return jax.tree.map(np.asarray, (tally.loss, state.params))


@pytest.mark.slow
def test_neither_devices_nor_pieces_change_the_loss_of_heads_for_each_set(two_sets):
    fixed = {"optim.name": "sgd", "optim.rates.backbone": 0.0, "train.batch_size": 8} | PER_SET
    config = config_of(two_sets, **fixed)
    loss, params = run_steps(config, 2, 1)
    for changed, devices in ((config, 4), (with_values(config, **{"train.accumulate": 2}), 1)):
        other_loss, other = run_steps(changed, 2, devices)
        np.testing.assert_allclose(other_loss, loss, rtol=1e-5)
        jax.tree.map(lambda x, y: np.testing.assert_allclose(x, y, atol=2e-6), other, params)


def flags():
    return (
        f"--config.data.name={FIRST},{SECOND}", "--config.data.strides=(2,5)",
        "--config.data.size=32", "--config.data.weights=(3,1)", "--config.model.heads=per_set",
    )  # fmt: skip


@pytest.mark.slow
def test_two_processes_on_two_sets_follow_the_run_of_one(two_sets, tmp_path):
    finish(start(tmp_path / "one", two_sets, 1, *flags()))
    outputs = [finish(process) for process in start_two(tmp_path / "two", two_sets, *flags())]
    assert "mean over data sets" in outputs[0]
    assert "mean over data sets" not in outputs[1]
    np.testing.assert_allclose(losses(tmp_path / "two"), losses(tmp_path / "one"), rtol=1e-5)
    found = [json.loads((tmp_path / name / "metrics.json").read_text()) for name in ("one", "two")]
    for split in ("dev", "test"):
        for dim in ("valence", "arousal"):
            one, two = (each["mean"][split]["scores"][dim]["ccc"] for each in found)
            assert two == pytest.approx(one, abs=1e-4)


@pytest.mark.slow
def test_a_run_starts_from_heads_of_its_sets_in_another_run(two_sets, two_sets_run, tmp_path):
    init = {"init.from_workdir": str(two_sets_run), "optim.learning_rate": 1e-12}
    names = {"data.name": SECOND, "data.strides": (5,)}
    config = config_of(two_sets, **names, **init, **{"train.steps": 1})
    train(config, tmp_path / "run")
    here, there = read_best(tmp_path / "run")[0]["params"], read_best(two_sets_run)[0]["params"]
    for dim in ("valence", "arousal"):
        own = there[f"head_synthetic_faces_other__{dim}"]
        np.testing.assert_allclose(here[f"head_{dim}"]["kernel"], own["kernel"], atol=1e-6)
