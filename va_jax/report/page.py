"""report.html: an evaluation as a single self-contained page for reading and sharing."""

import dataclasses
import pathlib
import struct
from collections.abc import Mapping, Sequence
from typing import Any

import numpy as np

from va_jax.evaluation.lags import LagCurve
from va_jax.evaluation.metrics import METRICS
from va_jax.io import write_bytes, write_text
from va_jax.pages.render import encoded, render
from va_jax.report import plots, recordings, tables, trace_plots
from va_jax.report.recordings import MINUS, Faces, format_score
from va_jax.types import DIMS, SPLITS, Trace

TEMPLATE = pathlib.Path(__file__).with_name("report.html")

LOSS, LAG = "plots/loss.png", "plots/lag.png"

Pictures = dict[str, bytes]
"""PNG files by their path in the workdir."""

SCRIPTS = (
    "uplot/uPlot.iife.min.js", "unpack.js", "columns.js", "thin.js", "timeline.js", "strip.js",
    "recording.js", "sort.js", "report.js",
)  # fmt: skip

FILTERS = {
    "score": format_score,
    "interval": lambda row, metric: tables.format_interval(row, metric).replace("-", MINUS),
    "interval_note": tables.interval_note,
    "count": "{:,}".format,
}


@dataclasses.dataclass(frozen=True)
class Split:
    """A split: its metrics table, in the form that `tables.text` reads, and its traces."""

    metrics_table: Mapping[str, Any]
    traces: Sequence[Trace]
    processed: Sequence[np.ndarray] | None = None  # post-processed predictions, one per trace

    @property
    def scored(self) -> bool:
        return tables.is_scored(self.metrics_table)


@dataclasses.dataclass(frozen=True)
class Evaluation:
    """Everything that the page shows."""

    title: str
    facts: Mapping[str, str]  # shown under the title, such as the data set and the checkpoint
    dims: Sequence[str]
    splits: Mapping[str, Split]  # the last labelled one is shown first, with all its recordings
    history: Sequence[Mapping[str, Any]] = ()  # lines of metrics.jsonl
    step: int | None = None  # step of the checkpoint
    lags: Mapping[str, LagCurve] = dataclasses.field(default_factory=dict)
    faces: Faces | None = None  # None if no frames are stored


def write(workdir: pathlib.Path, evaluation: Evaluation) -> None:
    """Write report.html, its plots in plots/, and traces_SPLIT.png for each split to `workdir`.

    Plots from an earlier evaluation are replaced; other files stay. If drawing fails, the earlier
    plots and the earlier page stay unchanged.
    """
    pictures: Pictures = {}
    text = render(TEMPLATE, _context(pictures, evaluation), SCRIPTS, FILTERS)
    for name, split in evaluation.splits.items():
        content = trace_plots.draw_traces(split.traces, evaluation.dims)
        pictures[f"traces_{name}.png"] = content
    write_pictures(workdir, pictures)
    write_text(workdir / "report.html", text)


def write_pictures(workdir: pathlib.Path, pictures: Pictures) -> None:
    """Write the pictures of an evaluation, and remove those of an earlier one that it lacks."""
    (workdir / "plots").mkdir(parents=True, exist_ok=True)
    for name, content in pictures.items():
        write_bytes(workdir / name, content)
    by_split = ("traces_{}.png", "plots/plane_{}.png", "plots/scatter_{}.png")
    every = [pattern.format(split) for pattern in by_split for split in SPLITS]
    for name in {LOSS, LAG, *every} - set(pictures):
        (workdir / name).unlink(missing_ok=True)


