"""Plans of an evaluation: what they predict, what they read for it, and in which order."""

import collections

import pytest

from va_jax.data.eval_plan import cache_sizes, cached_windows, separate_windows, whole_lanes
from va_jax.data.windows import PADDING, Window, numbers
from va_jax.types import Track

LENGTHS = (1, 2, 7, 8, 30, 65)


def tracks(*lengths):
    return [Track(f"t{i}", f"v{i}", f"s{i}", "", 25.0, n, 0) for i, n in enumerate(lengths)]


def seen(windows, length, stride):
    """How often each (track, frame) is in them."""
    return collections.Counter(
        (w.track, int(n))
        for w in windows
        if w.track >= 0
        for n in numbers(w, length, stride)
        if 0 <= n < LENGTHS[w.track]
    )


PLANS = {
    "whole lanes": lambda batch, stride: whole_lanes(tracks(*LENGTHS), batch, 8, stride),
    "separate": lambda batch, stride: separate_windows(tracks(*LENGTHS), batch, 8, 8, stride),
    "cached": lambda batch, stride: cached_windows(tracks(*LENGTHS), batch, 8, 8, stride),
}


@pytest.mark.parametrize("plan", PLANS.values(), ids=PLANS)
@pytest.mark.parametrize("stride", [1, 3])
@pytest.mark.parametrize("batch", [1, 2, 5])
def test_without_overlap_every_frame_is_read_and_predicted_exactly_once(plan, stride, batch):
    steps = plan(batch, stride)
    assert {len(step.read) for step in steps} == {batch}
    for windows in ([w for s in steps for w in s.read], [w for s in steps for w in s.made]):
        counted = seen(windows, 8, stride)
        assert set(counted.values()) == {1}
        assert len(counted) == sum(LENGTHS)


@pytest.mark.parametrize("stride", [1, 2])
@pytest.mark.parametrize(
    ("length", "hop"), [(8, 3), (8, 1), (8, 5), (8, 4), (9, 2), (6, 6), (1, 1)]
)
def test_cached_windows_are_the_separate_ones_and_every_frame_is_read_once(length, hop, stride):
    sources = tracks(*LENGTHS)
    expected = [w for s in separate_windows(sources, 4, length, hop, stride) for w in s.made]
    chunk, _ = cache_sizes(length, hop)
    assert len(seen(expected, length, stride)) == sum(LENGTHS)
    for batch in (1, 3, 20):
        steps = cached_windows(sources, batch, length, hop, stride)
        assert {len(step.made) for step in steps} == {batch * chunk // hop}
        made = [w for s in steps for w in s.made if w != PADDING]
        assert sorted(made) == sorted(w for w in expected if w != PADDING)
        read = seen([w for s in steps for w in s.read], chunk, stride)
        assert set(read.values()) == {1}
        assert len(read) == sum(LENGTHS)


@pytest.mark.parametrize(("length", "hop"), [(8, 3), (8, 5), (8, 4), (8, 1), (6, 6)])
def test_a_cached_window_stands_where_the_kept_and_the_new_frames_of_its_row_hold_it(length, hop):
    chunk, kept = cache_sizes(length, hop)
    rows = [[(-1, 0)] * kept, [(-1, 0)] * kept]
    for step in cached_windows(tracks(*LENGTHS), 2, length, hop, 1):
        made = iter(step.made)
        for row, window in enumerate(step.read):
            held = rows[row] + [(window.track, int(n)) for n in numbers(window, chunk, 1)]
            for start in range(0, chunk, hop):
                track, first = next(made)
                real = range(first, min(first + length, LENGTHS[track])) if track >= 0 else ()
                assert held[start : start + len(real)] == [(track, n) for n in real]
            rows[row] = held[chunk:]


@pytest.mark.parametrize("batch", [1, 2])
def test_a_lane_goes_on_where_it_stopped_in_its_row_and_starts_fresh(batch):
    plan = whole_lanes(tracks(20, 9, 30), batch, 8, 1)
    rows = [[(s.fresh[row], *s.made[row]) for s in plan] for row in range(batch)]
    lanes = {
        2: [(True, 2, 0), (False, 2, 8), (False, 2, 16), (False, 2, 24)],
        0: [(True, 0, 0), (False, 0, 8), (False, 0, 16)],
        1: [(True, 1, 0), (False, 1, 8)],
    }
    if batch == 1:
        assert rows == [lanes[2] + lanes[0] + lanes[1]]
    else:
        assert rows == [lanes[2] + [(True, -1, 0)], lanes[0] + lanes[1]]


def test_long_and_short_tracks_fill_the_rows_evenly():
    plan = whole_lanes(tracks(*[8] * 12, 48, 48), 4, 8, 1)
    assert len(plan) == 6
    assert all(w.track >= 0 for step in plan for w in step.read)


@pytest.mark.parametrize("stride", [1, 2])
def test_reading_ahead_moves_what_is_read_and_not_what_is_predicted(stride):
    plain, ahead = (whole_lanes(tracks(20, 9), 2, 8, stride, before) for before in (0, 3))
    for one, other in zip(plain, ahead, strict=True):
        assert (one.fresh, one.made) == (other.fresh, other.made)
        for window, earlier in zip(one.read, other.read, strict=True):
            moved = Window(window.track, window.first - 3 * stride)
            assert earlier == (PADDING if window == PADDING else moved)
