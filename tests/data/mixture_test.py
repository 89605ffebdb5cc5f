"""Batches from several data sets: exact shares, own epochs, and any number of processes."""

import collections
import math
from fractions import Fraction

import numpy as np
import pytest
from hypothesis import given
from hypothesis import strategies as st

from tests.two_sets import FIRST, SECOND, config_of
from va_jax.config import parse
from va_jax.data import sets
from va_jax.data.features import FeatureSource, first_rows
from va_jax.data.mixture import MixedData, Order, training_data
from va_jax.data.sets import OpenSet
from va_jax.data.sources import Labels, open_split
from va_jax.types import InputError, Track


def opened(config):
    return [
        OpenSet(each, *(open_split(each.data.dir, each.data.name, s) for s in ("train", "dev")))
        for each in sets.one_by_one(config)
    ]


def mixed(config, *processes):
    return MixedData(opened(config), config, *processes)


def first_batches(data, count, start=0):
    batches = data.batches(start, 1)
    return [next(batches) for _ in range(count)]


def assert_equal(one, other):
    assert one.keys() == other.keys()
    for key in one:
        np.testing.assert_array_equal(one[key], other[key])


@given(st.lists(st.integers(1, 30), min_size=2, max_size=4), st.integers(0, 500))
def test_every_stretch_of_a_period_contains_each_set_exactly_by_its_share(weights, start):
    shares = [Fraction(weight, sum(weights)) for weight in weights]
    order = Order(shares)
    counts = collections.Counter(order[start + i][0] for i in range(order.period))
    assert counts == {number: share * order.period for number, share in enumerate(shares)}


@given(st.integers(1, 99), st.integers(1, 500))
def test_any_stretch_contains_the_share_of_each_set_to_within_a_window(percent, length):
    share = Fraction(percent, 100)
    order = Order([share, 1 - share])
    firsts = sum(order[place][0] == 0 for place in range(length))
    assert abs(firsts - share * length) <= 1


def test_the_windows_of_a_set_come_one_after_the_other_without_gaps():
    order = Order([Fraction(1, 6), Fraction(1, 3), Fraction(1, 2)])
    by_set = collections.defaultdict(list)
    for place in range(60):
        number, in_set = order[place]
        by_set[number].append(in_set)
    assert {number: len(places) for number, places in by_set.items()} == {0: 10, 1: 20, 2: 30}
    for places in by_set.values():
        assert places == list(range(len(places)))


def test_weights_that_never_repeat_are_refused(two_sets):
    config = config_of(two_sets, **{"data.weights": (math.pi, 1.0)})
    with pytest.raises(InputError, match=r"data\.weights.*0\.75854.*fewer digits"):
        mixed(config)


@pytest.mark.parametrize(
    ("weights", "expected"), [((), [60, 60]), ((3.0, 7.0), [36, 84]), ((0.5, 0.1), [100, 20])]
)
def test_rows_come_from_each_set_by_its_share_however_large_it_is(two_sets, weights, expected):
    changes = {"data.weights": weights, "train.batch_size": 10, "model.heads": "per_set"}
    data = mixed(config_of(two_sets, **changes))
    assert len(data.parts[0].windows) > 2 * len(data.parts[1].windows)
    rows = np.concatenate([batch["dataset"] for batch in first_batches(data, 12)])
    assert np.bincount(rows).tolist() == expected


def test_each_row_has_the_labels_of_a_window_of_its_set_with_the_stride_of_its_set(two_sets):
    config = config_of(two_sets, **{"model.heads": "per_set", "train.batch_size": 8})
    both = opened(config)
    batches = first_batches(MixedData(both, config), 3)
    for batch in batches:
        for number, target, mask in zip(
            batch["dataset"], batch["target"], batch["mask"], strict=True
        ):
            source, window = both[number].train, both[number].config.window
            spaced = [
                source.labels(track).target[first :: window.stride][: window.length]
                for track in range(len(source.tracks))
                for first in range(0, source.tracks[track].frames, window.hop)
            ]
            shown = [labels for labels in spaced if len(labels) >= mask.nonzero()[0].max(initial=0)]
            padded = [np.pad(x, ((0, window.length - len(x)), (0, 0))) for x in shown]
            assert any(np.array_equal(x[mask], target[mask]) for x in padded)


