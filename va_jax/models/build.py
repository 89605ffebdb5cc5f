"""The network that the `model` section of a config describes, checked key by key."""

import math
from typing import Any

import jax
import jax.numpy as jnp
from ml_collections import ConfigDict

from va_jax.models.inflate import PADDINGS, Inflation
from va_jax.models.recurrent import GATES, RecurrentStack
from va_jax.models.regressor import FullyConnected, Normalisation, Regressor
from va_jax.models.resnet import ResNet
from va_jax.models.vgg import VGG
from va_jax.types import InputError

RESNETS = {
    "resnet": ((), {"bottleneck": False}),
    "resnet18": ((2, 2, 2, 2), {"bottleneck": False}),
    "resnet34": ((3, 4, 6, 3), {"bottleneck": False}),
    "resnet50": ((3, 4, 6, 3), {"bottleneck": True}),
    "resnet50_vggface2": ((3, 4, 6, 3), {"bottleneck": True, "caffe": True}),
    "seresnet50": ((3, 4, 6, 3), {"bottleneck": True, "caffe": True, "squeeze_excite": True}),
}
VGGS = {
    "vgg": ((), {"batch_norm": False}),
    "vgg16": ((2, 2, 3, 3, 3), {"batch_norm": False}),
    "vgg16bn": ((2, 2, 3, 3, 3), {"batch_norm": True}),
}
BACKBONES = RESNETS | VGGS
"""Name -> stage sizes, and what else it is; `resnet` and `vgg` take `stage_sizes` of the config."""

DTYPES = {"float32": jnp.float32, "bfloat16": jnp.bfloat16}
PARTS = ("fc", "pool", "conv")


def build(model_config: ConfigDict, dims: tuple[str, ...]) -> Regressor:
    """The network with a head for each of `dims`.

    Raises InputError that names the key and its legal values; configs/default.py lists them.
    """
    c = model_config
    _check_choice("backbone", c.backbone, BACKBONES)
    _check_choice("recurrent", c.recurrent, (*GATES, "none"))
    _check_choice("compute_dtype", c.compute_dtype, DTYPES)
    _check_choice("pool", c.pool, ("mean", "flatten"))
    _check_choice("landmarks", c.landmarks, ("none", "before_fc", "after_fc"))
    for key in ("dropout", "fc_dropout", "recurrent_dropout", "frame_mask"):
        _check(key, c[key], 0 <= c[key] < 1, f"0 <= {key} < 1")
    widths_legal = all(width >= 1 for width in c.fc)
    _check("fc", c.fc, widths_legal, "() or widths of 1 and more")
    points_legal = c.landmark_points >= 1
    _check("landmark_points", c.landmark_points, points_legal, "at least 1")
    _check("input_mean", c.input_mean, len(c.input_mean) == 3, "three numbers, for RGB in [0, 1]")
    positive = len(c.input_std) == 3 and min(c.input_std) > 0
    _check("input_std", c.input_std, positive, "three numbers above 0, for RGB in [0, 1]")
    parts = [part for branch in c.branches for part in branch.split("+")]
    known = parts and set(parts) <= set(PARTS) and len(set(c.branches)) == len(c.branches)
    _check("branches", c.branches, known, f"different ones of {', '.join(PARTS)} and their sums")
    fed = "fc" in parts
    _check("fc", c.fc, fed or not c.fc, "() where no branch is fed fc")
    shown = fed or c.landmarks == "none"
    _check("landmarks", c.landmarks, shown, "none where no branch is fed fc")
    temporal = c.recurrent != "none" or c.inflation.taps > 1
    hidden_legal = temporal or not c.frame_mask
    _check("frame_mask", c.frame_mask, hidden_legal, "0 for a network without a temporal part")
    return Regressor(
        backbone=_backbone(c),
        input=Normalisation(tuple(c.input_mean), tuple(c.input_std)),
        fc=FullyConnected(tuple(c.fc), c.fc_dropout),
        recurrent=_recurrent(c),
        branches=tuple(c.branches),
        dims=tuple(dims),
        flatten=c.pool == "flatten",
        landmarks=c.landmarks,
        landmark_points=landmark_points(c),
        frame_mask=c.frame_mask,
        dropout=c.dropout,
        bounded=c.bounded,
    )


def landmark_points(model_config: ConfigDict) -> int:
    """How many landmarks a frame the network is fed; 0: none."""
    return model_config.landmark_points if model_config.landmarks != "none" else 0


def _backbone(c: ConfigDict) -> ResNet | VGG:
    named_sizes, form = BACKBONES[c.backbone]
    sizes = tuple(c.stage_sizes) or named_sizes
    _check("stage_sizes", c.stage_sizes, sizes and min(sizes) >= 1, "one or more blocks a stage")
    _check("width", c.width, c.width >= 1, "at least 1")
    if form.get("squeeze_excite"):
        _check("width", c.width, c.width >= 4, "at least 4, to squeeze a 16th of four times that")
    common = {
        "stage_sizes": sizes,
        "width": c.width,
        "inflation": _inflation(c, len(sizes)),
        "remat": c.remat,
        "dtype": DTYPES[c.compute_dtype],
    }
    if c.backbone in VGGS:
        return VGG(**common, **form)
    return ResNet(**common, **form, zero_init_residual=c.zero_init_residual)


def _inflation(c: ConfigDict, stages: int) -> Inflation:
    i = c.inflation
    _check_choice("inflation.layout", i.layout, ("spatial", "kinetics"))
    _check_choice("inflation.padding", i.padding, PADDINGS)
    for key in ("taps", "pool_taps"):
        _check(f"inflation.{key}", i[key], i[key] >= 1 and i[key] % 2, "odd, 1 for a 2-D network")
    each = len(i.dilation) in (0, stages) and all(d >= 1 for d in i.dilation)
    _check("inflation.dilation", i.dilation, each, f"() or {stages} numbers of 1 and more")
    if i.layout == "kinetics":
        bottlenecks = RESNETS.get(c.backbone, ((), {}))[1].get("bottleneck", False)
        _check("inflation.layout", i.layout, bottlenecks, "spatial, for there are no bottlenecks")
    if i.taps == 1:
        flat = not i.strided and i.pool_taps == 1
        _check("inflation.taps", i.taps, flat, "3 or more where time is strided or pooled")
    return Inflation(i.taps, i.layout, tuple(i.dilation), i.strided, i.pool_taps, i.padding)


def _recurrent(c: ConfigDict) -> RecurrentStack | None:
    if c.recurrent == "none":
        return None
    _check("layers", c.layers, c.layers >= 1, "at least 1; or set model.recurrent='none'")
    _check("units", c.units, c.units >= 1, "at least 1; or set model.recurrent='none'")
    peepholes_legal = c.recurrent == "lstm" or not c.peepholes
    _check("peepholes", c.peepholes, peepholes_legal, "False for a GRU, which has no cell to see")
    return RecurrentStack(
        kind=c.recurrent,
        layers=c.layers,
        units=c.units,
        dropout=c.recurrent_dropout,
        bidirectional=c.bidirectional,
        peepholes=c.peepholes,
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
