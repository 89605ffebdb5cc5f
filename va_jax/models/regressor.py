"""The complete network, which maps frames to one trace per dimension."""

from typing import Any

import flax.linen as nn
import jax
import jax.numpy as jnp
from jaxtyping import Array, Bool, Float, Int, UInt8

from va_jax.models.lru import LRUStack
from va_jax.models.recurrent import RecurrentStack
from va_jax.models.tcn import TCN
from va_jax.models.tcn_lru import TCNLRU
from va_jax.models.temporal import State
from va_jax.models.transformer import Transformer

Stack = RecurrentStack | TCN | LRUStack | TCNLRU | Transformer
"""A temporal stack."""

States = tuple[State, ...]
"""State of the temporal stack in each branch; () for a network without temporal stacks."""

HEAD_INIT = nn.initializers.truncated_normal(0.01)
"""Truncated normal initialisation with standard deviation 0.01, as in kollias2017."""

Features = tuple[Array, ...]
"""Input to the temporal stack in each branch, float32 [batch, time, features]."""


class Normalisation(nn.Module):
    """Normalise RGB frames as the backbone's weights require.

    The mean and standard deviation are variables that are stored with the weights but not trained.
    The fields contain their initial values.
    """

    mean: tuple[float, float, float]  # RGB in [0, 1]
    std: tuple[float, float, float]

    @nn.compact
    def __call__(
        self, frames: UInt8[Array, "batch time height width 3"]
    ) -> Float[Array, "batch time height width 3"]:
        mean, std = (
            self.variable("batch_stats", name, jnp.asarray, values, jnp.float32).value
            for name, values in (("mean", self.mean), ("std", self.std))
        )
        rgb = frames.astype(jnp.float32) / 255
        return (rgb - mean[None, None, None, None]) / std[None, None, None, None]


class FullyConnected(nn.Module):
    """Fully connected layers with ReLU, and dropout between them, applied to single frames."""

    widths: tuple[int, ...]
    dropout: float  # dropout rate for the output of every layer except the last

    @nn.compact
    def __call__(
        self, x: Float[Array, "batch time features"], train: bool
    ) -> Float[Array, "batch time out"]:
        for number, width in enumerate(self.widths):
            if number:
                x = nn.Dropout(self.dropout, deterministic=not train)(x)
            dense = nn.Dense(width, kernel_init=nn.initializers.he_normal(), name=f"layer_{number}")
            x = nn.relu(dense(x))
        return x


