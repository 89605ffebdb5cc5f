"""Evaluate a run's best checkpoint on dev and test: predict, post-process, score and report."""

import dataclasses
import datetime
import importlib.metadata
import pathlib
from collections.abc import Callable, Mapping, Sequence
from typing import Any, NamedTuple

import jax

from va_jax.config import Config, to_tree
from va_jax.data import splits
from va_jax.data.features import FeatureSource
from va_jax.data.sources import Source
from va_jax.evaluation import before, fitting, postprocess, score_table
from va_jax.evaluation.postprocess import PostProcessing
from va_jax.evaluation.predict_split import predict_split
from va_jax.evaluation.predictors import SplitPredictor, make_predictor
from va_jax.io import write_json, write_text
from va_jax.models.build import build_model, landmark_points
from va_jax.report import page, tables
from va_jax.report.page import Evaluation, Split
from va_jax.report.traces import write_traces
from va_jax.train import checkpoints, logs, provenance, sharding
from va_jax.train import workdir as run_config
from va_jax.train.state import abstract_variables
from va_jax.types import Trace


class Trained(NamedTuple):
    """The network of a run, with the parameters from its best checkpoint."""

    predictor: SplitPredictor
    variables: Any
    step: int


@dataclasses.dataclass(frozen=True)
class Opened:
    """A run, and the data set on which to evaluate it."""

    config: Config
    workdir: pathlib.Path
    metadata: Mapping[str, Any]  # metadata of the data set
    sources: Mapping[str, Source | FeatureSource]  # opened splits by name
    trained: Trained


def evaluate(
    config: Config,
    workdir: pathlib.Path,
    out: pathlib.Path | None = None,
    on_batch: Callable[[], None] = lambda: None,
) -> None:
    """Score the checkpoint with the best dev CCC in `workdir` on the dev and test splits.

    This writes metrics.json, metrics.txt, metrics.md, traces/SPLIT/TRACK.csv, and report.html with
    its plots, and prints the content of metrics.txt. Post-processing is fitted on dev and, unless
    `out` is given, stored with the checkpoint. For a split without labels, predictions are written
    but not scored.

    Args:
        config: config of the run; `eval` and `post` may differ from those used for training.
        workdir: folder of the run.
        out: folder for the files; `workdir` by default.
        on_batch: function to call for every batch of frames.

    Raises:
        InputError: the network is incompatible with the data set. Smaller differences from the
            training data are reported as warnings.
    """
    run = open_run(run_config.with_decided(config, workdir), workdir)
    traces = predict(run, on_batch)
    if jax.process_index() != 0:
        return
    post_processing = fitting.fit(traces[config.data.dev], run.metadata["dims"], config.post)
    splits = {name: score(run, traces[name], name, post_processing) for name in traces}
    if out is None:
        fitted = post_processing.to_json()
        checkpoints.write_beside(workdir, run.trained.step, postprocess.NAME, fitted)
    write(run, out or workdir, post_processing, splits)
    print(f"\n{_text(run, splits, tables.text)}\n{out or workdir}/report.html shows the details.")


def open_run(config: Config, workdir: pathlib.Path) -> Opened:
    """Open the dev and test splits and restore the network; warn if the data has changed.

    Raises:
        InputError: a batch cannot be divided among the devices, or the network does not fit the
            data.
    """
    sharding.check_batch("eval.batch_size", config.eval.batch_size)
    metadata = splits.metadata(config.data)
    warnings = provenance.check(provenance.facts(config.data, metadata), workdir)
    if jax.process_index() == 0:
        provenance.warn(warnings)
    names = dict.fromkeys((config.data.dev, config.data.test))
    opened = {name: open_split(config, name) for name in names if name}
    size = config.data.size or metadata["crop"]["size"]
    trained = restore(config, workdir, tuple(metadata["dims"]), size)
    return Opened(config, workdir, metadata, opened, trained)


def open_split(config: Config, split: str) -> Source | FeatureSource:
    """Open a split of the run's data set, including any landmarks that the network needs."""
    return splits.open_split(config.data, split, landmark_points(config.model))


def restore(config: Config, workdir: pathlib.Path, dims: tuple[str, ...], size: int) -> Trained:
    """Restore the network from the best checkpoint in `workdir`, for images of `size` pixels."""
    model, mesh = build_model(config.model, dims), sharding.make_mesh()
    target = abstract_variables(model, size, sharding.replicated(mesh))
    variables, step = checkpoints.restore_best(workdir, target)
    return Trained(make_predictor(model, mesh, config.eval), variables, step)


