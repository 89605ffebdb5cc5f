"""The numbers of an evaluation as HTML tables."""

from collections.abc import Iterator, Mapping, Sequence
from html import escape
from typing import Any

from va_jax.evaluation.metrics import METRICS
from va_jax.report.tables import ceilings, format_score
from va_jax.types import Trace

COLUMNS = (*(metric.upper() for metric in METRICS), "frames", "recordings", "undefined")

SHOWN = ("ccc", "rmse")
"""Metrics of single recordings."""


def card_tables(card: Mapping[str, Any]) -> str:
    """A table for every dimension: a row for every aggregation, baseline and ceiling.

    Under a number stands its interval, where the card has one.
    """
    return "\n".join(_table(dim, _card_rows(card, dim)) for dim in card["scores"])


def baseline_tables(card: Mapping[str, Any]) -> str:
    """The baselines under every aggregation, a table for every dimension."""
    return "\n".join(
        _table(
            dim,
            (
                line
                for name, scores in card["baselines"].items()
                for line in _block(words(name), scores[dim])
            ),
        )
        for dim in card["scores"]
    )


def recordings_table(
    card: Mapping[str, Any], traces: Sequence[Trace], anchors: Sequence[str]
) -> str:
    """A row for every recording, with a link to its trace; a click on a head sorts it."""
    dims = list(card["scores"])
    heads = [f"{dim} {metric.upper()}" for dim in dims for metric in SHOWN]
    lines = [
        '<div class="scroll"><table class="recordings sortable">',
        "<thead><tr>",
        '<th scope="col">recording</th><th scope="col" class="word">group</th>',
        '<th scope="col">seconds</th><th scope="col">frames</th><th scope="col">count</th>',
        *(f'<th scope="col">{escape(head)}</th>' for head in heads),
        "</tr></thead><tbody>",
    ]
    for trace, anchor in zip(traces, anchors, strict=True):
        name, group = escape(trace.track.track_id), escape(trace.track.group)
        seconds = float(trace.time_s[-1] - trace.time_s[0])
        scores = card["recordings"].get(trace.track.track_id)
        values = [scores[dim][key] if scores else None for dim in dims for key in SHOWN]
        lines.append(
            f'<tr><th scope="row" data-value="{name}"><a href="#{anchor}">{name}</a></th>'
            f'<td class="word" data-value="{group}">{group}</td>'
            + _sortable(seconds, f"{seconds:.1f}")
            + _sortable(len(trace.pred), f"{len(trace.pred):,}")
            + _sortable(count := int(trace.mask.sum()), f"{count:,}")
            + "".join(_sortable(value, shown(value)) for value in values)
            + "</tr>"
        )
    return "\n".join([*lines, "</tbody></table></div>"])


def shown(value: float | None) -> str:
    """A score with a true minus sign."""
    return format_score(value).replace("-", "\N{MINUS SIGN}" if value is not None else "\N{EN DASH}")


def span(row: Mapping[str, Any], metric: str) -> str:
    """The interval of a metric; nothing where there is none."""
    ends = (row.get("interval") or {}).get(metric)
    return f"{shown(ends[0])} to {shown(ends[1])}" if ends else ""


def words(name: str) -> str:
    """The name of an aggregation or baseline as it is read, escaped."""
    kind, _, group = name.partition(":")
    return escape(f"{kind} {group}" if group else kind.replace("_", " "))


def _table(dim: str, rows: Iterator[str]) -> str:
    heads = "".join(f'<th scope="col">{head}</th>' for head in COLUMNS)
    lines = [
        f'<div class="scroll"><table class="card"><caption>{escape(dim)}</caption>',
        f'<thead><tr><th scope="col"></th>{heads}</tr></thead><tbody>',
        *rows,
        "</tbody></table></div>",
    ]
    return "\n".join(lines)


def _card_rows(card: Mapping[str, Any], dim: str) -> Iterator[str]:
    processed = card.get("processed")
    yield from _block("network" if processed else "", card["scores"][dim])
    if processed:
        yield from _block("network, post-processed", processed["scores"][dim])
    baselines = {words(name): each[dim]["pooled"] for name, each in card["baselines"].items()}
    yield from _block("baselines, pooled; an oracle looks at the labels it is scored on", baselines)
    known = list(ceilings(card, dim))
    if known:
        yield _kind("ceilings")
    for label, ccc in known:
        empty = "<td></td>" * (len(COLUMNS) - 1)
        yield f'<tr><th scope="row">{escape(label)}</th><td>{shown(ccc)}</td>{empty}</tr>'


def _block(kind: str, rows: Mapping[str, Mapping[str, Any]]) -> Iterator[str]:
    if kind:
        yield _kind(kind)
    for name, row in rows.items():
        cells = "".join(_cell(row, metric) for metric in METRICS)
        counts = "".join(f"<td>{row[key]:,}</td>" for key in ("n", "recordings", "undefined"))
        look = ' class="head"' if name == "pooled" else ""
        yield f'<tr{look}><th scope="row">{words(name)}</th>{cells}{counts}</tr>'


def _kind(name: str) -> str:
    return f'<tr class="kind"><th colspan="{1 + len(COLUMNS)}" scope="rowgroup">{name}</th></tr>'


def _cell(row: Mapping[str, Any], metric: str) -> str:
    ends = span(row, metric)
    return f"<td>{shown(row[metric])}{f'<small>{ends}</small>' if ends else ''}</td>"


def _sortable(value: float | int | None, text: str) -> str:
    return f'<td data-value="{"" if value is None else value}">{text}</td>'
