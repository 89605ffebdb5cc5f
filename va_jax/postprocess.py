"""From the pieces a network was run on to one value per frame of the track."""

from collections.abc import Sequence

import numpy as np
from jaxtyping import Float, Int

FUSIONS = ("mean", "median", "extremum")


def stitch(
    pieces: Sequence[Float[np.ndarray, "_ dims"]],
    positions: Sequence[Int[np.ndarray, " _"]],
    frames: int,
    fusion: str = "mean",
) -> Float[np.ndarray, "frames dims"]:
    """The trace of a track from predictions on possibly overlapping pieces of it.

    `positions[i]` are the track's frame numbers that `pieces[i]` predicts; numbers of `frames` and
    above are padding and dropped. Where several pieces predict a frame, their values are fused by
    `mean`, `median` or `extremum`, the value of largest magnitude (teixeira2021). A frame that no
    piece covers is a ValueError: a trace has no holes.
    """
    if fusion not in FUSIONS:
        raise ValueError(f"fusion={fusion!r} is not one of {FUSIONS}")
    values, where = np.concatenate(pieces), np.concatenate(positions)
    values, where = values[where < frames], where[where < frames]
    covered = np.bincount(where, minlength=frames)
    if (covered == 0).any():
        raise ValueError(f"no piece covers frame {int(np.argmin(covered > 0))} of {frames}")
    order = np.argsort(where, kind="stable")
    values, where = values[order], where[order]
    rank = np.arange(len(where)) - np.repeat(np.cumsum(covered) - covered, covered)
    layers = np.full((covered.max(), frames, values.shape[-1]), np.nan, values.dtype)
    layers[rank, where] = values
    if fusion == "mean":
        return np.nanmean(layers, axis=0)
    if fusion == "median":
        return np.nanmedian(layers, axis=0)
    largest = np.nanargmax(np.abs(layers), axis=0)[None]
    return np.take_along_axis(layers, largest, axis=0)[0]