class Regressor(nn.Module):
    """Backbone, fully connected layers, temporal branches, and one head per dimension.

    A branch is named after its input: `conv` is the output of the last convolution, `pool` is the
    same after pooling, and `fc` is the output of the fully connected layers, or the same as `pool`
    if there are no such layers. `fc+pool` is a concatenation. The heads read the concatenated
    outputs of all branches. Each head is named after its dimension, as in `head_valence`, so the
    same parameters work for any order of `dims`. With `sets`, each data set has its own heads, such
    as `head_afew_va_112__valence`, and every row of a batch is predicted by those of its data set.
    """

    backbone: (
        nn.Module
    )  # (float frames, mask, train) -> outputs of the last convolution and the last pool
    input: Normalisation
    fc: FullyConnected
    temporal: Stack | None  # template for the stack in each branch
    branches: tuple[str, ...]
    dims: tuple[str, ...]
    flatten: bool = False  # whether to flatten the last map instead of averaging it over space
    landmarks: str = "none"  # where to append landmarks: "none", "before_fc" or "after_fc"
    landmark_points: int = 0
    frame_mask: float = 0.0  # fraction of frames to hide in training
    dropout: float = 0.0  # dropout rate for the input of the branches
    bounded: bool = False  # whether to bound predictions with tanh
    bins: int = 0  # number of logits per head, to predict the expectation over bins; 0 for none
    sets: tuple[str, ...] = ()  # names of the data sets with their own heads; () for shared heads

    def setup(self) -> None:
        self.feature_dropout = nn.Dropout(self.dropout)
        if self.temporal is not None and len(self.branches) > 1:
            for name in self._stack_names():
                setattr(self, name, self.temporal.clone())
        for name in self._head_names():
            setattr(self, name, nn.Dense(self.bins or 1, kernel_init=HEAD_INIT))

    def __call__(
        self,
        frames: UInt8[Array, "batch time height width 3"] | None,
        face: Bool[Array, "batch time"],
        state: States | None = None,
        landmarks: Float[Array, "batch time points 2"] | None = None,
        pooled: Float[Array, "batch time features"] | None = None,
        dataset: Int[Array, " batch"] | None = None,
        *,
        train: bool,
        freeze_backbone: bool = False,
    ) -> tuple[Float[Array, "batch time dims"], States]:
        """Predict all dimensions for a chunk of frames.

        Training requires mutable `batch_stats` and a `dropout` rng.

        Args:
            frames: RGB frames; None if `pooled` contains their features.
            face: mask of frames that show the face and are not padding. Other frames do not affect
                batch statistics, the state or their neighbours, and a temporal stack repeats the
                last prediction for them. In training, a random fraction `frame_mask` of the frames
                is masked, too.
            state: state after the previous chunk of the same tracks; None for the first chunk.
            landmarks: x and y from -1 to 1 across the frame, 0 if unknown.
            pooled: cached features of the frames (see `pool`), to use instead of running the
                backbone.
            dataset: index into `sets` for each row; None for shared heads.
            train: whether to use batch statistics and dropout.
            freeze_backbone: whether to stop the backbone's gradient and keep its batch-norm
                statistics.

        Returns:
            The predictions, and the state for the next chunk.
        """
        if train and self.frame_mask:
            rng = self.make_rng("dropout")
            face = face & jax.random.bernoulli(rng, 1 - self.frame_mask, face.shape)
        features = self.features(
            frames, face, landmarks, pooled, train=train, freeze_backbone=freeze_backbone
        )
        return self.from_features(features, face, state, dataset, train=train)

    def features(
        self,
        frames: UInt8[Array, "batch time height width 3"] | None,
        face: Bool[Array, "batch time"],
        landmarks: Float[Array, "batch time points 2"] | None = None,
        pooled: Float[Array, "batch time features"] | None = None,
        *,
        train: bool = False,
        freeze_backbone: bool = False,
    ) -> Features:
        """Return the input to the branches; a 2-D network computes it for each frame separately."""
        if pooled is not None:
            parts = {"pool": pooled}
        elif frames is None:
            raise ValueError("neither frames nor their features were passed; pass frames or pooled")
        else:
            conv, pool = self.backbone(self.input(frames), face, train and not freeze_backbone)
            if freeze_backbone:
                conv, pool = jax.lax.stop_gradient((conv, pool))
            parts = {"conv": _flat(conv), "pool": _flat(pool) if self.flatten else _mean(pool)}
        parts["fc"] = self.fc(self._with_landmarks(parts["pool"], landmarks, "before_fc"), train)
        parts["fc"] = self._with_landmarks(parts["fc"], landmarks, "after_fc")
        return tuple(
            jnp.concatenate([parts[part] for part in name.split("+")], -1) for name in self.branches
        )

    def pool(
        self, frames: UInt8[Array, "batch time height width 3"], face: Bool[Array, "batch time"]
    ) -> Float[Array, "batch time features"]:
        """Return the cacheable features of frames: the last pool's output, averaged over space."""
        return _mean(self.backbone(self.input(frames), face, False)[1])

    def from_features(
        self,
        features: Features,
        face: Bool[Array, "batch time"],
        state: States | None = None,
        dataset: Int[Array, " batch"] | None = None,
        *,
        train: bool = False,
    ) -> tuple[Float[Array, "batch time dims"], States]:
        """Run the branches and heads; return the predictions and the final state.

        With `bins`, the collection `logits`, if it is mutable, receives the logits of the bins,
        [batch, time, dims, bins].
        """
        outputs = [self.feature_dropout(x, deterministic=not train) for x in features]
        final = ()
        if self.temporal is not None:
            stacks = [getattr(self, name) for name in self._stack_names()]
            states = [None] * len(stacks) if state is None else state
            passes = zip(stacks, outputs, states, strict=True)
            outputs, final = zip(
                *(stack(x, face, given, train=train) for stack, x, given in passes), strict=True
            )
        x = jnp.concatenate(outputs, -1)
        outputs = self._heads(x, dataset)
        if self.bins:
            if not self.is_initializing():
                self.sow("logits", "bins", outputs)
            return jax.nn.softmax(outputs) @ bin_centres(self.bins), final
        pred = outputs[..., 0]
        return (jnp.tanh(pred) if self.bounded else pred), final

    @nn.nowrap
    def inputs(self, batch: int, time: int, size: int) -> dict[str, jax.ShapeDtypeStruct]:
        """Return the shapes and types of the inputs by name; `size` is the side of a frame."""
        shapes = {
            "frames": jax.ShapeDtypeStruct((batch, time, size, size, 3), jnp.uint8),
            "face": jax.ShapeDtypeStruct((batch, time), jnp.bool_),
        }
        if self.landmarks != "none":
            points = (batch, time, self.landmark_points, 2)
            shapes["landmarks"] = jax.ShapeDtypeStruct(points, jnp.float32)
        if self.sets:
            shapes["dataset"] = jax.ShapeDtypeStruct((batch,), jnp.int32)
        return shapes

    @nn.nowrap
    def initial_state(self, batch: Any) -> States:
        """Return the state before the first frame; () if there is no temporal stack."""
        if self.temporal is None:
            return ()
        return (self.temporal.initial_state(batch),) * len(self.branches)

    @nn.nowrap
    def _stack_names(self) -> list[str]:
        if len(self.branches) == 1:
            return ["temporal"]
        return [f"temporal_{name.replace('+', '_')}" for name in self.branches]

    @nn.nowrap
    def _head_names(self) -> list[str]:
        """Return the names of all heads, ordered by data set and then by dimension."""
        if not self.sets:
            return [head_name(dim) for dim in self.dims]
        return [head_name(dim, name) for name in self.sets for dim in self.dims]

    def _heads(self, x: Array, dataset: Array | None) -> Array:
        """Return the outputs of the heads [batch, time, dims, values], per row those of its set."""
        outputs = jnp.stack([getattr(self, name)(x) for name in self._head_names()], -2)
        if not self.sets:
            return outputs
        if dataset is None:
            raise ValueError("each data set has its own heads; pass dataset")
        batch, time, _, values = outputs.shape
        by_set = outputs.reshape(batch, time, len(self.sets), len(self.dims), values)
        return jnp.take_along_axis(by_set, dataset[:, None, None, None, None], 2)[:, :, 0]

    def _with_landmarks(self, x: Array, landmarks: Array | None, place: str) -> Array:
        """Append the landmark coordinates to `x` if `place` is the configured one."""
        if self.landmarks != place:
            return x
        if landmarks is None:
            raise ValueError(
                f"model.landmarks={place!r}, but the network got no landmarks; pass them"
            )
        points = landmarks.reshape(*landmarks.shape[:2], -1).astype(x.dtype)
        return jnp.concatenate([x, points], -1)


def head_name(dim: str, name: str = "") -> str:
    """Return the name of the head for a dimension, shared or that of the data set `name`."""
    return f"head_{name}__{dim}" if name else f"head_{dim}"


def bin_centres(bins: int) -> Float[Array, " {bins}"]:
    """Return evenly spaced bin centres from -1 to 1, including both ends (our choice)."""
    return jnp.linspace(-1, 1, bins, dtype=jnp.float32)


def _flat(x: Array) -> Array:
    """Flatten each frame's feature map."""
    return _float32(x.reshape(*x.shape[:2], -1))


def _mean(x: Array) -> Array:
    """Average each frame's feature map over space."""
    return _float32(x).mean((2, 3))


def _float32(x: Array) -> Array:
    return x.astype(jnp.float32) if x.dtype == jnp.bfloat16 else x
