"""Pooled CCC as a function of the lag between predictions and labels."""

import dataclasses
import math
from collections.abc import Sequence

import numpy as np
from jaxtyping import Float

from va_jax.evaluation.filters import mean_period_s, shifted_frames
from va_jax.evaluation.metrics import Moments
from va_jax.types import Trace


@dataclasses.dataclass(frozen=True)
class LagCurve:
    """Pooled CCC of predictions after removing each of several lags.

    A positive lag means that predictions come after the labels; removing it moves them earlier.
    """

    lags_s: tuple[float, ...]
    ccc: tuple[float, ...]
    best_lag_s: float  # in case of a tie, the one nearest zero
    best_ccc: float

    def thinned(self, points: int) -> "LagCurve":
        """Return at most `points` points on the curve, evenly spaced and including its middle."""
        middle = len(self.lags_s) // 2
        every = 2 * middle // max(points - 1, 1) + 1
        kept = slice(middle % every, None, every)
        return dataclasses.replace(self, lags_s=self.lags_s[kept], ccc=self.ccc[kept])


def sweep(traces: Sequence[Trace], dim_index: int, max_lag_s: float) -> LagCurve:
    """Return the lag curve of a dimension from -`max_lag_s` to `max_lag_s`, in steps of one frame.

    If the frame rates of the recordings differ, the step is the median frame period.
    """
    periods = [period_s for trace in traces if (period_s := mean_period_s(trace.time_s)) > 0]
    period_s = round(float(np.median(periods)), 6) if periods else math.inf  # from float32 times
    steps = math.floor(max_lag_s / period_s + 1e-3)
    lags_s = [round(n * period_s, 6) for n in range(-steps, steps + 1)] if steps else [0.0]
    curve = lag_curve(traces, dim_index, lags_s)
    highest = np.flatnonzero(curve >= curve.max() - 1e-9)  # sums are rounded
    best = min(highest.tolist(), key=lambda n: abs(lags_s[n]))
    return LagCurve(tuple(lags_s), tuple(curve.tolist()), lags_s[best], float(curve[best]))


def lag_curve(
    traces: Sequence[Trace], dim_index: int, lags_s: Sequence[float]
) -> Float[np.ndarray, " lags"]:
    """Return the pooled CCC of a dimension after removing each lag from its predictions.

    All recordings are shifted by the same lag, including their unscored frames. The CCC is 0 for
    all lags if no frame is scored.
    """
    counted = [trace for trace in traces if trace.mask.any()]
    if not counted:
        return np.zeros(len(lags_s))
    start = counted[0].mask.argmax()  # subtract a typical value so that sums stay precise
    origin = [float(x[start, dim_index]) for x in (counted[0].pred, counted[0].target)]
    total, squares, products = np.zeros((3, len(lags_s)))
    labels = []
    for trace in counted:
        valid = np.flatnonzero(trace.mask)
        pred = trace.pred[:, dim_index].astype(np.float64) - origin[0]
        labels.append(trace.target[valid, dim_index].astype(np.float64) - origin[1])
        for number, frames in enumerate(shifted_frames(trace.time_s, lags_s)):
            values = pred[frames[valid]]
            total[number] += values.sum()
            squares[number] += values @ values
            products[number] += values @ labels[-1]
    label = np.concatenate(labels)
    count = np.full(len(lags_s), float(len(label)))
    unused = np.full(len(lags_s), np.nan)
    return Moments(
        count=count,
        mean_pred=origin[0] + total / count,
        mean_target=np.full_like(count, origin[1] + label.mean()),
        m2_pred=np.maximum(squares - total**2 / count, 0),
        m2_target=np.full_like(count, ((label - label.mean()) ** 2).sum()),
        co=products - total * label.mean(),
        squared_error=unused,
        agree=unused,
    ).ccc()
