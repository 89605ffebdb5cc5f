"""Every frame of every track of a split predicted, the CNN run once per frame where it can be."""

import functools
from collections.abc import Callable
from typing import Any, NamedTuple

import jax
import jax.numpy as jnp
import numpy as np
from jax.sharding import Mesh, NamedSharding, PartitionSpec
from jaxtyping import Array

from va_jax.config import Config
from va_jax.data import eval_plan, pipeline, windows
from va_jax.data.eval_plan import Step
from va_jax.data.pipeline import WindowShape
from va_jax.data.sources import Source
from va_jax.evaluation.filters import stitch
from va_jax.models import inflate
from va_jax.models.regressor import Regressor
from va_jax.train import sharding
from va_jax.types import Trace


class Predict(NamedTuple):
    """A network and its jitted passes over a batch, each to predictions of all rows and a state.

    Inputs and state are cut over the devices, predictions are on all of them.
    """

    model: Regressor
    chunk: Callable[..., tuple[Array, Any]]  # frames, the state of what came before in their row
    cached: Callable[..., tuple[Array, Any]]  # frames, and windows over these and the kept features
    flush: Callable[..., tuple[Array, Any]]  # the last windows over the kept features


class Way(NamedTuple):
    """One way through a split."""

    plan: list[Step]
    read: int  # frames of a row that is read
    made: int  # frames of a row of predictions
    begin: Callable[..., Any]  # variables, this process's first inputs -> state before them
    advance: Callable[..., tuple[Array, Any]]  # variables, inputs, fresh rows, state -> pred, state
    flush: Callable[..., tuple[Array, Any]] | None = None  # variables, state -> pred, state


def make_predict(model: Regressor, mesh: Mesh) -> Predict:
    """The passes of `model`, compiled once for all splits of a run."""
    layout = (sharding.replicated(mesh), NamedSharding(mesh, PartitionSpec("data")))

    def features_of(variables: Any, inputs: Any) -> Any:
        return model.apply(variables, **inputs, method="features"), inputs["face"]

    def chunk(
        variables: Any, inputs: Any, fresh: Array, state: Any, before: int, after: int
    ) -> tuple[Array, Any]:
        seen = features_of(variables, inputs)
        inner = slice(before, inputs["face"].shape[1] - after)
        features, face = jax.tree.map(lambda x: x[:, inner], seen)
        state = jax.tree.map(lambda x: jnp.where(fresh[:, None], jnp.zeros_like(x), x), state)
        return model.apply(variables, features, face, state, method="from_features")

    def cached(
        variables: Any, inputs: Any, fresh: Array, kept: Any, length: int, hop: int
    ) -> tuple[Array, Any]:
        return on_windows(variables, features_of(variables, inputs), fresh, kept, length, hop)

    def flush(variables: Any, kept: Any, length: int, hop: int) -> tuple[Array, Any]:
        size, _ = eval_plan.cache_sizes(length, hop)
        nothing = jax.tree.map(lambda x: jnp.zeros((len(x), size, *x.shape[2:]), x.dtype), kept)
        return on_windows(variables, nothing, jnp.ones(len(kept[1]), bool), kept, length, hop)

    def on_windows(
        variables: Any, new: Any, fresh: Array, kept: Any, length: int, hop: int
    ) -> tuple[Array, Any]:
        size, old = eval_plan.cache_sizes(length, hop)
        starts = np.arange(0, size, hop)
        joined = jax.tree.map(lambda x, y: jnp.concatenate([x, y], 1), kept, new)
        features, face = jax.tree.map(
            lambda x: jnp.stack([x[:, start : start + length] for start in starts], 1), joined
        )
        # A window of a subtrack that has ended sees nothing of the next one.
        others = (starts < old)[:, None] & (starts[:, None] + np.arange(length) >= old)
        face = face & ~(fresh[:, None, None] & others[None])
        rows = jax.tree.map(lambda x: x.reshape(-1, *x.shape[2:]), (features, face))
        pred, _ = model.apply(variables, *rows, method="from_features")
        return pred, jax.tree.map(lambda x: x[:, size:], joined)

    compiled = functools.partial(jax.jit, out_shardings=layout)
    return Predict(
        model,
        compiled(chunk, static_argnames=("before", "after")),
        compiled(cached, static_argnames=("length", "hop")),
        compiled(flush, static_argnames=("length", "hop")),
    )


def predict_split(
    config: Config,
    predict: Predict,
    variables: Any,
    source: Source,
    mesh: Mesh,
    on_batch: Callable[[], None] = lambda: None,
) -> list[Trace]:
    """A trace for every track of `source`, in its order, on every process.

    With eval.state "carry" a track is one long window, whatever `eval.length` it is read in; with
    "window" it is cut into windows of that length, which begin anew and are fused. Numbers depend
    neither on the batch size nor on the number of devices. Memory holds a few batches of frames
    and the traces. `on_batch` is called for every batch, equally often by every process.
    """
    over_time = inflate.reach(predict.model.backbone.times()) > 0
    if config.eval.state == "carry":
        way = whole_tracks(config, predict, source, mesh)
    elif over_time:
        way = separate_windows(config, predict, source, mesh)
    else:
        way = cached_windows(config, predict, source, mesh)
    return run(config, way, predict.model, variables, source, mesh, on_batch)


