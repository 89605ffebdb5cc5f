"""The whole network: from frames to one trace per named dimension."""

from typing import Any

import flax.linen as nn
import jax
import jax.numpy as jnp
from jaxtyping import Array, Bool, Float, UInt8

from va_jax.models.recurrent import RecurrentStack, State

States = tuple[State, ...]
"""State of the recurrent stack of each branch; () for a network without one."""

HEAD_INIT = nn.initializers.truncated_normal(0.01)
"""As in kollias2017: truncated normal with standard deviation 0.01; the bias starts at 0."""

Features = tuple[Array, ...]
"""Input of the recurrent stack of each branch, float32 [batch, time, features]."""


class Normalisation(nn.Module):
    """Scale RGB frames as the weights of the backbone require.

    Mean and standard deviation are variables, so that they are stored with the weights they belong
    to, but they are not trained. The fields are their initial values.
    """

    mean: tuple[float, float, float]  # of RGB in [0, 1]
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
    """Fully connected layers with a ReLU each and dropout between them, on single frames."""

    widths: tuple[int, ...]
    dropout: float  # rate, on the output of every layer but the last

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
    """Frames -> backbone -> fully connected layers -> recurrent branches -> a head per dimension.

    The name of a branch is its input: `conv`, the map of the last convolution; `pool`, the last map
    pooled; `fc`, the output of the fully connected layers, or `pool` if there are none; or a
    concatenation such as `fc+pool`. The heads read the concatenated outputs of all branches. Heads
    are named (`head_valence`), so the same parameters serve any order of `dims`.
    """

    backbone: (
        nn.Module
    )  # (float frames, mask, train) -> maps of the last convolution and the last pool
    input: Normalisation
    fc: FullyConnected
    recurrent: RecurrentStack | None  # template of the stack of each branch
    branches: tuple[str, ...]
    dims: tuple[str, ...]
    flatten: bool = False  # flatten the last map; else average it over space
    landmarks: str = "none"  # or before_fc, after_fc: where landmarks join the features
    landmark_points: int = 0
    frame_mask: float = 0.0  # share of frames hidden in training
    dropout: float = 0.0  # rate, on the input of the branches
    bounded: bool = False  # predictions pass through tanh

    def setup(self) -> None:
        self.feature_dropout = nn.Dropout(self.dropout)
        if self.recurrent is not None and len(self.branches) > 1:
            for name in self._stack_names():
                setattr(self, name, self.recurrent.clone())
        for dim in self.dims:
            setattr(self, f"head_{dim}", nn.Dense(1, kernel_init=HEAD_INIT))

    def __call__(
        self,
        frames: UInt8[Array, "batch time height width 3"],
        face: Bool[Array, "batch time"],
        state: States | None = None,
        landmarks: Float[Array, "batch time points 2"] | None = None,
        *,
        train: bool,
        freeze_backbone: bool = False,
    ) -> tuple[Float[Array, "batch time dims"], States]:
        """Predict a chunk of frames.

        Training needs mutable `batch_stats` and a `dropout` rng.

        Args:
            frames: RGB.
            face: frames that show the face and are not padding. Other frames affect neither batch
                statistics nor state nor their neighbours; with a recurrent stack their prediction
                repeats the last one. Training treats a share `frame_mask` of frames like these.
            state: state after the previous chunk of the same tracks; None at their start.
            landmarks: from -1 to 1 over the frame, 0 where unknown.
            train: use batch statistics and dropout.
            freeze_backbone: give the backbone no gradient and keep its batch-norm statistics.

        Returns:
            Predictions, and the state for the next chunk.
        """
        if train and self.frame_mask:
            rng = self.make_rng("dropout")
            face = face & jax.random.bernoulli(rng, 1 - self.frame_mask, face.shape)
        features = self.features(
            frames, face, landmarks, train=train, freeze_backbone=freeze_backbone
        )
        return self.from_features(features, face, state, train=train)

    def features(
        self,
        frames: UInt8[Array, "batch time height width 3"],
        face: Bool[Array, "batch time"],
        landmarks: Float[Array, "batch time points 2"] | None = None,
        *,
        train: bool = False,
        freeze_backbone: bool = False,
    ) -> Features:
        """Return the input of the branches; in a 2-D network each frame's depends on it alone."""
        x = self.input(frames)
        conv, pool = self.backbone(x, face, train and not freeze_backbone)
        if freeze_backbone:
            conv, pool = jax.lax.stop_gradient((conv, pool))
        parts = {"conv": _flat(conv), "pool": _flat(pool) if self.flatten else _mean(pool)}
        parts["fc"] = self.fc(self._with_landmarks(parts["pool"], landmarks, "before_fc"), train)
        parts["fc"] = self._with_landmarks(parts["fc"], landmarks, "after_fc")
        return tuple(
            jnp.concatenate([parts[part] for part in name.split("+")], -1) for name in self.branches
        )

    def from_features(
        self,
        features: Features,
        face: Bool[Array, "batch time"],
        state: States | None = None,
        *,
        train: bool = False,
    ) -> tuple[Float[Array, "batch time dims"], States]:
        """Return predictions and final state from the features: the recurrent part."""
        outputs = [self.feature_dropout(x, deterministic=not train) for x in features]
        final = ()
        if self.recurrent is not None:
            stacks = [getattr(self, name) for name in self._stack_names()]
            states = [None] * len(stacks) if state is None else state
            passes = zip(stacks, outputs, states, strict=True)
            outputs, final = zip(
                *(stack(x, face, given, train=train) for stack, x, given in passes), strict=True
            )
        x = jnp.concatenate(outputs, -1)
        pred = jnp.concatenate([getattr(self, f"head_{dim}")(x) for dim in self.dims], -1)
        return (jnp.tanh(pred) if self.bounded else pred), final

    @nn.nowrap
    def inputs(self, batch: int, time: int, size: int) -> dict[str, jax.ShapeDtypeStruct]:
        """Return shapes and types of the inputs by name, for frames of `size` pixels."""
        shapes = {
            "frames": jax.ShapeDtypeStruct((batch, time, size, size, 3), jnp.uint8),
            "face": jax.ShapeDtypeStruct((batch, time), jnp.bool_),
        }
        if self.landmarks != "none":
            points = (batch, time, self.landmark_points, 2)
            shapes["landmarks"] = jax.ShapeDtypeStruct(points, jnp.float32)
        return shapes

    @nn.nowrap
    def initial_state(self, batch: Any) -> States:
        """Return the state before the first frame; () without a recurrent stack."""
        if self.recurrent is None:
            return ()
        return (self.recurrent.initial_state(batch),) * len(self.branches)

    @nn.nowrap
    def _stack_names(self) -> list[str]:
        if len(self.branches) == 1:
            return ["recurrent"]
        return [f"recurrent_{name.replace('+', '_')}" for name in self.branches]

    def _with_landmarks(self, x: Array, landmarks: Array | None, place: str) -> Array:
        """Append the landmarks' coordinates to `x` if `place` is where they join."""
        if self.landmarks != place:
            return x
        if landmarks is None:
            raise ValueError(f"model.landmarks={place!r}, but no landmarks were given; pass them")
        points = landmarks.reshape(*landmarks.shape[:2], -1).astype(x.dtype)
        return jnp.concatenate([x, points], -1)


def _flat(x: Array) -> Array:
    """Return the map of every frame as one row, channels last."""
    return _float32(x.reshape(*x.shape[:2], -1))


def _mean(x: Array) -> Array:
    """Return the mean of every frame's map over space."""
    return _float32(x).mean((2, 3))


def _float32(x: Array) -> Array:
    return x.astype(jnp.float32) if x.dtype == jnp.bfloat16 else x
