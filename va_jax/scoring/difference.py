"""Compute the differences between two systems' scores, with paired bootstrap intervals and p."""

import dataclasses
import functools
import math
from collections.abc import Callable, Sequence

import numpy as np

from va_jax.evaluation import bootstrap
from va_jax.evaluation.jackknife import Values, contributions, errors_from
from va_jax.evaluation.metrics import ROUNDING, Moments, aggregate


@dataclasses.dataclass(frozen=True)
class Difference:
    """The difference between the scores of two sides; a side's score is the mean over its runs."""

    a: float
    b: float
    difference: float  # a - b
    interval: list[float | None] | None  # None: too few recordings; an end is None if unknown
    p: float | None  # two-sided; None: too few recordings
    a_runs: list[float]
    b_runs: list[float]
    a_sd: float | None  # standard deviation over the runs (n - 1); None for one run
    b_sd: float | None

    @property
    def better(self) -> str:
        """Return "A" or "B" if the score of that side is significantly higher, else ""."""
        if self.p is None or self.p > 1 - bootstrap.LEVEL:
            return ""
        return "A" if self.difference > 0 else "B"


def differences(
    first: Sequence[Moments],
    second: Sequence[Moments],
    formula: str = "population",
    resamples: int = bootstrap.RESAMPLES,
    seed: int = 0,
) -> dict[str, dict[str, list[Difference]]]:
    """Return aggregation -> metric -> the differences in each dimension and in their mean.

    The same recordings are drawn for all runs, so the intervals do not cover the variation between
    training runs. With fewer than `bootstrap.FEWEST` recordings, there are no intervals.

    Args:
        first: moments [recordings, dims] for every run of the first side.
        second: moments of the same recordings for every run of the second side.
        formula: formula of the CCC, one of `metrics.FORMULAS`.
        resamples: number of bootstrap resamples.
        seed: seed of the bootstrap.
    """

    def score(run: Moments) -> Values:
        return _map(_with_mean, aggregate(run, None, formula))

    def subtract(values_of: Callable[[Moments], Values]) -> Values:
        return _map(np.subtract, *(_mean_of_runs(side, values_of) for side in (first, second)))

    def slopes(drawn: np.ndarray) -> Values:
        return _map(_with_mean, subtract(lambda run: contributions(run, drawn)))

    a, b = (_map(lambda *runs: np.stack(runs), *map(score, side)) for side in (first, second))
    recordings = len(first[0].count)
    if recordings < bootstrap.FEWEST:
        return _map(_compare_runs, a, b)
    drawn = bootstrap.resamples(recordings, resamples, seed)
    resampled = _map(_with_mean, subtract(lambda run: aggregate(run, drawn, formula)))
    errors, error = errors_from(slopes, drawn), errors_from(slopes, np.ones((1, recordings)))
    return {
        name: {
            metric: _compare_runs(
                a[name][metric],
                b[name][metric],
                (error[name][metric][0], resampled[name][metric], errors[name][metric]),
                float(np.ptp(bootstrap.RANGES[metric])),
            )
            for metric in row
        }
        for name, row in a.items()
    }


def _compare_runs(
    a: np.ndarray,
    b: np.ndarray,
    drawn: tuple[np.ndarray, np.ndarray, np.ndarray] | None = None,
    widest: float = math.inf,
) -> list[Difference]:
    """Return the difference between two sides' scores [runs, dims] in every dimension.

    Args:
        a: scores of the first side.
        b: scores of the second side.
        drawn: standard error of the difference [dims], differences for the resamples [resamples,
            dims], and their standard errors; None for no intervals.
        widest: largest possible difference between two values of the score.
    """
    value = _rounded(a.mean(0) - b.mean(0))
    intervals, p = [None] * len(value), [None] * len(value)
    if drawn is not None:
        error, resampled, errors = drawn
        parts = _rounded(error), value + _rounded(resampled - value), _rounded(errors)
        ends = np.stack(bootstrap.symmetric_interval(value, *parts), -1)
        ends = np.clip(ends, -widest, widest).tolist()
        intervals = [[end if math.isfinite(end) else None for end in pair] for pair in ends]
        p = bootstrap.p_value(value, *parts).tolist()
    return [
        Difference(
            float(a.mean(0)[i]),
            float(b.mean(0)[i]),
            float(value[i]),
            intervals[i],
            p[i],
            a[:, i].tolist(),
            b[:, i].tolist(),
            *(float(runs[:, i].std(ddof=1)) if len(runs) > 1 else None for runs in (a, b)),
        )
        for i in range(len(value))
    ]


def _mean_of_runs(runs: Sequence[Moments], values_of: Callable[[Moments], Values]) -> Values:
    """Return the mean of `values_of(run)` over all runs, keeping only a few in memory at a time."""
    shares = (_map(lambda value: value / len(runs), values_of(run)) for run in runs)
    return functools.reduce(functools.partial(_map, np.add), shares)


def _map(function: Callable, *values: Values) -> dict:
    """Apply a function to the values of every aggregation and metric."""
    return {
        name: {metric: function(*(each[name][metric] for each in values)) for metric in row}
        for name, row in values[0].items()
    }


def _with_mean(value: np.ndarray) -> np.ndarray:
    """Append the mean over the dimensions as an additional dimension."""
    return np.concatenate([value, value.mean(-1, keepdims=True)], -1)


def _rounded(difference: np.ndarray) -> np.ndarray:
    """Set differences to 0 if only the order of summation causes them."""
    return np.where(np.abs(difference) < ROUNDING, 0.0, difference)
