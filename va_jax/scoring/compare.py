"""Compare two systems by the bootstrap over the recordings that both were scored on."""

import math
import pathlib
from collections.abc import Callable, Sequence
from typing import Any

import numpy as np

from va_jax.evaluation import bootstrap
from va_jax.evaluation.jackknife import errors_from, influences
from va_jax.evaluation.metrics import METRICS, ROUNDING, Moments, aggregate
from va_jax.scoring import pairing
from va_jax.scoring.align import FAULTS
from va_jax.types import InputError

FEWEST_RESAMPLES = 100
"""Below which fewer than five resamples lie beyond an interval of .95; ours."""

METHOD = f"paired, symmetric {bootstrap.METHOD}"

MEAN = "mean over dimensions"

Table = dict[str, dict[str, np.ndarray]]


def compare(
    first: str,
    second: str,
    labels: pathlib.Path | None = None,
    split: str = "test",
    dims: Sequence[str] | None = None,
    processed: bool = False,
    formula: str = "population",
    metrics: Sequence[str] = METRICS,
    resamples: int = bootstrap.RESAMPLES,
    seed: int = 0,
    fps: float | None = None,
    strict: bool = False,
) -> dict[str, Any]:
    """The difference of two systems under every metric and aggregation, as plain numbers.

    Each is named as `pairing.folders` reads it, one run or several. `scores` maps metric ->
    dimension, and of the CCC also the mean over dimensions -> aggregation -> what `differences`
    gives; `headline` is that of the pooled CCC, in the mean over dimensions. Raises an InputError
    where nothing can be compared, and with `strict` where anything is left out.
    """
    _check(resamples, seed, fps)
    runs = [pairing.folders(given, split) for given in (first, second)]
    truth = None if labels is None else pairing.folders(str(labels), split)[0]
    found = pairing.paired(*runs, truth, dims, processed, fps)
    sides = [
        {
            "given": given,
            "runs": [str(folder) for folder in folders],
            "recordings_left_out": side.recordings,
            "frames_left_out": side.frames,
            "first_left_out": side.first,
            "counts": side.tally.counts,
            "first": side.tally.first,
        }
        for given, folders, side in zip((first, second), runs, found.sides, strict=True)
    ]
    if strict:
        _refuse_losses(sides)
    rows = differences(*(side.moments() for side in found.sides), formula, metrics, resamples, seed)
    names = [*found.dims, MEAN] if len(found.dims) > 1 else found.dims
    scores = {
        metric: {
            name: {aggregation: row[metric][i] for aggregation, row in rows.items()}
            for i, name in enumerate(names)
            if name != MEAN or metric == "ccc"
        }
        for metric in metrics
    }
    return {
        "a": sides[0],
        "b": sides[1],
        "labels": None if truth is None else str(truth),
        "dims": found.dims,
        "processed": found.processed,
        "has_processed": found.has_processed,
        "recordings": len(found.recordings),
        "frames": found.frames,
        "formula": formula,
        "bootstrap": {
            "method": METHOD,
            "resamples": resamples,
            "level": bootstrap.LEVEL,
            "seed": seed,
        },
        "headline": {
            "metric": "ccc",
            "aggregation": "pooled",
            "dims": found.dims,
            **rows["pooled"]["ccc"][len(names) - 1],
        },
        "scores": scores,
    }


