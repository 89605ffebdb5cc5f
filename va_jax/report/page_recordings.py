"""What the page tells of single recordings: the worst in pictures, the traces of all."""

import functools
import pathlib
import re
from collections.abc import Mapping, Sequence
from html import escape

import numpy as np

from va_jax.report import page_tables
from va_jax.report.page_sections import Evaluation, Split, image, picture
from va_jax.report.page_tables import shown
from va_jax.report.trace_plots import TraceFigure
from va_jax.report.traces import file_name
from va_jax.types import Trace

WORST, WORST_S = 5, 2.0
"""Recordings shown as the worst, of those with at least so many seconds that count."""

THUMBNAILS = 8
"""Frames shown of a recording, evenly spread over it."""


def detailed(evaluation: Evaluation) -> str:
    """The split whose recordings are all shown: the last one with labels, else the last one."""
    scored = [name for name, split in evaluation.splits.items() if split.scored]
    return (scored or list(evaluation.splits))[-1]


def anchors(traces: Sequence[Trace]) -> dict[int, str]:
    """Place of a trace -> its anchor in the page; in order of track id, numbers in it by value."""

    def natural(index: int) -> list[tuple[int, str]]:
        parts = re.split(r"([0-9]+)", traces[index].track.track_id)
        return [(int(part), "") if i % 2 else (0, part) for i, part in enumerate(parts)]

    order = sorted(range(len(traces)), key=natural)
    return {index: f"trace-{place + 1}" for place, index in enumerate(order)}


def recordings(split: Split, anchors: Mapping[int, str]) -> str:
    """A table with a row and a link for every recording."""
    traces = [split.traces[index] for index in anchors]
    return page_tables.recordings_table(split.card, traces, list(anchors.values()))


def worst(split: Split) -> list[int]:
    """Places of the recordings of lowest mean CCC over the dimensions, the worst first."""
    found = []
    for index, trace in enumerate(split.traces):
        scores = split.card["recordings"].get(trace.track.track_id)
        if scores and trace.mask.sum() / trace.track.fps >= WORST_S:
            found.append((float(np.mean([row["ccc"] for row in scores.values()])), index))
    return [index for _, index in sorted(found)[:WORST]]


def worst_recordings(evaluation: Evaluation, name: str, anchors: Mapping[int, str]) -> str:
    """The worst recordings of a split and what is seen in them; empty where none is scored."""
    split, parts = evaluation.splits[name], []
    for index in worst(split):
        trace = split.traces[index]
        told = f"{'; '.join(_numbers(split, trace))}; {int(trace.mask.sum()):,} frames count"
        track = escape(trace.track.track_id)
        parts.append(f'<h3><a href="#{anchors[index]}">{track}</a></h3><p class="pale">{told}</p>')
        if evaluation.thumbnails:
            places = np.unique(np.linspace(0, len(trace.pred) - 1, THUMBNAILS).round().astype(int))
            frames = evaluation.thumbnails(name, index, places)
            strip = map(functools.partial(_thumbnail, trace), places.tolist(), frames)
            parts.append(f'<div class="strip">{"".join(strip)}</div>')
    if not parts:
        return ""
    first = (
        f"Lowest mean CCC of those with {WORST_S:g} s or more that count. "
        "A frame that does not count is pale."
    )
    return "\n".join([f"<p>{first}</p>", *parts])


def traces(
    folder: pathlib.Path, evaluation: Evaluation, name: str, anchors: Mapping[int, str]
) -> str:
    """The trace of every recording of a split."""
    split, dims = evaluation.splits[name], evaluation.dims
    rmse = [split.card["scores"][dim]["pooled"]["rmse"] if split.scored else 0.0 for dim in dims]
    told = ", ".join(f"{value:.3f}" for value in rmse)
    band = f"label ± RMSE pooled over {name} ({told})" if split.scored else "no label"
    figure = TraceFigure(dims, rmse, band, split.processed is not None)
    (folder / "traces").mkdir()
    parts = [
        "<p>The band around the label is as wide as the error of the whole split: plus and minus "
        "its pooled RMSE. Values beyond the range are drawn at its border. A CCC is the "
        "recording's own, before post-processing.</p>"
    ]
    for index, anchor in anchors.items():
        trace = split.traces[index]
        track, numbers = trace.track.track_id, _numbers(split, trace)
        later = split.processed[index] if split.processed is not None else None
        content = figure.draw(trace, numbers, later)
        path = folder / "traces" / f"{file_name(track)}.png"
        seconds = float(trace.time_s[-1] - trace.time_s[0])
        alt = f"{track}: label and prediction over {seconds:.1f} s; {'; '.join(numbers)}"
        told = f"{trace.track.group}, " if trace.track.group else ""
        told += f"{seconds:.1f} s, {int(trace.mask.sum()):,} of {len(trace.pred):,} frames count"
        parts.append(
            f'<article class="trace" id="{anchor}"><h3>{escape(track)} '
            f'<small>{escape(told)}</small> <a href="#recordings">all recordings</a></h3>'
            f"{picture(path, content, alt, lazy=True)}</article>"
        )
    return "\n".join(parts)


def _numbers(split: Split, trace: Trace) -> list[str]:
    """What the card says of a recording, for every dimension."""
    scores = split.card["recordings"].get(trace.track.track_id)
    if not scores:
        return [f"{dim}: not scored" for dim in split.card["scores"]]
    return [
        f"{dim}: CCC {shown(row['ccc'])}, RMSE {shown(row['rmse'])}" for dim, row in scores.items()
    ]


def _thumbnail(trace: Trace, place: int, jpeg: bytes) -> str:
    stamp = f"{trace.time_s[place]:.1f} s"
    shows = image(jpeg, "jpeg", f"frame at {stamp}") if jpeg else "<div>no face</div>"
    look = "" if trace.mask[place] else ' class="out"'
    return f"<figure{look}>{shows}<figcaption>{stamp}</figcaption></figure>"
