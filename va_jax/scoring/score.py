"""Score folders of predictions against folders of labels with the metrics table."""

import dataclasses
import json
import math
import pathlib
from collections.abc import Iterator, Mapping, Sequence
from typing import Any

from va_jax.evaluation import bootstrap, lags, score_table
from va_jax.evaluation.lags import LagCurve
from va_jax.io import Table
from va_jax.report import tables
from va_jax.scoring import files
from va_jax.scoring.align import FAULTS, Pair, Tally, pair
from va_jax.types import DIMS, InputError, Trace

ABOUT = "about"
"""Key of the JSON output that holds everything except the scores of the dimensions."""

CURVE_POINTS = 11
"""Lags of a printed curve; JSON has them all."""


@dataclasses.dataclass(frozen=True)
class ScoreOptions:
    """How predictions are scored.

    Raises:
        InputError: a number is out of its range.
    """

    dims: Sequence[str] | None = None  # None: those of `DIMS` that both sides have
    label_suffix: str = ""  # of the label columns, such as _target in the traces of a run
    groups: pathlib.Path | None = None  # csv file with the columns recording and group
    formula: str = "population"  # of the CCC, one of `metrics.FORMULAS`
    lag_s: float = 0.0  # seconds by which predictions are moved earlier
    fps: float | None = None  # frames per second of files with frames only
    max_lag_s: float | None = None  # also try all lags up to this
    resamples: int = bootstrap.RESAMPLES
    seed: int = 0  # of the bootstrap
    strict: bool = False  # refuse the data if any row or file does not match

    def __post_init__(self) -> None:
        if not math.isfinite(self.lag_s):
            raise InputError(f"--lag_s={self.lag_s}: not a finite number; give seconds")
        for name, value in (("fps", self.fps), ("max_lag_s", self.max_lag_s)):
            if value is not None and not 0 < value < math.inf:
                raise InputError(f"--{name}={value:g}: not above 0; give a positive number")
        for name, count in (("resamples", self.resamples), ("seed", self.seed)):
            if count < 0:
                raise InputError(f"--{name}={count}: below 0; give 0 or more")


@dataclasses.dataclass(frozen=True)
class ScoreResult:
    """The scores of predictions, and the data that they rest on."""

    predictions: pathlib.Path
    labels: pathlib.Path
    options: ScoreOptions
    dims: list[str]
    files: dict[str, int]  # recordings of the predictions and of the labels
    joined_by: dict[str, int]  # recordings joined by frame and by time
    counts: dict[str, int]  # rows and files by the keys of `align.FAULTS`, and marked_invalid
    first: dict[str, str]  # first place of each fault that occurred
    lag_sweep: dict[str, LagCurve]  # by dimension; empty without `max_lag_s`
    table: dict[str, Any]  # the metrics table


