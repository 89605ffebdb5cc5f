"""Score a folder of predictions against a folder of labels, and compute the metrics table."""

import collections
import dataclasses
import json
import math
import pathlib
from collections.abc import Mapping, Sequence
from typing import Any

from va_jax.evaluation import bootstrap, lags, score_table
from va_jax.evaluation.lags import LagCurve
from va_jax.io import Table
from va_jax.report import tables
from va_jax.scoring import files, folders
from va_jax.scoring.align import FAULTS, Pair, Tally, pair
from va_jax.scoring.files import TARGET, UNTIMED, Timing
from va_jax.types import DIMS, InputError

ABOUT = "about"
"""Key in the JSON output for everything except the scores of the dimensions."""

CURVE_POINTS = 11
"""Number of lags in a printed curve; the JSON output contains all lags."""


@dataclasses.dataclass(frozen=True)
class ScoreOptions:
    """Options for scoring predictions.

    Raises:
        InputError: a number is out of range.
    """

    dims: Sequence[str] | None = None  # None: the `DIMS` that both sides have
    label_suffix: str | None = None  # suffix of the label columns, such as `TARGET`; None: none
    groups: pathlib.Path | None = None  # csv file with the columns recording and group
    formula: str = "population"  # formula of the CCC, one of `metrics.FORMULAS`
    lag_s: float = 0.0  # seconds by which to move predictions earlier
    timing: Timing = UNTIMED  # how to identify rows if the column names leave it open
    max_lag_s: float | None = None  # also try all lags up to this one
    resamples: int = bootstrap.RESAMPLES
    seed: int = 0  # seed of the bootstrap
    strict: bool = False  # whether to refuse the data if any row or file does not match

    def __post_init__(self) -> None:
        if not math.isfinite(self.lag_s):
            raise InputError(f"--lag_s={self.lag_s}: must be a finite number of seconds")
        if self.max_lag_s is not None and not 0 < self.max_lag_s < math.inf:
            raise InputError(f"--max_lag_s={self.max_lag_s:g}: must be greater than 0")
        for name, count in (("resamples", self.resamples), ("seed", self.seed)):
            if count < 0:
                raise InputError(f"--{name}={count}: must be 0 or greater")


@dataclasses.dataclass(frozen=True)
class ScoreResult:
    """The scores of predictions, and facts about the data that they are based on."""

    predictions: pathlib.Path
    labels: pathlib.Path
    options: ScoreOptions
    dims: list[str]
    files: dict[str, int]  # numbers of recordings with predictions and with labels
    joined_by: dict[str, int]  # numbers of recordings joined by frame and by time
    counts: dict[str, int]  # rows or files for each key of `align.FAULTS`, and marked_invalid
    first: dict[str, str]  # first place of each fault that occurred
    lag_sweep: dict[str, LagCurve]  # by dimension; empty without `max_lag_s`
    table: dict[str, Any]  # the metrics table


def score(
    predictions: pathlib.Path, labels: pathlib.Path, options: ScoreOptions | None = None
) -> ScoreResult:
    """Score the files in the folder `predictions` on the rows of those in the folder `labels`.

    Both folders contain files called RECORDING.csv, with the same names.
    """
    options = options or ScoreOptions()
    sides = folders.find_recordings(predictions), folders.find_recordings(labels)
    tally = Tally()
    dims, pairs = _read_pairs(*sides, options, tally)
    if options.strict and tally.first:
        fault, first = next(iter(tally.first.items()))
        raise InputError(
            f"--strict: {first} ({FAULTS[fault]}); in total: {tally.summary()}; "
            "correct the files, or omit --strict"
        )
    timeless = next((each for each in pairs if not each.has_times), None)
    if timeless and (options.lag_s or options.max_lag_s):
        raise InputError(
            f"{timeless.predictions.path} and {timeless.labels.path} have frames but no times, "
            "and a lag requires times; set --fps"
        )
    _check_lags(pairs, options)
    traces = [each.on_labels(options.lag_s) for each in pairs]
    marked = sum(int(each.labels.excluded.sum()) for each in pairs)
    if not any(trace.mask.any() for trace in traces):
        raise InputError(
            f"{predictions}: no prediction matches a valid label in {labels} ({tally.summary()}, "
            f"label rows marked invalid: {marked}); check the files"
        )
    table = score_table.metrics_table(
        traces, dims, None, options.formula, options.resamples, options.seed
    )
    if timeless:  # the baseline repeats a label for a number of seconds
        del table["baselines"]["label_held_oracle"]
    sweep = {}
    if options.max_lag_s:
        on_predictions = [each.on_predictions() for each in pairs if len(each.label_row)]
        for i, dim in enumerate(dims):
            sweep[dim] = lags.sweep(on_predictions, i, options.max_lag_s)
    joined_by = collections.Counter(each.joined_by for each in pairs)
    return ScoreResult(
        predictions,
        labels,
        options,
        dims,
        dict(zip(("predictions", "labels"), map(len, sides), strict=True)),
        {key: joined_by[key] for key in ("frame", "time")},
        tally.counts | {"marked_invalid": marked},
        tally.first,
        sweep,
        table,
    )


