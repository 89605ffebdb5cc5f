"""Evaluation plans: the frames they read and predict, and their order."""

import collections

import pytest

from va_jax.data.eval_plan import (
    cache_sizes,
    plan_cached_windows,
    plan_whole_tracks,
    plan_windows,
)
from va_jax.data.windows import PADDING, Window, frame_numbers
from va_jax.types import Track

LENGTHS = (1, 2, 7, 8, 30, 65)


def tracks(*lengths):
    return [Track(f"t{i}", f"v{i}", f"s{i}", "", 25.0, n, 0) for i, n in enumerate(lengths)]


def seen(windows, length, stride):
    """Count how often each (track, frame) occurs in some windows."""
    return collections.Counter(
        (w.track, int(n))
        for w in windows
        if w.track >= 0
        for n in frame_numbers(w, length, stride)
        if 0 <= n < LENGTHS[w.track]
    )


PLANS = {
    "whole tracks": lambda batch, stride: plan_whole_tracks(tracks(*LENGTHS), batch, 8, stride),
    "separate": lambda batch, stride: plan_windows(tracks(*LENGTHS), batch, 8, 8, stride),
    "cached": lambda batch, stride: plan_cached_windows(tracks(*LENGTHS), batch, 8, 8, stride),
}


@pytest.mark.parametrize("plan", PLANS.values(), ids=PLANS)
@pytest.mark.parametrize("stride", [1, 3])
@pytest.mark.parametrize("batch", [1, 2, 5])
def test_without_overlap_every_frame_is_read_and_predicted_exactly_once(plan, stride, batch):
    steps = plan(batch, stride)
    assert {len(step.read) for step in steps} == {batch}
    for windows in ([w for s in steps for w in s.read], [w for s in steps for w in s.predicted]):
        counted = seen(windows, 8, stride)
        assert set(counted.values()) == {1}
        assert len(counted) == sum(LENGTHS)


@pytest.mark.parametrize("stride", [1, 2])
@pytest.mark.parametrize(
    ("length", "hop"), [(8, 3), (8, 1), (8, 5), (8, 4), (9, 2), (6, 6), (1, 1)]
)
def test_cached_windows_are_the_same_windows_and_every_frame_is_read_once(length, hop, stride):
    sources = tracks(*LENGTHS)
    expected = [w for s in plan_windows(sources, 4, length, hop, stride) for w in s.predicted]
    chunk, _ = cache_sizes(length, hop)
    assert len(seen(expected, length, stride)) == sum(LENGTHS)
    for batch in (1, 3, 20):
        steps = plan_cached_windows(sources, batch, length, hop, stride)
        assert {len(step.predicted) for step in steps} == {batch * chunk // hop}
        predicted = [w for s in steps for w in s.predicted if w != PADDING]
        assert sorted(predicted) == sorted(w for w in expected if w != PADDING)
        read = seen([w for s in steps for w in s.read], chunk, stride)
        assert set(read.values()) == {1}
        assert len(read) == sum(LENGTHS)


@pytest.mark.parametrize(("length", "hop"), [(8, 3), (8, 5), (8, 4), (8, 1), (6, 6)])
def test_the_kept_and_new_frames_of_a_row_hold_every_window_predicted_in_it(length, hop):
    chunk, kept = cache_sizes(length, hop)
    rows = [[(-1, 0)] * kept, [(-1, 0)] * kept]
    for step in plan_cached_windows(tracks(*LENGTHS), 2, length, hop, 1):
        predicted = iter(step.predicted)
        for row, window in enumerate(step.read):
            held = rows[row] + [(window.track, int(n)) for n in frame_numbers(window, chunk, 1)]
            for start in range(0, chunk, hop):
                track, first = next(predicted)
                real = range(first, min(first + length, LENGTHS[track])) if track >= 0 else ()
                assert held[start : start + len(real)] == [(track, n) for n in real]
            rows[row] = held[chunk:]


@pytest.mark.parametrize("batch", [1, 2])
def test_a_subtrack_continues_in_its_row_and_only_its_first_chunk_starts(batch):
    plan = plan_whole_tracks(tracks(20, 9, 30), batch, 8, 1)
    rows = [[(s.starts[row], *s.predicted[row]) for s in plan] for row in range(batch)]
    chunks = {
        2: [(True, 2, 0), (False, 2, 8), (False, 2, 16), (False, 2, 24)],
        0: [(True, 0, 0), (False, 0, 8), (False, 0, 16)],
        1: [(True, 1, 0), (False, 1, 8)],
    }
    if batch == 1:
        assert rows == [chunks[2] + chunks[0] + chunks[1]]
    else:
        assert rows == [chunks[2] + [(True, -1, 0)], chunks[0] + chunks[1]]


def test_long_and_short_tracks_fill_the_rows_evenly():
    plan = plan_whole_tracks(tracks(*[8] * 12, 48, 48), 4, 8, 1)
    assert len(plan) == 6
    assert all(w.track >= 0 for step in plan for w in step.read)


@pytest.mark.parametrize("stride", [1, 2])
def test_reading_earlier_frames_does_not_change_the_predicted_ones(stride):
    plain, ahead = (plan_whole_tracks(tracks(20, 9), 2, 8, stride, before) for before in (0, 3))
    for one, other in zip(plain, ahead, strict=True):
        assert (one.starts, one.predicted) == (other.starts, other.predicted)
        for window, earlier in zip(one.read, other.read, strict=True):
            moved = Window(window.track, window.first - 3 * stride)
            assert earlier == (PADDING if window == PADDING else moved)
