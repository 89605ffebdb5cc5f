"""Every run scored on every data set: how far what was learned on one holds on another."""

import dataclasses
import json
import pathlib
from collections.abc import Iterator, Mapping, Sequence
from typing import Any, NamedTuple

from va_jax.config import Config, with_values
from va_jax.data import sources
from va_jax.evaluation import postprocess, score_table
from va_jax.evaluation.evaluate import open_split, restore
from va_jax.evaluation.postprocess import Chain
from va_jax.evaluation.predict_split import predict_split
from va_jax.report import tables
from va_jax.train import checkpoints, provenance, sharding
from va_jax.train import workdir as run_config
from va_jax.types import InputError, Trace

COMPARED = (*provenance.FROM_ANOTHER, "fps")
"""Facts of two sets whose difference is told where a run is scored on another set than its own."""


class Cell(NamedTuple):
    """A run and a split of a set to score it on."""

    workdir: pathlib.Path
    config: Config  # the run's, but for the section data
    dims: tuple[str, ...]  # of the network
    shared: tuple[str, ...]  # those that the set has, too
    size: int  # side of the frames that the network is fed, pixels
    split: str
    own: bool  # the run was trained on this set
    warnings: list[str]


def plan(
    workdirs: Sequence[pathlib.Path], data: Sequence[str], data_dir: str, split: str
) -> list[Cell]:
    """A cell for every run and every set, in order.

    `data` names built sets, NAME or NAME:SPLIT, the latter in place of `split`. Raises InputError
    where a run or a set does not exist, or does not fit, before anything is predicted.
    """
    cells = []
    for workdir in workdirs:
        config = run_config.load(workdir)
        trained_on = provenance.read(workdir)
        if trained_on is None:
            raise InputError(
                f"{workdir / provenance.NAME} is missing, so what the run was trained on is not "
                "known; resume it once with its own --config"
            )
        sharding.check_batch(f"{workdir}: eval.batch_size", config.eval.batch_size)
        for each in data:
            name, _, chosen = each.partition(":")
            cells.append(_cell(workdir, config, trained_on, name, data_dir, chosen or split))
    return cells


def _cell(
    workdir: pathlib.Path,
    config: Config,
    trained_on: Mapping[str, Any],
    name: str,
    data_dir: str,
    split: str,
) -> Cell:
    config = with_values(
        config,
        **{
            "data.name": name,
            "data.size": trained_on["input_size"],
            "data.dir": data_dir or config.data.dir,
        },
    )
    facts = sources.metadata(config.data.dir, name)
    dims = tuple(trained_on["dims"])
    shared = tuple(dim for dim in dims if dim in facts["dims"])
    if not shared:
        raise InputError(
            f"data.name={name!r} has {', '.join(facts['dims'])}, the run in {workdir} predicts "
            f"{', '.join(dims)}; leave one of them out"
        )
    open_split(config, split)
    own = name == trained_on["name"]
    here = provenance.facts(config.data, facts)
    keys = provenance.WITHIN_RUN if own else COMPARED
    warnings = provenance.differences(here, workdir, keys)
    return Cell(workdir, config, dims, shared, trained_on["input_size"], split, own, warnings)


def fill(cells: Sequence[Cell], processed: bool) -> Iterator[dict[str, Any]]:
    """For every cell `run`, `data`, `split`, `own`, `warnings`, and the metric `card`, one by one.

    With `processed` the post-processing that a run has fitted on its own dev split is applied.
    """
    mesh, trained, last = sharding.make_mesh(), None, None
    for cell in cells:
        if trained is None or last != cell.workdir:
            trained, last = (
                restore(cell.config, cell.workdir, cell.dims, cell.size, mesh),
                cell.workdir,
            )
        source = open_split(cell.config, cell.split)
        traces = predict_split(cell.config, trained.predictor, trained.variables, source)
        if processed:
            fitted = _chain(cell.workdir, trained.step)
            traces = [
                dataclasses.replace(trace, pred=fitted.apply(trace.pred, trace.time_s, cell.dims))
                for trace in traces
            ]
        traces = [_aligned(trace, cell, source.dims) for trace in traces]
        yield {
            "run": str(cell.workdir),
            "data": cell.config.data.name,
            "split": cell.split,
            "own": cell.own,
            "warnings": cell.warnings,
            "card": score_table.metric_card(traces, cell.shared),
        }