def whole_tracks(config: Config, predict: Predict, source: Source, mesh: Mesh) -> Way:
    """Every frame once, the state of the recurrent part carried along the track.

    Where the backbone reaches over time, chunks overlap by its reach on either side and only their
    inner frames count, so that they give what one pass over the whole track gives. Under edge
    padding a frame without a face is seen as the last one with a face, which may lie further back:
    chunks then begin twice the reach earlier, and give the same where fewer than half of these
    frames lack a face.
    """
    times = predict.model.backbone.times()
    time_stride = inflate.time_stride(times)
    length, after = (
        -(-frames // time_stride) * time_stride
        for frames in (config.eval.length, inflate.reach(times))
    )
    before = 2 * after if predict.model.backbone.inflation.padding == "edge" else after
    plan = eval_plan.plan_whole_tracks(
        source.tracks, config.eval.batch_size, length, config.window.stride, before
    )
    return Way(
        plan,
        before + length + after,
        length,
        functools.partial(_initial_state, predict.model, mesh),
        functools.partial(predict.chunk, before=before, after=after),
    )


def separate_windows(config: Config, predict: Predict, source: Source, mesh: Mesh) -> Way:
    """Every window by itself, the whole network on it.

    A backbone that reaches over time needs this: what it gives for a frame depends on how far the
    ends of the window are, so that two windows have nothing in common.
    """
    length, hop = config.eval.length, config.eval.hop
    plan = eval_plan.plan_windows(
        source.tracks, config.eval.batch_size, length, hop, config.window.stride
    )
    begin = functools.partial(_initial_state, predict.model, mesh)
    return Way(plan, length, length, begin, functools.partial(predict.chunk, before=0, after=0))


def cached_windows(config: Config, predict: Predict, source: Source, mesh: Mesh) -> Way:
    """Every window from features that are computed once per frame and kept while windows need them.

    For a backbone that sees one frame at a time; the rest of the network runs on every window.
    """
    length, hop = config.eval.length, config.eval.hop
    size, kept = eval_plan.cache_sizes(length, hop)
    plan = eval_plan.plan_cached_windows(
        source.tracks, config.eval.batch_size, length, hop, config.window.stride
    )

    def begin(variables: Any, inputs: Any) -> Any:
        extract = functools.partial(predict.model.apply, method="features")
        like = (jax.eval_shape(extract, variables, **inputs), inputs["face"])
        zeros = jax.tree.map(lambda x: np.zeros((len(x), kept, *x.shape[2:]), x.dtype), like)
        return sharding.shard_batch(mesh, zeros)

    return Way(
        plan,
        size,
        length,
        begin,
        functools.partial(predict.cached, length=length, hop=hop),
        functools.partial(predict.flush, length=length, hop=hop),
    )


def run(
    config: Config,
    way: Way,
    model: Regressor,
    variables: Any,
    source: Source,
    mesh: Mesh,
    on_batch: Callable[[], None] = lambda: None,
) -> list[Trace]:
    """A trace for every track of `source`, in its order, from what the pieces of `way` predict."""
    stride, process, processes = config.window.stride, jax.process_index(), jax.process_count()
    batches = pipeline.evaluation_batches(
        source,
        [step.read for step in way.plan],
        WindowShape(way.read, stride, config.data.size or source.size),
        config.data.threads,
        process,
        processes,
    )
    pieces: list[list[np.ndarray]] = [[] for _ in source.tracks]
    positions: list[list[np.ndarray]] = [[] for _ in source.tracks]

    def keep(made: list[windows.Window], pred: Array) -> None:
        for window, values in zip(made, np.asarray(pred), strict=True):
            if window.track >= 0:
                pieces[window.track].append(values)
                positions[window.track].append(windows.frame_numbers(window, way.made, stride))

    state, waiting = None, None
    for step, batch in zip(way.plan, batches, strict=True):
        on_batch()
        inputs = {name: batch[name] for name in model.inputs(1, 1, 1)}
        state = way.begin(variables, inputs) if state is None else state
        if way.flush and all(window == windows.PADDING for window in step.read):
            pred, state = way.flush(variables, state)
        else:
            rows = len(step.starts) // processes
            fresh = np.array(step.starts[process * rows : (process + 1) * rows])
            local = sharding.shard_batch(mesh, (inputs, fresh))
            pred, state = way.advance(variables, *local, state)
        if waiting:
            keep(*waiting)  # while the devices work on the next
        waiting = step.predicted, pred
    keep(*waiting)
    result = []
    for index, track in enumerate(source.tracks):
        labels = source.labels(index)
        trace = stitch(pieces[index], positions[index], track.frames, config.eval.fusion)
        result.append(Trace(track, trace, labels.target, labels.face, labels.time_s))
    return result


def _initial_state(model: Regressor, mesh: Mesh, _: Any, inputs: Any) -> Any:
    zeros = jax.tree.map(np.asarray, model.initial_state(len(inputs["face"])))
    return sharding.shard_batch(mesh, zeros)
