"""The metric card: every metric under every aggregation, beside baselines and ceiling."""

import dataclasses
from collections.abc import Mapping, Sequence
from typing import Any

import numpy as np

from va_jax.metrics import METRICS, Moments
from va_jax.schema import Track

HOLD_S = 10.0
"""How long the baseline "label held" goes on with the last label it was given; ours."""


@dataclasses.dataclass(frozen=True)
class Trace:
    """Predictions and labels of a whole track, one row a frame."""

    track: Track
    pred: np.ndarray  # float32 [frames, dims]
    target: np.ndarray  # float32 [frames, dims]; NaN where unlabelled
    face: np.ndarray  # bool [frames]
    time_s: np.ndarray  # float32 [frames]

    @property
    def mask(self) -> np.ndarray:
        """The frames that count: those that show the face and are labelled."""
        return self.face & np.isfinite(self.target).all(-1)


def metric_card(
    traces: Sequence[Trace], dims: Sequence[str], train_mean: Mapping[str, float]
) -> dict[str, Any]:
    """All scores of a split as plain numbers.

    `scores` and every entry of `baselines` map dimension -> aggregation -> metric, `n` (frames)
    and `recordings`. Only frames that show a face and are labelled count. Aggregations: `pooled`
    (all frames as one signal: the headline), `mean_of_recordings`, `length_weighted`, and
    `group:NAME` (pooled within a group) where the set has groups. The baselines that look at the
    labels they are scored on are called oracles.
    """
    constant = np.array([train_mean[dim] for dim in dims], np.float32)
    baselines = {
        "train_mean": [np.broadcast_to(constant, trace.pred.shape) for trace in traces],
        "label_held_oracle": [_held(trace, constant) for trace in traces],
        "recording_mean_oracle": [_recording_mean(trace) for trace in traces],
    }
    return {
        "tracks": len(traces),
        "frames": sum(len(trace.pred) for trace in traces),
        "frames_that_count": sum(int(trace.mask.sum()) for trace in traces),
        "scores": scores(traces, [trace.pred for trace in traces], dims),
        "baselines": {name: scores(traces, preds, dims) for name, preds in baselines.items()},
    }


def scores(
    traces: Sequence[Trace], preds: Sequence[np.ndarray], dims: Sequence[str]
) -> dict[str, Any]:
    """Scores of `preds`, one a trace: dimension -> aggregation -> metric, n, recordings.

    A recording without a frame that counts is left out; a split without one gives an empty
    mapping for every dimension.
    """
    counted = [(trace, pred) for trace, pred in zip(traces, preds, strict=True) if trace.mask.any()]
    if not counted:
        return {dim: {} for dim in dims}
    moments = Moments.stack([Moments.of(p, t.target, t.mask) for t, p in counted])
    groups = np.array([trace.track.group for trace, _ in counted])
    rows = {"pooled": _metrics(moments.merged())}
    single = _metrics(moments)
    rows["mean_of_recordings"] = {key: value.mean(0) for key, value in single.items()}
    rows["length_weighted"] = {
        key: (value * moments.count).sum(0) / moments.count.sum(0) for key, value in single.items()
    }
    sizes = dict.fromkeys(rows, (moments.count.sum(0), len(counted)))
    for group in sorted(set(groups) - {""}):
        part = moments.select(groups == group)
        rows[f"group:{group}"] = _metrics(part.merged())
        sizes[f"group:{group}"] = (part.count.sum(0), len(part.count))
    return {
        dim: {
            name: {key: float(value[i]) for key, value in row.items()}
            | {"n": int(sizes[name][0][i]), "recordings": sizes[name][1]}
            for name, row in rows.items()
        }
        for i, dim in enumerate(dims)
    }


def _metrics(moments: Moments) -> dict[str, np.ndarray]:
    return {key: getattr(moments, key)() for key in METRICS}


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


def table(split: str, card: Mapping[str, Any], ceiling: Mapping[str, float]) -> str:
    """The card as text of fixed width, for people."""
    dims = list(card["scores"])
    head = (
        f"{split}: {card['tracks']} tracks, {card['frames']} frames, "
        f"{card['frames_that_count']} of them count"
    )
    if not card["scores"][dims[0]]:
        return f"{head}; predictions only, for no frame has face and label\n"
    columns = "".join(f"{name:>8}" for name in ("CCC", "PCC", "RMSE", "SAGR", "n"))
    lines = [head, " " * 26 + "".join(f"| {dim:<39}" for dim in dims)]
    lines.append(" " * 26 + "".join(f"|{columns}" for _ in dims))
    rows = [(name.replace("_", " "), card["scores"], name) for name in card["scores"][dims[0]]]
    rows += [
        (name.replace("_", " "), scores, "pooled") for name, scores in card["baselines"].items()
    ]
    for label, source, name in rows:
        cells = ""
        for dim in dims:
            row = source[dim][name]
            cells += "|" + "".join(f"{row[key]:8.3f}" for key in ("ccc", "pcc", "rmse", "sagr"))
            cells += f"{row['n']:8d}"
        lines.append(f"{label:<26}{cells}")
    if ceiling:
        cells = "".join(f"|{ceiling[dim]:8.3f}{'':32}" for dim in dims)
        lines.append(f"{'ceiling of the set':<26}{cells}")
    return "\n".join(line.rstrip() for line in lines) + "\n"