def predict(run: Opened, on_batch: Callable[[], None]) -> dict[str, list[Trace]]:
    """Return the traces of every split."""
    predictor, variables, _ = run.trained
    return {
        name: predict_split(run.config, predictor, variables, source, on_batch)
        for name, source in run.sources.items()
    }


def score(
    run: Opened, traces: Sequence[Trace], split: str, post_processing: PostProcessing
) -> Split:
    """Score a split before and after post-processing; add other scores if known.

    These are its ceiling, the agreement of raters and the scores before fine-tuning.

    Args:
        run: the run to score.
        traces: raw predictions for the split.
        split: name of the split.
        post_processing: steps fitted on dev; if none was kept, there are no processed scores.
    """
    metadata, dims, dev = run.metadata, run.metadata["dims"], run.config.data.dev
    table = score_table.metrics_table(traces, dims, metadata["train_mean"])
    table["ceiling"] = metadata.get("ceiling", {}).get(split, {})
    table["raters"] = metadata.get("rater_agreement", {}).get(split, {})
    table["before"] = before.read(run.workdir, run.config).get(split, {})
    if not post_processing:
        return Split(table, traces)
    processed = [post_processing.apply(trace.pred, trace.time_s, dims) for trace in traces]
    resamples = table["bootstrap"]["resamples"]
    table["processed"] = {
        "fitted_on": "this split" if split == dev else dev,
        "steps": post_processing.describe(),
        "scores": score_table.scores(traces, processed, dims, resamples=resamples),
    }
    return Split(table, traces, processed)


def dev_ccc(
    config: Config,
    predictor: SplitPredictor,
    variables: Any,
    source: Source | FeatureSource,
    on_batch: Callable[[], None] = lambda: None,
) -> dict[str, float]:
    """Return the pooled CCC for every dimension on `source`; 0 if there are no labels."""
    traces = predict_split(config, predictor, variables, source, on_batch)
    scored = score_table.scores(traces, [trace.pred for trace in traces], source.dims)
    return {dim: scored[dim]["pooled"]["ccc"] if scored[dim] else 0.0 for dim in source.dims}


def write(
    run: Opened, folder: pathlib.Path, post_processing: PostProcessing, splits: Mapping[str, Split]
) -> None:
    """Write the traces, the metrics and the report to `folder`."""
    folder.mkdir(parents=True, exist_ok=True)
    for name, split in splits.items():
        write_traces(folder / "traces" / name, split.traces, run.metadata["dims"], split.processed)
    data, step, versions = run.config.data, run.trained.step, _versions()
    metrics = {
        "data": data.name,
        "split_hash": run.metadata["split_hash"],
        "checkpoint_step": step,
        "formula": "population",
        "eval": to_tree(run.config.eval),
        "post_processing": post_processing.to_json(),
        "versions": versions,
        "splits": {name: split.metrics_table for name, split in splits.items()},
    }
    write_json(folder / "metrics.json", metrics)
    write_text(folder / "metrics.txt", _text(run, splits, tables.text))
    write_text(folder / "metrics.md", _text(run, splits, tables.markdown))
    facts = {
        "data set": data.name,
        "splits": run.metadata["split_hash"],
        "checkpoint": f"step {step:,}, the best by dev CCC",
        "CCC": "population moments; pooled over all scored frames unless stated otherwise",
        "evaluated": datetime.datetime.now().astimezone().strftime("%d %B %Y, %H:%M"),
        "with": ", ".join(f"{name} {version}" for name, version in versions.items()),
    }
    evaluation = Evaluation(
        f"{run.workdir.name}: {data.name}",
        facts,
        run.metadata["dims"],
        splits,
        logs.history(run.workdir),
        step,
        post_processing.curves,
        lambda name, track, numbers: run.sources[name].jpegs(track, numbers),
    )
    page.write(folder, evaluation)


def _text(
    run: Opened, splits: Mapping[str, Split], render: Callable[[str, Mapping[str, Any]], str]
) -> str:
    """Return the metrics tables of all splits as text; `render` formats a single table."""
    heading = f"{run.config.data.name}, checkpoint of step {run.trained.step} (best dev CCC)\n"
    return "\n".join([heading, *(render(name, s.metrics_table) for name, s in splits.items())])


def _versions() -> dict[str, str]:
    return {name: importlib.metadata.version(name) for name in ("va_jax", "jax", "flax")}