def _context(pictures: Pictures, evaluation: Evaluation) -> dict[str, Any]:
    """Return the variables for the template, and add the plots to `pictures`."""
    names = list(evaluation.splits)[::-1]
    order = sorted(names, key=lambda name: not evaluation.splits[name].scored)
    name, dims = order[0], evaluation.dims
    split = evaluation.splits[name]
    table, rmse = split.metrics_table, [0.0] * len(dims)
    if split.scored:
        rmse = [table["scores"][dim]["pooled"]["rmse"] for dim in dims]
    shown = recordings.recordings(
        name, split.traces, split.processed, table["recordings"], dims, evaluation.faces
    )
    panels = recordings.panels(dims, split.traces, rmse, split.processed is not None)
    context = {
        "evaluation": evaluation,
        "metrics": METRICS,
        "splits": [_split(pictures, evaluation.splits[name], name) for name in order],
        "recordings": shown,
        "worst": recordings.worst(shown) if split.scored else [],
        "worst_s": recordings.WORST_S,
        "spread": any(trace.spread is not None for trace in split.traces),
        "rmse": [format_score(value) for value in rmse],
        "summary": recordings.SUMMARY,
        "facts": recordings.facts(shown, panels, hidden=1),
    }
    if {line["kind"] for line in evaluation.history} >= {"train", "dev"}:
        content = plots.draw_losses(evaluation.history, dims, evaluation.step)
        alt = "Training loss and dev CCC by step"
        context["training"] = add_picture(pictures, LOSS, content, alt)
    if evaluation.lags:
        best = ", ".join(f"{dim} {c.best_lag_s:+.2f} s" for dim, c in evaluation.lags.items())
        alt = f"CCC on dev after a lag is removed from the predictions; highest at {best}"
        context["lag"] = add_picture(pictures, LAG, plots.draw_lags(evaluation.lags), alt)
    return context


def _split(pictures: Pictures, split: Split, name: str) -> dict[str, Any]:
    table = split.metrics_table
    dims = list(table["scores"]) if split.scored else []
    processed = table["processed"]["scores"] if "processed" in table else {}
    return {
        "name": name,
        "headline": tables.headline(name, table),
        "pictures": _densities(pictures, split, name, dims) if split.scored else {},
        "pooled_rows": {dim: list(map(_pooled, tables.groups(table, dim))) for dim in dims},
        "rows": {dim: list(tables.groups(table, dim)) for dim in dims},
        "baselines": {dim: list(tables.baseline_groups(table, dim)) for dim in dims},
        "subsets": _subsets(table, dims),
        "notes": list(tables.notes(table)),
        "bootstrap": table["bootstrap"],
        "pooled": {dim: table["scores"][dim]["pooled"] for dim in dims},
        "processed": {dim: processed[dim]["pooled"] for dim in dims if processed},
    }


def _pooled(group: tables.RowGroup) -> tables.RowGroup:
    """Return a group without the rows of other aggregations, which the page folds away."""
    if "pooled" not in group.rows:
        return group
    kept = {label: row for label, row in group.rows.items() if label.startswith("pooled")}
    return dataclasses.replace(group, rows=kept)


def _subsets(table: Mapping[str, Any], dims: Sequence[str]) -> dict[str, dict[str, Any]]:
    """Return the scores of each group of recordings, such as a culture, by dimension."""
    subsets: dict[str, dict[str, Any]] = {}
    for dim in dims:
        for label, row in table["scores"][dim].items():
            kind, _, name = label.partition(":")
            if kind == "group":
                subsets.setdefault(name, {})[dim] = row
    return subsets


def _densities(pictures: Pictures, split: Split, name: str, dims: Sequence[str]) -> dict[str, Any]:
    """Add the densities of labels and predictions, and their agreement; return them by title."""
    shown = {}
    target = np.concatenate([trace.target[trace.mask] for trace in split.traces])
    pred = np.concatenate([trace.pred[trace.mask] for trace in split.traces])
    if set(DIMS) <= set(dims):
        content = plots.draw_plane(target, pred, dims)
        alt = f"Densities of labels and predictions in the valence-arousal plane, {name}"
        path = f"plots/plane_{name}.png"
        shown["Valence and arousal"] = add_picture(pictures, path, content, alt)
    ccc = {dim: split.metrics_table["scores"][dim]["pooled"]["ccc"] for dim in dims}
    content = plots.draw_scatter(target, pred, ccc)
    scores = ", ".join(f"{dim} CCC {format_score(value)}" for dim, value in ccc.items())
    alt = f"Density of predictions against labels, {name}: {scores}"
    path = f"plots/scatter_{name}.png"
    shown["Prediction against label"] = add_picture(pictures, path, content, alt)
    return shown


def add_picture(pictures: Pictures, path: str, content: bytes, alt: str) -> dict[str, Any]:
    """Add a PNG to `pictures`, and return the template variables for showing it."""
    pictures[path] = content
    width, height = struct.unpack(">II", content[16:24])
    return {"alt": alt, "width": width, "height": height, "png": encoded(content)}
