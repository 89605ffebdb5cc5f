"""Named networks have the published numbers of parameters; `build` heeds or refuses every key."""

import functools
import re

import jax
import jax.numpy as jnp
import pytest
from flax.traverse_util import flatten_dict

from configs.default import get_config
from va_jax.models.build import BACKBONES, build, parameter_count
from va_jax.types import DIMS, InputError

COUNTS = {  # of parameters, as published, less the classifier
    "resnet18": 11_176_512,
    "resnet34": 21_284_672,
    "resnet50": 23_508_032,
    "resnet50_vggface2": 23_508_032,  # strides elsewhere
    "seresnet50": 28_088_024 - 1000 * (2048 + 1),
    "vgg16": 14_714_688,
    "vgg16bn": 14_723_136,
}

WIDE = 9 * (64**2 + 64 * 128 + 128**2 + 128 * 256 + 2 * 256**2 + 256 * 512 + 5 * 512**2)
BASIC = 9 * (4 * 64**2 + 64 * 128 + 3 * 128**2 + 128 * 256 + 3 * 256**2 + 256 * 512 + 3 * 512**2)
BOTTLENECKS = 9 * (3 * 64**2 + 4 * 128**2 + 6 * 256**2 + 3 * 512**2)
STEM = 49 * 3 * 64
TAP = {  # weights of the kernels of several pixels: what one more tap adds
    "resnet18": STEM + BASIC,
    "resnet50": STEM + BOTTLENECKS,
    "seresnet50": STEM + BOTTLENECKS,
    "vgg16": 9 * 3 * 64 + WIDE,
}
KINETICS = ((1, 1, 1), (1, 0, 1, 0), (1, 0, 1, 0, 1, 0), (0, 1, 0))
"""Of which bottlenecks the first 1x1 has three taps (Wang et al., 2018)."""


def configured(**changes):
    """The default section; `inflation_taps` is the key `inflation.taps`."""
    config = get_config().model
    for key, value in changes.items():
        section = config.inflation if key.startswith("inflation_") else config
        section[key.removeprefix("inflation_")] = value
    return config


@functools.cache
def params_of(**changes):
    model = build(configured(**changes), DIMS)
    inputs = {
        name: jnp.zeros(leaf.shape, leaf.dtype) for name, leaf in model.inputs(1, 1, 32).items()
    }
    return jax.eval_shape(functools.partial(model.init, **inputs, train=False), jax.random.key(0))[
        "params"
    ]


def test_every_named_backbone_has_its_published_count_here():
    assert COUNTS.keys() == BACKBONES.keys() - {"resnet", "vgg"}


@pytest.mark.parametrize("backbone", COUNTS)
def test_a_named_network_is_its_published_backbone_then_stack_and_heads(backbone):
    params = params_of(backbone=backbone)
    assert parameter_count(params["backbone"]) == COUNTS[backbone]
    features = 512 if backbone in ("resnet18", "resnet34", "vgg16", "vgg16bn") else 2048
    lstm = 4 * 256 * ((features + 256 + 1) + (256 + 256 + 1))
    assert parameter_count(params) == COUNTS[backbone] + lstm + 2 * (256 + 1)


