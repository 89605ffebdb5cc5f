"""Predict every frame of a split once, stitch the pieces into traces, and score the traces."""

import json
import pathlib
from collections.abc import Callable
from typing import Any

import jax
import numpy as np
from jax.sharding import Mesh, NamedSharding, PartitionSpec
from ml_collections import ConfigDict

from va_jax import card, provenance, report, sharding
from va_jax.card import Trace
from va_jax.checkpoints import restore_best
from va_jax.config import write_atomically
from va_jax.data import pipeline, sources, windows
from va_jax.data.sources import Source
from va_jax.models import networks
from va_jax.postprocess import stitch
from va_jax.train_state import abstract_variables

Predict = Callable[[Any, Any, Any], tuple[jax.Array, Any]]


def evaluate(config: ConfigDict, workdir: pathlib.Path) -> None:
    """Score the best checkpoint in `workdir` (by dev CCC) on the dev and the test split.

    Writes traces/SPLIT/TRACK.csv, traces_SPLIT.png, metrics.json and metrics.txt there, and prints
    the latter. A split without labels is predicted and not scored. Where the data set is not as the
    run was trained on, a warning says so, or an InputError that the network does not fit it.
    """
    sharding.check_batch("eval.batch_size", config.eval.batch_size)
    facts = sources.metadata(config.data.dir, config.data.name)
    warnings = provenance.check(provenance.facts(config.data, facts), workdir)
    if jax.process_index() == 0:
        provenance.warn(warnings)
    points = networks.landmark_points(config.model)
    splits = {
        split: sources.open_split(config.data.dir, config.data.name, split, points)
        for split in dict.fromkeys((config.data.dev, config.data.test))
        if split
    }
    size = config.data.size or facts["crop"]["size"]
    mesh = sharding.make_mesh()
    model = networks.build(config.model, tuple(facts["dims"]))
    target = abstract_variables(model, size, sharding.replicated(mesh))
    variables, step = restore_best(workdir, target)
    predict = make_predict(model, mesh)
    result = {
        "data": config.data.name,
        "split_hash": facts["split_hash"],
        "checkpoint_step": step,
        "formula": "population",
        "splits": {},
    }
    text = f"{config.data.name}, checkpoint of step {step} (best dev CCC)\n\n"
    for split, source in splits.items():
        traces = predict_split(config, predict, variables, source, mesh)
        scored = card.metric_card(traces, source.dims, facts["train_mean"])
        ceiling = facts.get("ceiling", {}).get(split, {})
        result["splits"][split] = scored | {"ceiling": ceiling}
        text += card.table(split, scored, ceiling) + "\n"
        if jax.process_index() == 0:
            report.write_traces(workdir / "traces" / split, traces, source.dims)
            report.plot_traces(workdir / f"traces_{split}.png", traces, source.dims)
    if jax.process_index() == 0:
        write_atomically(workdir / "metrics.json", json.dumps(result, indent=1) + "\n")
        write_atomically(workdir / "metrics.txt", text)
        print(f"\n{text}{workdir}/metrics.json, traces/ and traces_*.png hold the details.")


def dev_ccc(
    config: ConfigDict, predict: Predict, variables: Any, source: Source, mesh: Mesh
) -> dict[str, float]:
    """Pooled CCC of every dimension on `source`; 0 where nothing is labelled."""
    traces = predict_split(config, predict, variables, source, mesh)
    scored = card.scores(traces, [trace.pred for trace in traces], source.dims)
    return {dim: scored[dim]["pooled"]["ccc"] if scored[dim] else 0.0 for dim in source.dims}


def make_predict(model: Any, mesh: Mesh) -> Predict:
    """The jitted forward pass: variables, this process's batch, state -> pred of all, state."""
    rows = NamedSharding(mesh, PartitionSpec("data"))

    def predict(variables: Any, inputs: Any, state: Any) -> tuple[Any, Any]:
        return model.apply(variables, **inputs, state=state, train=False)

    compiled = jax.jit(predict, out_shardings=(sharding.replicated(mesh), rows))

    def with_state(variables: Any, batch: Any, state: Any) -> tuple[Any, Any]:
        local = {name: batch[name] for name in model.inputs(1, 1, 1)}
        if state is None:
            zeros = jax.tree.map(np.asarray, model.initial_state(len(local["face"])))
            state = sharding.shard_batch(mesh, zeros)
        return compiled(variables, sharding.shard_batch(mesh, local), state)

    return with_state


def predict_split(
    config: ConfigDict, predict: Predict, variables: Any, source: Source, mesh: Mesh
) -> list[Trace]:
    """A trace for every track of `source`, in its order, on every process.

    Numbers depend neither on the batch size nor on the number of devices. Memory holds a few
    batches of frames and the traces.
    """
    length, stride = config.eval.length, config.window.stride
    plan = list(
        windows.evaluation_plan(
            source.tracks,
            config.eval.batch_size,
            length,
            config.eval.hop,
            stride,
            carry=config.eval.state == "carry",
        )
    )
    batches = pipeline.evaluation_batches(
        source,
        plan,
        length,
        stride,
        config.data.size or source.size,
        config.data.threads,
        jax.process_index(),
        jax.process_count(),
    )
    pieces: list[list[np.ndarray]] = [[] for _ in source.tracks]
    positions: list[list[np.ndarray]] = [[] for _ in source.tracks]
    state = None
    for (fresh, items), batch in zip(plan, batches, strict=True):
        pred, state = predict(variables, batch, None if fresh else state)
        for window, values in zip(items, np.asarray(pred), strict=True):
            if window.track >= 0:
                pieces[window.track].append(values)
                positions[window.track].append(windows.numbers(window, length, stride))
    traces = []
    for index, track in enumerate(source.tracks):
        labels = source.labels(index)
        trace = stitch(pieces[index], positions[index], track.frames, config.eval.fusion)
        traces.append(Trace(track, trace, labels.target, labels.face, labels.time_s))
    return traces