def score(
    predictions: pathlib.Path, labels: pathlib.Path, options: ScoreOptions | None = None
) -> ScoreResult:
    """Score the folder `predictions` on the rows of the folder `labels`.

    Args:
        predictions: folder of RECORDING.csv files.
        labels: folder of files with the same names.
        options: how to score; the defaults if not given.

    Raises:
        InputError: there is nothing to score, or with `strict` something does not match.
    """
    options = options or ScoreOptions()
    of_predictions, of_labels = files.find_recordings(predictions), files.find_recordings(labels)
    names = sorted(of_predictions.keys() & of_labels.keys())
    if not names:
        raise InputError(
            f"{predictions} and {labels} have no recording in common: the first ones are "
            f"{min(of_predictions)!r} and {min(of_labels)!r}; name both files after the recording"
        )
    dims = _choose_dims(options, of_predictions[names[0]], of_labels[names[0]])
    groups = _read_groups(options.groups, names)
    tally = Tally()
    tally.add_files("labels_without_file", of_labels, of_predictions)
    tally.add_files("predictions_without_file", of_predictions, of_labels)
    joined = _Joined()
    for name in names:
        label_columns = [f"{dim}{options.label_suffix}" for dim in dims]
        sides = (
            files.read_trace_file(of_predictions[name], dims, options.fps),
            files.read_trace_file(of_labels[name], label_columns, options.fps, has_marks=True),
        )
        joined.add(pair(name, groups[name], *sides, dims, tally), options)
    if options.strict and tally.first:
        fault, first = next(iter(tally.first.items()))
        raise InputError(
            f"--strict: {first} ({FAULTS[fault]}); in total: {tally.summary()}; "
            "correct the files, or leave --strict out"
        )
    if not any(trace.mask.any() for trace in joined.traces):
        raise InputError(
            f"{predictions}: no prediction for a valid label of {labels} ({tally.summary()}, "
            f"label rows marked invalid: {joined.excluded}); check the files"
        )
    table = score_table.metrics_table(
        joined.traces, dims, None, options.formula, options.resamples, options.seed
    )
    if not joined.has_times:  # the baseline holds a label for a number of seconds
        del table["baselines"]["label_held_oracle"]
    sweep = {
        dim: lags.sweep(joined.sweep_traces, i, options.max_lag_s)
        for i, dim in enumerate(dims)
        if options.max_lag_s
    }
    return ScoreResult(
        predictions,
        labels,
        options,
        dims,
        {"predictions": len(of_predictions), "labels": len(of_labels)},
        joined.by,
        tally.counts | {"marked_invalid": joined.excluded},
        tally.first,
        sweep,
        table,
    )


def text(result: ScoreResult) -> str:
    """Return the metrics table as text, followed by remarks about the data and the lag sweep."""
    parts = ["\n".join(_remarks(result)), *_sweep_tables(result)]
    return tables.text(_title(result), result.table) + "\n" + "\n\n".join(parts) + "\n"


def markdown(result: ScoreResult) -> str:
    """Return the same as Markdown."""
    parts = ["\n".join(f"- {remark}" for remark in _remarks(result))]
    parts += [f"```\n{table}\n```" for table in _sweep_tables(result)]
    return tables.markdown(_title(result), result.table) + "\n" + "\n\n".join(parts) + "\n"


def to_json(result: ScoreResult) -> str:
    """Return the result as a JSON object: a key for each dimension, and `about` for the rest."""
    about: dict[str, Any] = {
        "predictions": str(result.predictions),
        "labels": str(result.labels),
        "files": result.files,
        "joined_by": result.joined_by,
        "lag_s": result.options.lag_s,
        "fps": result.options.fps,
        "counts": result.counts,
        "first": result.first,
        "lag_sweep": {
            dim: dataclasses.asdict(curve) | {"ccc_without": _ccc_without(curve)}
            for dim, curve in result.lag_sweep.items()
        },
    }
    about |= {key: value for key, value in result.table.items() if key != "scores"}
    return json.dumps({**result.table["scores"], ABOUT: about}, indent=1, allow_nan=False) + "\n"


class _Joined:
    """Traces of all recordings, and how they were joined."""

    def __init__(self) -> None:
        self.traces: list[Trace] = []  # on the label rows
        self.sweep_traces: list[Trace] = []  # on the prediction rows, not moved by a lag
        self.by = {"frame": 0, "time": 0}
        self.excluded = 0  # label rows marked invalid
        self.has_times = True  # of every recording

    def add(self, recording: Pair, options: ScoreOptions) -> None:
        if (options.lag_s or options.max_lag_s) and not recording.has_times:
            raise InputError(
                f"{recording.predictions.path} and {recording.labels.path} have frames without "
                "times, but a lag needs times; give --fps"
            )
        self.by[recording.joined_by] += 1
        self.has_times &= recording.has_times
        self.excluded += int(recording.labels.excluded.sum())
        if len(recording.labels.values):
            self.traces.append(recording.on_labels(options.lag_s))
        if options.max_lag_s and len(recording.label_row):
            self.sweep_traces.append(recording.on_predictions())


