"""Score every run on every data set, to see how well networks work on data they have not seen."""

import dataclasses
import pathlib
from collections.abc import Iterator, Mapping, Sequence
from typing import Any, NamedTuple

from va_jax.config import Config, with_values
from va_jax.data import sets, sources
from va_jax.evaluation import postprocess, score_table
from va_jax.evaluation.evaluate import open_split, restore
from va_jax.evaluation.postprocess import PostProcessing
from va_jax.evaluation.predict_split import predict_split
from va_jax.io import Table
from va_jax.models import set_heads
from va_jax.report import tables
from va_jax.train import checkpoints, provenance, sharding
from va_jax.train import workdir as run_config
from va_jax.types import InputError, Trace

COMPARED = (*provenance.FROM_ANOTHER, "fps")
"""Facts to compare when a run is scored on a data set that it was not trained on."""


class Cell(NamedTuple):
    """A run, and a split of a data set on which to score the run."""

    workdir: pathlib.Path
    config: Config  # config of the run, with a different data section
    dims: tuple[str, ...]  # dimensions that the network predicts
    shared: tuple[str, ...]  # dimensions that the data set also has
    size: int  # side of the network's input in pixels
    split: str
    own: bool  # whether the run was trained on this data set
    warnings: list[str]
    number: int = 0  # index of the run's data set whose heads and post-processing are used


def plan(
    workdirs: Sequence[pathlib.Path], data: Sequence[str], data_dir: str, split: str
) -> list[Cell]:
    """Return a cell for every combination of a run and a data set, ordered by run.

    Args:
        workdirs: folders of the runs.
        data: built data sets, each given as NAME or NAME:SPLIT.
        data_dir: folder of the built data sets; "" for the folder that each run used.
        split: split to use for data sets given without one.

    Raises:
        InputError: a run or a data set does not exist, or they are incompatible.
    """
    cells = []
    for workdir in workdirs:
        config = run_config.load(workdir)
        trained_on = provenance.read(workdir)
        if trained_on is None:
            raise InputError(
                f"{workdir / provenance.NAME}: not found, so it is not known which data the "
                "run was trained on; resume the run once with its own --config to write the file"
            )
        sharding.check_batch(f"{workdir}: eval.batch_size", config.eval.batch_size)
        for each in data:
            name, _, chosen = each.partition(":")
            adapted = _adapted(config, name, data_dir, workdir)
            cells.append(_make_cell(workdir, config, adapted, trained_on, chosen or split))
    return cells


def _adapted(run: Config, name: str, data_dir: str, workdir: pathlib.Path) -> Config:
    """Return the config of a run for data set `name`, with the frames as the data set stores them.

    Raises:
        InputError: the run has a head for each of its data sets, and none for this one.
    """
    names = run.data.names
    if name not in names and set_heads.sets_with_heads(run):
        raise InputError(
            f"--data={name}: the run in {workdir} has a head for each of its data sets, and none "
            f"for this one; choose from {', '.join(names)}"
        )
    base = sets.named(run, name) if name in names else run
    return with_values(
        base,
        **{
            "data.name": name,
            "data.weights": (),
            "data.strides": (),
            "data.features": "",
            "data.subject": "",
            "data.dir": data_dir or run.data.dir,
        },
    )


def _make_cell(
    workdir: pathlib.Path, run: Config, config: Config, trained_on: Mapping[str, Any], split: str
) -> Cell:
    config = with_values(config, **{"data.size": trained_on["input_size"]})
    name, names = config.data.name, run.data.names
    metadata = sources.metadata(config.data.dir, name)
    dims = tuple(trained_on["dims"])
    shared = tuple(dim for dim in dims if dim in metadata["dims"])
    if not shared:
        raise InputError(
            f"data.name={name!r} has labels for {', '.join(metadata['dims'])}, but the run in "
            f"{workdir} predicts {', '.join(dims)}; omit the run or the data set"
        )
    open_split(config, split)
    own = name in provenance.by_set(trained_on)
    here = provenance.facts(config.data, metadata)
    keys = provenance.WITHIN_RUN if own else COMPARED
    warnings = provenance.differences(here, workdir, keys)
    number = names.index(name) if name in names else 0
    size = trained_on["input_size"]
    return Cell(workdir, config, dims, shared, size, split, own, warnings, number)