def test_every_window_of_a_set_is_drawn_once_in_each_of_its_own_epochs(two_sets):
    data = mixed(config_of(two_sets))
    for part in data.parts:
        count = len(part.windows)
        for epoch in range(2):
            drawn = [part.window(place) for place in range(epoch * count, (epoch + 1) * count)]
            assert sorted(drawn) == sorted(part.windows)


def test_two_processes_load_the_halves_of_the_batches_of_one(two_sets):
    config = config_of(two_sets, **{"model.heads": "per_set"})
    whole = first_batches(mixed(config), 3)
    halves = [first_batches(mixed(config, process, 2), 3) for process in range(2)]
    for batch, *parts in zip(whole, *halves, strict=True):
        joined = {key: np.concatenate([part[key] for part in parts]) for key in batch}
        assert_equal(joined, batch)


def test_a_stream_continues_at_any_batch(two_sets):
    config = config_of(two_sets, **{"model.heads": "per_set"})
    whole = first_batches(mixed(config), 5)
    for batch, later in zip(first_batches(mixed(config), 2, start=3), whole[3:], strict=True):
        assert_equal(batch, later)


def test_crops_of_all_sets_are_scaled_to_the_size_of_the_network(two_sets):
    (batch,) = first_batches(mixed(config_of(two_sets, **{"data.size": 20})), 1)
    assert batch["frames"].shape == (4, 16, 20, 20, 3)
    assert (batch["frames"].std((1, 2, 3, 4)) > 0).all()
    assert "dataset" not in batch


def test_the_tracks_of_a_batch_are_named_with_their_set(two_sets):
    names = mixed(config_of(two_sets)).track_ids(0)
    assert {name.rpartition("/")[0] for name in names} == {FIRST, SECOND}


def test_a_problem_in_one_set_is_reported_with_its_name(two_sets):
    changes = {"window.length": 20, "window.remainder": "drop"}
    with pytest.raises(InputError, match=rf"{SECOND}.*window\.length=20.*75 frames"):
        mixed(config_of(two_sets, **changes))


def test_one_set_has_the_stream_that_it_always_had(two_sets):
    config = config_of(two_sets, **{"data.name": FIRST, "data.strides": (2,)})
    plain = config_of(two_sets, **{"data.name": FIRST, "data.strides": (), "window.stride": 2})
    one, other = (first_batches(training_data(opened(each), each), 2) for each in (config, plain))
    for batch, same in zip(one, other, strict=True):
        assert_equal(batch, same)


def features_of(value, rows, width=3):
    """Cached features of one track, all equal to `value`, or to `-value` for mirrored frames."""
    track = Track("t", "v", "s", "", 10.0, rows, 0)
    labels = Labels(
        np.full((rows, 2), value, np.float32),
        np.ones(rows, bool),
        np.arange(rows, dtype=np.float32),
    )
    values = np.full((rows, width), value, np.float32)
    return FeatureSource(
        [track], ("valence", "arousal"), 32, width, values, -values, labels, first_rows([track])
    )


def test_cached_features_of_several_sets_are_mixed_like_frames():
    tree = {
        "data": {"name": "a,b", "features": "x,y", "weights": (1.0, 3.0)},
        "optim": {"rates": {"backbone": 0.0}},
        "window": {"length": 5},
        "model": {"heads": "per_set"},
    }
    config = parse(tree)
    both = [
        OpenSet(each, features_of(value, rows), features_of(value, rows))
        for each, value, rows in zip(sets.one_by_one(config), (0.25, 0.5), (40, 90), strict=True)
    ]
    (batch,) = first_batches(MixedData(both, config), 1)
    assert batch["frames"] is None
    assert np.bincount(batch["dataset"]).tolist() == [2, 6]
    own = np.array([0.25, 0.5], np.float32)[batch["dataset"]]
    expected = np.where(batch["mask"], own[:, None], 0)
    np.testing.assert_array_equal(batch["target"][..., 0], expected)
    np.testing.assert_array_equal(np.abs(batch["pooled"][..., 0]), expected)
    assert (batch["pooled"] < 0).any()
    assert (batch["pooled"] > 0).any()
