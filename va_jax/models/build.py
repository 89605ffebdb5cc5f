"""Build the network described by the `model` section of a config."""

import math
from typing import Any

import jax
import jax.numpy as jnp

from va_jax.config import Model, to_tree
from va_jax.keys import fail
from va_jax.models import forms
from va_jax.models.efficientnet import EfficientNet
from va_jax.models.inflate import Inflation
from va_jax.models.lru import LRUStack
from va_jax.models.recurrent import RecurrentStack
from va_jax.models.regressor import FullyConnected, Normalisation, Regressor, Stack
from va_jax.models.resnet import ResNet
from va_jax.models.tcn import TCN
from va_jax.models.tcn_lru import TCNLRU
from va_jax.models.transformer import Transformer
from va_jax.models.vgg import VGG
from va_jax.models.vit import ViT

RESNETS: dict[str, tuple[tuple[int, ...], dict[str, Any]]] = {
    "resnet": ((), {"bottleneck": False}),
    "resnet18": ((2, 2, 2, 2), {"bottleneck": False}),
    "resnet34": ((3, 4, 6, 3), {"bottleneck": False}),
    "resnet50": ((3, 4, 6, 3), {"bottleneck": True}),
    "resnet50_vggface2": ((3, 4, 6, 3), {"bottleneck": True, "caffe": True}),
    "seresnet50": ((3, 4, 6, 3), {"bottleneck": True, "caffe": True, "squeeze_excite": True}),
}
VGGS: dict[str, tuple[tuple[int, ...], dict[str, Any]]] = {
    "vgg": ((), {"batch_norm": False}),
    "vgg16": ((2, 2, 3, 3, 3), {"batch_norm": False}),
    "vgg16bn": ((2, 2, 3, 3, 3), {"batch_norm": True}),
}
EFFICIENTNETS: dict[str, tuple[tuple[int, ...], dict[str, Any]]] = {
    "efficientnet_b0": ((1, 2, 2, 3, 3, 4, 1), {}),
}
VITS: dict[str, tuple[tuple[int, ...], dict[str, Any]]] = {
    "vit_s14": ((12,), {"patch": 14, "heads": 6, "layer_scale": True}),
    "vit_b14": ((12,), {"patch": 14, "heads": 12, "layer_scale": True}),
    "vit_s16": ((12,), {"patch": 16, "heads": 6}),
    "vit_b16": ((12,), {"patch": 16, "heads": 12}),
    "farl_b16": ((12,), {"patch": 16, "heads": 12, "clip": True}),
}
BACKBONES = RESNETS | VGGS | EFFICIENTNETS | VITS
"""Stage sizes and variant of each backbone; `resnet` and `vgg` require `model.stage_sizes`."""

DTYPES = {"float32": jnp.float32, "bfloat16": jnp.bfloat16}
FEATURES = ("fc", "pool", "conv")
"""Features that a branch of `model.branches` can combine."""


def build_model(config: Model, dims: tuple[str, ...], sets: tuple[str, ...] = ()) -> Regressor:
    """Return the network, with one head for each entry in `dims`, or one per data set in `sets`.

    Raises:
        InputError: keys in the section are incompatible with each other or with the backbone.
    """
    _check_branches(config)
    if config.frame_mask and config.temporal == "none" and config.inflation.taps == 1:
        fail(
            "model.frame_mask",
            config.frame_mask,
            "set it to 0, since no layer combines frames over time",
        )
    return Regressor(
        backbone=_backbone(config),
        input=Normalisation(
            _rgb("model.input_mean", config.input_mean), _rgb("model.input_std", config.input_std)
        ),
        fc=FullyConnected(config.fc, config.fc_dropout),
        temporal=_temporal(config),
        branches=config.branches,
        dims=tuple(dims),
        flatten=config.pool == "flatten",
        landmarks=config.landmarks,
        landmark_points=landmark_points(config),
        frame_mask=config.frame_mask,
        dropout=config.dropout,
        bounded=config.bounded,
        bins=config.bins,
        sets=sets,
    )


def landmark_points(config: Model) -> int:
    """Return the number of landmarks per frame that the network expects; 0 for none."""
    return config.landmark_points if config.landmarks != "none" else 0


def describe(config: Model) -> str:
    """Return the kind and the size of a network in words."""
    parts = [f"{config.backbone} with a width of {config.width}"]
    if config.inflation.taps > 1:
        parts.append(f"convolutions over {config.inflation.taps} frames")
    if config.temporal != "none":
        kind = config.temporal if config.temporal == "transformer" else config.temporal.upper()
        kind = f"{'bidirectional ' if config.bidirectional else ''}{kind}"
        parts.append(f"{kind} with {config.layers} x {config.units} units")
    return ", ".join(parts)


def parameter_count(params: Any) -> int:
    """Return the number of values in a tree of arrays, or of shapes from `jax.eval_shape`."""
    return sum(math.prod(leaf.shape) for leaf in jax.tree.leaves(params))


def _check_branches(config: Model) -> None:
    features = [name for branch in config.branches for name in branch.split("+")]
    unique = len(set(config.branches)) == len(config.branches)
    if not features or not set(features) <= set(FEATURES) or not unique:
        remedy = (
            f"choose one or more of {', '.join(FEATURES)} and combinations such as fc+pool, each "
            "only once"
        )
        fail("model.branches", config.branches, remedy)
    if "fc" in features:
        return
    if config.fc:
        fail("model.fc", config.fc, "set it to (), since model.branches does not use fc")
    if config.landmarks != "none":
        remedy = "set it to 'none', since model.branches does not use fc"
        fail("model.landmarks", config.landmarks, remedy)


