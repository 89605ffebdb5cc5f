"""Evaluate a run's best checkpoint on dev and test: predict, post-process, score and report."""

import dataclasses
import datetime
import importlib.metadata
import pathlib
from collections.abc import Callable, Mapping, Sequence
from typing import Any, NamedTuple

import jax

from va_jax.config import Config, to_tree
from va_jax.data import sets, splits
from va_jax.data.features import FeatureSource
from va_jax.data.sources import Source
from va_jax.evaluation import before, fitting, postprocess, score_table, several_sets
from va_jax.evaluation.postprocess import PostProcessing
from va_jax.evaluation.predict_split import predict_split
from va_jax.evaluation.predictors import SplitPredictor, make_predictor
from va_jax.io import write_json, write_text
from va_jax.models import set_heads
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
    sets: tuple[str, ...] = ()  # names of the data sets with their own heads

    def of_set(self, number: int) -> "Trained":
        """Return the network of one data set; for shared heads, it is the same for all."""
        dims = self.predictor.model.dims
        own = set_heads.of_set(self.variables, self.sets, dims, number)
        return Trained(self.predictor, own, self.step)


@dataclasses.dataclass(frozen=True)
class Opened:
    """A run, and a data set on which to evaluate it."""

    workdir: pathlib.Path
    config: Config  # config of the run, reduced to this data set
    sources: Mapping[str, Source | FeatureSource]  # opened splits by name
    metadata: Mapping[str, Any]  # metadata of the data set
    trained: Trained
    criterion: str  # the score by which its checkpoint was chosen


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
    but not scored. With several data sets, each has its own post-processing, and its files are in
    sets/NAME; `several_sets.write` adds an overview.

    Args:
        config: config of the run; `eval` and `post` may differ from those used for training.
        workdir: folder of the run.
        out: folder for the files; `workdir` by default.
        on_batch: function to call for every batch of frames.

    Raises:
        InputError: the network is incompatible with the data set. Smaller differences from the
            training data are reported as warnings.
    """
    runs = open_runs(run_config.with_decided(config, workdir), workdir)
    predicted = [predict(run, on_batch) for run in runs]
    if jax.process_index() != 0:
        return
    folder, several = out or workdir, len(runs) > 1
    metrics, scored, text = {}, {}, ""
    for run, traces in zip(runs, predicted, strict=True):
        name, dims = run.config.data.name, run.metadata["dims"]
        post_processing = fitting.fit(traces[config.data.dev], dims, config.post)
        fitted_on = sum(bool(trace.mask.any()) for trace in traces[config.data.dev])
        splits = {
            split: score(run, traces[split], split, post_processing, fitted_on) for split in traces
        }
        if out is None:
            fitted, file = post_processing.to_json(), postprocess.file_of(config.data, name)
            checkpoints.write_beside(workdir, run.trained.step, file, fitted)
        own = several_sets.folder_of(folder, name) if several else folder
        metrics[name], scored[name] = write(run, own, post_processing, splits), splits
        text = _text(run, splits, tables.text)
    if several:
        means = several_sets.means(scored, runs[0].metadata["dims"])
        text = several_sets.write(workdir, folder, metrics, means)
    print(f"\n{text}\n{folder}/report.html shows the details.")


def open_runs(config: Config, workdir: pathlib.Path) -> list[Opened]:
    """Open dev and test of every data set and restore the network; warn if the data has changed.

    Raises:
        InputError: a batch cannot be divided among the devices, or the network does not fit the
            data.
    """
    sharding.check_batch("eval.batch_size", config.eval.batch_size)
    facts = provenance.facts_of_run(config)
    warnings = provenance.check(facts, workdir)
    if jax.process_index() == 0:
        provenance.warn(warnings)
    names = [name for name in dict.fromkeys((config.data.dev, config.data.test)) if name]
    configs = sets.one_by_one(config)
    opened = [{name: open_split(each, name) for name in names} for each in configs]
    trained = restore(config, workdir, tuple(facts["dims"]), facts["input_size"])
    criterion = "mean dev CCC over all data sets" if len(configs) > 1 else "dev CCC"
    return [
        Opened(
            workdir, each, sources, splits.metadata(each.data), trained.of_set(number), criterion
        )
        for number, (each, sources) in enumerate(zip(configs, opened, strict=True))
    ]


def open_split(config: Config, split: str) -> Source | FeatureSource:
    """Open a split of the run's data set, including any landmarks that the network needs."""
    return splits.open_split(config.data, split, landmark_points(config.model))


def restore(config: Config, workdir: pathlib.Path, dims: tuple[str, ...], size: int) -> Trained:
    """Restore the network from the best checkpoint in `workdir`, for images of `size` pixels."""
    own, mesh = set_heads.sets_with_heads(config), sharding.make_mesh()
    trained = build_model(config.model, dims, own)
    target = abstract_variables(trained, size, sharding.replicated(mesh))
    variables, step = checkpoints.restore_best(workdir, target)
    predictor = make_predictor(build_model(config.model, dims), mesh, config.eval)
    return Trained(predictor, variables, step, own)


def predict(run: Opened, on_batch: Callable[[], None]) -> dict[str, list[Trace]]:
    """Return the traces of every split."""
    trained = run.trained
    return {
        name: predict_split(run.config, trained.predictor, trained.variables, source, on_batch)
        for name, source in run.sources.items()
    }


def score(
    run: Opened,
    traces: Sequence[Trace],
    split: str,
    post_processing: PostProcessing,
    fitted_on: int,
) -> Split:
    """Score a split before and after post-processing; add other scores if known.

    These are its ceiling, the agreement of raters and the scores before fine-tuning.

    Args:
        run: the run to score.
        traces: raw predictions for the split.
        split: name of the split.
        post_processing: steps fitted on dev; if none was kept, there are no processed scores.
        fitted_on: number of scored recordings in dev.
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
        "fitted_on": f"{'this split' if split == dev else dev} ({fitted_on} recordings)",
        "steps": post_processing.describe(),
        "scores": score_table.scores(traces, processed, dims, resamples=resamples),
    }
    return Split(table, traces, processed)


def write(
    run: Opened, folder: pathlib.Path, post_processing: PostProcessing, splits: Mapping[str, Split]
) -> dict[str, Any]:
    """Write the traces, the metrics and the report to `folder`; return the metrics."""
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
        "checkpoint": f"step {step:,}, the best by {run.criterion}",
        "CCC": "population moments; pooled over all scored frames unless stated otherwise",
        "evaluated": datetime.datetime.now().astimezone().strftime("%d %B %Y, %H:%M"),
        "with": ", ".join(f"{name} {version}" for name, version in versions.items()),
    }
    evaluation = Evaluation(
        f"{run.workdir.name}: {data.name}",
        facts,
        run.metadata["dims"],
        splits,
        several_sets.history_of(logs.history(run.workdir), data.name),
        step,
        post_processing.curves,
        lambda name, track, numbers: run.sources[name].jpegs(track, numbers),
    )
    page.write(folder, evaluation)
    return metrics


def _text(
    run: Opened, splits: Mapping[str, Split], render: Callable[[str, Mapping[str, Any]], str]
) -> str:
    """Return the metrics tables of all splits as text; `render` formats a single table."""
    step, criterion = run.trained.step, run.criterion
    heading = f"{run.config.data.name}, checkpoint of step {step} (best {criterion})\n"
    return "\n".join([heading, *(render(name, s.metrics_table) for name, s in splits.items())])


def _versions() -> dict[str, str]:
    return {name: importlib.metadata.version(name) for name in ("va_jax", "jax", "flax")}
