"""The metrics table as text, as Markdown, and as groups of rows for the page."""

import dataclasses
from collections.abc import Iterable, Iterator, Mapping
from typing import Any

from va_jax.evaluation.bootstrap import FEWEST
from va_jax.io import Table

HEADER = ("CCC", "95 % interval", "PCC", "RMSE", "MSE", "SAGR", "frames", "recordings")
"""Columns in the text and Markdown tables, after the row label."""


NO_INTERVAL = f"needs {FEWEST} recordings"
"""Text shown in place of an interval if there are too few recordings."""


PAIRS_NO_LIMIT = (
    "the agreement of rater pairs is not an upper limit: the fused label is less noisy than a "
    "single rater, so a network can agree with it better than raters agree with each other"
)

NO_LIMIT = (
    "the agreement of rater pairs is the CCC of two humans; that of one rater and the mean of the "
    "others is the CCC of one human with the consensus. Neither is an upper limit: the fused label "
    "is less noisy than a single rater, so a network that is trained on it can agree with it "
    "better than any rater does"
)
"""Note on what the raters' agreement means, with and without the comparison with the others."""


@dataclasses.dataclass(frozen=True)
class RowGroup:
    """A group of related rows for one dimension."""

    title: str
    rows: Mapping[str, Mapping[str, Any]]  # scores by label, or only a CCC
    suffix: str = ""  # added to the labels if the title is not shown
    intervals: bool = False  # whether rows have intervals, given enough recordings


def text(title: str, metrics_table: Mapping[str, Any]) -> str:
    """Return the metrics table as text with aligned columns, in a block for each dimension.

    Args:
        title: title of the table, usually the name of a split.
        metrics_table: result of `score_table.metrics_table`. Four more keys are shown if present:
            `processed` (`scores` of post-processed predictions, `fitted_on`, and a description of
            the `steps` for each dimension), `before` (`raw` and `post_processed` scores of the
            network before it was fine-tuned on one subject), `ceiling` (the CCC by dimension) and
            `raters` (by dimension, the number of `raters`, their agreement `mean_ccc` and, in newer
            data sets, `mean_leave_one_out_ccc`).
    """
    if not is_scored(metrics_table):
        return f"{headline(title, metrics_table)}\n"
    lines = []
    for dim in metrics_table["scores"]:
        rows = [[f"  {label}", *cells] for label, *cells in _rows(metrics_table, dim)]
        lines += [[""] * (1 + len(HEADER)), [dim, *HEADER], *rows]
    parts = [headline(title, metrics_table), Table(lines[0], lines[1:]).text()]
    remarks = list(notes(metrics_table))
    return "\n".join([*parts, *([""] if remarks else []), *remarks]) + "\n"


def markdown(title: str, metrics_table: Mapping[str, Any]) -> str:
    """Return the metrics table as Markdown, with a table for each dimension."""
    parts = [f"### {headline(title, metrics_table)}"]
    for dim in metrics_table["scores"] if is_scored(metrics_table) else ():
        parts.append(Table((dim, *HEADER), list(_rows(metrics_table, dim))).markdown())
    if remarks := list(notes(metrics_table)):
        parts.append("\n".join(f"- {remark}" for remark in remarks))
    return "\n\n".join(parts) + "\n"


def headline(title: str, metrics_table: Mapping[str, Any]) -> str:
    """Return a line with the number of scored frames, and with the CCC formula if it is AVEC's."""
    counts = (
        f"{title}: {metrics_table['tracks']:,} tracks, {metrics_table['frames']:,} frames, "
        f"{metrics_table['frames_that_count']:,} of them scored"
    )
    if not is_scored(metrics_table):
        return f"{counts}; predictions only, because no frame has both a face and a label"
    if metrics_table["formula"] == "population":
        return counts
    return f"{counts}; CCC computed with the AVEC formula"


def is_scored(metrics_table: Mapping[str, Any]) -> bool:
    """Return whether the split has a frame with both a face and a label."""
    return all(metrics_table["scores"].values())


