"""report.html: an evaluation as a single self-contained page for reading and sharing."""

import base64
import dataclasses
import hashlib
import pathlib
import struct
from collections.abc import Callable, Mapping, Sequence
from typing import Any

import jinja2
import numpy as np

from va_jax.evaluation.lags import LagCurve
from va_jax.evaluation.metrics import METRICS
from va_jax.io import replacing, write_text
from va_jax.report import plots, tables, trace_plots
from va_jax.types import DIMS, Trace, file_name, natural_key

WORST, WORST_S = 5, 2.0
"""Number of worst recordings to show, and the minimum number of scored seconds for a recording to
be among them."""

THUMBNAILS = 8
"""Number of frames to show from each of the worst recordings, evenly spaced."""

SUMMARY = ("ccc", "rmse")
"""Metrics to show for individual recordings."""

MINUS, UNKNOWN = "\N{MINUS SIGN}", "\N{EN DASH}"


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
    thumbnails: Callable[[str, int, np.ndarray], Sequence[bytes]] | None = None
    """Function of (split, index of the trace in it, frame numbers) that returns JPEG bytes for each
    frame, or b"" if it has no face."""


def write(workdir: pathlib.Path, evaluation: Evaluation) -> None:
    """Write report.html, its plots in plots/, and traces_SPLIT.png for each split to `workdir`.

    Plots from an earlier evaluation are replaced. If drawing fails, the earlier plots and the
    earlier page stay unchanged.
    """
    with replacing(workdir / "plots") as folder:
        (folder / "traces").mkdir(parents=True)
        text = environment().get_template("template.html").render(_context(folder, evaluation))
        for path in workdir.glob("traces_*.png"):
            if path.stem.removeprefix("traces_") not in evaluation.splits:
                path.unlink()
        for name, split in evaluation.splits.items():
            trace_plots.plot_traces(workdir / f"traces_{name}.png", split.traces, evaluation.dims)
    write_text(workdir / "report.html", text.lstrip())


def environment() -> jinja2.Environment:
    """Return the environment for rendering the templates in this folder."""
    found = jinja2.Environment(
        loader=jinja2.FileSystemLoader(pathlib.Path(__file__).parent),
        autoescape=True, undefined=jinja2.StrictUndefined, trim_blocks=True, lstrip_blocks=True,
    )  # fmt: skip
    found.filters |= {
        "score": _score,
        "interval": lambda row, metric: tables.format_interval(row, metric).replace("-", MINUS),
        "interval_note": tables.interval_note,
        "count": "{:,}".format,
        "sha256": lambda text: _base64(hashlib.sha256(text.encode()).digest()),
    }
    return found


def _context(folder: pathlib.Path, evaluation: Evaluation) -> dict[str, Any]:
    """Return the variables for the template, and write the plots to `folder`."""
    names = list(evaluation.splits)[::-1]
    order = sorted(names, key=lambda name: not evaluation.splits[name].scored)
    detailed = evaluation.splits[order[0]]
    recordings = _recordings(folder, detailed, order[0], evaluation.dims)
    context = {
        "evaluation": evaluation,
        "metrics": METRICS,
        "splits": [_split(folder, evaluation.splits[name], name) for name in order],
        "recordings": recordings,
        "worst": _worst(evaluation, order[0], recordings),
        "worst_s": WORST_S,
        "spread": any(trace.spread is not None for trace in detailed.traces),
        "summary": SUMMARY,
    }
    if {line["kind"] for line in evaluation.history} >= {"train", "dev"}:
        content = plots.draw_losses(evaluation.history, evaluation.dims, evaluation.step)
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
        "rows": {dim: list(tables.groups(table, dim)) for dim in dims},
        "baselines": {dim: list(tables.baseline_groups(table, dim)) for dim in dims},
        "notes": list(tables.notes(table)),
        "bootstrap": table["bootstrap"],
        "pooled": {dim: table["scores"][dim]["pooled"] for dim in dims},
        "processed": {dim: processed[dim]["pooled"] for dim in dims if processed},
    }


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
    scores = ", ".join(f"{dim} CCC {_score(value)}" for dim, value in ccc.items())
    alt = f"Density of predictions against labels, {name}: {scores}"
    pictures["Prediction against label"] = picture(folder / f"scatter_{name}.png", content, alt)
    return pictures


def _recordings(
    folder: pathlib.Path, split: Split, name: str, dims: Sequence[str]
) -> list[dict[str, Any]]:
    """Return the page content for each recording in a split, ordered by track id."""
    table, band, rmse = split.metrics_table, "no label", [0.0] * len(dims)
    if split.scored:
        rmse = [table["scores"][dim]["pooled"]["rmse"] for dim in dims]
        band = f"label ± RMSE pooled over {name} ({', '.join(map(tables.format_score, rmse))})"
    order = sorted(enumerate(split.traces), key=lambda pair: natural_key(pair[1].track.track_id))
    recordings = []
    for place, (index, trace) in enumerate(order, 1):
        track_id, seconds = trace.track.track_id, float(trace.time_s[-1] - trace.time_s[0])
        scores = table["recordings"].get(track_id, {})
        summaries = {
            dim: ", ".join(f"{metric.upper()} {_score(row[metric])}" for metric in SUMMARY)
            for dim, row in scores.items()
        }
        titles = [f"{dim}: {summaries.get(dim, 'not scored')}" for dim in dims]
        processed = None if split.processed is None else split.processed[index]
        content = trace_plots.draw_recording(trace, titles, rmse, band, processed)
        alt = f"{track_id}: label and prediction over {seconds:.1f} s; {'; '.join(titles)}"
        recordings.append({
            "index": index, "anchor": f"trace-{place}", "track_id": track_id,
            "group": trace.track.group, "seconds": seconds, "frames": len(trace.pred),
            "fps": trace.track.fps, "scored": int(trace.mask.sum()), "scores": scores,
            "titles": titles,
            "picture": picture(folder / "traces" / f"{file_name(track_id)}.png", content, alt),
        })  # fmt: skip
    return recordings


def _worst(
    evaluation: Evaluation, name: str, recordings: Sequence[Mapping[str, Any]]
) -> list[dict[str, Any]]:
    """Return the recordings with the lowest CCC, averaged over dimensions, with thumbnails."""
    long = [each for each in recordings if each["scored"] / each["fps"] >= WORST_S]
    long.sort(key=lambda each: np.mean([row["ccc"] for row in each["scores"].values()]))
    worst = []
    for each in long[:WORST]:
        trace, thumbnails = evaluation.splits[name].traces[each["index"]], []
        if evaluation.thumbnails:
            places = np.linspace(0, each["frames"] - 1, THUMBNAILS).round().astype(int)
            jpegs = evaluation.thumbnails(name, each["index"], frames := np.unique(places))
            thumbnails = [
                {"time_s": trace.time_s[frame], "scored": trace.mask[frame], "jpeg": _base64(jpeg)}
                for frame, jpeg in zip(frames, jpegs, strict=True)
            ]
        worst.append({**each, "thumbnails": thumbnails})
    return worst


def picture(path: pathlib.Path, content: bytes, alt: str) -> dict[str, Any]:
    """Write a PNG to `path`, and return the template variables for showing it."""
    path.write_bytes(content)
    width, height = struct.unpack(">II", content[16:24])
    return {"alt": alt, "width": width, "height": height, "png": _base64(content)}


def _score(value: float | None) -> str:
    return UNKNOWN if value is None else tables.format_score(value).replace("-", MINUS)


def _base64(content: bytes) -> str:
    return base64.b64encode(content).decode()
