"""The metrics table: every metric and aggregation with its interval, next to baselines."""

from collections.abc import Mapping, Sequence
from typing import Any

import numpy as np

from va_jax.evaluation import bootstrap
from va_jax.evaluation.jackknife import standard_errors
from va_jax.evaluation.metrics import Moments, aggregate, all_metrics
from va_jax.types import Trace

HOLD_S = 10.0
"""Seconds for which the baseline `label_held_oracle` repeats a label; our choice."""


def metrics_table(
    traces: Sequence[Trace],
    dims: Sequence[str],
    train_mean: Mapping[str, float] | None = None,
    formula: str = "population",
    resamples: int = bootstrap.RESAMPLES,
    seed: int = 0,
) -> dict[str, Any]:
    """Compute all scores of a split and return them as plain numbers.

    Only frames that show a face and have a label are scored. Baselines that use the labels they are
    scored on are called oracles.

    Args:
        traces: predictions and labels.
        dims: names of the dimensions in their columns.
        train_mean: mean of the training labels by dimension; without it, the baseline `train_mean`
            is left out and `label_held_oracle` starts from 0.
        formula, resamples, seed: see `scores`.

    Returns:
        A description of the scores (`tracks`, `frames`, `frames_that_count`, `formula` and
        `bootstrap`); `scores` with intervals; `baselines`, with the same structure but without
        intervals (see `scores`); and `recordings`, with the metrics and `n` by track id and
        dimension.
    """
    first = np.array([(train_mean or {}).get(dim, 0.0) for dim in dims], np.float32)
    baselines = {
        "train_mean": [np.broadcast_to(first, trace.pred.shape) for trace in traces],
        "label_held_oracle": [_hold_labels(trace, first) for trace in traces],
        "recording_mean_oracle": [_recording_mean(trace) for trace in traces],
    }
    if not train_mean:
        del baselines["train_mean"]
    return {
        "tracks": len(traces),
        "frames": sum(len(trace.pred) for trace in traces),
        "frames_that_count": sum(int(trace.mask.sum()) for trace in traces),
        "formula": formula,
        "bootstrap": {
            "method": bootstrap.METHOD,
            "resamples": resamples,
            "level": bootstrap.LEVEL,
            "seed": seed,
        },
        "scores": scores(traces, [trace.pred for trace in traces], dims, formula, resamples, seed),
        "baselines": {
            name: scores(traces, preds, dims, formula) for name, preds in baselines.items()
        },
        "recordings": {
            trace.track.track_id: _score_recording(trace, dims, formula)
            for trace in traces
            if trace.mask.any()
        },
    }


def scores(
    traces: Sequence[Trace],
    preds: Sequence[np.ndarray],
    dims: Sequence[str],
    formula: str = "population",
    resamples: int = 0,
    seed: int = 0,
) -> dict[str, Any]:
    """Score predictions and return the metrics by dimension and aggregation.

    The aggregations are `pooled` (all frames as one signal, used for the headline),
    `mean_of_recordings`, `length_weighted` and, if the split has several groups, `group:NAME`
    (pooled within the group).

    Args:
        traces: labels and masks of valid frames; recordings without valid frames are left out.
        preds: predictions [frames, dims] to score, one array per trace.
        dims: names of the dimensions in the columns.
        formula: formula for the CCC, one of `metrics.FORMULAS`.
        resamples: number of bootstrap resamples; 0 for no intervals.
        seed: seed of the bootstrap.

    Returns:
        Besides the metrics, each aggregation has `n` (number of frames), `recordings`, `undefined`
        (number of signals whose CCC is 0/0 and is set to 0) and, with `resamples`, `interval`,
        which contains [low, high] for each metric. The interval is None if there are too few
        recordings, and an unknown end is None. If no frame is valid, every dimension maps to an
        empty dict.
    """
    counted = [(trace, pred) for trace, pred in zip(traces, preds, strict=True) if trace.mask.any()]
    if not counted:
        return {dim: {} for dim in dims}
    moments = Moments.stack([Moments.of(pred, trace.target, trace.mask) for trace, pred in counted])
    rows = _rows(moments, formula, resamples, seed)
    groups = np.array([trace.track.group for trace, _ in counted])
    names = sorted(set(groups) - {""})
    for name in names if len(names) > 1 else ():
        part = moments.select(groups == name)
        rows[f"group:{name}"] = _rows(part, formula, resamples, seed)["pooled"]
    return {
        dim: {name: {key: value[i] for key, value in row.items()} for name, row in rows.items()}
        for i, dim in enumerate(dims)
    }


