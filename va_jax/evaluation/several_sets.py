"""Files of an evaluation on several data sets: a folder for each, and an overview of all of them.

Every data set has its own metrics, traces and report, in `sets/NAME`, in the same form as those of
a run on a single data set. So names of tracks and subjects that occur in two data sets do not
collide.
"""

import datetime
import pathlib
from collections.abc import Mapping, Sequence
from typing import Any

from va_jax.evaluation.set_means import mean_over_sets
from va_jax.io import write_json, write_text
from va_jax.report import overview
from va_jax.report.overview import Overview
from va_jax.report.page import Split
from va_jax.train import logs

CRITERION = "mean of the pooled dev CCC over data sets and dimensions"
"""How the best checkpoint of a run on several data sets is chosen."""


def folder_of(folder: pathlib.Path, name: str) -> pathlib.Path:
    """Return the folder with the results on data set `name`, inside that of an evaluation."""
    return folder / "sets" / name


def history_of(history: list[dict[str, Any]], name: str) -> list[dict[str, Any]]:
    """Return the lines of a log, with the dev CCC on one data set in place of the means."""
    ending = f"/{name}"
    return [
        line | {key.removesuffix(ending): line[key] for key in line if key.endswith(ending)}
        for line in history
    ]


def means(by_set: Mapping[str, Mapping[str, Split]], dims: Sequence[str]) -> dict[str, Any]:
    """Return, for every split, the scores averaged over data sets; {} if fewer than two are scored.

    They are the result of `mean_over_sets` for raw predictions (`scores`) and for post-processed
    ones (`processed`, only if any were fitted). A data set for which no step was kept counts with
    its raw predictions in both.

    Args:
        by_set: the splits of each data set, by its name.
        dims: names of the dimensions.
    """
    found: dict[str, Any] = {}
    for name in next(iter(by_set.values())):
        scored = [splits[name] for splits in by_set.values() if splits[name].scored]
        found[name] = {}
        if len(scored) < 2:
            continue
        raw = [(each.traces, [trace.pred for trace in each.traces]) for each in scored]
        found[name]["scores"] = mean_over_sets(raw, dims)
        if any(each.processed is not None for each in scored):
            processed = [
                own if each.processed is None else (each.traces, each.processed)
                for own, each in zip(raw, scored, strict=True)
            ]
            found[name]["processed"] = mean_over_sets(processed, dims)
    return found


def write(
    workdir: pathlib.Path,
    folder: pathlib.Path,
    metrics: Mapping[str, Any],
    means: Mapping[str, Any],
) -> str:
    """Write metrics.json, metrics.txt, metrics.md and report.html; return the table of all sets.

    Args:
        workdir: folder of the run.
        folder: folder for the files.
        metrics: the content of metrics.json of each data set, by its name.
        means: result of `means`.

    Returns:
        The mean and the score on each data set, for each split, as text.
    """
    first = next(iter(metrics.values()))
    names = dict.fromkeys(split for each in metrics.values() for split in each["splits"])
    tables = {
        split: {name: each["splits"][split] for name, each in metrics.items()} for split in names
    }
    common = ("checkpoint_step", "formula", "eval", "versions")
    kept = {
        "data": ",".join(metrics),
        "criterion": CRITERION,
        **{key: first[key] for key in common},
        "mean": dict(means),
        "sets": dict(metrics),
    }
    write_json(folder / "metrics.json", kept)
    step = first["checkpoint_step"]
    facts = {
        "data sets": ", ".join(metrics),
        "checkpoint": f"step {step:,}, the best by the {CRITERION}",
        "evaluated": datetime.datetime.now().astimezone().strftime("%d %B %Y, %H:%M"),
        "with": ", ".join(f"{name} {version}" for name, version in first["versions"].items()),
    }
    shown = Overview(workdir.name, facts, tables, means, logs.history(workdir), step)
    heading = f"{len(metrics)} data sets, checkpoint of step {step} (best mean dev CCC)\n"
    parts = {".txt": overview.text(shown), ".md": overview.markdown(shown)}
    for ending, text in parts.items():
        own = [
            (folder_of(folder, name) / f"metrics{ending}").read_text(encoding="utf-8")
            for name in metrics
        ]
        write_text(folder / f"metrics{ending}", "\n".join([heading, text, *own]))
    overview.write(folder, shown)
    return f"{heading}\n{parts['.txt']}"
