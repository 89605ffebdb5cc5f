"""Published parameter counts of the named networks, and the effect or refusal of every key."""

import functools
import re

import jax
import jax.numpy as jnp
import pytest
from flax.traverse_util import flatten_dict

from va_jax import config, keys
from va_jax.config import Model
from va_jax.models.build import BACKBONES, EFFICIENTNETS, VITS, build_model, parameter_count
from va_jax.types import DIMS, InputError

COUNTS = {  # parameters as published, without the classifier
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
TAP = {  # weights that one more tap adds: kernels of several pixels
    "resnet18": STEM + BASIC,
    "resnet50": STEM + BOTTLENECKS,
    "seresnet50": STEM + BOTTLENECKS,
    "vgg16": 9 * 3 * 64 + WIDE,
}
KINETICS = ((1, 1, 1), (1, 0, 1, 0), (1, 0, 1, 0, 1, 0), (0, 1, 0))
"""Bottlenecks whose first 1x1 has three taps (Wang et al., 2018)."""


def configured(**changes):
    """The default section; `inflation_taps` is the key `inflation.taps`."""
    flat = {key.replace("inflation_", "inflation."): value for key, value in changes.items()}
    return keys.parse(Model, keys.unflatten(flat))


@functools.cache
def params_of(**changes):
    model = build_model(configured(**changes), DIMS)
    inputs = {
        name: jnp.zeros(leaf.shape, leaf.dtype) for name, leaf in model.inputs(1, 1, 32).items()
    }
    return jax.eval_shape(functools.partial(model.init, **inputs, train=False), jax.random.key(0))[
        "params"
    ]


def test_the_published_count_of_every_named_backbone_is_listed():
    assert (
        COUNTS.keys() == BACKBONES.keys() - {"resnet", "vgg"} - VITS.keys() - EFFICIENTNETS.keys()
    )


@pytest.mark.slow
@pytest.mark.parametrize("backbone", COUNTS)
def test_a_network_has_the_parameters_of_its_published_backbone_stack_and_heads(backbone):
    params = params_of(backbone=backbone)
    assert parameter_count(params["backbone"]) == COUNTS[backbone]
    features = 512 if backbone in ("resnet18", "resnet34", "vgg16", "vgg16bn") else 2048
    lstm = 4 * 256 * ((features + 256 + 1) + (256 + 256 + 1))
    assert parameter_count(params) == COUNTS[backbone] + lstm + 2 * (256 + 1)


def test_squeeze_and_excitation_adds_two_layers_with_bias_to_every_block():
    blocks = {256: 3, 512: 4, 1024: 6, 2048: 3}
    layers = {c: (c + 1) * (c // 16) + (c // 16 + 1) * c for c in blocks}
    added = sum(layers[c] * count for c, count in blocks.items())
    assert COUNTS["seresnet50"] == COUNTS["resnet50_vggface2"] + added


@pytest.mark.slow
@pytest.mark.parametrize("taps", [3, 5])
@pytest.mark.parametrize("backbone", TAP)
def test_each_tap_adds_the_kernels_of_several_pixels_and_nothing_else(backbone, taps):
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
    "temporal": "gru",
    "layers": 1,
    "units": 128,
    "temporal_dropout": 0.5,
    "bidirectional": True,
    "peepholes": True,
    "kernel_size": 5,
    "attention_heads": 2,
    "attention_window": 32,
    "bounded": True,
    "bins": 20,
}
"""Every key of the section with a legal value other than the default."""

READ_BY = {
    "kernel_size": "tcn",
    "attention_heads": "transformer",
    "attention_window": "transformer",
}
"""The temporal stack that reads a key which the default one does not."""


def test_every_key_of_the_section_is_listed():
    flat = keys.flatten(keys.default_tree(Model)).keys() - {"heads"}  # see set_heads_test
    assert OTHER.keys() == {key.replace("inflation.", "inflation_") for key in flat}


@pytest.mark.parametrize("key", OTHER)
def test_every_key_changes_the_network(key):
    base = {"inflation_taps": 3} if key.startswith("inflation_") else {}
    base |= {"landmarks": "after_fc"} if key == "landmark_points" else {}
    base |= {"temporal": READ_BY[key]} if key in READ_BY else {}
    default, again = (build_model(configured(**base), DIMS) for _ in range(2))
    assert default == again != build_model(configured(**base | {key: OTHER[key]}), DIMS)


REFUSED = [  # by the section itself, or by the network; key, value, other keys, remedy
    ("backbone", "resnet19", {}, "resnet18.*vgg16bn"),
    ("temporal", "rnn", {}, "none, lstm, gru, tcn, lru, tcn_lru, transformer"),
    ("compute_dtype", "float16", {}, "float32, bfloat16"),
    ("pool", "max", {}, "mean, flatten"),
    ("landmarks", "beside", {}, "none, before_fc, after_fc"),
    ("landmarks", "after_fc", {"branches": ("pool",)}, "'none'"),
    ("landmark_points", 0, {}, "1"),
    ("dropout", 1.0, {}, "below 1"),
    ("fc_dropout", 1.0, {}, "below 1"),
    ("temporal_dropout", -0.1, {}, "0"),
    ("frame_mask", 1.0, {}, "below 1"),
    ("frame_mask", 0.5, {"temporal": "none"}, "set it to 0"),
    ("fc", (5,), {"branches": ("pool", "conv")}, r"set it to \(\)"),
    ("branches", (), {}, "fc, pool, conv"),
    ("branches", ("fc", "fc"), {}, "fc, pool, conv .* only once"),
    ("branches", ("fc", "last"), {}, "fc, pool, conv"),
    ("branches", ("fc+",), {}, "fc, pool, conv"),
    ("input_mean", (0.5, 0.5), {}, "three numbers"),
    ("input_std", (0.5, 0.5), {}, "three numbers"),
    ("stage_sizes", (), {"backbone": "resnet"}, "blocks in each stage"),
    ("stage_sizes", (), {"backbone": "vgg"}, "blocks in each stage"),
    ("width", 0, {}, "1"),
    ("width", 3, {"backbone": "seresnet50"}, "at least 4"),
    ("layers", 0, {}, "1"),
    ("units", 0, {}, "1"),
    ("peepholes", True, {"temporal": "gru"}, "False"),
    ("peepholes", True, {"temporal": "lru"}, "False"),
    ("kernel_size", 1, {}, "2"),
    ("kernel_size", 4, {"temporal": "tcn", "bidirectional": True}, "odd"),
    ("attention_heads", 0, {}, "1"),
    ("attention_window", 1, {}, "2"),
    ("units", 20, {"temporal": "transformer"}, r"multiple of 8 \(2 x model.attention"),
    ("inflation_layout", "temporal", {}, "spatial, kinetics"),
    ("inflation_layout", "kinetics", {"backbone": "resnet18"}, "'spatial'"),
    ("inflation_layout", "kinetics", {"backbone": "vgg16"}, "'spatial'"),
    ("inflation_padding", "same", {}, "zero, edge"),
    ("inflation_taps", 2, {}, "odd"),
    ("inflation_taps", -1, {}, "1"),
    ("inflation_pool_taps", 2, {"inflation_taps": 3}, "odd"),
    ("inflation_taps", 1, {"inflation_strided": True}, "3 or more"),
    ("inflation_taps", 1, {"inflation_pool_taps": 3}, "3 or more"),
    ("inflation_dilation", (1, 2), {}, "4 numbers"),
    ("inflation_dilation", (1, 2), {"backbone": "vgg16"}, "5 numbers"),
    ("inflation_taps", 3, {"backbone": "vit_s14"}, "set it to 1, since vit_s14"),
    ("inflation_padding", "edge", {"backbone": "farl_b16"}, "set it to 'zero', since farl_b16"),
    ("inflation_pool_taps", 3, {"backbone": "vit_b16"}, "set it to 1, since vit_b16"),
    ("zero_init_residual", True, {"backbone": "vit_s16"}, "set it to False, since vit_s16"),
    ("stage_sizes", (2, 2), {"backbone": "vit_b14"}, "one number, since vit_b14"),
]
REFUSED_ENTRIES = [  # one entry of a tuple
    ("fc", (5, 0)),
    ("input_std", (0.5, 0.0, 0.5)),
    ("stage_sizes", (1, 0)),
    ("inflation_dilation", (1, 2, 0, 1)),
]


@pytest.mark.parametrize(("key", "value", "others", "remedy"), REFUSED)
def test_an_illegal_value_is_refused_with_its_key_and_the_remedy(key, value, others, remedy):
    name = key.replace("inflation_", "inflation.")
    with pytest.raises(InputError) as refusal:
        build_model(configured(**others | {key: value}), DIMS)
    (line,) = str(refusal.value).splitlines()
    assert f"{name}={value!r}" in line
    assert re.search(remedy, line.partition(f"{name}={value!r}")[2])


@pytest.mark.parametrize(("key", "value"), REFUSED_ENTRIES)
def test_an_illegal_entry_of_a_tuple_is_refused_with_its_key(key, value):
    with pytest.raises(InputError, match=key.replace("inflation_", "inflation.")):
        build_model(configured(**{key: value}), DIMS)


def test_the_config_offers_the_backbones_that_can_be_built():
    assert set(config.model.BACKBONES) == BACKBONES.keys()


@pytest.mark.parametrize("side", [16, 31])
def test_frames_too_small_for_the_pools_are_refused(side):
    model = build_model(configured(backbone="vgg16", width=4), DIMS)
    frames, face = jnp.zeros((1, 1, side, side, 3), jnp.uint8), jnp.ones((1, 1), bool)
    with pytest.raises(InputError, match=rf"^data\.size={side} leaves no pixels .* set it to 32"):
        jax.eval_shape(lambda: model.init(jax.random.key(0), frames, face, train=False))
