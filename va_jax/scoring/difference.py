"""The differences between the scores of two systems, with paired bootstrap intervals and p."""

import dataclasses
import math
from collections.abc import Callable, Sequence

import numpy as np

from va_jax.evaluation import bootstrap
from va_jax.evaluation.jackknife import contributions, errors_from
from va_jax.evaluation.metrics import METRICS, ROUNDING, Moments, aggregate

Values = dict[str, dict[str, np.ndarray]]
"""Aggregation -> metric -> values [..., dims]."""


@dataclasses.dataclass(frozen=True)
class Difference:
    """How the scores of two sides differ; the score of a side is the mean of its runs."""

    a: float
    b: float
    difference: float  # a - b
    interval: list[float | None] | None  # None: too few recordings; an unknown end is None
    p: float | None  # two-sided; None: too few recordings
    a_runs: list[float]
    b_runs: list[float]
    a_sd: float | None  # standard deviation of the runs (n - 1); None for one run
    b_sd: float | None

    @property
    def better(self) -> str:
        """Return "A" or "B" if that side is significantly higher, else ""."""
        if self.p is None or self.p > 1 - bootstrap.LEVEL:
            return ""
        return "A" if self.difference > 0 else "B"


@dataclasses.dataclass(frozen=True)
class _Bootstrap:
    """Differences of resampled recordings."""

    resampled: Values  # [resamples, dims]
    errors: Values  # standard errors of these
    error: Values  # standard error of the difference itself, [1, dims]


def differences(
    first: Sequence[Moments],
    second: Sequence[Moments],
    formula: str = "population",
    metrics: Sequence[str] = METRICS,
    resamples: int = bootstrap.RESAMPLES,
    seed: int = 0,
) -> dict[str, dict[str, list[Difference]]]:
    """Return aggregation -> metric -> the difference in each dimension, then in their mean.

    The recordings of all runs are drawn alike, so the intervals do not cover the variation from
    one training to the next. With fewer than `bootstrap.FEWEST` recordings there are none.

    Args:
        first: moments [recordings, dims] of every run of the first side.
        second: moments of the same recordings for every run of the second side.
        formula: of the CCC, one of `metrics.FORMULAS`.
        metrics: metrics to return.
        resamples: number of bootstrap resamples.
        seed: of the bootstrap.
    """
    drawn = None
    if (recordings := len(first[0].count)) >= bootstrap.FEWEST:
        weights = bootstrap.resamples(recordings, resamples, seed)
        drawn = _resample(first, second, formula, metrics, weights)
    of_first, of_second = (
        [_with_mean(aggregate(run, None, formula)) for run in side] for side in (first, second)
    )
    return {
        name: {
            metric: _compare_runs(
                name,
                metric,
                np.stack([run[name][metric] for run in of_first]),
                np.stack([run[name][metric] for run in of_second]),
                drawn,
            )
            for metric in metrics
        }
        for name in of_first[0]
    }


def _compare_runs(
    name: str, metric: str, a: np.ndarray, b: np.ndarray, drawn: _Bootstrap | None
) -> list[Difference]:
    """Return the difference in every dimension between scores [runs, dims] of two sides."""
    value = _rounded(a.mean(0) - b.mean(0))
    intervals, p = [None] * len(value), [None] * len(value)
    if drawn is not None:
        parts = (
            _rounded(drawn.error[name][metric][0]),
            value + _rounded(drawn.resampled[name][metric] - value),
            _rounded(drawn.errors[name][metric]),
        )
        ends = np.stack(bootstrap.symmetric_interval(value, *parts), -1)
        lowest, highest = bootstrap.RANGES[metric]
        ends = np.clip(ends, lowest - highest, highest - lowest).tolist()
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
            _standard_deviation(a[:, i]),
            _standard_deviation(b[:, i]),
        )
        for i in range(len(value))
    ]


def _resample(
    first: Sequence[Moments],
    second: Sequence[Moments],
    formula: str,
    metrics: Sequence[str],
    weights: np.ndarray,
) -> _Bootstrap:
    """Return the differences for `weights` [resamples, recordings]."""

    def slopes(weights: np.ndarray) -> Values:
        return _subtract(first, second, lambda run: contributions(run, weights), metrics)

    return _Bootstrap(
        _subtract(first, second, lambda run: aggregate(run, weights, formula), metrics),
        errors_from(slopes, weights),
        errors_from(slopes, np.ones((1, weights.shape[1]))),
    )


def _subtract(
    first: Sequence[Moments],
    second: Sequence[Moments],
    values_of: Callable[[Moments], Values],
    metrics: Sequence[str],
) -> Values:
    """Return `values_of` the first side minus the second, each a mean over runs.

    Only the values of one run are in memory at a time.
    """
    means: list[Values] = []
    for runs in (first, second):
        total: Values = {}
        for run in runs:
            for name, row in values_of(run).items():
                sums = total.setdefault(name, {})
                for metric in metrics:
                    sums[metric] = sums.get(metric, 0) + row[metric] / len(runs)
        means.append(total)
    return _with_mean(
        {
            name: {metric: value - means[1][name][metric] for metric, value in row.items()}
            for name, row in means[0].items()
        }
    )


def _with_mean(values: Values) -> Values:
    """Append the mean over dimensions as one more dimension."""
    return {
        name: {
            metric: np.concatenate([value, value.mean(-1, keepdims=True)], -1)
            for metric, value in row.items()
        }
        for name, row in values.items()
    }


def _rounded(difference: np.ndarray) -> np.ndarray:
    """Replace differences that only the order of summation causes by 0."""
    return np.where(np.abs(difference) < ROUNDING, 0.0, difference)


def _standard_deviation(values: np.ndarray) -> float | None:
    return float(values.std(ddof=1)) if len(values) > 1 else None
