"""What the page tells of whole splits, and the record of an evaluation it is told from."""

import base64
import dataclasses
import pathlib
import struct
from collections.abc import Callable, Mapping, Sequence
from html import escape
from typing import Any

import numpy as np

from va_jax.evaluation.lags import LagCurve
from va_jax.report import page_tables, plots, tables
from va_jax.report.page_tables import shown
from va_jax.types import DIMS, Trace


@dataclasses.dataclass(frozen=True)
class Split:
    """A split: its card, as `card_text.text` reads it, and the traces it was made from."""

    card: Mapping[str, Any]
    traces: Sequence[Trace]
    processed: Sequence[np.ndarray] | None = None  # post-processed predictions, one per trace

    @property
    def scored(self) -> bool:
        return all(self.card["scores"].values())


@dataclasses.dataclass(frozen=True)
class Evaluation:
    """All that the page tells."""

    title: str
    facts: Mapping[str, str]  # what stands under the title: the data set, the checkpoint ..
    dims: Sequence[str]
    splits: Mapping[str, Split]  # the traces of the last one that has labels are all shown
    history: Sequence[Mapping[str, Any]] = ()  # the lines of metrics.jsonl
    step: int | None = None  # of the checkpoint
    lags: Mapping[str, LagCurve] = dataclasses.field(default_factory=dict)
    thumbnails: Callable[[str, int, np.ndarray], Sequence[bytes]] | None = None
    """JPEG bytes of frames: split, place of the trace in it, their numbers; b"" without a face."""


def scores(evaluation: Evaluation) -> str:
    """The card of every split: all metrics under all aggregations, baselines, ceilings."""
    parts = []
    for name, split in evaluation.splits.items():
        parts.append(f"<h3>{escape(tables.head(name, split.card))}</h3>")
        if not split.scored:
            continue
        parts.append(page_tables.card_tables(split.card))
        told = [
            f"<li>{escape(dim)}, {escape(note)}</li>"
            for dim in evaluation.dims
            for note in tables.notes(split.card, dim)
        ]
        parts += ['<ul class="pale">', *told, "</ul>"] if told else []
        every = page_tables.baseline_tables(split.card)
        parts.append(f"<details><summary>baselines, aggregated alike</summary>{every}</details>")
        if bootstrap := split.card.get("bootstrap"):
            parts.append(
                f'<p class="pale">Intervals: {bootstrap["level"]:.0%}, '
                f"{escape(bootstrap['method'])}, {bootstrap['resamples']:,} resamples.</p>"
            )
    return "\n".join(parts)


def training(folder: pathlib.Path, evaluation: Evaluation) -> str:
    """Losses over the steps; empty where the run has told none."""
    if not {line["kind"] for line in evaluation.history} >= {"train", "dev"}:
        return ""
    content = plots.loss(evaluation.history, evaluation.dims, evaluation.step)
    return picture(folder / "loss.png", content, "Training loss and dev CCC over the steps")


def plane(folder: pathlib.Path, evaluation: Evaluation) -> str:
    """Where labels and predictions lie; empty where the set lacks valence or arousal."""
    if not set(DIMS) <= set(evaluation.dims):
        return ""
    return _for_scored(
        evaluation,
        lambda name, target, pred, split: picture(
            folder / f"plane_{name}.png",
            plots.plane(target, pred, evaluation.dims),
            f"Density of labels and of predictions over valence and arousal, {name}",
        ),
    )


def agreement(folder: pathlib.Path, evaluation: Evaluation) -> str:
    """Predictions over labels, of every split that has labels."""

    def draw(name: str, target: np.ndarray, pred: np.ndarray, split: Split) -> str:
        ccc = [split.card["scores"][dim]["pooled"]["ccc"] for dim in evaluation.dims]
        told = ", ".join(f"{d} CCC {shown(c)}" for d, c in zip(evaluation.dims, ccc, strict=True))
        content = plots.scatter(target, pred, evaluation.dims, ccc)
        alt = f"Density of predictions over labels, {name}: {told}"
        return picture(folder / f"scatter_{name}.png", content, alt)

    return _for_scored(evaluation, draw)


def _for_scored(evaluation: Evaluation, draw: Callable[..., str]) -> str:
    """What `draw` makes of the frames that count, of every split that has some."""
    parts = []
    for name, split in evaluation.splits.items():
        if split.scored:
            target = np.concatenate([trace.target[trace.mask] for trace in split.traces])
            pred = np.concatenate([trace.pred[trace.mask] for trace in split.traces])
            parts += [f"<h3>{escape(name)}</h3>", draw(name, target, pred, split)]
    return "\n".join(parts)


def lag(folder: pathlib.Path, evaluation: Evaluation) -> str:
    """The curves by which a lag was chosen; empty where none was looked for."""
    if not evaluation.lags:
        return ""
    best = ", ".join(f"{dim} {c.best_lag_s:+.2f} s" for dim, c in evaluation.lags.items())
    alt = f"CCC on dev over the lag taken out of the predictions; highest at {best}"
    told = "Pooled CCC on dev of what the network predicts, with each lag taken out of it."
    return f"<p>{told}</p>\n{picture(folder / 'lag.png', plots.lag(evaluation.lags), alt)}"


def picture(path: pathlib.Path, content: bytes, alt: str, lazy: bool = False) -> str:
    """The figure that shows the PNG `content`, which is also kept as the file `path`.

    A `lazy` one is decoded when it comes into sight.
    """
    path.write_bytes(content)
    width, height = struct.unpack(">II", content[16:24])
    later = ' loading="lazy" decoding="async"' if lazy else ""
    look = f'width="{width}" height="{height}"{later}'
    return f'<figure class="scroll wide">{image(content, "png", alt, look)}</figure>'


def image(content: bytes, kind: str, alt: str, look: str = "") -> str:
    """The image itself, inside the page."""
    data = base64.b64encode(content).decode()
    return f'<img alt="{escape(alt)}" {look} src="data:image/{kind};base64,{data}">'
