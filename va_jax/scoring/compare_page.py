"""The page of a comparison: the tables, and the curves of both systems for every recording."""

import pathlib
import re
from typing import Any

import numpy as np

from va_jax.data.csv_format import reporting_problems
from va_jax.evaluation.metrics import Moments
from va_jax.io import write_text
from va_jax.pages.columns import pack_columns
from va_jax.pages.render import render
from va_jax.report import recordings
from va_jax.report.page import SCRIPTS
from va_jax.report.recordings import MINUS, format_score
from va_jax.scoring import compare_text
from va_jax.scoring.compare import Comparison
from va_jax.scoring.pairing import Signals
from va_jax.types import InputError, natural_key

TEMPLATE = pathlib.Path(__file__).with_name("compare.html")

FILTERS = {
    "score": format_score,
    "count": "{:,}".format,
    "minus": lambda cell: re.sub(r"(?<!\w)-(?=\d)", MINUS, cell),
}


def write(path: pathlib.Path, comparison: Comparison) -> None:
    """Write the page of a comparison to `path`, atomically.

    Raises:
        InputError: a recording has no times, or the page cannot be written.
    """
    paired = comparison.paired
    timeless = [each.name for each in paired.signals if not np.isfinite(each.time_s).all()]
    if timeless:
        raise InputError(
            f"--page={path}: the labels of {timeless[0]!r} have no times to draw curves over; set "
            "--fps"
        )
    ordered = sorted(paired.signals, key=lambda signals: natural_key(signals.name))
    shown = [_recording(number, each, comparison) for number, each in enumerate(ordered, 1)]
    panels = [_panel(number, dim) for number, dim in enumerate(paired.dims)]
    context = {
        "a": paired.a.given,
        "b": paired.b.given,
        "data": compare_text.describe_data(comparison),
        "tables": compare_text.tables(comparison),
        "notes": compare_text.notes(comparison),
        "conclusion": compare_text.conclusion(comparison),
        "dims": paired.dims,
        "recordings": shown,
        "facts": recordings.facts(shown, panels),
    }
    with reporting_problems(f"--page={path}"):
        write_text(path, render(TEMPLATE, context, SCRIPTS, FILTERS))


def _panel(number: int, dim: str) -> dict[str, Any]:
    """Return the panel of a dimension; the columns are those of `_recording`."""
    curves = [("label", "label", []), ("A", "dim-0", []), ("B", "dim-1", [6, 4])]
    return {
        "name": dim,
        "curves": [
            {"name": name, "column": 1 + 3 * number + place, "colour": colour, "dash": dash}
            for place, (name, colour, dash) in enumerate(curves)
        ],
    }


def _recording(number: int, signals: Signals, comparison: Comparison) -> dict[str, Any]:
    """Return the name, the CCC of each system and the curves of a recording, for the template."""
    everything = np.ones(len(signals.key), bool)
    ccc = [
        Moments.of(pred, signals.target, everything).ccc(comparison.options.formula)
        for pred in (signals.a, signals.b)
    ]
    dims = comparison.paired.dims
    scores = {
        dim: {"A": float(a), "B": float(b), "A - B": float(a - b)}
        for dim, a, b in zip(dims, *ccc, strict=True)
    }
    columns = [signals.time_s]
    for dim in range(len(dims)):
        columns += [signals.target[:, dim], signals.a[:, dim], signals.b[:, dim]]
    steps = np.diff(signals.key)
    gaps = np.flatnonzero(steps > 1.5 * np.median(steps)) + 1 if len(steps) else steps
    drawn = [_with_gaps(column, gaps, place > 0) for place, column in enumerate(columns)]
    return {
        "anchor": f"trace-{number}",
        "block": f"data-{number}",
        "name": signals.name,
        "frames": len(signals.key),
        "scores": scores,
        "titles": [
            f"{dim}: CCC A {format_score(row['A'])}, B {format_score(row['B'])}"
            for dim, row in scores.items()
        ],
        "columns": pack_columns(drawn),
    }


def _with_gaps(column: np.ndarray, gaps: np.ndarray, breaks: bool) -> np.ndarray:
    """Insert a row before each of the rows `gaps`: NaN if `breaks`, else halfway in between."""
    column = np.asarray(column, float)
    between = np.full(len(gaps), np.nan) if breaks else (column[gaps] + column[gaps - 1]) / 2
    return np.insert(column, gaps, between)