def test_squeeze_and_excitation_adds_two_layers_with_a_bias_to_every_block():
    blocks = {256: 3, 512: 4, 1024: 6, 2048: 3}
    layers = {c: (c + 1) * (c // 16) + (c // 16 + 1) * c for c in blocks}
    added = sum(layers[c] * count for c, count in blocks.items())
    assert COUNTS["seresnet50"] == COUNTS["resnet50_vggface2"] + added


@pytest.mark.parametrize("taps", [3, 5])
@pytest.mark.parametrize("backbone", TAP)
def test_inflating_adds_the_kernels_of_several_pixels_once_a_tap_and_nothing_else(backbone, taps):
    params = params_of(backbone=backbone, inflation_taps=taps)["backbone"]
    assert parameter_count(params) == COUNTS[backbone] + (taps - 1) * TAP[backbone]


def test_the_kinetics_layout_gives_taps_to_the_stem_and_the_published_bottlenecks():
    params = params_of(inflation_taps=3, inflation_layout="kinetics")["backbone"]
    kernels = flatten_dict(params, sep="/")
    taps = {path: leaf.shape[0] for path, leaf in kernels.items() if len(leaf.shape) == 5}
    expected = {
        f"layer{stage}_{index}/conv1/kernel": 3
        for stage, blocks in enumerate(KINETICS, 1)
        for index, chosen in enumerate(blocks)
        if chosen
    }
    assert taps == {"conv1/kernel": 5} | expected


OTHER = {
    "backbone": "resnet18",
    "width": 32,
    "stage_sizes": (1, 1, 1, 1),
    "zero_init_residual": True,
    "compute_dtype": "bfloat16",
    "remat": True,
    "input_mean": (0.1, 0.2, 0.3),
    "input_std": (0.1, 0.2, 0.3),
    "inflation_taps": 5,
    "inflation_layout": "kinetics",
    "inflation_dilation": (1, 1, 2, 1),
    "inflation_strided": True,
    "inflation_pool_taps": 3,
    "inflation_padding": "edge",
    "frame_mask": 0.5,
    "pool": "flatten",
    "fc": (10,),
    "fc_dropout": 0.5,
    "landmarks": "before_fc",
    "landmark_points": 5,
    "branches": ("fc", "conv"),
    "dropout": 0.5,
    "recurrent": "gru",
    "layers": 1,
    "units": 128,
    "recurrent_dropout": 0.5,
    "bidirectional": True,
    "peepholes": True,
    "bounded": True,
}
"""Every key of the section, with a legal value that is not the default's."""


def test_no_key_of_the_section_is_forgotten_here():
    config = get_config().model
    keys = {*config.keys(), *(f"inflation_{key}" for key in config.inflation)}
    assert OTHER.keys() == keys - {"inflation"}


@pytest.mark.parametrize("key", OTHER)
def test_every_key_is_heeded(key):
    base = {"inflation_taps": 3} if key.startswith("inflation_") else {}
    base |= {"landmarks": "after_fc"} if key == "landmark_points" else {}
    default, again = (build(configured(**base), DIMS) for _ in range(2))
    assert default == again != build(configured(**base | {key: OTHER[key]}), DIMS)


REFUSED = [
    ("backbone", "resnet19", {}, "legal: resnet, resnet18, .*vgg16bn"),
    ("recurrent", "rnn", {}, "legal: lstm, gru, none"),
    ("compute_dtype", "float16", {}, "legal: float32, bfloat16"),
    ("pool", "max", {}, "legal: mean, flatten"),
    ("landmarks", "beside", {}, "legal: none, before_fc, after_fc"),
    ("landmarks", "after_fc", {"branches": ("pool",)}, "legal: none where no branch is fed fc"),
    ("landmark_points", 0, {}, "legal: at least 1"),
    ("dropout", 1.0, {}, "legal: 0 <= dropout < 1"),
    ("fc_dropout", 1.0, {}, "legal: 0 <= fc_dropout < 1"),
    ("recurrent_dropout", -0.1, {}, "legal: 0 <= recurrent_dropout < 1"),
    ("frame_mask", 1.0, {}, "legal: 0 <= frame_mask < 1"),
    ("frame_mask", 0.5, {"recurrent": "none"}, "legal: 0 for a network without a temporal part"),
    ("fc", (5, 0), {}, r"legal: \(\) or widths of 1 and more"),
    ("fc", (5,), {"branches": ("pool", "conv")}, r"legal: \(\) where no branch is fed fc"),
    ("branches", (), {}, "legal: different ones of fc, pool, conv and their sums"),
    ("branches", ("fc", "fc"), {}, "legal: different ones of fc, pool, conv and their sums"),
    ("branches", ("fc", "last"), {}, "legal: different ones of fc, pool, conv and their sums"),
    ("branches", ("fc+",), {}, "legal: different ones of fc, pool, conv and their sums"),
    ("input_mean", (0.5, 0.5), {}, "legal: three numbers"),
    ("input_std", (0.5, 0.5), {}, "legal: three numbers above 0"),
    ("input_std", (0.5, 0.0, 0.5), {}, "legal: three numbers above 0"),
    ("stage_sizes", (), {"backbone": "resnet"}, "legal: one or more blocks a stage"),
    ("stage_sizes", (), {"backbone": "vgg"}, "legal: one or more blocks a stage"),
    ("stage_sizes", (1, 0), {}, "legal: one or more blocks a stage"),
    ("width", 0, {}, "legal: at least 1"),
    ("width", 3, {"backbone": "seresnet50"}, "legal: at least 4, to squeeze"),
    ("layers", 0, {}, "legal: at least 1; or set model.recurrent='none'"),
    ("units", 0, {}, "legal: at least 1; or set model.recurrent='none'"),
    ("peepholes", True, {"recurrent": "gru"}, "legal: False for a GRU"),
    ("inflation_layout", "temporal", {}, "legal: spatial, kinetics"),
    ("inflation_layout", "kinetics", {"backbone": "resnet18"}, "legal: spatial"),
    ("inflation_layout", "kinetics", {"backbone": "vgg16"}, "legal: spatial"),
    ("inflation_padding", "same", {}, "legal: zero, edge"),
    ("inflation_taps", 2, {}, "legal: odd, 1 for a 2-D network"),
    ("inflation_taps", -1, {}, "legal: odd, 1 for a 2-D network"),
    ("inflation_pool_taps", 2, {"inflation_taps": 3}, "legal: odd"),
    ("inflation_taps", 1, {"inflation_strided": True}, "legal: 3 or more where time is strided"),
    ("inflation_taps", 1, {"inflation_pool_taps": 3}, "legal: 3 or more where time is .*pooled"),
    ("inflation_dilation", (1, 2), {}, r"legal: \(\) or 4 numbers of 1 and more"),
    ("inflation_dilation", (1, 2), {"backbone": "vgg16"}, r"legal: \(\) or 5 numbers"),
    ("inflation_dilation", (1, 2, 0, 1), {}, r"legal: \(\) or 4 numbers of 1 and more"),
]


@pytest.mark.parametrize(("key", "value", "others", "legal"), REFUSED)
def test_a_bad_value_is_refused_with_its_key_and_the_legal_ones(key, value, others, legal):
    name = key.replace("inflation_", "inflation.")
    with pytest.raises(InputError) as refusal:
        build(configured(**others | {key: value}), DIMS)
    (line,) = str(refusal.value).splitlines()
    assert line.startswith(f"model.{name}={value!r} is ")
    assert re.search(legal, line)


@pytest.mark.parametrize("side", [16, 31])
def test_frames_that_vanish_in_the_pools_are_refused(side):
    model = build(configured(backbone="vgg16", width=4), DIMS)
    frames, face = jnp.zeros((1, 1, side, side, 3), jnp.uint8), jnp.ones((1, 1), bool)
    with pytest.raises(InputError, match=rf"^data\.size={side} leaves nothing .* set it to 32"):
        jax.eval_shape(lambda: model.init(jax.random.key(0), frames, face, train=False))
