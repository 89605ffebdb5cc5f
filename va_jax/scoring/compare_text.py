"""Render the comparison of two systems as text and as Markdown."""

from va_jax.evaluation import bootstrap
from va_jax.io import Table
from va_jax.report.tables import NO_INTERVAL, format_interval, format_score
from va_jax.scoring.align import FAULTS
from va_jax.scoring.compare import METHOD, Comparison
from va_jax.scoring.difference import Difference

HEADER = ("A", "B", "A - B", "95 % interval", "p")
LOWER_IS_BETTER = ("rmse", "mse")


def text(comparison: Comparison) -> str:
    """Return a description of the data, a table for every metric, and a conclusion."""
    parts = ["\n".join(describe_data(comparison))]
    parts += [table.text() for table in tables(comparison)]
    parts += ["\n".join(notes(comparison)), conclusion(comparison)]
    return "\n\n".join(parts) + "\n"


def markdown(comparison: Comparison) -> str:
    """Return the content of `text` as Markdown."""
    parts = ["\n".join(f"- {line}" for line in describe_data(comparison))]
    parts += [table.markdown() for table in tables(comparison)]
    parts += ["\n".join(f"- {note}" for note in notes(comparison))]
    return "\n\n".join([*parts, f"**{conclusion(comparison)}**"]) + "\n"


def describe_data(comparison: Comparison) -> list[str]:
    paired = comparison.paired
    sides = {"A": paired.a, "B": paired.b}
    lines = []
    for name, side in sides.items():
        count = "" if len(side.runs) == 1 else f"{len(side.runs)} runs: "
        lines.append(f"{name}: {count}{', '.join(map(str, side.folders))}")
    if comparison.labels:
        lines.append(f"labels: {comparison.labels}")
    lines.append(
        f"scored in every run: {paired.recordings:,} recordings with {paired.frames:,} frames"
    )
    for name, side in sides.items():
        if side.first:
            lines.append(
                f"{name}: left out because not every run has them: {side.recordings:,} recordings, "
                f"and {side.frames:,} frames of other recordings (first: {side.first})"
            )
        for fault, first in side.tally.first.items():
            lines.append(f"{name}: {FAULTS[fault]}: {side.tally.counts[fault]:,} (first: {first})")
    raw = [dim for dim in paired.dims if dim not in paired.processed]
    if not paired.processed:
        hint = "; pass --processed to compare post-processed ones" if paired.has_processed else ""
        lines.append(f"raw predictions{hint}")
    else:
        missing = "which is not post-processed in every run"
        rest = f"; raw predictions of {', '.join(raw)}, {missing}" if raw else ""
        lines.append(f"post-processed predictions of {', '.join(paired.processed)}{rest}")
    return lines


def tables(comparison: Comparison) -> list[Table]:
    """Return a table for every metric, with a row for every dimension and aggregation."""
    return [
        Table(
            [metric.upper(), *HEADER],
            [
                [f"{dim}, {name.replace('_', ' ')}", *_cells(row)]
                for dim, aggregations in dims.items()
                for name, row in aggregations.items()
            ],
        )
        for metric, dims in comparison.scores.items()
    ]


def _cells(row: Difference) -> tuple[str, ...]:
    scores = [
        format_score(value) if sd is None else f"{format_score(value)} +-{format_score(sd)}"
        for value, sd in ((row.a, row.a_sd), (row.b, row.b_sd))
    ]
    return (
        *scores,
        f"{row.difference:+.3f}",
        _interval(row.interval) or NO_INTERVAL,
        format_score(row.p),
    )


def notes(comparison: Comparison) -> list[str]:
    """Return lines that explain the numbers."""
    has_interval = comparison.paired.recordings >= bootstrap.FEWEST
    several_runs = len(comparison.paired.a.runs) > 1 or len(comparison.paired.b.runs) > 1
    options = comparison.options
    lines = [f"CCC formula '{options.formula}'"]
    if any(metric in comparison.scores for metric in LOWER_IS_BETTER):
        lines.append("lower is better for RMSE and MSE, higher for all others")
    if has_interval:
        lines.append(
            f"interval and p: {METHOD}, {options.resamples:,} resamples, seed {options.seed}; p is "
            "two-sided and not corrected for the number of rows"
        )
    else:
        lines.append(
            f"no intervals or p-values, because they require {bootstrap.FEWEST} recordings, "
            f"and there are only {comparison.paired.recordings}"
        )
    if several_runs:
        lines.append("scores are means over runs; +- is the standard deviation of the runs (n - 1)")
    if has_interval:
        lines.append(
            "the interval covers the choice of recordings, but not the variation between training "
            "runs; " + ("for that, see +-" if several_runs else "for that, compare several runs")
        )
    return lines


def conclusion(comparison: Comparison) -> str:
    """Name the side with the higher headline score, and the difference."""
    row, dims = comparison.headline, comparison.paired.dims
    score = f"pooled CCC, mean of {' and '.join(dims)}"
    if len(dims) == 1:
        score = f"pooled {dims[0]} CCC"
    difference = f"A - B is {row.difference:+.3f}"
    if row.interval is None:
        return (
            f"{difference} in {score}, but {comparison.paired.recordings} recordings are too few "
            "to tell whether the difference is due to chance"
        )
    numbers = f"in {score}, p = {format_score(row.p)}"
    if not row.better:
        return f"no significant difference: {difference} {_interval(row.interval)} {numbers}"
    low, high = row.interval
    if row.better == "B":
        low, high = (None if end is None else -end for end in (high, low))
    size = f"{format_score(abs(row.difference))} {_interval([low, high])}"
    return f"{row.better} is better by {size} {numbers}"


def _interval(ends: list[float | None] | None) -> str:
    return format_interval({"interval": {"ccc": ends}}, "ccc")
