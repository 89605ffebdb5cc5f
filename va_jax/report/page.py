"""report.html: an evaluation as one page that a researcher can read, keep and send."""

import os
import pathlib
import shutil
from html import escape

from va_jax.io import write_text
from va_jax.report import page_recordings, page_sections, page_style, trace_plots
from va_jax.report.page_sections import Evaluation, Split
from va_jax.report.page_tables import shown, span


def write(workdir: pathlib.Path, evaluation: Evaluation) -> None:
    """Writes `workdir`/report.html, plots/ with the same pictures, and traces_SPLIT.png of each.

    Nothing is asked of the network when the page is read. Pictures of an earlier evaluation are
    gone afterwards; until all is drawn they stay, and so does its page.
    """
    folder = workdir / ".plots.tmp"
    shutil.rmtree(folder, ignore_errors=True)  # of a killed evaluation
    folder.mkdir(parents=True)
    try:
        text = page_style.document(evaluation.title, _body(folder, evaluation))
        for path in workdir.glob("traces_*.png"):
            if path.stem.removeprefix("traces_") not in evaluation.splits:
                path.unlink()
        for name, split in evaluation.splits.items():
            trace_plots.plot_traces(workdir / f"traces_{name}.png", split.traces, evaluation.dims)
        shutil.rmtree(workdir / "plots", ignore_errors=True)
        os.replace(folder, workdir / "plots")
        write_text(workdir / "report.html", text)
    finally:
        shutil.rmtree(folder, ignore_errors=True)


def _body(folder: pathlib.Path, evaluation: Evaluation) -> str:
    name = page_recordings.detailed(evaluation)
    split = evaluation.splits[name]
    anchors = page_recordings.anchors(split.traces)
    sections = [
        ("scores", "Scores", page_sections.scores(evaluation)),
        ("training", "Training", page_sections.training(folder, evaluation)),
        ("plane", "Valence and arousal", page_sections.plane(folder, evaluation)),
        ("agreement", "Prediction against label", page_sections.agreement(folder, evaluation)),
        ("lag", "Lag", page_sections.lag(folder, evaluation)),
        (
            "worst",
            f"Worst recordings of {name}",
            page_recordings.worst_recordings(evaluation, name, anchors),
        ),
        ("recordings", f"Recordings of {name}", page_recordings.recordings(split, anchors)),
        (
            "traces",
            f"Traces of {name}",
            page_recordings.traces(folder, evaluation, name, anchors),
        ),
    ]
    told = [section for section in sections if section[2]]
    links = "".join(f'<a href="#{key}">{escape(title)}</a>' for key, title, _ in told)
    parts = [_title(evaluation), f"<nav>{links}</nav>", "<main>"]
    for key, title, text in told:
        parts.append(f'<section id="{key}">\n<h2>{escape(title)}</h2>\n{text}\n</section>')
    return "\n".join([*parts, "</main>"])


def _title(evaluation: Evaluation) -> str:
    facts = "".join(
        f"<dt>{escape(key)}</dt><dd>{escape(value)}</dd>" for key, value in evaluation.facts.items()
    )
    tiles = [
        _tile(name, split, dim)
        for name, split in evaluation.splits.items()
        for dim in (evaluation.dims if split.scored else ())
    ]
    glance = f'<ul class="glance">{"".join(tiles)}</ul>' if tiles else ""
    return f"<header><h1>{escape(evaluation.title)}</h1>\n<dl>{facts}</dl>\n{glance}</header>"


def _tile(name: str, split: Split, dim: str) -> str:
    """The headline of a dimension."""
    row = split.card["scores"][dim]["pooled"]
    told = ["pooled CCC"]
    if ends := span(row, "ccc"):
        told.append(f"{split.card['bootstrap']['level']:.0%} interval {ends}")
    if "processed" in split.card:
        later = split.card["processed"]["scores"][dim]["pooled"]["ccc"]
        told.append(f"post-processed {shown(later)}")
    return (
        f"<li>{escape(dim)}, {escape(name)}<b>{shown(row['ccc'])}</b>"
        f'<span class="pale">{"<br>".join(told)}</span></li>'
    )