def _check_lags(pairs: Sequence[Pair], options: ScoreOptions) -> None:
    """Raise InputError if a lag is longer than all recordings, which would leave nothing."""
    times = [each.labels.time_s for each in pairs if each.labels.time_s is not None]
    longest_s = max((float(x[-1] - x[0]) for x in times if len(x)), default=0.0)
    for name, lag_s in (("lag_s", options.lag_s), ("max_lag_s", options.max_lag_s or 0.0)):
        if lag_s and abs(lag_s) >= longest_s:
            raise InputError(
                f"--{name}={lag_s:g}: the longest recording has {longest_s:.1f} s; set a smaller "
                "value"
            )


def _read_pairs(
    of_predictions: Mapping[str, pathlib.Path],
    of_labels: Mapping[str, pathlib.Path],
    options: ScoreOptions,
    tally: Tally,
) -> tuple[list[str], list[Pair]]:
    """Return the dimensions to score, and a `Pair` for each recording that both sides have."""
    names = sorted(of_predictions.keys() & of_labels.keys())
    if not names:
        (first, path), (other, other_path) = (
            next(iter(paths.items())) for paths in (of_predictions, of_labels)
        )
        raise InputError(
            f"predictions and labels have no recording in common: the first prediction is "
            f"{first!r} ({path}), and the first label is {other!r} ({other_path}); give the files "
            "of a recording the same name"
        )
    for fault, paths, others in (
        ("labels_without_file", of_labels, of_predictions),
        ("predictions_without_file", of_predictions, of_labels),
    ):
        tally.add(fault, [path for name, path in paths.items() if name not in others])
    groups = (
        dict.fromkeys(names, "") if options.groups is None else folders.read_groups(options.groups)
    )
    dims = _choose_dims(options, of_predictions[names[0]], of_labels[names[0]])
    label_columns = [f"{dim}{options.label_suffix or ''}" for dim in dims]
    pairs, timing = [], options.timing
    for name in names:
        if name not in groups:
            raise InputError(
                f"{options.groups}: no row for recording {name!r}; add a row with its group"
            )
        predictions = files.read_trace_file(of_predictions[name], dims, timing)
        labels = files.read_trace_file(of_labels[name], label_columns, timing, has_marks=True)
        pairs.append(pair(predictions, labels, tally, name, groups[name]))
    return dims, pairs


def text(result: ScoreResult) -> str:
    """Return the metrics table as text, followed by remarks about the data and the lag sweep."""
    parts = ["\n".join(_remarks(result)), *_sweep_tables(result)]
    return "\n".join([tables.text(_title(result), result.table), "\n\n".join(parts), ""])


def markdown(result: ScoreResult) -> str:
    """Return the content of `text` as Markdown."""
    parts = ["\n".join(f"- {remark}" for remark in _remarks(result))]
    parts += [f"```\n{table}\n```" for table in _sweep_tables(result)]
    return "\n".join([tables.markdown(_title(result), result.table), "\n\n".join(parts), ""])