def differences(
    first: Sequence[Moments],
    second: Sequence[Moments],
    formula: str = "population",
    metrics: Sequence[str] = METRICS,
    resamples: int = bootstrap.RESAMPLES,
    seed: int = 0,
) -> dict[str, dict[str, list[dict[str, Any]]]]:
    """Aggregation -> metric -> for every dimension, then for their mean, how two sides differ.

    A side is a stack of recordings for each of its runs, the same recordings on both; its score
    is the mean of its runs'. `a` and `b` are the scores, `a_runs` .. those of the runs, `a_sd` ..
    their standard deviation (n - 1), None for one run; `difference` is a - b, with its `interval`
    [low, high] and the two-sided `p`, both None with fewer than `intervals.FEWEST` recordings; an
    end that is not known is None. All runs are drawn alike, so neither covers what differs from
    one training to the next.
    """
    scored = [[_widened(aggregate(run, None, formula)) for run in side] for side in (first, second)]
    recordings = len(first[0].count)
    known = recordings >= bootstrap.FEWEST
    if known:
        drawn = bootstrap.resamples(recordings, resamples, seed)
        once = np.ones((1, recordings))
        resampled = _gap(first, second, lambda run: aggregate(run, drawn, formula), metrics)

        def gap_influences(weights: np.ndarray) -> Table:
            return _gap(first, second, lambda run: influences(run, weights), metrics)

        error, errors = errors_from(gap_influences, once), errors_from(gap_influences, drawn)
    found: dict[str, dict[str, list[dict[str, Any]]]] = {}
    for name in scored[0][0]:
        found[name] = {}
        for metric in metrics:
            runs = [np.stack([run[name][metric] for run in side]) for side in scored]
            value = _rounded(runs[0].mean(0) - runs[1].mean(0))
            ends, p = [None] * len(value), [None] * len(value)
            if known:
                away = _rounded(resampled[name][metric] - value)
                spread = _rounded(error[name][metric][0])
                parts = (spread, value + away, _rounded(errors[name][metric]))
                pair = bootstrap.symmetric_interval(value, *parts)
                ends = _plain(metric, np.stack(pair, -1))
                p = bootstrap.p_value(value, *parts).tolist()
            found[name][metric] = [
                {
                    "a": float(runs[0].mean(0)[i]),
                    "b": float(runs[1].mean(0)[i]),
                    "difference": float(value[i]),
                    "interval": ends[i],
                    "p": p[i],
                    "a_runs": runs[0][:, i].tolist(),
                    "b_runs": runs[1][:, i].tolist(),
                    "a_sd": _sd(runs[0][:, i]),
                    "b_sd": _sd(runs[1][:, i]),
                }
                for i in range(len(value))
            ]
    return found


def verdict(row: dict[str, Any], level: float = bootstrap.LEVEL) -> str:
    """Which side is better by a metric of which more is better: "A", "B", or "" if none is.

    None is where p is above 1 - `level`, or not known; the interval then holds 0.
    """
    if row["p"] is None or row["p"] > 1 - level:
        return ""
    return "A" if row["difference"] > 0 else "B"


def _gap(
    first: Sequence[Moments],
    second: Sequence[Moments],
    of: Callable[[Moments], Table],
    metrics: Sequence[str],
) -> Table:
    """What `of` gives on the first side less what it gives on the second, each a mean over runs.

    Of a run no more is held than what is added up.
    """
    means: list[Table] = []
    for runs in (first, second):
        total: Table = {}
        for run in runs:
            for name, row in of(run).items():
                sums = total.setdefault(name, {})
                for metric in metrics:
                    sums[metric] = sums.get(metric, 0) + row[metric] / len(runs)
        means.append(total)
    return _widened(
        {
            name: {metric: value - means[1][name][metric] for metric, value in row.items()}
            for name, row in means[0].items()
        }
    )


def _widened(table: Table) -> Table:
    """With the mean over dimensions as one dimension more."""
    return {
        name: {
            metric: np.concatenate([value, value.mean(-1, keepdims=True)], -1)
            for metric, value in row.items()
        }
        for name, row in table.items()
    }


def _rounded(difference: np.ndarray) -> np.ndarray:
    """0 where only the order of adding up makes a difference."""
    return np.where(np.abs(difference) < ROUNDING, 0.0, difference)


def _plain(metric: str, ends: np.ndarray) -> list[list[float | None]]:
    """Intervals within what a difference can be, and None for an end that is not known."""
    lowest, highest = bootstrap.RANGES[metric]
    clipped = np.clip(ends, lowest - highest, highest - lowest)
    return [[end if math.isfinite(end) else None for end in pair] for pair in clipped.tolist()]


def _sd(values: np.ndarray) -> float | None:
    return float(values.std(ddof=1)) if len(values) > 1 else None


def _check(resamples: int, seed: int, fps: float | None) -> None:
    if resamples < FEWEST_RESAMPLES:
        raise InputError(f"--resamples={resamples} are too few; give {FEWEST_RESAMPLES} or more")
    if seed < 0:
        raise InputError(f"--seed={seed} must not be below 0")
    if fps is not None and not 0 < fps < math.inf:
        raise InputError(f"--fps={fps:g} must be above 0")


def _refuse_losses(sides: Sequence[dict[str, Any]]) -> None:
    for name, side in zip("AB", sides, strict=True):
        for what in ("recordings", "frames"):
            if side[f"{what}_left_out"]:
                raise InputError(
                    f"--strict: {side[f'{what}_left_out']} {what} of {name} are left out; the "
                    f"first: {side['first_left_out']}"
                )
        for fault, first in side["first"].items():
            raise InputError(
                f"--strict: {name}: {side['counts'][fault]} {FAULTS[fault]}; the first: {first}"
            )
