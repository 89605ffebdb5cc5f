"""The metric card as text of fixed width and as Markdown, for people."""

from collections.abc import Iterator, Mapping
from typing import Any

HEADER = ("CCC", "95 % interval", "PCC", "RMSE", "MSE", "SAGR", "frames", "recordings")
WIDTHS = (7, 17, 8, 7, 7, 7, 10, 12)
LABEL = 34

Row = tuple[str, tuple[str, ...]]


def text(title: str, card: Mapping[str, Any]) -> str:
    """The card with a block of lines for every dimension.

    Beside what `card.metric_card` gives, `processed` (scores of post-processed predictions and, by
    dimension, the `steps` in words), `ceiling` (dimension -> CCC) and `raters` (dimension -> their
    agreement) are shown where they are there.
    """
    lines = [head(title, card)]
    if not _scored(card):
        return f"{lines[0]}\n"
    for dim in card["scores"]:
        lines += ["", f"{dim:<{LABEL}}" + "".join(map(str.rjust, HEADER, WIDTHS))]
        for label, cells in rows(card, dim):
            lines.append(f"  {label:<{LABEL - 2}}" + "".join(map(str.rjust, cells, WIDTHS)))
        lines += [f"  {note}" for note in notes(card, dim)]
    return "\n".join(line.rstrip() for line in lines) + "\n"


def markdown(title: str, card: Mapping[str, Any]) -> str:
    """The same as Markdown tables, to be pasted."""
    lines = [f"### {head(title, card)}"]
    for dim in card["scores"] if _scored(card) else ():
        lines += ["", f"| {dim} | {' | '.join(HEADER)} |", "|---|" + "---:|" * len(HEADER)]
        lines += [f"| {label} | {' | '.join(cells)} |" for label, cells in rows(card, dim)]
        lines += ["", *(f"{note}" for note in notes(card, dim))]
    return "\n".join(lines).rstrip() + "\n"


def head(title: str, card: Mapping[str, Any]) -> str:
    """What was scored, in a line."""
    told = (
        f"{title}: {card['tracks']:,} tracks, {card['frames']:,} frames, "
        f"{card['frames_that_count']:,} of them count"
    )
    if not _scored(card):
        return f"{told}; predictions only, for no frame has face and label"
    return told if card["formula"] == "population" else f"{told}; CCC by AVEC's formula"


def rows(card: Mapping[str, Any], dim: str) -> Iterator[Row]:
    """Label and cells, in the order of `HEADER`, of every row of a dimension."""
    for name, row in card["scores"][dim].items():
        yield _words(name), _cells(row)
    if "processed" in card:
        for name, row in card["processed"]["scores"][dim].items():
            yield f"{_words(name)}, processed", _cells(row)
    for name, baseline in card["baselines"].items():
        yield _words(name), _cells(baseline[dim]["pooled"])
    for label, ccc in ceilings(card, dim):
        yield label, (format_score(ccc), *[""] * (len(HEADER) - 1))


def ceilings(card: Mapping[str, Any], dim: str) -> Iterator[tuple[str, float]]:
    """What is known of the best that can be reached, as label and CCC."""
    if dim in card.get("ceiling", {}):
        yield "ceiling of the set", card["ceiling"][dim]
    if dim in card.get("raters", {}):
        agreement = card["raters"][dim]
        yield f"{agreement['raters']} raters, mean of pairs", agreement["mean_ccc"]


def notes(card: Mapping[str, Any], dim: str) -> Iterator[str]:
    """What else must be known of a dimension's rows."""
    for name, row in card["scores"][dim].items():
        if row["undefined"]:
            what = "the signal is" if name == "pooled" else f"{row['undefined']} recordings are"
            yield f"{_words(name)}: {what} the same constant as the label: CCC is 0/0, taken as 0"
    if "processed" in card:
        yield (
            f"post-processing, fitted on {card['processed']['fitted_on']}: "
            + (card["processed"]["steps"][dim])
        )


def format_score(value: float | None, digits: int = 3) -> str:
    """A score as people of the field write it."""
    return "-" if value is None else f"{round(value, digits) + 0.0:.{digits}f}"


def format_interval(row: Mapping[str, Any], metric: str) -> str:
    """The interval of a metric, or nothing."""
    ends = (row.get("interval") or {}).get(metric)
    return f"[{format_score(ends[0])}, {format_score(ends[1])}]" if ends else ""


def _cells(row: Mapping[str, Any]) -> tuple[str, ...]:
    scores = (format_score(row[key]) for key in ("pcc", "rmse", "mse", "sagr"))
    return format_score(row["ccc"]), format_interval(row, "ccc"), *scores, f"{row['n']:,}", f"{row['recordings']:,}"


def _scored(card: Mapping[str, Any]) -> bool:
    return all(card["scores"].values())


def _words(name: str) -> str:
    return name.replace("_", " ").replace(":", " ")
