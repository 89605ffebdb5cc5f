"""Three ways to run a network on the tracks in a split, with as few backbone passes as possible."""

from collections.abc import Sequence
from typing import Any

import jax
import jax.numpy as jnp
import numpy as np
from jax.sharding import Mesh, NamedSharding, PartitionSpec
from jaxtyping import Array

from va_jax.config import Eval
from va_jax.data import eval_plan
from va_jax.data.eval_plan import Step
from va_jax.models import inflate
from va_jax.models.regressor import Regressor
from va_jax.train import sharding
from va_jax.types import Track


class SplitPredictor:
    """A network that processes a split batch by batch, following a plan.

    `start` returns the state before the first step. `step` takes the frames of a step and the
    current state, and returns predictions and the next state. `flush` does the same for a step that
    reads no frames. `step` and `flush` are compiled once for all splits. Inputs and states are
    divided among the devices; every device has a copy of all predictions.
    """

    read_length: int  # frames that each row of a step reads
    predicted_length: int  # frames in each row of the predictions

    def __init__(self, model: Regressor, mesh: Mesh):
        self.model, self.mesh = model, mesh
        layout = (sharding.replicated(mesh), NamedSharding(mesh, PartitionSpec("data")))
        self.step = jax.jit(self._step, out_shardings=layout)
        self.flush = jax.jit(self._flush, out_shardings=layout)

    def plan(self, tracks: Sequence[Track], batch_size: int, stride: int) -> list[Step]:
        """Return steps of `batch_size` rows each that together cover every frame of the tracks."""
        raise NotImplementedError

    def start(self, variables: Any, inputs: Any) -> Any:
        """Return the state before the first step, divided among the devices."""
        zeros = jax.tree.map(np.asarray, self.zeros(variables, inputs))
        return sharding.shard_batch(self.mesh, zeros)

    def zeros(self, variables: Any, inputs: Any) -> Any:
        """Return the state before the first step for the rows of `inputs`."""
        return ()

    def _step(self, variables: Any, inputs: Any, starts: Array, state: Any) -> tuple[Array, Any]:
        """Return predictions and the next state; `starts` marks rows that begin a subtrack."""
        raise NotImplementedError

    def _flush(self, variables: Any, state: Any) -> tuple[Array, Any]:
        raise NotImplementedError("every step of this plan reads frames")


