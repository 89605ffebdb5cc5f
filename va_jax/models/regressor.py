"""The whole network: frames to one trace per named dimension."""

from typing import Any

import flax.linen as nn
import jax
import jax.numpy as jnp
from jaxtyping import Array, Bool, Float, UInt8

from va_jax.models.recurrent import RecurrentStack, State

States = tuple[State, ...]
"""Of every branch the state of its recurrent stack; () for a network without one."""

HEAD_INIT = nn.initializers.truncated_normal(0.01)
"""kollias2017: the last weights are drawn from a truncated normal of 0.01, the bias is 0."""

Features = tuple[Array, ...]
"""Of every branch what its recurrent stack is fed, float32 [batch, time, features]."""


class Normalisation(nn.Module):
    """Brings RGB frames to the scale that the backbone's weights were made for.

    Mean and standard deviation are variables, neither trained nor averaged: they are stored and
    handed on with the weights they belong to. The fields are their initial values.
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
    """Layers with a ReLU each, and dropout between them, on every frame by itself."""

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

    A branch names what it is fed: `conv`, the last convolution's map; `pool`, the last map pooled;
    `fc`, the output of the fully connected layers, which is `pool` where there are none; or several
    of them, `fc+pool`, side by side. The branches' outputs stand side by side before the heads.
    Heads are named (`head_valence`): the same parameters serve any order of `dims`, and `pred`
    follows the order asked for.
    """

    backbone: nn.Module  # (float frames, mask, train) -> last convolution's map, last pool's map
    input: Normalisation
    fc: FullyConnected
    recurrent: RecurrentStack | None  # what each branch has one of
    branches: tuple[str, ...]
    dims: tuple[str, ...]
    flatten: bool = False  # the last map is laid flat; else averaged over space
    landmarks: str = "none"  # before_fc, after_fc: where facial landmarks stand beside the features
    landmark_points: int = 0
    frame_mask: float = 0.0  # share of the frames hidden in training
    dropout: float = 0.0  # rate, on what the recurrent branches are fed
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
        """Predictions, and the state to hand to the next chunk of the same tracks.

        `face` is True where the frame shows the face and is not padding; the other frames
        influence neither batch statistics nor state nor their neighbours, and with a recurrent
        stack their prediction repeats the last one. In training a share `frame_mask` of the frames
        is treated so too. `landmarks` run from -1 to 1 over the frame, 0 where unknown. Training
        needs mutable `batch_stats` and a `dropout` rng; a frozen backbone gets no gradient and
        keeps its batch-norm statistics.
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
        """What the recurrent part is fed; in a 2-D network each frame's depend on it alone."""
        x = self.input(frames)
        conv, pool = self.backbone(x, face, train and not freeze_backbone)
        if freeze_backbone:
            conv, pool = jax.lax.stop_gradient((conv, pool))
        parts = {"conv": _flat(conv), "pool": _flat(pool) if self.flatten else _mean(pool)}
        parts["fc"] = self.fc(self._beside(parts["pool"], landmarks, "before_fc"), train)
        parts["fc"] = self._beside(parts["fc"], landmarks, "after_fc")
        return tuple(_joined([parts[part] for part in name.split("+")]) for name in self.branches)

    def from_features(
        self,
        features: Features,
        face: Bool[Array, "batch time"],
        state: States | None = None,
        *,
        train: bool = False,
    ) -> tuple[Float[Array, "batch time dims"], States]:
        """Predictions and final state from the features: the recurrent part."""
        outputs = [self.feature_dropout(x, deterministic=not train) for x in features]
        final = ()
        if self.recurrent is not None:
            stacks = [getattr(self, name) for name in self._stack_names()]
            states = [None] * len(stacks) if state is None else state
            passes = zip(stacks, outputs, states, strict=True)
            outputs, final = zip(
                *(stack(x, face, given, train=train) for stack, x, given in passes), strict=True
            )
        x = _joined(outputs)
        pred = jnp.concatenate([getattr(self, f"head_{dim}")(x) for dim in self.dims], -1)
        return (jnp.tanh(pred) if self.bounded else pred), final

    @nn.nowrap
    def inputs(self, batch: int, time: int, size: int) -> dict[str, jax.ShapeDtypeStruct]:
        """Shapes and types of what it is called on, by name, for frames of `size` pixels."""
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
        """The state before the first frame; () for a network without a recurrent stack."""
        if self.recurrent is None:
            return ()
        return (self.recurrent.initial_state(batch),) * len(self.branches)

    @nn.nowrap
    def _stack_names(self) -> list[str]:
        if len(self.branches) == 1:
            return ["recurrent"]
        return [f"recurrent_{name.replace('+', '_')}" for name in self.branches]

    def _beside(self, x: Array, landmarks: Array | None, place: str) -> Array:
        """`x` with the landmarks' coordinates behind it, where this is their place."""
        if self.landmarks != place:
            return x
        if landmarks is None:
            raise ValueError(f"model.landmarks={place!r}, but no landmarks were given")
        return _joined([x, landmarks.reshape(*landmarks.shape[:2], -1).astype(x.dtype)])


def _flat(x: Array) -> Array:
    """Every frame's map as one row, rows of pixels first, channels last."""
    return _float32(x.reshape(*x.shape[:2], -1))


def _mean(x: Array) -> Array:
    """Every frame's map averaged over space."""
    return _float32(x).mean((2, 3))


def _float32(x: Array) -> Array:
    return x.astype(jnp.float32) if x.dtype == jnp.bfloat16 else x


def _joined(parts: Any) -> Array:
    return jnp.concatenate(list(parts), -1)
