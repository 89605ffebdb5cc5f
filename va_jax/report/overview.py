"""The overview of an evaluation on several data sets: tables, and a page that leads to the rest."""

import dataclasses
import pathlib
from collections.abc import Iterator, Mapping, Sequence
from typing import Any
from urllib.parse import quote

from va_jax.io import Table, write_text
from va_jax.pages.render import render
from va_jax.report import page, plots, tables

MEAN = "mean over data sets"

TEMPLATE = pathlib.Path(__file__).with_name("overview.html")


@dataclasses.dataclass(frozen=True)
class Overview:
    """Everything that the overview shows."""

    title: str
    facts: Mapping[str, str]  # shown under the title
    tables: Mapping[str, Mapping[str, Any]]  # split -> data set -> its metrics table
    means: Mapping[str, Mapping[str, Any]]  # split -> scores and processed, by dimension
    history: Sequence[Mapping[str, Any]]  # lines of metrics.jsonl
    step: int  # step of the checkpoint

    @property
    def dims(self) -> list[str]:
        first = next(iter(next(iter(self.tables.values())).values()))
        return list(first["scores"])


HEADER = ("CCC", "95 % interval", "post-processed CCC", "RMSE", "tracks", "frames scored")


def text(overview: Overview) -> str:
    """Return a text table for each split and dimension, with a row per data set and their mean."""
    parts = [f"{split}\n{table.text()}" for split, table in split_tables(overview)]
    return "\n\n".join(parts) + "\n"


def markdown(overview: Overview) -> str:
    """Return the tables of `text` as Markdown."""
    parts = [f"### {split}\n\n{table.markdown()}" for split, table in split_tables(overview)]
    return "\n\n".join(parts) + "\n"


def split_tables(overview: Overview) -> Iterator[tuple[str, Table]]:
    """Yield the title and the table of pooled scores of each split and dimension."""
    for split, by_set in overview.tables.items():
        for dim in overview.dims:
            rows = [[name, *_cells(table, dim)] for name, table in by_set.items()]
            if mean := overview.means[split]:
                processed = mean.get("processed", {}).get(dim)
                rows.append([MEAN, *_scores(mean["scores"][dim], processed), "", ""])
            yield f"{dim}, {split}", Table(["data set", *HEADER], rows)


def _cells(table: Mapping[str, Any], dim: str) -> list[str]:
    """Return the cells of one data set."""
    counts = [f"{table['tracks']:,}", f"{table['frames_that_count']:,}"]
    if not tables.is_scored(table):
        return ["not labelled", "", "", "", *counts]
    processed = table.get("processed", {}).get("scores", {}).get(dim, {}).get("pooled")
    return [*_scores(table["scores"][dim]["pooled"], processed), *counts]


def _scores(row: Mapping[str, Any], processed: Mapping[str, Any] | None) -> list[str]:
    return [
        tables.format_score(row["ccc"]),
        tables.format_interval(row, "ccc"),
        tables.format_score(processed["ccc"]) if processed else "",
        tables.format_score(row["rmse"]),
    ]


def write(folder: pathlib.Path, overview: Overview) -> None:
    """Write report.html and its plot to `folder`; it links to the page of each data set."""
    last_first = {split: overview.tables[split] for split in list(overview.tables)[::-1]}
    test_first = dataclasses.replace(overview, tables=last_first)
    names, pictures = next(iter(overview.tables.values())), page.Pictures()
    context: dict[str, Any] = {
        "overview": overview,
        "mean": MEAN,
        "tables": dict(split_tables(test_first)),
        "without_interval": _without_interval(overview),
        "interval_note": tables.NO_INTERVAL,
        "pages": {name: f"sets/{quote(name)}/report.html" for name in names},
    }
    if {line["kind"] for line in overview.history} >= {"train", "dev"}:
        content = plots.draw_losses(overview.history, _lines(overview), overview.step)
        alt = "Training loss and dev CCC by step, on each data set and on average"
        context["training"] = page.add_picture(pictures, page.LOSS, content, alt)
    html = render(TEMPLATE, context)
    page.write_pictures(folder, pictures)
    write_text(folder / "report.html", html)


def _without_interval(overview: Overview) -> bool:
    """Return whether some scores have no interval."""
    return any(
        tables.is_scored(table)
        and not tables.format_interval(table["scores"][dim]["pooled"], "ccc")
        for by_set in overview.tables.values()
        for table in by_set.values()
        for dim in overview.dims
    )


def _lines(overview: Overview) -> list[str]:
    """Return the lines to draw: the mean for each dimension, and the score on each data set."""
    first = next(iter(overview.tables.values()))
    return overview.dims + [f"{dim}/{name}" for dim in overview.dims for name in first]
