"""Stitching against values worked out by hand."""

import numpy as np
import pytest

from va_jax.postprocess import stitch


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


def test_pieces_in_any_order_with_any_stride_make_the_same_trace():
    whole = np.random.default_rng(0).normal(size=(11, 2)).astype(np.float32)
    positions = [np.arange(1, 11, 2), np.arange(0, 11, 2)]
    np.testing.assert_array_equal(stitch([whole[p] for p in positions], positions, 11), whole)


def test_a_frame_without_a_prediction_is_refused():
    with pytest.raises(ValueError, match="no piece covers frame 4 of 6"):
        stitch(PIECES, POSITIONS, frames=6)


def test_an_unknown_fusion_is_refused():
    with pytest.raises(ValueError, match="fusion='max'"):
        stitch(PIECES, POSITIONS, frames=3, fusion="max")