def groups(metrics_table: Mapping[str, Any], dim: str) -> Iterator[RowGroup]:
    """Yield the rows for a dimension: the network, baselines, and known CCCs for comparison."""
    yield RowGroup("network", _labelled(metrics_table["scores"][dim]), intervals=True)
    if processed := metrics_table.get("processed"):
        rows = _labelled(processed["scores"][dim])
        yield RowGroup("network, post-processed", rows, ", post-processed", intervals=True)
    if before := metrics_table.get("before"):
        labels = {"raw": "pooled", "post_processed": "pooled, post-processed"}
        rows = {labels[name]: scores[dim]["pooled"] for name, scores in before.items()}
        yield RowGroup("network before fine-tuning", rows, ", before fine-tuning")
    pooled = {name: scores[dim]["pooled"] for name, scores in metrics_table["baselines"].items()}
    title = "baselines, pooled; an oracle uses the labels it is scored on"
    yield RowGroup(title, _labelled(pooled))
    if dim in metrics_table.get("ceiling", {}):
        row = {"ccc": metrics_table["ceiling"][dim]}
        yield RowGroup("best possible score", {"ceiling of the data set": row})
    if dim in metrics_table.get("raters", {}):
        agreement = metrics_table["raters"][dim]
        number = f"{agreement['raters']} raters"
        rows = {f"agreement of rater pairs, {number}": {"ccc": agreement["mean_ccc"]}}
        if "mean_leave_one_out_ccc" in agreement:
            ccc = agreement["mean_leave_one_out_ccc"]
            rows[f"one rater and the mean of the others, {number}"] = {"ccc": ccc}
        yield RowGroup("raters: mean CCC over all pairs, and over all raters", rows)


def baseline_groups(metrics_table: Mapping[str, Any], dim: str) -> Iterator[RowGroup]:
    """Yield the rows for each baseline, with every aggregation."""
    for name, scores in metrics_table["baselines"].items():
        yield RowGroup(_label(name), _labelled(scores[dim]))


def notes(metrics_table: Mapping[str, Any]) -> Iterator[str]:
    """Yield one-line notes on rater agreement, undefined scores and post-processing."""
    if raters := metrics_table.get("raters"):
        leave_one_out = any("mean_leave_one_out_ccc" in each for each in raters.values())
        yield NO_LIMIT if leave_one_out else PAIRS_NO_LIMIT
    for dim, rows in metrics_table["scores"].items():
        for name, row in rows.items():
            if row["undefined"]:
                where = (
                    ""
                    if name == "pooled"
                    else f"in {row['undefined']} of {row['recordings']} recordings "
                )
                yield (
                    f"{dim}, {_label(name)}: {where}the prediction and the label are the same "
                    "constant, so their CCC is 0/0, which counts as 0"
                )
        if processed := metrics_table.get("processed"):
            steps = processed["steps"][dim]
            yield f"{dim}, post-processing fitted on {processed['fitted_on']}: {steps}"


def format_score(value: float | None, digits: int = 3) -> str:
    """Format a score with a leading zero, never as -0.000; return "-" if it is not known."""
    return "-" if value is None else f"{round(value, digits) + 0.0:.{digits}f}"


def format_interval(row: Mapping[str, Any], metric: str) -> str:
    """Format the interval for a metric in a row as "[low, high]"; return "" if there is none."""
    ends = (row.get("interval") or {}).get(metric)
    return f"[{format_score(ends[0])}, {format_score(ends[1])}]" if ends else ""


def interval_note(row_groups: Iterable[RowGroup]) -> str:
    """Return the reason why rows of these groups lack an interval, or "" if none of them does."""
    rows = [row for group in row_groups if group.intervals for row in group.rows.values()]
    if any("interval" not in row for row in rows):
        return "intervals were not computed"
    if any(row["interval"] is None for row in rows):
        return f"an interval {NO_INTERVAL}"
    return ""


def _rows(metrics_table: Mapping[str, Any], dim: str) -> Iterator[list[str]]:
    """Yield every row for a dimension: its label, then its cells in the order of `HEADER`."""
    for group in groups(metrics_table, dim):
        for label, row in group.rows.items():
            interval = format_interval(row, "ccc")
            if group.intervals and not interval:
                interval = NO_INTERVAL if "interval" in row else "not computed"
            cells = [format_score(row["ccc"]), interval]
            cells += [
                format_score(row[m]) if m in row else "" for m in ("pcc", "rmse", "mse", "sagr")
            ]
            cells += [f"{row[key]:,}" if key in row else "" for key in ("n", "recordings")]
            yield [label + group.suffix, *cells]


def _labelled(rows: Mapping[str, Mapping[str, Any]]) -> dict[str, Mapping[str, Any]]:
    return {_label(name): row for name, row in rows.items()}


def _label(name: str) -> str:
    """Return the name of an aggregation or baseline in words; group names are left unchanged."""
    kind, _, group = name.partition(":")
    return f"{kind} {group}" if group else kind.replace("_", " ")
