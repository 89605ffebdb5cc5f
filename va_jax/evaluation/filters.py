"""What is done to predictions of whole tracks: stitched from pieces, filtered, moved in time."""

from collections.abc import Iterator, Sequence

import numpy as np
from jaxtyping import Float, Int
from scipy import ndimage

FUSIONS = ("mean", "median", "extremum", "last", "centre")

EVENLY = 0.1
"""Frames lie evenly where none is off its place by more than this share of a period; ours. Time
stamps rounded by files and float32 do, and a lag then moves all frames alike."""


def stitch(
    pieces: Sequence[Float[np.ndarray, "_ dims"]],
    positions: Sequence[Int[np.ndarray, " _"]],
    frames: int,
    fusion: str = "mean",
) -> Float[np.ndarray, "frames dims"]:
    """The trace of a track from predictions on possibly overlapping pieces of it.

    `positions[i]` are the track's frame numbers that `pieces[i]` predicts, ascending; numbers of
    `frames` and above are padding and dropped. What several pieces predict for a frame is fused:
    `mean`, `median` and `extremum`, the value of largest magnitude (teixeira2021), go by the
    values, `last` and `centre` by the places in the pieces. `last` takes the piece that the frame
    stands latest in, which has seen most of its past; `centre` the one whose middle is nearest. Of
    equals the piece that starts first wins. A frame that no piece covers is a ValueError: a trace
    has no holes.
    """
    if fusion not in FUSIONS:
        raise ValueError(f"fusion={fusion!r} is not one of {FUSIONS}")
    order = sorted(range(len(pieces)), key=lambda i: positions[i][0])
    values = np.concatenate([pieces[i] for i in order])
    where = np.concatenate([positions[i] for i in order])
    sizes = np.array([len(pieces[i]) for i in order])
    inside = where < frames
    values, where = values[inside], where[inside]
    covered = np.bincount(where, minlength=frames)
    if (covered == 0).any():
        raise ValueError(f"no piece covers frame {int(np.argmin(covered > 0))} of {frames}")
    by_frame = np.argsort(where, kind="stable")
    layer = np.arange(len(where)) - np.repeat(np.cumsum(covered) - covered, covered)

    def layers(x: np.ndarray, missing: float) -> np.ndarray:
        """What each piece in turn has for a frame, [pieces, frames, ...]."""
        filled = np.full((covered.max(), frames, *x.shape[1:]), missing, x.dtype)
        filled[layer, where[by_frame]] = x[by_frame]
        return filled

    if fusion == "mean":
        return layers(values, 0.0).sum(0) / covered[:, None].astype(values.dtype)
    if fusion == "median":
        ascending = np.sort(layers(values, np.inf), axis=0)
        middles = np.stack([(covered - 1) // 2, covered // 2])[..., None]
        return np.take_along_axis(ascending, middles, axis=0).mean(0)
    if fusion == "extremum":
        merit = np.abs(layers(values, 0.0))
    else:
        place = np.arange(sizes.sum()) - np.repeat(np.cumsum(sizes) - sizes, sizes)
        off_centre = np.abs(2 * place - np.repeat(sizes - 1, sizes))
        better = place if fusion == "last" else -off_centre
        merit = layers(better[inside, None], -float(sizes.max()))
    chosen = np.argmax(merit, axis=0)[None]
    return np.take_along_axis(layers(values, 0.0), chosen, axis=0)[0]


def median_filtered(
    pred: Float[np.ndarray, "frames *dims"], time_s: Float[np.ndarray, " frames"], window_s: float
) -> Float[np.ndarray, "frames *dims"]:
    """The running median of each dimension over the frames within half of `window_s` of each.

    Frames are counted at the track's own rate, as many before as behind, so their number is odd;
    past its ends a track holds its first and its last value.
    """
    period_s = frame_s(time_s)
    half = round(window_s / 2 / period_s) if period_s else 0
    if half == 0:
        return pred.copy()
    columns = pred.reshape(len(pred), -1).T  # one axis at a time: SciPy has a faster filter for it
    medians = [ndimage.median_filter(x.copy(), 2 * half + 1, mode="nearest") for x in columns]
    return np.stack(medians, -1).reshape(pred.shape)


def moved(
    pred: Float[np.ndarray, "frames *dims"], time_s: Float[np.ndarray, " frames"], lag_s: float
) -> Float[np.ndarray, "frames *dims"]:
    """The trace `lag_s` earlier, later where that is negative: at t the value of t + `lag_s`.

    Taken from the nearest frame; past its ends a track holds its first and its last value.
    """
    return pred[next(shifted_frames(time_s, [lag_s]))]


def shifted_frames(
    time_s: Float[np.ndarray, " frames"], lags_s: Sequence[float] | Float[np.ndarray, " lags"]
) -> Iterator[Int[np.ndarray, " frames"]]:
    """For each lag, the number of the frame nearest to the time of every frame + lag, ends held.

    Where frames lie `EVENLY`, all are shifted by the same number of frames.
    """
    times, period_s = time_s.astype(np.float64), frame_s(time_s)
    numbers = np.arange(len(times))
    line = times[0] + period_s * numbers
    even = np.abs(times - line).max() <= EVENLY * period_s
    halfway = (times[1:] + times[:-1]) / 2
    for lag_s in lags_s:
        if period_s == 0:
            yield numbers
        elif even:
            yield np.clip(numbers + round(lag_s / period_s), 0, len(times) - 1)
        else:
            yield np.searchsorted(halfway, times + lag_s)


def frame_s(time_s: Float[np.ndarray, " frames"]) -> float:
    """Mean time from a frame to the next one; 0 where there is one frame."""
    return (float(time_s[-1]) - float(time_s[0])) / max(len(time_s) - 1, 1)