def _rgb(name: str, values: tuple[float, ...]) -> tuple[float, float, float]:
    if len(values) != 3:
        fail(name, values, "expected three numbers in [0, 1], for red, green and blue")
    red, green, blue = values
    return red, green, blue


def _backbone(config: Model) -> ResNet | VGG | EfficientNet | ViT:
    if config.backbone in VITS:
        return _vit(config)
    sizes, variant = BACKBONES[config.backbone]
    sizes = config.stage_sizes or sizes
    if not sizes:
        fail("model.stage_sizes", config.stage_sizes, "set the number of blocks in each stage")
    if variant.get("squeeze_excite") and config.width < 4:
        fail("model.width", config.width, "must be at least 4 for squeeze-and-excitation")
    common: dict[str, Any] = {
        "stage_sizes": sizes,
        "width": config.width,
        "remat": config.remat,
        "dtype": _dtype(config),
    }
    if config.backbone in EFFICIENTNETS:
        _check_frames_only(config)
        _check_stages(config, len(BACKBONES[config.backbone][0]))
        return EfficientNet(**common)
    common["inflation"] = _inflation(config, len(sizes), variant.get("bottleneck", False))
    if config.backbone in VGGS:
        return VGG(**common, **variant)
    return ResNet(**common, **variant, zero_init_residual=config.zero_init_residual)


def _dtype(config: Model) -> Any:
    automatic = config.compute_dtype == "auto"
    return DTYPES[forms.chosen().compute_dtype if automatic else config.compute_dtype]


def _check_frames_only(config: Model) -> None:
    """Refuse settings for convolutions over time and ResNet blocks, which this backbone lacks."""
    for key, default in to_tree(Model().inflation).items():
        value = getattr(config.inflation, key)
        if value != default:
            remedy = f"set it to {default!r}, since {config.backbone} has no convolutions over time"
            fail(f"model.inflation.{key}", value, remedy)
    if config.zero_init_residual:
        remedy = f"set it to False, since {config.backbone} is not a ResNet"
        fail("model.zero_init_residual", True, remedy)


def _check_stages(config: Model, stages: int) -> None:
    if len(config.stage_sizes) not in (0, stages):
        remedy = f"expected () or {stages} numbers, one for each stage of {config.backbone}"
        fail("model.stage_sizes", config.stage_sizes, remedy)


def _vit(config: Model) -> ViT:
    _check_frames_only(config)
    if len(config.stage_sizes) > 1:
        remedy = f"expected () or one number, since {config.backbone} has a single stage"
        fail("model.stage_sizes", config.stage_sizes, remedy)
    sizes, variant = VITS[config.backbone]
    return ViT(
        stage_sizes=config.stage_sizes or sizes,
        width=config.width,
        remat=config.remat,
        dtype=_dtype(config),
        **variant,
    )


def _inflation(config: Model, stages: int, bottlenecks: bool) -> Inflation:
    section = config.inflation
    for key, taps in (("taps", section.taps), ("pool_taps", section.pool_taps)):
        if taps % 2 == 0:
            fail(f"model.inflation.{key}", taps, "must be odd; set it to 1 for a 2-D network")
    if len(section.dilation) not in (0, stages):
        remedy = f"expected () or {stages} numbers, one for each stage of {config.backbone}"
        fail("model.inflation.dilation", section.dilation, remedy)
    if section.layout == "kinetics" and not bottlenecks:
        remedy = f"set it to 'spatial', since {config.backbone} has no bottleneck blocks"
        fail("model.inflation.layout", section.layout, remedy)
    if section.taps == 1 and (section.strided or section.pool_taps > 1):
        remedy = "set it to 3 or more, to stride (strided=True) or pool (pool_taps > 1) over time"
        fail("model.inflation.taps", 1, remedy)
    return Inflation(
        taps=section.taps,
        layout=section.layout,
        dilation=section.dilation,
        strided=section.strided,
        pool_taps=section.pool_taps,
        padding=section.padding,
    )


def _temporal(config: Model) -> Stack | None:
    if config.temporal == "none":
        return None
    if config.peepholes and config.temporal != "lstm":
        remedy = f"set it to False, since model.temporal={config.temporal!r} has no cell state"
        fail("model.peepholes", True, remedy)
    common: dict[str, Any] = {
        "layers": config.layers,
        "units": config.units,
        "dropout": config.temporal_dropout,
        "bidirectional": config.bidirectional,
    }
    if config.temporal in ("tcn", "tcn_lru"):
        if config.bidirectional and config.kernel_size % 2 == 0:
            fail(
                "model.kernel_size",
                config.kernel_size,
                "must be odd, since model.bidirectional=True",
            )
        stack = TCN if config.temporal == "tcn" else TCNLRU
        return stack(**common, kernel_size=config.kernel_size)
    if config.temporal == "lru":
        return LRUStack(**common)
    if config.temporal == "transformer":
        heads = config.attention_heads
        if config.units % (2 * heads):
            remedy = f"must be a multiple of {2 * heads} (2 x model.attention_heads={heads})"
            fail("model.units", config.units, remedy)
        return Transformer(**common, heads=heads, window=config.attention_window)
    return RecurrentStack(**common, kind=config.temporal, peepholes=config.peepholes)