def score_cells(cells: Sequence[Cell], processed: bool) -> Iterator[dict[str, Any]]:
    """Yield `run`, `data`, `split`, `own`, `warnings` and the table `metrics` for every cell.

    Args:
        cells: cells to score; the cells of each run are consecutive.
        processed: whether to apply the post-processing that each run fitted on its own dev split.

    Raises:
        InputError: no post-processing was fitted.
    """
    loaded, last = None, None
    for cell in cells:
        if loaded is None or last != cell.workdir:
            run, last = run_config.load(cell.workdir), cell.workdir
            loaded = restore(run, cell.workdir, cell.dims, cell.size)
        trained = loaded.of_set(cell.number)
        source = open_split(cell.config, cell.split)
        traces = predict_split(cell.config, trained.predictor, trained.variables, source)
        if processed:
            fitted = _read_post_processing(cell, trained.step)
            traces = [
                dataclasses.replace(trace, pred=fitted.apply(trace.pred, trace.time_s, cell.dims))
                for trace in traces
            ]
        traces = [_select_shared(trace, cell, source.dims) for trace in traces]
        yield {
            "run": str(cell.workdir),
            "data": cell.config.data.name,
            "split": cell.split,
            "own": cell.own,
            "warnings": cell.warnings,
            "metrics": score_table.metrics_table(traces, cell.shared),
        }


def _read_post_processing(cell: Cell, step: int) -> PostProcessing:
    workdir, data = cell.workdir, run_config.load(cell.workdir).data
    name = postprocess.file_of(data, data.names[cell.number])
    stored = checkpoints.read_beside(workdir, step, name)
    if stored is None:
        raise InputError(
            f"{workdir}: the checkpoint at step {step} has no post-processing; run "
            f"`va_jax evaluate {workdir}` first, or omit --processed"
        )
    return PostProcessing.from_json(stored, f"{workdir}: {name} of step {step}")


def _select_shared(trace: Trace, cell: Cell, set_dims: Sequence[str]) -> Trace:
    """Reduce predictions and labels to the dimensions shared by the network and the data set."""
    return dataclasses.replace(
        trace,
        pred=trace.pred[:, [cell.dims.index(dim) for dim in cell.shared]],
        target=trace.target[:, [set_dims.index(dim) for dim in cell.shared]],
    )


def text(results: Sequence[Mapping[str, Any]], aggregation: str = "pooled") -> str:
    """Return a text table for each dimension, with a row per run and a column per data set.

    Args:
        results: values from `score_cells`.
        aggregation: aggregation of the CCC to show, with its interval.
    """
    parts = [f"{title}\n{grid.text()}" for title, grid in _tables(results, aggregation)]
    return "\n\n".join([*parts, *_remarks(results)]) + "\n"


def markdown(results: Sequence[Mapping[str, Any]], aggregation: str = "pooled") -> str:
    """Return the tables of `text` as Markdown."""
    parts = []
    for title, grid in _tables(results, aggregation):
        titled = dataclasses.replace(grid, header=[title, *grid.header[1:]])
        parts.append(titled.markdown())
    return "\n\n".join([*parts, *_remarks(results)]) + "\n"


def _tables(results: Sequence[Mapping[str, Any]], aggregation: str) -> Iterator[tuple[str, Table]]:
    """Yield the title and the table for every dimension."""
    runs = list(dict.fromkeys(each["run"] for each in results))
    sets = list(dict.fromkeys((each["data"], each["split"]) for each in results))
    by_place = {(each["run"], each["data"], each["split"]): each for each in results}
    for dim in dict.fromkeys(dim for each in results for dim in each["metrics"]["scores"]):
        rows = [
            [run, *(_show(by_place[run, *each], dim, aggregation) for each in sets)] for run in runs
        ]
        header = ["run", *(f"{name} {split}" for name, split in sets)]
        title = f"{dim}, {aggregation.replace('_', ' ')} CCC"
        yield title, Table(header, rows, right=False)


def _show(result: Mapping[str, Any], dim: str, aggregation: str) -> str:
    row = result["metrics"]["scores"].get(dim, {}).get(aggregation)
    if row is None:
        return "-"
    cell = f"{tables.format_score(row['ccc'])} {tables.format_interval(row, 'ccc')}".rstrip()
    return f"{cell} *" if result["own"] else cell


def _remarks(results: Sequence[Mapping[str, Any]]) -> Iterator[str]:
    if any(each["own"] for each in results):
        yield "* the data set that the run was trained on"
    for line in dict.fromkeys(line for each in results for line in each["warnings"]):
        yield f"warning: {line}"
