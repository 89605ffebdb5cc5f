"""Training windows: where they start, and which of their frames lie within the track."""

import numpy as np
import pytest

from va_jax.data.windows import PADDING, Window, frame_numbers, real_frames, training_windows
from va_jax.types import InputError, Track


def tracks(*lengths):
    return [Track(f"t{i}", f"v{i}", f"s{i}", "", 25.0, n, 0) for i, n in enumerate(lengths)]


def test_padding_adds_one_window_that_runs_past_the_end():
    windows = training_windows(tracks(10, 3), length=4, hop=4, stride=1, remainder="pad")
    assert [tuple(w) for w in windows] == [(0, 0), (0, 4), (0, 8), (1, 0)]


def test_dropping_leaves_the_remainder_out():
    windows = training_windows(tracks(10), length=4, hop=4, stride=1, remainder="drop")
    assert [w.first for w in windows] == [0, 4]


def test_shifting_adds_a_window_that_ends_with_the_last_frame():
    windows = training_windows(tracks(10), length=4, hop=4, stride=1, remainder="shift")
    assert [w.first for w in windows] == [0, 4, 6]


def test_a_track_of_whole_windows_has_no_remainder():
    for remainder in ("pad", "drop", "shift"):
        windows = training_windows(tracks(8), length=4, hop=2, stride=1, remainder=remainder)
        assert [w.first for w in windows] == [0, 2, 4]


@pytest.mark.parametrize("remainder", ["drop", "shift"])
def test_a_track_shorter_than_a_window_is_refused_by_name(remainder):
    with pytest.raises(InputError, match=r"window.length=4 .* 6 frames of track 't1'.*'pad'"):
        training_windows(tracks(10, 6), length=4, hop=2, stride=2, remainder=remainder)


@pytest.mark.parametrize(
    ("first", "inside"),
    [(-5, (5, 9)), (3, (0, 7)), (-20, (9, 9)), (12, (0, 0)), (1, (0, 9))],
)
def test_frames_before_and_after_a_track_are_not_real(first, inside):
    window = Window(0, first)
    real = real_frames(tracks(10), window, frame_numbers(window, 9, 1))
    assert (real.start, real.stop) == inside


def test_padding_has_no_frames():
    assert real_frames(tracks(10), PADDING, np.arange(4)) == slice(0, 0)
