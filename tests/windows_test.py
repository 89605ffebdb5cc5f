"""Windows and evaluation plans: what they cover, how often, and in which order."""

import collections

import numpy as np
import pytest

from va_jax.data.windows import evaluation_plan, numbers, training_windows
from va_jax.schema import InputError, Track


def tracks(*lengths):
    return [Track(f"t{i}", f"v{i}", f"s{i}", "", 25.0, n, 0) for i, n in enumerate(lengths)]


def test_padding_adds_one_window_that_runs_past_the_end():
    windows = training_windows(tracks(10, 3), length=4, hop=4, stride=1, remainder="pad")
    assert [tuple(w) for w in windows] == [(0, 0), (0, 4), (0, 8), (1, 0)]


def test_dropping_leaves_the_remainder_out():
    windows = training_windows(tracks(10), length=4, hop=4, stride=1, remainder="drop")
    assert [w.first for w in windows] == [0, 4]


def test_shifting_ends_the_last_window_with_the_last_frame():
    windows = training_windows(tracks(10), length=4, hop=4, stride=1, remainder="shift")
    assert [w.first for w in windows] == [0, 4, 6]


def test_a_track_of_whole_windows_has_no_remainder():
    for remainder in ("pad", "drop", "shift"):
        windows = training_windows(tracks(8), length=4, hop=2, stride=1, remainder=remainder)
        assert [w.first for w in windows] == [0, 2, 4]


@pytest.mark.parametrize("remainder", ["drop", "shift"])
def test_a_track_shorter_than_a_window_is_refused_by_name(remainder):
    with pytest.raises(InputError, match=r"window.length=4 .* track 't1' \(6 frames\).*'pad'"):
        training_windows(tracks(10, 6), length=4, hop=2, stride=2, remainder=remainder)


@pytest.mark.parametrize("carry", [True, False])
@pytest.mark.parametrize("stride", [1, 3])
@pytest.mark.parametrize("batch", [1, 2, 5])
def test_an_evaluation_plan_covers_every_frame_exactly_once(carry, stride, batch):
    sources = tracks(1, 2, 7, 8, 30, 65)
    plan = list(evaluation_plan(sources, batch, 8, 8, stride, carry))
    seen = collections.Counter(
        (w.track, int(n)) for _, items in plan for w in items for n in numbers(w, 8, stride)
        if w.track >= 0 and n < sources[w.track].frames
    )  # fmt: skip
    assert set(seen.values()) == {1}
    assert len(seen) == sum(track.frames for track in sources)
    assert {len(items) for _, items in plan} == {batch}


def test_overlapping_evaluation_windows_cover_every_frame():
    sources = tracks(5, 8, 9, 20)
    plan = evaluation_plan(sources, 4, 8, 3, 1, carry=False)
    seen = {(w.track, int(n)) for _, items in plan for w in items for n in numbers(w, 8, 1)}
    assert all((i, n) in seen for i, track in enumerate(sources) for n in range(track.frames))


def test_a_carried_lane_goes_on_where_it_stopped_and_starts_fresh():
    plan = list(evaluation_plan(tracks(20, 9, 30), 2, 8, 8, 1, carry=True))
    assert [fresh for fresh, _ in plan] == [True, False, False, False, True, False]
    lane = [items[0] for _, items in plan[:4]]
    assert [tuple(w) for w in lane] == [(2, 0), (2, 8), (2, 16), (2, 24)]
    assert np.all([w.track == -1 for _, items in plan[4:] for w in items[1:]])
