"""report.html: an evaluation as a single self-contained page for reading and sharing."""

import dataclasses
import pathlib
import struct
from collections.abc import Mapping, Sequence
from typing import Any

import numpy as np

from va_jax.evaluation.lags import LagCurve
from va_jax.evaluation.metrics import METRICS
from va_jax.io import replacing, write_text
from va_jax.pages.render import encoded, render
from va_jax.report import plots, recordings, tables, trace_plots
from va_jax.report.recordings import MINUS, Faces, format_score
from va_jax.types import DIMS, Trace

TEMPLATE = pathlib.Path(__file__).with_name("report.html")

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

    Plots from an earlier evaluation are replaced. If drawing fails, the earlier plots and the
    earlier page stay unchanged.
    """
    with replacing(workdir / "plots") as folder:
        folder.mkdir(parents=True)
        text = render(TEMPLATE, _context(folder, evaluation), SCRIPTS, FILTERS)
        for path in workdir.glob("traces_*.png"):
            if path.stem.removeprefix("traces_") not in evaluation.splits:
                path.unlink()
        for name, split in evaluation.splits.items():
            trace_plots.plot_traces(workdir / f"traces_{name}.png", split.traces, evaluation.dims)
    write_text(workdir / "report.html", text)


def _context(folder: pathlib.Path, evaluation: Evaluation) -> dict[str, Any]:
    """Return the variables for the template, and write the plots to `folder`."""
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
        "splits": [_split(folder, evaluation.splits[name], name) for name in order],
        "recordings": shown,
        "worst": recordings.worst(shown) if split.scored else [],
        "worst_s": recordings.WORST_S,
        "spread": any(trace.spread is not None for trace in split.traces),
        "rmse": [format_score(value) for value in rmse],
        "summary": recordings.SUMMARY,
        "facts": recordings.facts(shown, panels),
    }
    if {line["kind"] for line in evaluation.history} >= {"train", "dev"}:
        content = plots.draw_losses(evaluation.history, dims, evaluation.step)
        alt = "Training loss and dev CCC by step"
        context["training"] = picture(folder / "loss.png", content, alt)
    if evaluation.lags:
        best = ", ".join(f"{dim} {c.best_lag_s:+.2f} s" for dim, c in evaluation.lags.items())
        alt = f"CCC on dev after a lag is removed from the predictions; highest at {best}"
        context["lag"] = picture(folder / "lag.png", plots.draw_lags(evaluation.lags), alt)
    return context


def _split(folder: pathlib.Path, split: Split, name: str) -> dict[str, Any]:
    table = split.metrics_table
    dims = list(table["scores"]) if split.scored else []
    processed = table["processed"]["scores"] if "processed" in table else {}
    return {
        "name": name,
        "headline": tables.headline(name, table),
        "pictures": _densities(folder, split, name, dims) if split.scored else {},
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


def _densities(
    folder: pathlib.Path, split: Split, name: str, dims: Sequence[str]
) -> dict[str, Any]:
    """Return plots by title: the densities of labels and predictions, and their agreement."""
    pictures = {}
    target = np.concatenate([trace.target[trace.mask] for trace in split.traces])
    pred = np.concatenate([trace.pred[trace.mask] for trace in split.traces])
    if set(DIMS) <= set(dims):
        content = plots.draw_plane(target, pred, dims)
        alt = f"Densities of labels and predictions in the valence-arousal plane, {name}"
        pictures["Valence and arousal"] = picture(folder / f"plane_{name}.png", content, alt)
    ccc = {dim: split.metrics_table["scores"][dim]["pooled"]["ccc"] for dim in dims}
    content = plots.draw_scatter(target, pred, ccc)
    scores = ", ".join(f"{dim} CCC {format_score(value)}" for dim, value in ccc.items())
    alt = f"Density of predictions against labels, {name}: {scores}"
    pictures["Prediction against label"] = picture(folder / f"scatter_{name}.png", content, alt)
    return pictures


def picture(path: pathlib.Path, content: bytes, alt: str) -> dict[str, Any]:
    """Write a PNG to `path`, and return the template variables for showing it."""
    path.write_bytes(content)
    width, height = struct.unpack(">II", content[16:24])
    return {"alt": alt, "width": width, "height": height, "png": encoded(content)}