def _choose_dims(
    options: ScoreOptions, predictions: pathlib.Path, labels: pathlib.Path
) -> list[str]:
    """Return the dimensions asked for, or those of `DIMS` that both files have."""
    if options.dims is not None:
        dims = [name for name in dict.fromkeys(dim.strip() for dim in options.dims) if name]
        if not dims or ABOUT in dims:
            raise InputError(
                f"--dims={','.join(options.dims)}: name one or more columns, and not {ABOUT!r}"
            )
        return dims
    predicted, labelled = files.read_header(predictions), files.read_header(labels)
    suffix = options.label_suffix
    dims = [dim for dim in DIMS if dim in predicted and f"{dim}{suffix}".casefold() in labelled]
    if not dims:
        raise InputError(
            f"{predictions} has the columns {', '.join(map(repr, predicted))} and {labels} "
            f"{', '.join(map(repr, labelled))}: no {' or '.join(DIMS)} on both sides; name the "
            "columns to score with --dims"
        )
    return dims


def _read_groups(path: pathlib.Path | None, names: Sequence[str]) -> Mapping[str, str]:
    if path is None:
        return dict.fromkeys(names, "")
    groups = files.read_groups(path)
    for name in names:
        if name not in groups:
            raise InputError(f"{path}: no row for recording {name!r}; add its group")
    return groups


def _title(result: ScoreResult) -> str:
    return f"{result.predictions} on {result.labels}"


def _remarks(result: ScoreResult) -> list[str]:
    """Return lines about the data that the scores rest on."""
    boot = result.table["bootstrap"]
    joined = [f"{count} by {key}" for key, count in result.joined_by.items() if count]
    lines = [
        f"scored: {', '.join(result.dims)}; recordings: {result.files['predictions']} with "
        f"predictions, {result.files['labels']} with labels; joined {' and '.join(joined)}",
        f"CCC formula '{result.options.formula}'; intervals: {boot['method']}, "
        f"{boot['resamples']} resamples, seed {boot['seed']}",
    ]
    if result.options.lag_s:
        lines.append(_describe_shift(result.options.lag_s))
    for fault, first in result.first.items():
        lines.append(f"{FAULTS[fault]}: {result.counts[fault]}, first {first}")
    if result.counts["marked_invalid"]:
        lines.append(f"label rows marked invalid: {result.counts['marked_invalid']}")
    return lines


def _describe_shift(lag_s: float) -> str:
    direction = "earlier" if lag_s > 0 else "later"
    return f"predictions moved {abs(lag_s):.2f} s {direction}" if lag_s else "predictions not moved"


def _ccc_without(curve: LagCurve) -> float:
    """Return the CCC of predictions that are not moved: the middle of the curve."""
    return curve.ccc[len(curve.ccc) // 2]


def _sweep_tables(result: ScoreResult) -> Iterator[str]:
    """Return the lag sweep as text of fixed width, if there is one."""
    if not result.lag_sweep:
        return
    lines = ["pooled CCC (population) after the predictions are moved earlier by a lag:"]
    for dim, curve in result.lag_sweep.items():
        thinned = curve.thinned(CURVE_POINTS)
        row = ["CCC", *(f"{ccc:.3f}" for ccc in thinned.ccc)]
        lines += [
            f"{dim}: {_ccc_without(curve):.3f} as predicted; best {curve.best_ccc:.3f} with "
            f"{_describe_shift(curve.best_lag_s)}",
            Table(["lag, s", *(f"{lag_s:.1f}" for lag_s in thinned.lags_s)], [row]).text(),
        ]
    lines.append("A lag chosen on the data on which it is scored is optimistic: choose it on dev,")
    lines.append("then pass it as --lag_s.")
    yield "\n".join(lines)
