"""The comparison of two systems as text of fixed width and as Markdown, for people."""

from collections.abc import Iterator, Mapping
from typing import Any

from va_jax.evaluation import bootstrap
from va_jax.report.tables import format_interval as span
from va_jax.report.tables import format_score as number
from va_jax.scoring.align import FAULTS
from va_jax.scoring.compare import verdict

HEADER = ("A", "B", "A - B", "95 % interval", "p")
LOWER_IS_BETTER = ("rmse", "mse")


def text(result: Mapping[str, Any]) -> str:
    """A block of lines for every metric, then what must be known, then what follows from it."""
    tables = {metric: list(rows(result, metric)) for metric in result["scores"]}
    shown = [row for table in tables.values() for row in table]
    wide = max(len(label) for label, _ in shown)
    columns = zip(HEADER, *(cells for _, cells in shown), strict=True)
    widths = [max(map(len, column)) + 2 for column in columns]
    lines = head(result)
    for metric, table in tables.items():
        lines += ["", f"{metric.upper():<{wide + 2}}" + "".join(map(str.rjust, HEADER, widths))]
        for label, cells in table:
            lines.append(f"  {label:<{wide}}" + "".join(map(str.rjust, cells, widths)))
    lines += ["", *notes(result), "", sentence(result)]
    return "\n".join(line.rstrip() for line in lines) + "\n"


def markdown(result: Mapping[str, Any]) -> str:
    """The same as Markdown tables, to be pasted."""
    lines = [f"- {line}" for line in head(result)]
    for metric in result["scores"]:
        lines += ["", f"| {metric.upper()} | {' | '.join(HEADER)} |", "|---|" + "---:|" * 5]
        lines += [f"| {label} | {' | '.join(cells)} |" for label, cells in rows(result, metric)]
    lines += ["", *(f"- {note}" for note in notes(result)), "", f"**{sentence(result)}**"]
    return "\n".join(lines) + "\n"


def head(result: Mapping[str, Any]) -> list[str]:
    """What is compared, and what is left out."""
    lines = []
    for name in ("A", "B"):
        side = result[name.lower()]
        runs = "" if len(side["runs"]) == 1 else f"{len(side['runs'])} runs: "
        lines.append(f"{name}: {runs}{', '.join(side['runs'])}")
    if result["labels"]:
        lines.append(f"labels: {result['labels']}")
    lines.append(
        f"scored: {result['recordings']:,} recordings, {result['frames']:,} frames that count in "
        "every run"
    )
    for name in ("A", "B"):
        side = result[name.lower()]
        counts = {what: side[f"{what}_left_out"] for what in ("recordings", "frames")}
        if any(counts.values()):
            lines.append(
                f"{name}: left out, since not every run has them: {counts['recordings']:,} "
                f"recordings and {counts['frames']:,} frames of others; the first: "
                f"{side['first_left_out']}"
            )
        lines += [
            f"{name}: {FAULTS[fault]}: {side['counts'][fault]:,}; the first: {first}"
            for fault, first in side["first"].items()
        ]
    return [*lines, *_predictions(result)]


def rows(result: Mapping[str, Any], metric: str) -> Iterator[tuple[str, tuple[str, ...]]]:
    """Label and cells, in the order of `HEADER`, of every row of a metric."""
    for dim, aggregations in result["scores"][metric].items():
        for name, row in aggregations.items():
            yield (
                f"{dim}, {name.replace('_', ' ')}",
                (
                    _score(row["a"], row["a_sd"]),
                    _score(row["b"], row["b_sd"]),
                    f"{row['difference']:+.3f}",
                    span({"interval": {metric: row["interval"]}}, metric),
                    number(row["p"]),
                ),
            )


def notes(result: Mapping[str, Any]) -> list[str]:
    """What the numbers are."""
    boot = result["bootstrap"]
    lines = [f"CCC by the formula '{result['formula']}'"]
    if any(metric in result["scores"] for metric in LOWER_IS_BETTER):
        lines.append("of RMSE and MSE less is better, of all others more")
    if result["recordings"] < bootstrap.FEWEST:
        lines.append(
            f"no interval and no p: they take {bootstrap.FEWEST} recordings, and there are "
            f"{result['recordings']}"
        )
    else:
        lines.append(
            f"interval and p: {boot['method']}, {boot['resamples']:,} resamples, seed "
            f"{boot['seed']}; p is two-sided, each row on its own"
        )
    if any(len(result[side]["runs"]) > 1 for side in "ab"):
        lines.append(
            "a score is the mean over the runs of a side, with their standard deviation (n - 1) "
            "after +-"
        )
        if result["recordings"] >= bootstrap.FEWEST:
            lines.append(
                "the interval covers which recordings were drawn, for these runs; how much another "
                "training would differ is told by +- and is not in the interval"
            )
    elif result["recordings"] >= bootstrap.FEWEST:
        lines.append(
            "the interval covers which recordings were drawn, not how much another training of "
            "either system would differ; several runs of a side tell that"
        )
    return lines


def sentence(result: Mapping[str, Any]) -> str:
    """What follows for the headline: which side is better, by how much."""
    row = result["headline"]
    dims = " and ".join(result["dims"]) if len(result["dims"]) < 3 else "all dimensions"
    what = f"pooled {dims} CCC" if len(result["dims"]) == 1 else f"pooled CCC, mean of {dims}"
    if row["interval"] is None:
        return (
            f"A - B is {row['difference']:+.3f} in {what}; whether that is chance cannot be told "
            f"from {result['recordings']} recordings"
        )
    ends, p = span({"interval": {"ccc": row["interval"]}}, "ccc"), number(row["p"])
    better = verdict(row)
    if not better:
        return (
            f"no difference can be told apart from chance: A - B is {row['difference']:+.3f} "
            f"{ends} in {what}, p = {p}"
        )
    low, high = row["interval"]
    if better == "B":
        low, high = (None if end is None else -end for end in (high, low))
        ends = f"[{number(low)}, {number(high)}]"
    return f"{better} is better by {number(abs(row['difference']))} {ends} in {what}, p = {p}"


def _predictions(result: Mapping[str, Any]) -> list[str]:
    if not result["processed"]:
        more = "; --processed compares the post-processed" if result["has_processed"] else ""
        return [f"raw predictions{more}"]
    raw = [dim for dim in result["dims"] if dim not in result["processed"]]
    told = f"post-processed predictions of {', '.join(result['processed'])}"
    return [f"{told}; raw ones of {', '.join(raw)}, for not every run has others" if raw else told]


def _score(value: float, sd: float | None) -> str:
    return number(value) if sd is None else f"{number(value)} +-{number(sd)}"
