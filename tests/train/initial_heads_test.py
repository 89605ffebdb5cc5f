"""The heads that a run takes from a source with other data sets."""

import numpy as np
import pytest

from va_jax.config import parse
from va_jax.train.initial_heads import adapted
from va_jax.weights.load import Weights

BODY = "params/temporal/kernel"


def given(*heads, sets=()):
    values = {
        f"params/head_{name}/kernel": np.full(1, i, np.float32) for i, name in enumerate(heads)
    }
    values[BODY] = np.full(1, 99, np.float32)
    return Weights(values, {path: path for path in values}, {}, "run x", sets=sets)


def config_of(names, heads="per_set"):
    return parse({"data": {"name": names}, "model": {"heads": heads}})


def heads_of(weights):
    return {
        path.split("/")[1].removeprefix("head_"): float(value[0])
        for path, value in weights.values.items()
        if path != BODY
    }


def test_heads_for_each_set_start_from_shared_heads():
    found = adapted(given("valence", "arousal"), config_of("a/1,b"))
    expected = {"a_1__valence": 0, "a_1__arousal": 1, "b__valence": 0, "b__arousal": 1}
    assert heads_of(found) == expected
    assert found.origin["params/head_b__arousal/kernel"] == "params/head_arousal/kernel"


def test_a_run_takes_the_heads_of_the_sets_that_it_shares_with_the_source():
    source = given("a_1__valence", "b__valence", sets=("a_1", "b"))
    found = adapted(source, config_of("b,c"))
    assert heads_of(found) == {"b__valence": 1}
    assert list(found.left_out) == ["params/head_a_1__valence/kernel"]


def test_a_run_on_one_set_takes_the_heads_of_this_set():
    source = given("a_1__valence", "b__valence", sets=("a_1", "b"))
    assert heads_of(adapted(source, config_of("b"))) == {"valence": 1}


@pytest.mark.parametrize("names", ["c", "a/1,b"])
def test_a_run_with_shared_heads_takes_none_of_several(names):
    source = given("a_1__valence", "b__valence", sets=("a_1", "b"))
    found = adapted(source, config_of(names, "shared"))
    assert heads_of(found) == {}
    assert len(found.left_out) == 2


def test_heads_are_unchanged_if_neither_side_has_heads_for_each_set():
    source = given("valence")
    assert adapted(source, config_of("a,b", "shared")) is source
