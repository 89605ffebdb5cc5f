"""Score folders of predictions against folders of labels with the metric card."""

import dataclasses
import json
import math
import pathlib
from collections.abc import Iterator, Mapping, Sequence
from typing import Any

from va_jax.evaluation import lags, score_table
from va_jax.report import tables
from va_jax.scoring import align
from va_jax.scoring import files as trace_files
from va_jax.scoring.align import FAULTS, Tally
from va_jax.types import DIMS, InputError

ABOUT = "about"
"""The key of a result that is no dimension."""

CURVE_POINTS = 11
"""Lags of a printed curve; the result has them all."""


def score(
    predictions: pathlib.Path,
    labels: pathlib.Path,
    dims: Sequence[str] | None = None,
    label_suffix: str = "",
    groups: pathlib.Path | None = None,
    formula: str = "population",
    lag_s: float = 0.0,
    fps: float | None = None,
    max_lag_s: float | None = None,
    resamples: int = 1000,
    seed: int = 0,
    strict: bool = False,
) -> dict[str, Any]:
    """The scores of the folder `predictions` on the rows of the folder `labels`, as plain numbers.

    Dimension -> aggregation -> metric as `card.scores` gives them, and under `ABOUT` all else: what
    was scored and how, what found no place, baselines, every recording. `dims` are those of
    `schema.DIMS` that both sides have, where not given. A label column is called as its dimension
    with `label_suffix`. Predictions are moved `lag_s` earlier; with `max_lag_s` all lags up to that
    are tried too. Raises an InputError where there is nothing to score, and with `strict` where
    anything found no place.
    """
    _check(lag_s, fps, max_lag_s, resamples, seed)
    of_predictions, of_labels = trace_files.recordings(predictions), trace_files.recordings(labels)
    names = sorted(of_predictions.keys() & of_labels.keys())
    if not names:
        raise InputError(
            f"{predictions} and {labels} have no recording in common: the first are "
            f"{min(of_predictions)!r} and {min(of_labels)!r}; name both files as the recording"
        )
    dims = _dims(dims, of_predictions[names[0]], of_labels[names[0]], label_suffix)
    group_of = _groups(groups, names)
    tally = Tally()
    tally.add_files("labels_without_file", of_labels, of_predictions)
    tally.add_files("predictions_without_file", of_predictions, of_labels)
    traces, own_traces, timed = [], [], True
    joined, marked = {"frame": 0, "time": 0}, 0
    for name in names:
        pair = align.pair(
            name,
            group_of[name],
            trace_files.read(of_predictions[name], dims, fps),
            trace_files.read(of_labels[name], [f"{dim}{label_suffix}" for dim in dims], fps, True),
            dims,
            tally,
        )
        if (lag_s or max_lag_s) and not pair.timed:
            raise InputError(
                f"{pair.predictions.path} and {pair.labels.path} have frames and no times, which a "
                "lag needs; give --fps"
            )
        joined[pair.by] += 1
        timed &= pair.timed
        marked += int(pair.labels.marked.sum())
        if len(pair.labels.values):
            traces.append(pair.on_labels(lag_s))
        if max_lag_s and len(pair.label_row):
            own_traces.append(pair.on_predictions())
    if strict and tally.first:
        fault, first = next(iter(tally.first.items()))
        raise InputError(f"--strict: {first} ({FAULTS[fault]}); in all: {tally.summary()}")
    if not any(trace.mask.any() for trace in traces):
        raise InputError(
            f"{predictions} has no prediction for a valid label of {labels} ({tally.summary()}, "
            f"label rows marked invalid: {marked}); look at the files"
        )
    scored = score_table.metric_card(traces, dims, None, formula, resamples, seed)
    if not timed:  # how long a label is held is told in seconds
        del scored["baselines"]["label_held_oracle"]
    sweeps = {}
    for i, dim in enumerate(dims if max_lag_s else ()):
        curve = lags.sweep(own_traces, i, max_lag_s)
        middle = curve.ccc[len(curve.ccc) // 2]
        sweeps[dim] = dataclasses.asdict(curve) | {"ccc_without": middle}
    about = {
        "predictions": str(predictions),
        "labels": str(labels),
        "files": {"predictions": len(of_predictions), "labels": len(of_labels)},
        "joined_by": joined,
        "lag_s": lag_s,
        "fps": fps,
        "counts": tally.counts | {"marked_invalid": marked},
        "first": tally.first,
        "lag_sweep": sweeps,
    }
    scores = scored.pop("scores")
    return {**scores, ABOUT: about | scored}


def text(result: Mapping[str, Any]) -> str:
    """The result for people: the card, and what it rests on."""
    lines = [*_remarks(result), *(f"\n{table}" for table in _sweep_tables(result))]
    return tables.text(*_titled(result)) + "\n" + "\n".join(lines) + "\n"


def markdown(result: Mapping[str, Any]) -> str:
    """The same as Markdown, to be pasted."""
    lines = [f"- {remark}" for remark in _remarks(result)]
    lines += [f"\n```\n{table}\n```" for table in _sweep_tables(result)]
    return tables.markdown(*_titled(result)) + "\n" + "\n".join(lines) + "\n"


def to_json(result: Mapping[str, Any]) -> str:
    """The result as one JSON object."""
    return json.dumps(result, indent=1, allow_nan=False) + "\n"


def _check(
    lag_s: float, fps: float | None, max_lag_s: float | None, resamples: int, seed: int
) -> None:
    if not math.isfinite(lag_s):
        raise InputError(f"--lag_s={lag_s} is no time; give seconds")
    for name, value in (("fps", fps), ("max_lag_s", max_lag_s)):
        if value is not None and not 0 < value < math.inf:
            raise InputError(f"--{name}={value:g} must be above 0")
    for name, count in (("resamples", resamples), ("seed", seed)):
        if count < 0:
            raise InputError(f"--{name}={count} must not be below 0")


def _dims(
    given: Sequence[str] | None, predictions: pathlib.Path, labels: pathlib.Path, suffix: str
) -> list[str]:
    """The dimensions to score: those given, or those of `DIMS` that two files have."""
    if given is not None:
        dims = [name for name in dict.fromkeys(dim.strip() for dim in given) if name]
        if not dims or ABOUT in dims:
            raise InputError(f"--dims={','.join(given)}: name columns, and none {ABOUT!r}")
        return dims
    predicted, labelled = trace_files.column_names(predictions), trace_files.column_names(labels)
    dims = [dim for dim in DIMS if dim in predicted and f"{dim}{suffix}".casefold() in labelled]
    if not dims:
        raise InputError(
            f"{predictions} has the columns {', '.join(map(repr, predicted))} and {labels} "
            f"{', '.join(map(repr, labelled))}: no {' or '.join(DIMS)} on both sides; name what to "
            "score by --dims"
        )
    return dims


def _groups(path: pathlib.Path | None, names: Sequence[str]) -> dict[str, str]:
    if path is None:
        return dict.fromkeys(names, "")
    found = trace_files.groups(path)
    for name in names:
        if name not in found:
            raise InputError(f"{path}: has no recording {name!r}; add its group")
    return found


def _titled(result: Mapping[str, Any]) -> tuple[str, dict[str, Any]]:
    """Title and card."""
    about = result[ABOUT]
    title = f"{about['predictions']} on {about['labels']}"
    return title, about | {"scores": {dim: result[dim] for dim in result if dim != ABOUT}}


def _remarks(result: Mapping[str, Any]) -> list[str]:
    """What the scores rest on, in lines."""
    about = result[ABOUT]
    files, joined, boot = about["files"], about["joined_by"], about["bootstrap"]
    ways = [f"{joined[key]} by {key}" for key in joined if joined[key]]
    lines = [
        f"scored: {', '.join(dim for dim in result if dim != ABOUT)}; {files['predictions']} "
        f"recordings of predictions and {files['labels']} of labels, joined {' and '.join(ways)}",
        f"CCC by the formula '{about['formula']}'; intervals: {boot['method']}, "
        f"{boot['resamples']} resamples, seed {boot['seed']}",
    ]
    if about["lag_s"]:
        lines.append(_moved(about["lag_s"]))
    for fault, first in about["first"].items():
        lines.append(f"{FAULTS[fault]}: {about['counts'][fault]}, the first {first}")
    if about["counts"]["marked_invalid"]:
        lines.append(f"label rows marked invalid: {about['counts']['marked_invalid']}")
    return lines


def _moved(lag_s: float) -> str:
    way = "earlier" if lag_s > 0 else "later"
    return f"predictions moved {abs(lag_s):.2f} s {way}" if lag_s else "predictions not moved"


def _sweep_tables(result: Mapping[str, Any]) -> Iterator[str]:
    """The lag sweep as text of fixed width, where there is one."""
    sweeps = result[ABOUT]["lag_sweep"]
    if not sweeps:
        return
    lines = ["pooled CCC (population) after predictions are moved earlier by a lag:"]
    for dim, found in sweeps.items():
        curve = {key: value for key, value in found.items() if key != "ccc_without"}
        curve = lags.LagCurve(**curve).thinned(CURVE_POINTS)
        lines += [
            f"{dim}: {found['ccc_without']:.3f} as predicted, at best {found['best_ccc']:.3f}, "
            f"{_moved(found['best_lag_s'])}",
            "  lag, s" + "".join(f"{lag_s:8.1f}" for lag_s in curve.lags_s),
            "  CCC   " + "".join(f"{ccc:8.3f}" for ccc in curve.ccc),
        ]
    lines.append("A lag chosen on the data that it is scored on is optimistic: choose it on dev,")
    lines.append("then give it by --lag_s.")
    yield "\n".join(lines)
