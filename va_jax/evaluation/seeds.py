"""Scores of runs that differ only in their seed, with their mean and standard deviation."""

import pathlib
import statistics
from collections.abc import Mapping, Sequence
from typing import Any

from va_jax.io import Table, read_json, write_json, write_text
from va_jax.train import logs
from va_jax.types import InputError

REMEDY = "evaluate the run again"


def write(workdir: pathlib.Path, runs: Mapping[int, pathlib.Path]) -> str:
    """Write seeds.json, seeds.txt and seeds.md to `workdir`, and return the text.

    The scores are pooled CCCs before post-processing. The standard deviation is that of a sample,
    with n - 1 in the denominator.

    Args:
        workdir: folder for the files.
        runs: folder of the evaluated run for each seed.

    Raises:
        InputError: a run was not evaluated, or its splits or dimensions differ from those of the
            first run.
    """
    scores = [_scores(folder) for folder in runs.values()]
    for folder, each in zip(runs.values(), scores, strict=True):
        if each.keys() != scores[0].keys():
            raise InputError(
                f"{folder}: this run is scored on {_names(each)}, but {next(iter(runs.values()))} "
                f"is scored on {_names(scores[0])}; use the same data set and splits for all seeds"
            )
    rows = {name: [each[name] for each in scores] for name in scores[0]}
    rows["training, s"] = [_training_s(folder) for folder in runs.values()]
    found = {name: _spread(values) for name, values in rows.items()}
    facts = {"metric": "pooled CCC", "seeds": list(runs), "rows": found}
    write_json(workdir / "seeds.json", facts)
    table = Table(
        ["CCC", *(f"seed {seed}" for seed in runs), "mean", "SD"],
        [[name, *_cells(name, each)] for name, each in found.items()],
    )
    write_text(workdir / "seeds.txt", f"{table.text()}\n")
    write_text(workdir / "seeds.md", f"{table.markdown()}\n")
    return table.text()


def _scores(folder: pathlib.Path) -> dict[str, float]:
    """Return the pooled CCCs of a run, with keys such as "test valence".

    For several data sets, these are the means, followed by "test valence, afew_va/112" and so on.
    """
    path = folder / "metrics.json"
    found = {}
    try:
        metrics = read_json(path, REMEDY)
        for split, mean in metrics.get("mean", {}).items():
            for dim, row in mean.get("scores", {}).items():
                found[f"{split} {dim}"] = float(row["ccc"])
        by_set = {f", {name}": each for name, each in metrics.get("sets", {}).items()}
        for ending, each in (by_set or {"": metrics}).items():
            for split, table in each["splits"].items():
                for dim, row in table["scores"].items():
                    if row:
                        found[f"{split} {dim}{ending}"] = float(row["pooled"]["ccc"])
    except (KeyError, TypeError, AttributeError) as error:
        raise InputError(
            f"{path}: these are not the metrics of a run ({error!r}); {REMEDY}"
        ) from error
    return found


def _training_s(folder: pathlib.Path) -> float:
    """Return the seconds that a run spent on training, including scoring on dev."""
    lines = [line for line in logs.history(folder) if line["kind"] == "time"]
    return sum(line[key] for line in lines for key in line if key.endswith("_s"))


def _spread(values: Sequence[float]) -> dict[str, Any]:
    sd = statistics.stdev(values) if len(values) > 1 else None
    return {"values": list(values), "mean": statistics.fmean(values), "sd": sd}


def _cells(name: str, row: Mapping[str, Any]) -> list[str]:
    digits = 0 if name == "training, s" else 3
    cells = [f"{value:.{digits}f}" for value in (*row["values"], row["mean"])]
    return [*cells, "" if row["sd"] is None else f"{row['sd']:.{digits}f}"]


def _names(scores: Mapping[str, float]) -> str:
    return ", ".join(scores) or "nothing"
