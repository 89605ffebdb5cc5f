"""Pooled scores averaged over data sets, with intervals."""

from collections.abc import Sequence
from typing import Any

import numpy as np

from va_jax.evaluation import bootstrap
from va_jax.evaluation.jackknife import standard_errors
from va_jax.evaluation.metrics import Moments, all_metrics
from va_jax.types import Trace

Scored = tuple[Sequence[Trace], Sequence[np.ndarray]]
"""The traces of a split of one data set, and predictions [frames, dims] to score for each."""


def mean_over_sets(
    by_set: Sequence[Scored], dims: Sequence[str], resamples: int = bootstrap.RESAMPLES
) -> dict[str, dict[str, Any]]:
    """Return the mean over data sets of each pooled metric, by dimension.

    Every data set counts equally. For the intervals, recordings are resampled within each data set,
    and the data sets are independent of each other.

    Args:
        by_set: one entry for each data set; each has a valid frame.
        dims: names of the dimensions in the columns.
        resamples: number of bootstrap resamples.

    Returns:
        Besides the metrics, each dimension has `interval`, which contains [low, high] for each
        metric, or is None if a data set has too few recordings; an unknown end is None.
    """
    moments = [_moments(*scored) for scored in by_set]
    means = _mean([all_metrics(each.merged()) for each in moments])
    found: dict[str, dict[str, Any]] = {
        dim: {metric: float(value[i]) for metric, value in means.items()} | {"interval": None}
        for i, dim in enumerate(dims)
    }
    if min(len(each.count) for each in moments) < bootstrap.FEWEST:
        return found
    drawn = [
        bootstrap.resamples(len(each.count), resamples, seed) for seed, each in enumerate(moments)
    ]
    pairs = list(zip(moments, drawn, strict=True))
    resampled = _mean([all_metrics(each.merged(weights)) for each, weights in pairs])
    errors = _error_of_mean([standard_errors(each, weights)["pooled"] for each, weights in pairs])
    once = [standard_errors(each, np.ones((1, len(each.count))))["pooled"] for each in moments]
    error = _error_of_mean(once)
    for metric, value in means.items():
        ends = bootstrap.interval(value, error[metric][0], resampled[metric], errors[metric])
        clipped = np.clip(np.stack(ends, -1), *bootstrap.RANGES[metric])
        for dim, pair in zip(dims, clipped.tolist(), strict=True):
            interval = found[dim]["interval"] or {}
            interval[metric] = [end if np.isfinite(end) else None for end in pair]
            found[dim]["interval"] = interval
    return found


def _moments(traces: Sequence[Trace], preds: Sequence[np.ndarray]) -> Moments:
    counted = [pair for pair in zip(traces, preds, strict=True) if pair[0].mask.any()]
    return Moments.stack([Moments.of(pred, trace.target, trace.mask) for trace, pred in counted])


def _mean(values: Sequence[dict[str, np.ndarray]]) -> dict[str, np.ndarray]:
    return {metric: np.mean([each[metric] for each in values], 0) for metric in values[0]}


def _error_of_mean(errors: Sequence[dict[str, np.ndarray]]) -> dict[str, np.ndarray]:
    """Return the standard errors of means of independent scores."""
    return {
        metric: np.sqrt(sum(each[metric] ** 2 for each in errors)) / len(errors)
        for metric in errors[0]
    }
