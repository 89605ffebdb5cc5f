"""Weights of frames by the raters' spread: bounded, and the same however batches are read."""

import numpy as np
import pytest

from tests import fakes
from va_jax.config import Config, Data, Loss, Train, Window, parse
from va_jax.data import pipeline
from va_jax.data.pipeline import TrainingData, WindowShape
from va_jax.data.rater_weights import RaterWeights
from va_jax.data.windows import Window as Piece
from va_jax.types import InputError


def config_of(bound=9.0, batch_size=4):
    return Config(
        data=Data(name="fake", size=16), window=Window(length=16, hop=8),
        loss=Loss(rater_weight=bound), train=Train(batch_size=batch_size),
    )  # fmt: skip


def weights(spread, bound=9.0, typical=0.2):
    made = RaterWeights(bound, np.array([typical]))
    return made.of(np.array(spread, np.float32)[:, None])[:, 0]


@pytest.mark.parametrize("bound", [1.5, 9.0, 100.0])
def test_the_heaviest_frame_weighs_at_most_the_bound_times_the_lightest(bound):
    found = weights([0, 0.05, 0.1, 0.2, 0.4, 1, 1e6], bound)
    assert (np.diff(found) <= 0).all()
    assert found[0] / found[-1] == pytest.approx(bound, rel=1e-5)
    assert found[3] == pytest.approx(1, rel=1e-6)  # the typical spread


def test_between_the_bounds_the_weight_is_inverse_to_the_variance_plus_a_floor():
    spread = np.array([0.1, 0.2, 0.3])
    floor = 0.2**2 / (np.sqrt(9.0) - 1)
    inverse = 1 / (spread**2 + floor)
    np.testing.assert_allclose(weights(spread), inverse / inverse[1], rtol=1e-6)


def test_a_frame_of_unknown_spread_weighs_1():
    np.testing.assert_array_equal(weights([np.nan]), 1)
    np.testing.assert_array_equal(weights([0.0, 0.7], typical=np.nan), 1)
    np.testing.assert_array_equal(weights([0.0, 0.0], typical=0.0), 1)


def test_a_batch_contains_the_weight_of_each_of_its_frames():
    source = fakes.source(spread=True)
    made = RaterWeights(9.0, np.array([0.2, 0.2]))
    window = Piece(1, -5)
    batch = pipeline.read_batch(source, [window], WindowShape(16, 1, 16), weights=made)
    assert "spread" not in batch
    expected = made.of(source.labels(1).spread[:11])
    np.testing.assert_array_equal(batch["weight"][0, 5:], expected)
    assert "weight" not in pipeline.network_inputs(batch)
    plain = pipeline.read_batch(source, [window], WindowShape(16, 1, 16))
    assert "weight" not in plain
    for key, value in plain.items():
        np.testing.assert_array_equal(value, batch[key], err_msg=key)


@pytest.mark.parametrize(("batch_size", "processes"), [(2, 1), (4, 2)])
def test_weights_depend_neither_on_the_batch_size_nor_on_the_processes(batch_size, processes):
    source = fakes.source(spread=True)
    whole = next(TrainingData(source, config_of()).batches(0, 1))["weight"]
    streams = [
        TrainingData(source, config_of(batch_size=batch_size), process, processes).batches(0, 1)
        for process in range(processes)
    ]
    steps = 4 // batch_size
    parts = [next(stream)["weight"] for _ in range(steps) for stream in streams]
    np.testing.assert_array_equal(np.concatenate(parts), whole)
    assert len(np.unique(whole)) > 10


def test_without_the_key_a_batch_has_no_weights():
    batch = next(TrainingData(fakes.source(spread=True), config_of(0.0)).batches(0, 1))
    assert "weight" not in batch


def test_a_set_without_spread_is_refused():
    with pytest.raises(InputError, match=r"^loss\.rater_weight=9: .*'train'.*'fake'.*\S$") as error:
        TrainingData(fakes.source(), config_of())
    assert "\n" not in str(error.value)


@pytest.mark.parametrize("value", [1.0, 0.5])
def test_a_ratio_of_at_most_1_is_refused(value):
    tree = {"data": {"name": "fake"}, "loss": {"rater_weight": value}}
    with pytest.raises(InputError, match=rf"^loss\.rater_weight={value}: "):
        parse(tree)
    tree = {"data": {"name": "fake"}, "loss": {"rater_weight": 2.0, "ccc": 0.0}}
    with pytest.raises(InputError, match=r"^loss\.ccc"):  # the weight of frames is no loss
        parse(tree)
