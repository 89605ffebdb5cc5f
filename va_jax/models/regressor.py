"""The whole network: frames to one trace per named dimension, built from the `model` config."""

import math
from typing import Any

import flax.linen as nn
import jax
import jax.numpy as jnp
from jaxtyping import Array, Bool, Float, UInt8
from ml_collections import ConfigDict

from va_jax.models.recurrent import GATES, RecurrentStack, State
from va_jax.models.resnet import ResNet
from va_jax.schema import InputError

BACKBONES = {
    "resnet": ((), False),
    "resnet18": ((2, 2, 2, 2), False),
    "resnet34": ((3, 4, 6, 3), False),
    "resnet50": ((3, 4, 6, 3), True),
}
"""Name -> (blocks per stage, bottleneck); `resnet` takes its `stage_sizes` from the config."""

DTYPES = {"float32": jnp.float32, "bfloat16": jnp.bfloat16}

HEAD_INIT = nn.initializers.truncated_normal(0.01)
"""kollias2017: the last weights are drawn from a truncated normal of 0.01, the bias is 0."""


class Regressor(nn.Module):
    """Frames -> backbone -> recurrent stack or none -> one linear head per dimension.

    Heads are named (`head_valence`): the same parameters serve any order of `dims`, and `pred`
    follows the order asked for.
    """

    backbone: nn.Module  # (float [n, height, width, 3], mask [n], train) -> float32 [n, features]
    recurrent: RecurrentStack | None
    dims: tuple[str, ...]
    mean: tuple[float, float, float]  # of RGB in [0, 1]; subtracted, then divided by std
    std: tuple[float, float, float]
    dropout: float = 0.0  # rate, on the pooled features

    def setup(self) -> None:
        self.feature_dropout = nn.Dropout(self.dropout)
        for dim in self.dims:
            setattr(self, f"head_{dim}", nn.Dense(1, kernel_init=HEAD_INIT))

    def __call__(
        self,
        frames: UInt8[Array, "batch time height width 3"],
        face: Bool[Array, "batch time"],
        state: State | None = None,
        *,
        train: bool,
        freeze_backbone: bool = False,
    ) -> tuple[Float[Array, "batch time dims"], State]:
        """Predictions, and the state to hand to the next chunk of the same tracks.

        `face` is True where the frame shows the face and is not padding; the other frames
        influence neither batch statistics nor state, and with a recurrent stack their prediction
        repeats the last one. Training needs mutable `batch_stats` and a `dropout` rng; a
        frozen backbone gets no gradient and keeps its batch-norm statistics.
        """
        features = self.features(frames, face, train=train and not freeze_backbone)
        if freeze_backbone:
            features = jax.lax.stop_gradient(features)
        return self.from_features(features, face, state, train=train)

    def features(
        self,
        frames: UInt8[Array, "batch time height width 3"],
        face: Bool[Array, "batch time"],
        *,
        train: bool = False,
    ) -> Float[Array, "batch time features"]:
        """Pooled float32 features of each frame by itself: what evaluation computes once."""
        mean, std = (jnp.asarray(values, jnp.float32) for values in (self.mean, self.std))
        x = frames.reshape(-1, *frames.shape[2:]).astype(jnp.float32) / 255
        x = (x - mean[None, None, None]) / std[None, None, None]
        x = self.backbone(x, face.reshape(-1), train=train)
        return x.reshape(*frames.shape[:2], x.shape[-1])

    def from_features(
        self,
        features: Float[Array, "batch time features"],
        face: Bool[Array, "batch time"],
        state: State | None = None,
        *,
        train: bool = False,
    ) -> tuple[Float[Array, "batch time dims"], State]:
        """Predictions and final state from the pooled features: the temporal part."""
        x = self.feature_dropout(features, deterministic=not train)
        final = ()
        if self.recurrent is not None:
            x, final = self.recurrent(x, face, state, train=train)
        return jnp.concatenate([getattr(self, f"head_{dim}")(x) for dim in self.dims], -1), final

    @nn.nowrap
    def initial_state(self, batch: Any) -> State:
        """The state before the first frame; () for a network without a recurrent stack."""
        return () if self.recurrent is None else self.recurrent.initial_state(batch)


def build(model_config: ConfigDict, dims: tuple[str, ...]) -> Regressor:
    """The network that the `model` section of a config describes, with a head for each of `dims`.

    Keys: backbone, width, stage_sizes (() keeps the named network's), zero_init_residual;
    recurrent, layers, units; dropout (on the features and between recurrent layers);
    compute_dtype (of the convolutions); input_mean, input_std (of RGB in [0, 1]).
    Raises InputError that names the key and its legal values.
    """
    c = model_config
    _check_choice("backbone", c.backbone, BACKBONES)
    _check_choice("recurrent", c.recurrent, (*GATES, "none"))
    _check_choice("compute_dtype", c.compute_dtype, DTYPES)
    named_sizes, bottleneck = BACKBONES[c.backbone]
    sizes = tuple(c.stage_sizes) or named_sizes
    _check("stage_sizes", c.stage_sizes, sizes and min(sizes) >= 1, "one or more blocks a stage")
    _check("width", c.width, c.width >= 1, "at least 1")
    _check("dropout", c.dropout, 0 <= c.dropout < 1, "0 <= dropout < 1")
    _check("input_mean", c.input_mean, len(c.input_mean) == 3, "three numbers, for RGB in [0, 1]")
    positive = len(c.input_std) == 3 and min(c.input_std) > 0
    _check("input_std", c.input_std, positive, "three numbers above 0, for RGB in [0, 1]")
    recurrent = None
    if c.recurrent != "none":
        _check("layers", c.layers, c.layers >= 1, "at least 1; or set model.recurrent='none'")
        _check("units", c.units, c.units >= 1, "at least 1; or set model.recurrent='none'")
        recurrent = RecurrentStack(c.recurrent, c.layers, c.units, c.dropout)
    return Regressor(
        backbone=ResNet(
            stage_sizes=sizes,
            bottleneck=bottleneck,
            width=c.width,
            zero_init_residual=c.zero_init_residual,
            dtype=DTYPES[c.compute_dtype],
        ),
        recurrent=recurrent,
        dims=tuple(dims),
        mean=tuple(c.input_mean),
        std=tuple(c.input_std),
        dropout=c.dropout,
    )


def parameter_count(params: Any) -> int:
    """Numbers in a tree of parameters, abstract ones (`jax.eval_shape`) included."""
    return sum(math.prod(leaf.shape) for leaf in jax.tree.leaves(params))


def _check(key: str, value: Any, legal: Any, remedy: str) -> None:
    if not legal:
        raise InputError(f"model.{key}={value!r} is out of range; legal: {remedy}")


def _check_choice(key: str, value: Any, legal: Any) -> None:
    if value not in legal:
        raise InputError(f"model.{key}={value!r} is unknown; legal: {', '.join(legal)}")
