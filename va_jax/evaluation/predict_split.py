"""Run the network on every frame of every track in a split."""

from collections.abc import Callable, Sequence
from typing import Any

import jax
import numpy as np
from jaxtyping import Array

from va_jax.config import Config
from va_jax.data import pipeline, windows
from va_jax.data.features import FeatureSource
from va_jax.data.pipeline import WindowShape
from va_jax.data.sources import Source
from va_jax.data.windows import PADDING, Window
from va_jax.evaluation.filters import stitch
from va_jax.evaluation.predictors import SplitPredictor
from va_jax.train import sharding
from va_jax.types import InputError, Trace


def predict_split(
    config: Config,
    predictor: SplitPredictor,
    variables: Any,
    source: Source | FeatureSource,
    on_batch: Callable[[], None] = lambda: None,
) -> list[Trace]:
    """Return a trace for every track in `source`, in the same order and on every process.

    Values depend neither on the batch size nor on the number of devices. Only a few batches of
    frames and the traces are kept in memory.

    Args:
        config: config of the run; `eval`, `window.stride`, `data.size` and `data.threads` are used.
        predictor: predictor that `make_predictor` created with the same `eval`.
        variables: parameters and statistics of its network, on every device.
        source: split on whose tracks the network is run.
        on_batch: function to call for every batch, equally often on every process.

    Raises:
        InputError: a prediction is not finite.
    """
    stride, process, processes = config.window.stride, jax.process_index(), jax.process_count()
    plan = predictor.plan(source.tracks, config.eval.batch_size, stride)
    shape = WindowShape(predictor.read_length, stride, config.data.size or source.size)
    batches = pipeline.evaluation_batches(
        source, [step.read for step in plan], shape, config.data.threads, process, processes
    )
    pieces = _Pieces(len(source.tracks), predictor.predicted_length, stride)
    state: Any = None
    pending: tuple[list[Window], Array] | None = None
    for step, batch in zip(plan, batches, strict=True):
        on_batch()
        inputs = pipeline.network_inputs(batch)
        if state is None:
            state = predictor.start(variables, inputs)
        if any(window != PADDING for window in step.read):
            rows = len(step.starts) // processes
            starts = np.array(step.starts[process * rows : (process + 1) * rows])
            local = sharding.shard_batch(predictor.mesh, (inputs, starts))
            pred, state = predictor.step(variables, *local, state)
        else:
            pred, state = predictor.flush(variables, state)
        if pending is not None:
            pieces.add(*pending)  # while the devices compute this step
        pending = step.predicted, pred
    if pending is not None:
        pieces.add(*pending)
    traces = []
    for index, track in enumerate(source.tracks):
        labels, pred = source.labels(index), pieces.join(index, track.frames, config.eval.fusion)
        if len(bad := np.flatnonzero(~np.isfinite(pred).all(1))):
            raise InputError(
                f"track {track.track_id!r}, frame {bad[0]}: the prediction is not finite; train "
                "the network with a lower optim.learning_rate, or with optim.clip_norm"
            )
        spread = labels.spread
        traces.append(Trace(track, pred, labels.target, labels.face, labels.time_s, spread))
    return traces


class _Pieces:
    """Window predictions, collected by track."""

    def __init__(self, tracks: int, length: int, stride: int):
        self._values: list[list[np.ndarray]] = [[] for _ in range(tracks)]
        self._positions: list[list[np.ndarray]] = [[] for _ in range(tracks)]
        self._length, self._stride = length, stride

    def add(self, predicted: Sequence[Window], pred: Array) -> None:
        """Wait for the predictions of a step and keep those for real windows."""
        for window, values in zip(predicted, np.asarray(pred), strict=True):
            if window != PADDING:
                numbers = windows.frame_numbers(window, self._length, self._stride)
                self._values[window.track].append(values)
                self._positions[window.track].append(numbers)

    def join(self, track: int, frames: int, fusion: str) -> np.ndarray:
        """Return the predictions [frames, dims] for a track."""
        return stitch(self._values[track], self._positions[track], frames, fusion)
