"""Exports of a run on two data sets with a head each: an ordinary model of one of them."""

import csv
import json

import jax
import numpy as np
import pytest

import va_jax
from tests.two_sets import FIRST, FPS, SECOND, SIDES
from va_jax.config import with_values
from va_jax.data import sources
from va_jax.export import chosen, metadata
from va_jax.export.export import export
from va_jax.train import workdir as run_config
from va_jax.types import InputError

DIMS = ("valence", "arousal")


@pytest.fixture(autouse=True)
def _optax_promotes_types():
    with jax.numpy_dtype_promotion("standard"), jax.numpy_rank_promotion("allow"):
        yield


def assert_predicts_like_the_evaluation(model, run, name):
    source = sources.open_split(run_config.load(run).data.dir, name, "test")
    for trace in model.traces(source):
        path = run / "sets" / name / "traces" / "test" / f"{trace.track.track_id}.csv"
        with path.open(newline="") as file:
            rows = list(csv.DictReader(file))
        stored = np.array([[float(row[dim]) for dim in DIMS] for row in rows])
        np.testing.assert_allclose(trace.pred, stored, atol=2e-6)


@pytest.mark.parametrize("name", [FIRST, SECOND])
def test_the_network_of_a_set_is_loaded_from_the_run_by_the_name_of_the_set(two_sets_run, name):
    assert_predicts_like_the_evaluation(va_jax.load(two_sets_run, head=name), two_sets_run, name)


def test_the_metadata_describe_the_chosen_set_and_all_others(two_sets_run):
    found = metadata.of_run(two_sets_run, SECOND)
    assert (found["set"], found["fps"], found["stride"]) == (SECOND, FPS[SECOND], 5)
    assert found["crop"]["size"] == SIDES[SECOND]
    assert found["input"]["size"] == 32
    assert found["data"]["name"] == f"{FIRST},{SECOND}"
    for name in (FIRST, SECOND):
        own = found["sets"][name]
        assert (own["fps"], own["crop"]["size"]) == (FPS[name], SIDES[name])
        assert own["split_hash"] in found["data"]["split_hash"]
    kept = json.loads((two_sets_run / "metrics.json").read_text())["sets"][SECOND]
    assert found["post_processing"] == kept["post_processing"]
    assert found["scores"]["dev"]["scores"] == kept["splits"]["dev"]["scores"]
    assert metadata.is_synthetic(found)
    mixed = found | {"data": {"name": f"{FIRST},veatic/112"}}
    assert not metadata.is_synthetic(mixed)


@pytest.mark.parametrize("head", ["", "veatic/112"])
def test_a_head_must_be_chosen_among_those_of_the_run(two_sets_run, tmp_path, head):
    with pytest.raises(InputError, match=rf"{two_sets_run}.*{FIRST}, {SECOND}"):
        export(two_sets_run, tmp_path / "out", head)
    with pytest.raises(InputError, match=rf"{two_sets_run}.*{FIRST}, {SECOND}"):
        va_jax.load(two_sets_run, head)
    assert not (tmp_path / "out").exists()


def test_with_shared_heads_the_first_set_is_described_unless_another_is_chosen(two_sets_run):
    config = with_values(run_config.load(two_sets_run), **{"model.heads": "shared"})
    assert chosen.set_of(config, two_sets_run) == FIRST
    assert chosen.set_of(config, two_sets_run, SECOND) == SECOND


@pytest.mark.slow
def test_an_export_of_one_head_is_an_ordinary_model(two_sets_run, tmp_path):
    export(two_sets_run, tmp_path / "out", SECOND)
    model = va_jax.load(tmp_path / "out")
    assert_predicts_like_the_evaluation(model, two_sets_run, SECOND)
    assert (tmp_path / "out" / "model.jaxexport").exists()
    assert (tmp_path / "out" / "stream.jaxexport").exists()
    card = (tmp_path / "out" / "MODEL_CARD.md").read_text()
    for name in (FIRST, SECOND):
        assert f"| {name} | 50.0% | {FPS[name]:g} |" in card
