"""The metric card: every metric under every aggregation with its interval, beside baselines."""

from collections.abc import Mapping, Sequence
from typing import Any

import numpy as np

from va_jax.evaluation import bootstrap
from va_jax.evaluation.jackknife import standard_errors
from va_jax.evaluation.metrics import Moments, aggregate, evaluated
from va_jax.types import Trace

HOLD_S = 10.0
"""How long the baseline "label held" goes on with the last label it was given; ours."""


def metric_card(
    traces: Sequence[Trace],
    dims: Sequence[str],
    train_mean: Mapping[str, float] | None = None,
    formula: str = "population",
    resamples: int = bootstrap.RESAMPLES,
    seed: int = 0,
) -> dict[str, Any]:
    """All scores of a split as plain numbers, and how they were come by.

    `scores` and every entry of `baselines` are as `scores` gives them, the former with intervals;
    `recordings` maps track id -> dimension -> metric and `n`. Only frames that show a face and are
    labelled count. The baselines that look at the labels they are scored on are called oracles;
    without the mean of the training labels there is no baseline of that name, and a label is held
    from 0.
    """
    known = np.array([(train_mean or {}).get(dim, 0.0) for dim in dims], np.float32)
    baselines = {
        "train_mean": [np.broadcast_to(known, trace.pred.shape) for trace in traces],
        "label_held_oracle": [_held(trace, known) for trace in traces],
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
            trace.track.track_id: _of_recording(trace, dims, formula)
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
    """Scores of `preds`, one a trace: dimension -> aggregation -> metric and what it rests on.

    Aggregations: `pooled` (all frames as one signal: the headline), `mean_of_recordings`,
    `length_weighted`, and `group:NAME` (pooled within a group) where the split has several. Beside
    the metrics stand `n` (frames), `recordings`, `undefined` (signals whose CCC is 0/0, taken as 0)
    and, where `resamples` are asked for, `interval`: metric -> [low, high], None where there are
    too few recordings; an end that is not known is None. A recording without a frame that counts is
    left out; a split without one gives an empty mapping for every dimension.
    """
    counted = [(trace, pred) for trace, pred in zip(traces, preds, strict=True) if trace.mask.any()]
    if not counted:
        return {dim: {} for dim in dims}
    moments = Moments.stack([Moments.of(p, t.target, t.mask) for t, p in counted])
    groups = np.array([trace.track.group for trace, _ in counted])
    rows = _rows(moments, formula, resamples, seed)
    named = sorted(set(groups) - {""})
    for group in named if len(named) > 1 else ():
        part = moments.select(groups == group)
        rows[f"group:{group}"] = _rows(part, formula, resamples, seed)["pooled"]
    return {
        dim: {name: {key: value[i] for key, value in row.items()} for name, row in rows.items()}
        for i, dim in enumerate(dims)
    }


def _rows(
    moments: Moments, formula: str, resamples: int, seed: int
) -> dict[str, dict[str, list[Any]]]:
    """Aggregation -> metric, `n`, `recordings` .. -> a plain value for every dimension."""
    recordings, dims = moments.count.shape
    single = moments.undefined().sum(0).tolist()
    rows: dict[str, dict[str, list[Any]]] = {}
    for name, values in aggregate(moments, formula=formula).items():
        undefined = (
            moments.merged().undefined().astype(int).tolist() if name == "pooled" else single
        )
        rows[name] = {key: value.tolist() for key, value in values.items()} | {
            "n": moments.count.sum(0).astype(int).tolist(),
            "recordings": [recordings] * dims,
            "undefined": undefined,
        }
    if resamples:
        for name, each in _intervals(moments, formula, resamples, seed).items():
            rows[name]["interval"] = each
    return rows


def _intervals(moments: Moments, formula: str, resamples: int, seed: int) -> dict[str, list[Any]]:
    """Aggregation -> for every dimension metric -> [low, high], or None."""
    recordings, dims = moments.count.shape
    values = aggregate(moments, formula=formula)
    if recordings < bootstrap.FEWEST:
        return {name: [None] * dims for name in values}
    once = np.ones((1, recordings))
    drawn = bootstrap.resamples(recordings, resamples, seed)
    resampled, errors = aggregate(moments, drawn, formula), standard_errors(moments, drawn)
    error = standard_errors(moments, once)
    found: dict[str, list[Any]] = {}
    for name, row in values.items():
        found[name] = [{} for _ in range(dims)]
        for key, value in row.items():
            ends = bootstrap.interval(
                value, error[name][key][0], resampled[name][key], errors[name][key]
            )
            clipped = np.clip(np.stack(ends, -1), *bootstrap.RANGES[key])
            for i, pair in enumerate(clipped.tolist()):
                found[name][i][key] = [end if np.isfinite(end) else None for end in pair]
    return found


def _of_recording(trace: Trace, dims: Sequence[str], formula: str) -> dict[str, dict[str, float]]:
    moments = Moments.of(trace.pred, trace.target, trace.mask)
    values = evaluated(moments, formula)
    return {
        dim: {key: float(value[i]) for key, value in values.items()} | {"n": int(moments.count[i])}
        for i, dim in enumerate(dims)
    }


def _held(trace: Trace, constant: np.ndarray) -> np.ndarray:
    """The last label before each block of `HOLD_S`, held through it; the train mean at first."""
    starts = np.floor((trace.time_s - trace.time_s[0]) / HOLD_S)
    held = np.broadcast_to(constant, trace.pred.shape).copy()
    labelled = np.flatnonzero(np.isfinite(trace.target).all(-1))
    for block in np.unique(starts):
        inside = np.flatnonzero(starts == block)
        before = labelled[labelled < inside[0]]
        if len(before):
            held[inside] = trace.target[before[-1]]
    return held


def _recording_mean(trace: Trace) -> np.ndarray:
    if not trace.mask.any():
        return np.zeros_like(trace.pred)
    return np.broadcast_to(trace.target[trace.mask].mean(0), trace.pred.shape)
