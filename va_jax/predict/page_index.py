"""The page that leads to the pages of a folder, with a small curve and the mean for every face."""

import pathlib
from collections.abc import Iterator
from typing import Any
from urllib.parse import quote

import numpy as np

from va_jax.data.csv_format import reporting_problems
from va_jax.io import write_text
from va_jax.pages.render import render
from va_jax.predict import page
from va_jax.predict.summary import duration_s
from va_jax.predict.tracks import drawn_dims
from va_jax.scoring.predicted import Predicted, PredictedTrack
from va_jax.types import InputError, natural_key

TEMPLATE = pathlib.Path(__file__).with_name("page_index.html")

MARK = "va_jax predict: index of pages"
"""Identifies our index among the files in a folder."""

SPARK_POINTS = 120
"""Number of points in the small curve of a face."""


def write(folder: pathlib.Path) -> tuple[list[str], list[str]]:
    """Write the index of all pages in a folder and its sub-folders.

    Returns:
        Problems and warnings, one line each.
    """
    path = folder / page.INDEX
    if (source := page.source_of(path)) is not None:
        return [], [f"{folder}: no index, because {page.INDEX} is the page of {source}"]
    if path.exists() and not is_index(path):
        return [
            f"{path} was not written by this command, so it will not be replaced; move it or "
            "choose a different --page"
        ], []
    rows: list[dict[str, Any]] = []
    problems, notes = [], {}
    for each in sorted(folder.rglob("*.html"), key=lambda each: natural_key(str(each))):
        hidden = any(part.startswith(".") for part in each.relative_to(folder).parts)
        facts = None if hidden else page.read_facts(each)
        if facts is None:
            continue
        try:
            rows += _rows(page.read_rows(each), each.relative_to(folder).as_posix())
        except InputError as error:
            problems.append(str(error))
        notes[facts["note"]] = None
    dims = list(dict.fromkeys(dim for row in rows for dim in row["dims"]))
    context = {
        "title": folder.resolve().name, "mark": MARK, "rows": rows, "dims": dims,
        "points": SPARK_POINTS, "notes": list(filter(None, notes)),
    }  # fmt: skip
    if rows:
        try:
            with reporting_problems(path):
                write_text(path, render(TEMPLATE, context, ["sort.js"], {"signed": signed}))
        except InputError as error:
            problems.append(str(error))
    return problems, []


def is_index(path: pathlib.Path) -> bool:
    """Return whether this command wrote a file as an index."""
    try:
        with path.open("rb") as file:
            return MARK.encode() in file.read(page.CHUNK)
    except OSError:
        return False


def signed(value: float | None) -> str:
    """Format a value with its sign and two decimals; a dash if there is none."""
    if value is None:
        return "\N{EN DASH}"
    return f"{round(value, 2) + 0.0:+.2f}".replace("-", "\N{MINUS SIGN}")


def _rows(content: Predicted, href: str) -> Iterator[dict[str, Any]]:
    """Yield a row for every face in a page, or a row without values if there is none."""
    dims = drawn_dims(content.dims)
    begin = {
        "name": str(pathlib.PurePosixPath(href).parent / pathlib.PurePath(content.source).name),
        "href": quote(href), "dims": dims,
        "seconds": duration_s(content.time_s),
    }  # fmt: skip
    if not content.tracks:
        yield begin | {"face": "", "share": 0.0, "values": {}}
    for track in content.tracks:
        values = {dim: _describe(track, content.dims.index(dim)) for dim in dims}
        face = f"face {track.number}" if len(content.tracks) > 1 else ""
        yield begin | {"face": face, "share": float(track.shown.mean()), "values": values}


def _describe(track: PredictedTrack, dim: int) -> dict[str, Any]:
    """Return the mean, the standard deviation and the small curve of a face."""
    shown = np.where(track.shown, track.values[:, dim], np.nan)
    used = shown[np.isfinite(shown)]
    return {
        "mean": float(used.mean()) if len(used) else None,
        "sd": float(used.std(ddof=1)) if len(used) > 1 else None,
        "curve": _curve(shown),
    }


def _curve(values: np.ndarray) -> str:
    """Return the path of a small curve in a box of `SPARK_POINTS` x 40, with gaps."""
    parts = np.array_split(values, min(SPARK_POINTS, len(values)))
    path, pen = [], "M"
    for place, part in enumerate(parts):
        known = part[np.isfinite(part)]
        if not len(known):
            pen = "M"
            continue
        height = 20 - 19 * float(np.clip(known.mean(), -1, 1))
        x = place * SPARK_POINTS / len(parts)
        path.append(f"{pen}{x:.1f},{height:.1f}")
        pen = "L"
    return "".join(path)
