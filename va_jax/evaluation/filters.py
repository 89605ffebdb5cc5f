"""Stitch window predictions together into traces, smooth traces, and shift them in time."""

from collections.abc import Iterator, Sequence

import numpy as np
from jaxtyping import Float, Int
from scipy import ndimage

from va_jax.config import FUSIONS

EVEN = 0.1
"""Largest distance of a frame from an even grid, as a share of the frame period, up to which the
frames are treated as evenly spaced; our choice. It allows for rounding in csv files and in float32.
A lag shifts evenly spaced frames by the same number of places."""


def stitch(
    pieces: Sequence[Float[np.ndarray, "_ dims"]],
    positions: Sequence[Int[np.ndarray, " _"]],
    frames: int,
    fusion: str = "mean",
) -> Float[np.ndarray, "frames dims"]:
    """Combine predictions for pieces of a track, which may overlap, into a trace.

    Args:
        pieces: predictions for each piece.
        positions: frame numbers of each piece, ascending; numbers from `frames` on are padding and
            are dropped.
        frames: length of the track.
        fusion: how to combine several values for the same frame. `mean` and `median` average them.
            `extremum` takes the value with the largest magnitude (teixeira2021), `last` the value
            from the piece with the most frames before this one, and `centre` the value from the
            piece whose middle is nearest. In case of a tie, the piece that starts first wins.

    Raises:
        ValueError: a frame is not covered by any piece.
    """
    if fusion not in FUSIONS:
        raise ValueError(f"fusion={fusion!r} is not one of {FUSIONS}")
    order = sorted(range(len(pieces)), key=lambda i: positions[i][0])
    values = np.concatenate([pieces[i] for i in order])
    numbers = np.concatenate([positions[i] for i in order])
    sizes = np.array([len(pieces[i]) for i in order])
    inside = numbers < frames
    values, numbers = values[inside], numbers[inside]
    covered = np.bincount(numbers, minlength=frames)
    if (covered == 0).any():
        raise ValueError(f"no piece covers frame {int(np.argmin(covered > 0))} of {frames}")
    by_frame = np.argsort(numbers, kind="stable")
    layer = np.arange(len(numbers)) - np.repeat(np.cumsum(covered) - covered, covered)

    def layers(x: np.ndarray, missing: float) -> np.ndarray:
        """Return the first, second, ... values of every frame, [max values, frames, ...]."""
        filled = np.full((covered.max(), frames, *x.shape[1:]), missing, x.dtype)
        filled[layer, numbers[by_frame]] = x[by_frame]
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


def median_filter(
    pred: Float[np.ndarray, "frames *dims"], time_s: Float[np.ndarray, " frames"], window_s: float
) -> Float[np.ndarray, "frames *dims"]:
    """Return the centred running median of each dimension.

    The window includes the frames within half of `window_s` before and after each frame, so their
    number is odd. The first and last values are repeated beyond the ends.
    """
    period_s = mean_period_s(time_s)
    half = round(window_s / 2 / period_s) if period_s else 0
    if half == 0:
        return pred.copy()
    columns = pred.reshape(len(pred), -1).T  # SciPy has a faster filter for one axis
    medians = [ndimage.median_filter(x.copy(), 2 * half + 1, mode="nearest") for x in columns]
    return np.stack(medians, -1).reshape(pred.shape)


def shift(
    pred: Float[np.ndarray, "frames *dims"], time_s: Float[np.ndarray, " frames"], lag_s: float
) -> Float[np.ndarray, "frames *dims"]:
    """Return the trace moved earlier by `lag_s`, or later if `lag_s` is negative.

    The value at time t is taken from the frame nearest to t + `lag_s`. The first and last values
    are repeated beyond the ends.
    """
    return pred[next(shifted_frames(time_s, [lag_s]))]


def shifted_frames(
    time_s: Float[np.ndarray, " frames"], lags_s: Sequence[float] | Float[np.ndarray, " lags"]
) -> Iterator[Int[np.ndarray, " frames"]]:
    """Yield, for each lag, the number of the frame that is nearest to each frame's time + lag.

    Numbers are clipped to the track. Evenly spaced frames (see `EVEN`) are all shifted by the same
    number of places.
    """
    times, period_s = time_s.astype(np.float64), mean_period_s(time_s)
    numbers = np.arange(len(times))
    even_times = times[0] + period_s * numbers
    even = np.abs(times - even_times).max() <= EVEN * period_s
    halfway = (times[1:] + times[:-1]) / 2
    for lag_s in lags_s:
        if period_s == 0:
            yield numbers
        elif even:
            yield np.clip(numbers + round(lag_s / period_s), 0, len(times) - 1)
        else:
            yield np.searchsorted(halfway, times + lag_s)


def mean_period_s(time_s: Float[np.ndarray, " frames"]) -> float:
    """Return the mean time between consecutive frames; 0 if there is only one frame."""
    return (float(time_s[-1]) - float(time_s[0])) / max(len(time_s) - 1, 1)
