"""The page of audience curves: the mean of every stimulus with its interval, and its peaks."""

import pathlib
from collections.abc import Sequence
from typing import Any

from va_jax.pages.columns import pack_columns
from va_jax.pages.render import render
from va_jax.report import recordings
from va_jax.report.page import SCRIPTS
from va_jax.report.recordings import format_score
from va_jax.scoring.audience import Curve, Peak

TEMPLATE = pathlib.Path(__file__).with_name("audience.html")


def html(found: Sequence[Curve], peaks: Sequence[Sequence[Peak]], note: str = "") -> str:
    """Return the page of the curves of all stimuli.

    Args:
        found: a curve for each stimulus.
        peaks: the peaks of each curve.
        note: warning to show at the top.
    """
    dims = found[0].dims
    pairs = enumerate(zip(found, peaks, strict=True), 1)
    shown = [_stimulus(number, curve, some) for number, (curve, some) in pairs]
    facts = recordings.facts(shown, [_panel(number, dim) for number, dim in enumerate(dims)])
    context = {"stimuli": shown, "facts": facts, "note": note, "centred": found[0].centred}
    return render(TEMPLATE, context, SCRIPTS, {"score": format_score})


def _panel(number: int, dim: str) -> dict[str, Any]:
    """Return the panel of a dimension; the columns are those of `_stimulus`."""
    first = 1 + 3 * number
    return {
        "name": dim,
        "curves": [
            {"name": "interval", "low": first + 1, "high": first + 2, "colour": "band"},
            {"name": "mean", "column": first, "colour": f"dim-{number % 6}"},
        ],
    }


def _stimulus(number: int, curve: Curve, peaks: Sequence[Peak]) -> dict[str, Any]:
    """Return the name, curves and peaks of a stimulus, for the template."""
    (low, high), mean = curve.band(), curve.mean()
    columns = [curve.time_s]
    for dim in range(len(curve.dims)):
        columns += [mean[:, dim], low[:, dim], high[:, dim]]
    return {
        "name": curve.stimulus,
        "anchor": f"stimulus-{number}",
        "block": f"data-{number}",
        "viewers": len(curve.viewers),
        "seconds": float(curve.time_s[-1]),
        "columns": pack_columns(columns),
        "peaks": [
            {
                "dim": peak.dim,
                "kind": peak.kind,
                "time_s": float(curve.time_s[peak.place]),
                "mean": float(mean[peak.place, curve.dims.index(peak.dim)]),
                "prominence": peak.prominence,
                "viewers": int(curve.count[peak.place]),
            }
            for peak in peaks
        ],
    }
