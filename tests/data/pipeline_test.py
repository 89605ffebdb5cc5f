"""Batches: the right frames, one order for any number of processes, exact resumption."""

import numpy as np
import pytest

from tests import fakes
from va_jax.config import Augment, Config, Data, Train, Window
from va_jax.data import eval_plan, pipeline, windows
from va_jax.data.pipeline import TrainingData, WindowShape

WINDOW = Window(length=16, hop=8)
AUGMENT = Augment(
    crop=0.8, rotation_deg=10.0, brightness=0.2, contrast=0.2, saturation=0.2, hue=0.1
)
PLAIN = Augment(flip=False)


def config_of(augment=AUGMENT, seed=3, window=WINDOW, size=16):
    data = Data(name="fake", size=size)
    return Config(seed=seed, data=data, window=window, augment=augment, train=Train(batch_size=4))


def data(process=0, processes=1, seed=3, augment=AUGMENT):
    config = config_of(augment, seed)
    return TrainingData(fakes.source(landmarks=5), config, process, processes)


def read_one(source, window, stride=1):
    batch = pipeline.read_batch(source, [window], WindowShape(16, stride, 16))
    return {key: values[0] for key, values in batch.items()}


def take(iterator, n):
    return [next(iterator) for _ in range(n)]


def assert_same(first, second):
    for key in first:
        np.testing.assert_array_equal(first[key], second[key], err_msg=key)


@pytest.mark.parametrize("first", [34, -7])
@pytest.mark.parametrize("stride", [1, 3])
def test_a_window_holds_its_frames_and_masks_those_outside_the_track(stride, first):
    source = fakes.source(unlabelled={(1, 37), (1, 2)}, faceless={(1, 40), (1, 5)})
    item = read_one(source, windows.Window(1, first), stride)
    numbers = first + stride * np.arange(16)
    real = (numbers >= 0) & (numbers < 45)
    face = real & ~np.isin(numbers, [40, 5])
    np.testing.assert_array_equal(item["face"], face)
    np.testing.assert_array_equal(item["mask"], face & ~np.isin(numbers, [37, 2]))
    green = item["frames"][real][:, 8, 8, 1].astype(int)
    np.testing.assert_allclose(green, 2 * numbers[real], atol=3)
    assert (item["frames"][~real] == 0).all()
    assert np.isfinite(item["target"]).all()


def test_every_epoch_is_shuffled_again_and_covers_every_window():
    stream = data()
    per_epoch = len(stream.windows)
    order = [stream.window(place) for place in range(2 * per_epoch)]
    assert sorted(order[:per_epoch]) == sorted(order[per_epoch:]) == sorted(stream.windows)
    assert order[:per_epoch] != order[per_epoch:]


@pytest.mark.parametrize("processes", [2, 4])
def test_several_processes_load_the_same_batch_as_one(processes):
    whole = take(data().batches(0, 2), 5)
    parts = [take(data(p, processes).batches(0, 2), 5) for p in range(processes)]
    for i, batch in enumerate(whole):
        joined = {key: np.concatenate([part[i][key] for part in parts]) for key in batch}
        assert_same(joined, batch)


@pytest.mark.parametrize("threads", [1, 3])
def test_a_stream_resumed_at_a_batch_continues_as_if_never_stopped(threads):
    whole = take(data().batches(0, 2), 9)
    for i, batch in enumerate(take(data().batches(6, threads), 3)):
        assert_same(batch, whole[6 + i])


def test_another_seed_gives_another_order():
    first, second = next(data().batches(0, 1)), next(data(seed=4).batches(0, 1))
    assert (first["target"] != second["target"]).any()


def test_track_ids_are_those_of_the_batch():
    stream = data(augment=PLAIN)
    for index in range(3):
        batch = next(stream.batches(index, 1))
        shown = {f"t{round(red / 40)}" for red in batch["frames"][:, 0, 8, 8, 0].astype(float)}
        assert stream.track_ids(index) == sorted(shown)


@pytest.mark.parametrize("processes", [1, 2])
def test_evaluation_batches_follow_the_plan_on_any_number_of_processes(processes):
    source = fakes.source()
    plan = [step.read for step in eval_plan.plan_whole_tracks(source.tracks, 4, 16, 1, before=5)]
    streams = [
        pipeline.evaluation_batches(source, plan, WindowShape(16, 1, 16), 2, p, processes)
        for p in range(processes)
    ]
    for items, *parts in zip(plan, *streams, strict=True):
        joined = {key: np.concatenate([part[key] for part in parts]) for key in parts[0]}
        for i, window in enumerate(items):
            expected = read_one(source, window)
            np.testing.assert_array_equal(joined["frames"][i], expected["frames"])
            np.testing.assert_array_equal(joined["mask"][i], expected["mask"])