def _chain(workdir: pathlib.Path, step: int) -> Chain:
    stored = checkpoints.read_beside(workdir, step, postprocess.NAME)
    if stored is None:
        raise InputError(
            f"{workdir}: no post-processing is kept with the checkpoint of step {step}; run "
            f"`python -m va_jax.main --mode=eval --workdir={workdir}` first, or go without"
        )
    return Chain.from_json(json.loads(stored), f"{workdir}: {postprocess.NAME}")


def _aligned(trace: Trace, cell: Cell, set_dims: Sequence[str]) -> Trace:
    """The dimensions that network and set share, in the same order on both sides."""
    return dataclasses.replace(
        trace,
        pred=trace.pred[:, [cell.dims.index(dim) for dim in cell.shared]],
        target=trace.target[:, [set_dims.index(dim) for dim in cell.shared]],
    )


def table(results: Sequence[Mapping[str, Any]], aggregation: str = "pooled") -> str:
    """A block a dimension: a line a run, a column a set; the CCC and its interval."""
    return "\n".join(
        f"{title}\n{_grid(grid)}" for title, grid in _grids(results, aggregation)
    ) + "".join(f"\n{line}" for line in _remarks(results))


def markdown(results: Sequence[Mapping[str, Any]], aggregation: str = "pooled") -> str:
    """The same as Markdown tables."""
    parts = []
    for title, (header, *lines) in _grids(results, aggregation):
        rows = [[title, *header[1:]], ["---"] * len(header), *lines]
        parts.append("\n".join(f"| {' | '.join(row)} |" for row in rows))
    return "\n\n".join(parts) + "\n" + "".join(f"\n{line}" for line in _remarks(results))


def _grids(
    results: Sequence[Mapping[str, Any]], aggregation: str
) -> Iterator[tuple[str, list[list[str]]]]:
    runs = list(dict.fromkeys(each["run"] for each in results))
    sets = list(dict.fromkeys((each["data"], each["split"]) for each in results))
    by_place = {(each["run"], each["data"], each["split"]): each for each in results}
    dims = dict.fromkeys(dim for each in results for dim in each["card"]["scores"])
    for dim in dims:
        grid = [["run", *(f"{name} {split}" for name, split in sets)]]
        for run in runs:
            grid.append([run, *(_shown(by_place[run, *each], dim, aggregation) for each in sets)])
        yield f"{dim}, {aggregation.replace('_', ' ')} CCC", grid


def _shown(result: Mapping[str, Any], dim: str, aggregation: str) -> str:
    row = result["card"]["scores"].get(dim, {}).get(aggregation)
    if row is None:
        return "-"
    told = f"{tables.format_score(row['ccc'])} {tables.format_interval(row, 'ccc')}".rstrip()
    return f"{told} *" if result["own"] else told


def _grid(grid: Sequence[Sequence[str]]) -> str:
    widths = [max(map(len, column)) for column in zip(*grid, strict=True)]
    return "".join(
        "  ".join(cell.ljust(width) for cell, width in zip(row, widths, strict=True)).rstrip()
        + "\n"
        for row in grid
    )


def _remarks(results: Sequence[Mapping[str, Any]]) -> Iterator[str]:
    if any(each["own"] for each in results):
        yield "* the set that the run was trained on\n"
    for line in dict.fromkeys(line for each in results for line in each["warnings"]):
        yield f"warning: {line}\n"
