"""Write audience curves into a folder: csv files, a page, and a plot of each stimulus."""

import io
import os
import pathlib
from collections.abc import Iterable, Iterator, Mapping, Sequence
from typing import Any

import matplotlib as mpl
import numpy as np
from matplotlib.axes import Axes
from matplotlib.figure import Figure
from matplotlib.patheffects import withStroke

from va_jax.data.csv_format import CsvFormat, reporting_problems
from va_jax.io import read_json, replacing, text_cell, write_json, write_text
from va_jax.report import audience_page, plots
from va_jax.scoring.audience import LEVEL, AudienceOptions, Curve, Peak, curves
from va_jax.scoring.predicted import FOLDER_FILE
from va_jax.scoring.viewings import read_viewings
from va_jax.types import LABEL_RANGE, InputError, file_name

CURVES, PEAKS, FACTS, PAGE = "audience.csv", "peaks.csv", "audience.json", "audience.html"

LONGEST_NAME_BYTES = 250
"""Largest number of bytes in a stimulus as a file name, without the extension."""

HALO = withStroke(linewidth=2.5, foreground="white")

MOST_POINTS = 60_000
"""Largest number of values for which the curves of individual viewers are drawn: with more, a
browser would be slow to show them."""


def check_folder(out: pathlib.Path, overwrite: bool) -> None:
    """Check that a folder can be written; call this before the work begins.

    Raises:
        InputError: the folder is not empty, and `overwrite` is False or it contains a file that
            `write` did not write.
    """
    if not out.name or (out.exists() and not out.is_dir()):
        raise InputError(f"--out={out} is not a folder of its own; choose a different name")
    there = sorted(path.name for path in out.iterdir()) if out.exists() else []
    there = [name for name in there if name != ".DS_Store" and not name.startswith("._")]
    if not there:
        return
    facts = read_json(out / FACTS) if (out / FACTS).is_file() else None
    written = facts.get("files") if isinstance(facts, dict) else None
    written = written if isinstance(written, list) else []
    if others := [name for name in there if name not in written]:
        raise InputError(
            f"--out={out} contains {others[0]}, which this command did not write; choose a "
            "different folder"
        )
    if not overwrite:
        raise InputError(f"--out={out} already exists; choose a different one or pass --overwrite")


def aggregate(
    predicted: pathlib.Path,
    stimuli: pathlib.Path,
    out: pathlib.Path,
    options: AudienceOptions,
    csv_format: CsvFormat,
) -> tuple[list[str], list[str]]:
    """Read predictions and the list of viewings, and write the curves of all stimuli.

    Args:
        predicted: folder of predictions.
        stimuli: list of viewings; see `read_viewings`.
        out: folder for the results, which `check_folder` has checked.
        options: how viewers are aggregated.
        csv_format: separator and decimal mark of the csv files.

    Returns:
        A line for every stimulus, and warnings.

    Raises:
        InputError: a file cannot be used or written.
    """
    viewings, unused = read_viewings(stimuli, predicted)
    found = curves(viewings, options)
    _check_names([curve.stimulus for curve in found], stimuli)
    warning = _warning_of({viewing.path for viewing in viewings}, predicted)
    facts = {
        "predicted": str(predicted), "stimuli": str(stimuli), "warning": warning,
        "fps": options.fps, "centre": options.centre, "prominence": options.prominence,
        "level": LEVEL, "viewers": {curve.stimulus: list(curve.viewers) for curve in found},
    }  # fmt: skip
    write(out, found, options.prominence, csv_format, facts)
    lines, warnings = [], [] if warning is None else [warning]
    for curve in found:
        viewers, peaks = len(curve.viewers), len(curve.peaks(options.prominence))
        what = f"{curve.stimulus}: {viewers} viewer{'s' * (viewers != 1)}"
        lines.append(f"{what}, {len(curve.time_s)} points, {peaks} peak{'s' * (peaks != 1)}")
        warnings += [f"{curve.stimulus}: no face of {x} is visible" for x in curve.without_face]
        if viewers < 2:
            warnings.append(f"{what}, so there is no interval, and no peaks are searched for")
    if unused:
        warnings.append(
            f"{stimuli} does not contain {len(unused)} of the files in {predicted}, such as "
            f"{unused[0]}"
        )
    return lines, warnings