def to_json(result: ScoreResult) -> str:
    """Return the result as a JSON object: a key for each dimension, and `about` for the rest."""
    about: dict[str, Any] = {
        "predictions": str(result.predictions),
        "labels": str(result.labels),
        "files": result.files,
        "joined_by": result.joined_by,
        "lag_s": result.options.lag_s,
        **dataclasses.asdict(result.options.timing),
        "counts": result.counts,
        "first": result.first,
        "lag_sweep": {
            dim: dataclasses.asdict(curve) | {"ccc_without": _ccc_without(curve)}
            for dim, curve in result.lag_sweep.items()
        },
    }
    about |= {key: value for key, value in result.table.items() if key != "scores"}
    return json.dumps({**result.table["scores"], ABOUT: about}, indent=1, allow_nan=False) + "\n"


def _choose_dims(
    options: ScoreOptions, predictions: pathlib.Path, labels: pathlib.Path
) -> list[str]:
    """Return the requested dimensions, or the `DIMS` that both files have."""
    labelled, suffix = files.read_header(labels, options.timing), options.label_suffix
    traced = [name for name in labelled if name.endswith(TARGET)]
    if suffix is None and traced:
        raise InputError(
            f"{labels}: these are traces of a run, with labels in {', '.join(map(repr, traced))} "
            f"and predictions in the columns without {TARGET}; set --label_suffix={TARGET} to "
            "score against the labels, or --label_suffix= to score against the predictions"
        )
    if options.dims is not None:
        if not options.dims or ABOUT in options.dims:
            raise InputError(
                f"--dims={','.join(options.dims)}: list one or more columns other than {ABOUT!r}"
            )
        return list(dict.fromkeys(options.dims))
    predicted = files.read_header(predictions, options.timing)
    wanted = {dim: f"{dim}{suffix or ''}".casefold() for dim in DIMS}
    dims = [dim for dim in DIMS if dim in predicted and wanted[dim] in labelled]
    if not dims:
        raise InputError(
            f"{predictions} has the columns {', '.join(map(repr, predicted))}; {labels} has the "
            f"columns {', '.join(map(repr, labelled))}; neither {' nor '.join(DIMS)} is in both; "
            "set the columns to score with --dims"
        )
    return dims


def _title(result: ScoreResult) -> str:
    return f"{result.predictions} on {result.labels}"


def _remarks(result: ScoreResult) -> list[str]:
    boot = result.table["bootstrap"]
    joined = [f"{count} joined by {key}" for key, count in result.joined_by.items() if count]
    lines = [
        f"scored: {', '.join(result.dims)}; recordings: {result.files['predictions']} with "
        f"predictions, {result.files['labels']} with labels; {' and '.join(joined)}",
        f"CCC formula '{result.options.formula}'; intervals: {boot['method']}, "
        f"{boot['resamples']} resamples, seed {boot['seed']}",
    ]
    if result.options.lag_s:
        lines.append(_describe_shift(result.options.lag_s))
    for fault, first in result.first.items():
        lines.append(f"{FAULTS[fault]}: {result.counts[fault]} (first: {first})")
    if result.counts["marked_invalid"]:
        lines.append(f"label rows marked invalid: {result.counts['marked_invalid']}")
    return lines


def _describe_shift(lag_s: float) -> str:
    direction = "earlier" if lag_s > 0 else "later"
    return f"predictions moved {abs(lag_s):.2f} s {direction}" if lag_s else "predictions not moved"


def _ccc_without(curve: LagCurve) -> float:
    return curve.ccc[len(curve.ccc) // 2]  # for predictions that are not moved


def _sweep_tables(result: ScoreResult) -> list[str]:
    """Return the lag sweep, if there is one, as fixed-width text."""
    if not result.lag_sweep:
        return []
    lines = ["pooled CCC (population formula) after moving the predictions earlier by each lag:"]
    for dim, curve in result.lag_sweep.items():
        thinned = curve.thinned(CURVE_POINTS)
        row = ["CCC", *(f"{ccc:.3f}" for ccc in thinned.ccc)]
        lines += [
            f"{dim}: {_ccc_without(curve):.3f} as predicted; highest at {curve.best_ccc:.3f} with "
            f"{_describe_shift(curve.best_lag_s)}",
            Table(["lag, s", *(f"{lag_s:.1f}" for lag_s in thinned.lags_s)], [row]).text(),
        ]
    lines.append(
        "If the lag is chosen on the data that is scored, the CCC is optimistic: choose it on dev,"
    )
    lines.append("then pass it as --lag_s.")
    return ["\n".join(lines)]
