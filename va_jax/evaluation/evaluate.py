"""Score the best checkpoint of a run: predict dev and test, post-process, score, report."""

import datetime
import importlib.metadata
import json
import pathlib
from collections.abc import Callable, Mapping, Sequence
from typing import Any, NamedTuple

import jax
from jax.sharding import Mesh

from va_jax.config import Config, to_tree
from va_jax.data import sources
from va_jax.data.sources import Source
from va_jax.evaluation import fitting, postprocess, score_table
from va_jax.evaluation.postprocess import Chain
from va_jax.evaluation.predict_split import predict_split
from va_jax.evaluation.predictors import SplitPredictor, make_predictor
from va_jax.io import write_text
from va_jax.models.build import build_model, landmark_points
from va_jax.report import page, tables
from va_jax.report.page import Evaluation, Split
from va_jax.report.traces import write_traces
from va_jax.train import checkpoints, logs, provenance, sharding
from va_jax.train.state import abstract_variables
from va_jax.types import Trace


class Trained(NamedTuple):
    """The network of a run with the parameters of its best checkpoint, ready to predict."""

    predictor: SplitPredictor
    variables: Any
    step: int


def evaluate(
    config: Config,
    workdir: pathlib.Path,
    out: pathlib.Path | None = None,
    on_batch: Callable[[], None] = lambda: None,
) -> None:
    """Score the best checkpoint in `workdir` (by dev CCC) on the dev and the test split.

    Writes metrics.json, metrics.txt, metrics.md, traces/SPLIT/TRACK.csv, report.html and its plots
    to `out`, which is `workdir` by default, and prints the text. Post-processing is fitted on dev
    and, by default, kept with the checkpoint. A split without labels is predicted and not scored.
    Where the data set is not as the run was trained on, a warning says so, or an InputError that
    the network does not fit it. `on_batch` is called for every batch of frames that is predicted.
    """
    sharding.check_batch("eval.batch_size", config.eval.batch_size)
    facts = sources.metadata(config.data.dir, config.data.name)
    warnings = provenance.check(provenance.facts(config.data, facts), workdir)
    if jax.process_index() == 0:
        provenance.warn(warnings)
    names = dict.fromkeys((config.data.dev, config.data.test))
    opened = {name: open_split(config, name) for name in names if name}
    dims, mesh = tuple(facts["dims"]), sharding.make_mesh()
    trained = restore(config, workdir, dims, config.data.size or facts["crop"]["size"], mesh)
    predicted = {
        name: predict_split(config, trained.predictor, trained.variables, source, on_batch)
        for name, source in opened.items()
    }
    if jax.process_index() != 0:
        return
    fitted = fitting.fit(predicted[config.data.dev], dims, config.post)
    splits = {
        name: score(traces, dims, facts, name, fitted, config.data.dev)
        for name, traces in predicted.items()
    }
    if out is None:
        text = json.dumps(fitted.to_json(), indent=1) + "\n"
        checkpoints.write_beside(workdir, trained.step, postprocess.NAME, text)
    folder = workdir if out is None else out
    folder.mkdir(parents=True, exist_ok=True)
    for name, split in splits.items():
        write_traces(folder / "traces" / name, split.traces, dims, split.processed)
    told = _write_scores(folder, config, facts, trained.step, fitted, splits)
    title = f"{workdir.name}: {config.data.name}"
    page.write(
        folder,
        Evaluation(
            title,
            _facts(config, facts, trained.step),
            dims,
            splits,
            logs.history(workdir),
            trained.step,
            fitted.curves,
            lambda name, track, numbers: opened[name].jpegs(track, numbers),
        ),
    )
    print(f"\n{told}{folder}/report.html shows the details, metrics.json and traces/ hold them.")


def open_split(config: Config, split: str) -> Source:
    """A split of the run's data set, with the landmarks its network needs."""
    points = landmark_points(config.model)
    spare = config.data.max_bad_records
    return sources.open_split(config.data.dir, config.data.name, split, points, spare)


def restore(
    config: Config, workdir: pathlib.Path, dims: tuple[str, ...], size: int, mesh: Mesh
) -> Trained:
    """The network that `config` describes, for `dims` and frames of `size` pixels."""
    model = build_model(config.model, dims)
    target = abstract_variables(model, size, sharding.replicated(mesh))
    variables, step = checkpoints.restore_best(workdir, target)
    return Trained(make_predictor(model, mesh, config.eval), variables, step)


def score(
    traces: Sequence[Trace],
    dims: Sequence[str],
    facts: Mapping[str, Any],
    split: str,
    fitted: Chain,
    fitted_on: str,
) -> Split:
    """The card of a split with all that is known of its ceilings, with and without the chain."""
    found = score_table.metric_card(traces, dims, facts["train_mean"])
    found["ceiling"] = facts.get("ceiling", {}).get(split, {})
    found["raters"] = facts.get("rater_agreement", {}).get(split, {})
    if not fitted:
        return Split(found, traces)
    processed = [fitted.apply(trace.pred, trace.time_s, dims) for trace in traces]
    resamples = found["bootstrap"]["resamples"]
    found["processed"] = {
        "fitted_on": "this very split" if fitted_on == split else fitted_on,
        "steps": fitted.words(),
        "scores": score_table.scores(traces, processed, dims, resamples=resamples),
    }
    return Split(found, traces, processed)


def dev_ccc(
    config: Config,
    predictor: SplitPredictor,
    variables: Any,
    source: Source,
    on_batch: Callable[[], None] = lambda: None,
) -> dict[str, float]:
    """Pooled CCC of every dimension on `source`; 0 where nothing is labelled."""
    traces = predict_split(config, predictor, variables, source, on_batch)
    scored = score_table.scores(traces, [trace.pred for trace in traces], source.dims)
    return {dim: scored[dim]["pooled"]["ccc"] if scored[dim] else 0.0 for dim in source.dims}


def _write_scores(
    folder: pathlib.Path,
    config: Config,
    facts: Mapping[str, Any],
    step: int,
    fitted: Chain,
    splits: Mapping[str, Split],
) -> str:
    """metrics.json, metrics.md and metrics.txt, whose text is given back."""
    cards = {name: split.metrics_table for name, split in splits.items()}
    result = {
        "data": config.data.name,
        "split_hash": facts["split_hash"],
        "checkpoint_step": step,
        "formula": "population",
        "eval": to_tree(config.eval),
        "post_processing": fitted.to_json(),
        "versions": _versions(),
        "splits": cards,
    }
    told = f"{config.data.name}, checkpoint of step {step} (best dev CCC)"
    text = "\n".join([f"{told}\n", *(tables.text(*each) for each in cards.items())])
    markdown = "\n".join([f"{told}\n", *(tables.markdown(*each) for each in cards.items())])
    write_text(folder / "metrics.json", json.dumps(result, indent=1) + "\n")
    write_text(folder / "metrics.txt", text)
    write_text(folder / "metrics.md", markdown)
    return f"{text}\n"


def _facts(config: Config, facts: Mapping[str, Any], step: int) -> dict[str, str]:
    """What stands under the title of the page."""
    return {
        "data set": config.data.name,
        "splits": facts["split_hash"],
        "checkpoint": f"step {step:,}, the best by dev CCC",
        "CCC": "population moments; pooled over all frames that count, if nothing else is said",
        "evaluated": datetime.datetime.now().astimezone().strftime("%d %B %Y, %H:%M"),
        "with": ", ".join(f"{name} {version}" for name, version in _versions().items()),
    }


def _versions() -> dict[str, str]:
    return {name: importlib.metadata.version(name) for name in ("va_jax", "jax", "flax")}