def _check_names(names: Sequence[str], stimuli: pathlib.Path) -> None:
    """Raise InputError if a stimulus cannot have a file of its own, or cannot be drawn."""
    seen: dict[str, str] = {}
    for name in names:
        if not name.isprintable() or len(os.fsencode(file_name(name))) > LONGEST_NAME_BYTES:
            raise InputError(
                f"{stimuli}: the stimulus {name!r} contains a control character or is longer than "
                f"a file name can be ({LONGEST_NAME_BYTES} bytes in UTF-8); choose another name"
            )
        if (other := seen.setdefault(name.casefold(), name)) != name:
            raise InputError(
                f"{stimuli}: the stimuli {other!r} and {name!r} differ only in case; rename one of "
                "them"
            )


def _warning_of(files: Iterable[pathlib.Path], predicted: pathlib.Path) -> str | None:
    """Return the warnings in the side files of predictions; None if there are none."""
    sides = {path.with_suffix(".json") for path in files}
    for path in files:
        above = len(path.relative_to(predicted).parents)
        sides |= {folder / FOLDER_FILE for folder in list(path.parents)[:above]}
    facts = [read_json(path) for path in sorted(sides) if path.is_file()]
    found = [each.get("warning") for each in facts if isinstance(each, dict)]
    return "; ".join(dict.fromkeys(str(each) for each in found if each is not None)) or None


def write(
    out: pathlib.Path,
    found: Sequence[Curve],
    prominence: float,
    csv_format: CsvFormat,
    facts: Mapping[str, Any],
) -> None:
    """Write the folder, completely or not at all.

    Args:
        out: the folder, which `check_folder` has checked.
        found: a curve for each stimulus.
        prominence: smallest prominence of the peaks to write.
        csv_format: separator and decimal mark of the csv files.
        facts: content of the side file; a `warning` among them is also drawn on the plots.

    Raises:
        InputError: the folder cannot be written.
    """
    peaks = [curve.peaks(prominence) for curve in found]
    both = list(zip(found, peaks, strict=True))
    note = "" if facts.get("warning") is None else str(facts["warning"])
    pictures = {f"{file_name(curve.stimulus)}.svg": draw(curve, some, note) for curve, some in both}
    names = [CURVES, PEAKS, FACTS, PAGE, *pictures]
    with reporting_problems(out):
        out.parent.mkdir(parents=True, exist_ok=True)
        with replacing(out) as folder:
            folder.mkdir()
            rows = (row for curve in found for row in curve_rows(curve))
            csv_format.write(folder / CURVES, curve_header(found[0].dims), rows)
            rows = (row for curve, some in both for row in peak_rows(curve, some))
            csv_format.write(folder / PEAKS, PEAK_HEADER, rows, text_columns=3)
            for name, picture in pictures.items():
                (folder / name).write_bytes(picture)
            write_text(folder / PAGE, audience_page.html(found, peaks, note))
            write_json(folder / FACTS, {**facts, "files": names})


def curve_header(dims: Sequence[str]) -> list[str]:
    """Return the column names for the curves."""
    return [
        "stimulus", "time_s", "viewers",
        *(f"{dim}_{part}" for dim in dims for part in ("mean", "low", "high")),
    ]  # fmt: skip


def curve_rows(curve: Curve) -> Iterator[list[str]]:
    """Yield a row for each time; cells are empty where too few viewers have values."""
    low, high = curve.band()
    table = np.stack([curve.mean(), low, high], axis=2).reshape(len(curve.time_s), -1)
    begin = text_cell(curve.stimulus)
    for time_s, count, values in zip(curve.time_s, curve.count, table, strict=True):
        yield [begin, f"{time_s:.6f}", str(count), *map(_cell, values.tolist())]


PEAK_HEADER = [
    "stimulus", "dimension", "kind", "time_s", "mean", "low", "high", "prominence", "viewers",
]  # fmt: skip