class WholeTracks(SplitPredictor):
    """Processes every frame once, in chunks, carrying the temporal state along the track.

    If the backbone sees neighbouring frames, chunks overlap by its reach on either side and only
    their inner frames are used, so the result equals that of a single pass over the whole track.
    With edge padding, a frame without a face is replaced by the last one with a face, which may be
    further back than the reach. Each chunk then begins earlier by twice the reach, and the result
    is the same as long as fewer than half of these additional frames lack a face. The length of a
    chunk is rounded up to a multiple of the network's temporal stride.
    """

    def __init__(self, model: Regressor, mesh: Mesh, length: int):
        times = model.backbone.times()
        time_stride = inflate.time_stride(times)
        self.predicted_length, after = (
            -(-frames // time_stride) * time_stride for frames in (length, inflate.reach(times))
        )
        at_edges = any(time.padding == "edge" for time in times)
        self._before = 2 * after if at_edges else after
        self.read_length = self._before + self.predicted_length + after
        super().__init__(model, mesh)

    def plan(self, tracks: Sequence[Track], batch_size: int, stride: int) -> list[Step]:
        return eval_plan.plan_whole_tracks(
            tracks, batch_size, self.predicted_length, stride, self._before
        )

    def zeros(self, variables: Any, inputs: Any) -> Any:
        return self.model.initial_state(len(inputs["face"]))

    def _step(self, variables: Any, inputs: Any, starts: Array, state: Any) -> tuple[Array, Any]:
        inner = slice(self._before, self._before + self.predicted_length)
        features, face = jax.tree.map(
            lambda x: x[:, inner], _features(self.model, variables, inputs)
        )
        state = jax.tree.map(lambda x: jax.vmap(jnp.where)(starts, jnp.zeros_like(x), x), state)
        return self.model.apply(variables, features, face, state, method="from_features")


class SeparateWindows(SplitPredictor):
    """Runs the whole network on each window separately.

    This is necessary for a backbone that sees neighbouring frames: its output for a frame depends
    on the distance to the ends of the window, so windows cannot share features.
    """

    def __init__(self, model: Regressor, mesh: Mesh, length: int, hop: int):
        self.read_length = self.predicted_length = length
        self._hop = hop
        super().__init__(model, mesh)

    def plan(self, tracks: Sequence[Track], batch_size: int, stride: int) -> list[Step]:
        return eval_plan.plan_windows(tracks, batch_size, self.read_length, self._hop, stride)

    def _step(self, variables: Any, inputs: Any, starts: Array, state: Any) -> tuple[Array, Any]:
        pred, _ = self.model.apply(variables, **inputs, train=False)
        return pred, state


class CachedWindows(SplitPredictor):
    """Runs the backbone once per frame, and the rest of the network on each window.

    This requires a backbone that sees one frame at a time. Features are kept for as long as any
    window needs them. The state consists of the features kept for each row, [rows, kept frames,
    ...], and whether each of those frames has a face.
    """

    def __init__(self, model: Regressor, mesh: Mesh, length: int, hop: int):
        self.read_length, self._kept = eval_plan.cache_sizes(length, hop)
        self.predicted_length, self._hop = length, hop
        super().__init__(model, mesh)

    def plan(self, tracks: Sequence[Track], batch_size: int, stride: int) -> list[Step]:
        return eval_plan.plan_cached_windows(
            tracks, batch_size, self.predicted_length, self._hop, stride
        )

    def zeros(self, variables: Any, inputs: Any) -> Any:
        like = jax.eval_shape(lambda *given: _features(self.model, *given), variables, inputs)
        return jax.tree.map(lambda x: np.zeros((len(x), self._kept, *x.shape[2:]), x.dtype), like)

    def _step(self, variables: Any, inputs: Any, starts: Array, state: Any) -> tuple[Array, Any]:
        return self._predict(variables, _features(self.model, variables, inputs), starts, state)

    def _flush(self, variables: Any, state: Any) -> tuple[Array, Any]:
        no_frames = jax.tree.map(
            lambda x: jnp.zeros((len(x), self.read_length, *x.shape[2:]), x.dtype), state
        )
        return self._predict(variables, no_frames, jnp.ones(len(state[1]), bool), state)

    def _predict(self, variables: Any, new: Any, starts: Array, kept: Any) -> tuple[Array, Any]:
        """Predict windows covered by kept and new features; also return the features to keep."""
        joined = jax.tree.map(lambda x, y: jnp.concatenate([x, y], 1), kept, new)
        places = np.arange(0, self.read_length, self._hop)
        length = self.predicted_length
        features, face = jax.tree.map(
            lambda x: jnp.stack([x[:, place : place + length] for place in places], 1), joined
        )
        # A window in a subtrack that has ended must not see any frames of the next one.
        next_one = (places < self._kept)[:, None] & (
            places[:, None] + np.arange(length) >= self._kept
        )
        face = face & ~(starts[:, None, None] & next_one[None])
        rows = jax.tree.map(lambda x: x.reshape(-1, *x.shape[2:]), (features, face))
        pred, _ = self.model.apply(variables, *rows, method="from_features")
        return pred, jax.tree.map(lambda x: x[:, self.read_length :], joined)


def make_predictor(model: Regressor, mesh: Mesh, settings: Eval) -> SplitPredictor:
    """Return the predictor for the `state`, `length` and `hop` in the `eval` section."""
    if settings.state == "carry":
        return WholeTracks(model, mesh, settings.length)
    sees_neighbours = inflate.reach(model.backbone.times()) > 0
    windows = SeparateWindows if sees_neighbours else CachedWindows
    return windows(model, mesh, settings.length, settings.hop)


def _features(model: Regressor, variables: Any, inputs: Any) -> tuple[Any, Array]:
    """Return the features of a batch, and whether each of its frames has a face."""
    return model.apply(variables, **inputs, method="features"), inputs["face"]