def _rows(
    moments: Moments, formula: str, resamples: int, seed: int
) -> dict[str, dict[str, list[Any]]]:
    """Return metrics and counts by aggregation, as lists with a value for every dimension."""
    recordings, dims = moments.count.shape
    whole, single = moments.merged().undefined().astype(int), moments.undefined().sum(0)
    rows: dict[str, dict[str, list[Any]]] = {}
    for name, values in aggregate(moments, formula=formula).items():
        rows[name] = {metric: value.tolist() for metric, value in values.items()} | {
            "n": moments.count.sum(0).astype(int).tolist(),
            "recordings": [recordings] * dims,
            "undefined": (whole if name == "pooled" else single).tolist(),
        }
    if resamples:
        for name, each in _intervals(moments, formula, resamples, seed).items():
            rows[name]["interval"] = each
    return rows


def _intervals(moments: Moments, formula: str, resamples: int, seed: int) -> dict[str, list[Any]]:
    """Return intervals by aggregation: for every dimension, [low, high] by metric, or None."""
    recordings, dims = moments.count.shape
    values = aggregate(moments, formula=formula)
    if recordings < bootstrap.FEWEST:
        return {name: [None] * dims for name in values}
    drawn = bootstrap.resamples(recordings, resamples, seed)
    resampled, errors = aggregate(moments, drawn, formula), standard_errors(moments, drawn)
    error = standard_errors(moments, np.ones((1, recordings)))
    found: dict[str, list[Any]] = {}
    for name, row in values.items():
        found[name] = [{} for _ in range(dims)]
        for metric, value in row.items():
            ends = bootstrap.interval(
                value, error[name][metric][0], resampled[name][metric], errors[name][metric]
            )
            clipped = np.clip(np.stack(ends, -1), *bootstrap.RANGES[metric])
            for i, pair in enumerate(clipped.tolist()):
                found[name][i][metric] = [end if np.isfinite(end) else None for end in pair]
    return found


def _score_recording(
    trace: Trace, dims: Sequence[str], formula: str
) -> dict[str, dict[str, float]]:
    moments = Moments.of(trace.pred, trace.target, trace.mask)
    values = all_metrics(moments, formula)
    return {
        dim: {metric: float(value[i]) for metric, value in values.items()}
        | {"n": int(moments.count[i])}
        for i, dim in enumerate(dims)
    }


def _hold_labels(trace: Trace, first: np.ndarray) -> np.ndarray:
    """Fill each block of `HOLD_S` seconds with the last label before the block, or with `first`."""
    blocks = np.floor((trace.time_s - trace.time_s[0]) / HOLD_S)
    held = np.broadcast_to(first, trace.pred.shape).copy()
    labelled = np.flatnonzero(np.isfinite(trace.target).all(-1))
    for block in np.unique(blocks):
        inside = np.flatnonzero(blocks == block)
        before = labelled[labelled < inside[0]]
        if len(before):
            held[inside] = trace.target[before[-1]]
    return held


def _recording_mean(trace: Trace) -> np.ndarray:
    if not trace.mask.any():
        return np.zeros_like(trace.pred)
    return np.broadcast_to(trace.target[trace.mask].mean(0), trace.pred.shape)