def peak_rows(curve: Curve, peaks: Sequence[Peak]) -> Iterator[list[str]]:
    """Yield a row for each peak."""
    table = np.stack([curve.mean(), *curve.band()], axis=2)
    for peak in peaks:
        values = table[peak.place, curve.dims.index(peak.dim)].tolist()
        yield [
            text_cell(curve.stimulus), peak.dim, peak.kind, f"{curve.time_s[peak.place]:.6f}",
            *map(_cell, values), f"{peak.prominence:.6f}", str(curve.count[peak.place]),
        ]  # fmt: skip


def _cell(value: float) -> str:
    return "" if np.isnan(value) else f"{value:.6f}"


def draw(curve: Curve, peaks: Sequence[Peak], note: str = "") -> bytes:
    """Return an SVG with a panel for each dimension, and one for the number of viewers.

    A note is drawn below the title.
    """
    rows = len(curve.dims)
    figure = Figure(
        figsize=(plots.TRACE_WIDTH, 0.9 + 2.3 * rows + 0.9), dpi=100, layout="constrained"
    )
    panels = figure.subplots(
        rows + 1, 1, sharex=True, squeeze=False, height_ratios=[*[2.3] * rows, 0.8]
    )[:, 0]
    viewers = len(curve.viewers)
    title = f"{curve.stimulus}: mean of {viewers} viewer{'s' * (viewers != 1)}"
    title += ", 95 % interval over viewers" if viewers > 1 else "; no interval"
    if note:
        title += f"\n{note}"
    colour = plots.WARNING if note else "0.15"
    words = {"family": plots.fonts(), "size": 11, "color": colour, "parse_math": False}
    figure.suptitle(title, x=0.01, ha="left", **words)
    for place, dim in enumerate(curve.dims):
        _draw_panel(panels[place], curve, place, [peak for peak in peaks if peak.dim == dim])
    axes = panels[-1]
    axes.step(curve.time_s, curve.count, where="mid", color=plots.PALE, lw=1)
    axes.set(ylim=(0, max(viewers, 1) * 1.1), yticks=sorted({0, viewers}))
    axes.set_title("viewers with a visible face", loc="left", size=9, color="0.25")
    axes.xaxis.set_major_formatter("{x:g} s")
    plots.style(axes)
    return _render_svg(figure)


def _draw_panel(axes: Axes, curve: Curve, place: int, peaks: Sequence[Peak]) -> None:
    colour = plots.DIM_COLOURS[place % len(plots.DIM_COLOURS)]
    low, high = curve.band()
    mean = curve.mean()[:, place]
    axes.axhline(0, color="0.6", lw=0.6)
    viewers = len(curve.viewers)
    if viewers > 1 and curve.values[..., 0].size <= MOST_POINTS:
        alpha = float(np.clip(3 / viewers, 0.15, 0.7))  # so that many do not hide the band
        axes.plot(curve.time_s, curve.values[..., place].T, color="0.5", lw=0.5, alpha=alpha)
    axes.fill_between(curve.time_s, low[:, place], high[:, place], color=colour, alpha=0.35, lw=0)
    axes.plot(curve.time_s, mean, color=colour, lw=1.6)
    for peak in peaks:
        time_s, up = float(curve.time_s[peak.place]), peak.kind == "maximum"
        value = float(mean[peak.place])
        marker = {"marker": "^" if up else "v", "ms": 8, "mec": "white", "mew": 1, "zorder": 3}
        axes.plot(time_s, value, color=colour, **marker)
        axes.annotate(f"{time_s:g} s", (time_s, value), (0, 7 if up else -7),
                      textcoords="offset points", size=9, color="0.1", ha="center",
                      va="bottom" if up else "top", path_effects=[HALO])  # fmt: skip
    (bottom, top), widest = axes.get_ylim(), 1.05 * (1 + curve.centred)
    axes.set_ylim(max(bottom, widest * LABEL_RANGE[0]), min(top, widest * LABEL_RANGE[1]))
    title = curve.dims[place] + ", minus the mean of each viewer" * curve.centred
    axes.set_title(title, loc="left", size=9, color="0.25", parse_math=False)
    plots.style(axes)


def _render_svg(figure: Figure) -> bytes:
    """Return a figure as an SVG that contains neither the date nor random names."""
    out = io.BytesIO()
    with mpl.rc_context({"svg.hashsalt": "va_jax"}), plots.without_glyph_warnings():
        figure.savefig(out, format="svg", metadata={"Date": None})
    return out.getvalue()
