"""Stitched traces equal values calculated by hand and in a loop."""

import time

import numpy as np
import pytest

from va_jax.evaluation.filters import FUSIONS, stitch


def column(*values):
    return np.array(values, np.float32)[:, None]


PIECES = [column(0.0, 0.2, -0.6), column(0.4, 0.1, 0.9)]
POSITIONS = [np.array([0, 1, 2]), np.array([1, 2, 3])]


@pytest.mark.parametrize(
    ("fusion", "expected"),
    [
        ("mean", [0.0, 0.3, -0.25]),
        ("median", [0.0, 0.3, -0.25]),
        ("extremum", [0.0, 0.4, -0.6]),
    ],
)
def test_overlaps_are_fused_and_padding_is_dropped(fusion, expected):
    trace = stitch(PIECES, POSITIONS, frames=3, fusion=fusion)
    np.testing.assert_allclose(trace[:, 0], expected, atol=1e-7)


def test_the_place_in_a_window_decides_for_last_and_centre():
    pieces = [column(0, 1, 2, 3), column(10, 11, 12, 13), column(20, 21, 22, 23)]
    positions = [start + np.arange(4) for start in (0, 2, 4)]
    last = stitch(pieces, positions, 7, "last")[:, 0]
    centre = stitch(pieces, positions, 7, "centre")[:, 0]
    np.testing.assert_array_equal(last, [0, 1, 2, 3, 12, 13, 22])
    np.testing.assert_array_equal(centre, [0, 1, 2, 11, 12, 21, 22])


def test_of_windows_with_equally_near_middles_the_earlier_one_counts():
    pieces = [column(*[start] * 4) for start in (3, 1, 2, 0)]
    positions = [start + np.arange(4) for start in (3, 1, 2, 0)]
    trace = stitch(pieces, positions, 7, "centre")[:, 0]
    np.testing.assert_array_equal(trace, [0, 0, 0, 1, 2, 3, 3])


def fused(found, fusion):
    """Return the value of a frame from (start, place, size, value) of every piece with it."""
    values = np.float64([value for *_, value in found])
    if fusion in ("mean", "median"):
        return getattr(np, fusion)(values)
    merit = {
        "extremum": lambda start, place, size, value: abs(value),
        "last": lambda start, place, size, value: place,
        "centre": lambda start, place, size, value: -abs(place - (size - 1) / 2),
    }[fusion]
    return max(sorted(found, key=lambda piece: piece[0]), key=lambda piece: merit(*piece))[3]


@pytest.mark.parametrize("fusion", FUSIONS)
@pytest.mark.parametrize(("length", "hop"), [(7, 2), (6, 1), (5, 3), (4, 4)])
def test_every_fusion_equals_a_loop_over_frames(fusion, length, hop):
    frames, rng = 23, np.random.default_rng(0)
    starts = rng.permutation(np.arange(0, frames, hop))
    pieces = [rng.normal(size=(length, 1)).astype(np.float32) for _ in starts]
    expected = [
        fused(
            [
                (start, frame - start, length, piece[frame - start, 0])
                for start, piece in zip(starts, pieces, strict=True)
                if 0 <= frame - start < length
            ],
            fusion,
        )
        for frame in range(frames)
    ]
    trace = stitch(pieces, [start + np.arange(length) for start in starts], frames, fusion)
    assert trace.dtype == np.float32
    np.testing.assert_allclose(trace[:, 0], expected, rtol=0, atol=1e-6)


@pytest.mark.parametrize("fusion", FUSIONS)
def test_an_hour_of_overlapping_windows_is_stitched_within_a_second(fusion):
    starts = range(0, 60_000 - 51, 13)
    positions = [start + np.arange(64) for start in starts]
    pieces = [np.full((64, 2), start, np.float32) for start in starts]
    begun = time.process_time()
    stitch(pieces, positions, 60_000, fusion)
    assert time.process_time() - begun < 1  # it takes about 0.03 s


def test_pieces_in_any_order_with_any_stride_give_the_same_trace():
    whole = np.random.default_rng(0).normal(size=(11, 2)).astype(np.float32)
    positions = [np.arange(1, 11, 2), np.arange(0, 11, 2)]
    np.testing.assert_array_equal(stitch([whole[p] for p in positions], positions, 11), whole)


def test_a_frame_without_a_prediction_is_refused():
    with pytest.raises(ValueError, match="no piece covers frame 4 of 6"):
        stitch(PIECES, POSITIONS, frames=6)


def test_an_unknown_fusion_is_refused():
    with pytest.raises(ValueError, match="fusion='max'"):
        stitch(PIECES, POSITIONS, frames=3, fusion="max")
