"""Vision Transformers of timm, DINOv2, DeiT and FaRL: every array finds its place or is refused."""

import re

import jax
import numpy as np
import pytest

from tests.models.backbones_test import network
from tests.models.vit_test import shapes_at
from tests.train.initialize_test import init_of
from tests.weights.load_test import saved, shapes
from tests.weights.published import rand
from va_jax.models.vit import resize_positions
from va_jax.train import initialize
from va_jax.types import InputError
from va_jax.weights.load import load, translate
from va_jax.weights.match import find_format

MEAN, STD = "batch_stats/input/mean", "batch_stats/input/std"
IMAGENET = [0.485, 0.456, 0.406], [0.229, 0.224, 0.225]
CLIP = [0.48145466, 0.4578275, 0.40821073], [0.26862954, 0.26130258, 0.27577711]
CLASSIFIER = "classifier for the original task"


def layer(name, inputs, outputs, separator="."):
    weight, bias = rand(outputs, inputs), rand(outputs)
    return {f"{name}{separator}weight": weight, f"{name}{separator}bias": bias}


def norm(name, width):
    return {f"{name}.weight": rand(width), f"{name}.bias": rand(width)}


def timm(patch=16, width=24, depth=2, grid=2, scaled=False, chunk="", classes=0):
    """Return the arrays of timm's VisionTransformer."""
    arrays = {"cls_token": rand(1, 1, width), "pos_embed": rand(1, 1 + grid**2, width)}
    arrays["patch_embed.proj.weight"] = rand(width, 3, patch, patch)
    arrays["patch_embed.proj.bias"] = rand(width)
    for block in (f"blocks.{chunk}{index}" for index in range(depth)):
        arrays |= norm(f"{block}.norm1", width) | norm(f"{block}.norm2", width)
        arrays |= layer(f"{block}.attn.qkv", width, 3 * width)
        arrays |= layer(f"{block}.attn.proj", width, width)
        arrays |= layer(f"{block}.mlp.fc1", width, 4 * width)
        arrays |= layer(f"{block}.mlp.fc2", 4 * width, width)
        arrays |= {f"{block}.ls{n}.gamma": rand(width) for n in (1, 2) if scaled}
    return arrays | norm("norm", width) | (layer("head", width, classes) if classes else {})


def dinov2(**changes):
    arrays = timm(**{"patch": 14, "scaled": True} | changes)
    return arrays | {"mask_token": rand(1, arrays["cls_token"].shape[-1])}


def transformer(name, width, depth=2):
    """Return the arrays of a transformer of CLIP."""
    arrays = {}
    for block in (f"{name}.resblocks.{index}" for index in range(depth)):
        arrays |= norm(f"{block}.ln_1", width) | norm(f"{block}.ln_2", width)
        arrays |= layer(f"{block}.attn.in_proj", width, 3 * width, separator="_")
        arrays |= layer(f"{block}.attn.out_proj", width, width)
        arrays |= layer(f"{block}.mlp.c_fc", width, 4 * width)
        arrays |= layer(f"{block}.mlp.c_proj", 4 * width, width)
    return arrays


def farl(width=48, grid=2):
    """Return the arrays of FaRL: networks of images, of text and of masked patches."""
    arrays = {"visual.class_embedding": rand(width), "visual.proj": rand(width, 8)}
    arrays["visual.positional_embedding"] = rand(1 + grid**2, width)
    arrays["visual.conv1.weight"] = rand(width, 3, 16, 16)
    arrays |= norm("visual.ln_pre", width) | norm("visual.ln_post", width)
    arrays |= transformer("visual.transformer", width)
    arrays |= transformer("visual.lm_transformer", width, depth=1) | norm("visual.ln_lm", width)
    arrays |= layer("visual.lm_head", width, 9) | {"visual.mask_token": rand(width)}
    arrays |= transformer("transformer", 8) | norm("ln_final", 8)
    arrays |= {"token_embedding.weight": rand(9, 8), "positional_embedding": rand(7, 8)}
    return arrays | {"text_projection": rand(8, 8), "logit_scale": rand()}


SOURCES = {  # format -> arrays, backbone, mean and deviation of the input, size, names left out
    "timm_vit": (timm(classes=9), "vit_s16", ([0.5] * 3, [0.5] * 3), 224, r"head\..*"),
    "deit": (timm(), "vit_s16", IMAGENET, 224, ""),
    "dinov2": (dinov2(), "vit_s14", IMAGENET, 518, "mask_token"),
    "farl": (farl(), "farl_b16", CLIP, 224, r"(?!visual\.).*|visual\.(proj|.*lm.*|mask_token)"),
}


@pytest.mark.parametrize("format", SOURCES)
def test_every_array_of_a_vit_finds_its_place_or_is_left_out_for_a_reason(format):
    arrays, backbone, (mean, std), size, left_out = SOURCES[format]
    weights = translate(arrays, format, "vit.pth")
    net = network(backbone=backbone, stage_sizes=(2,), width=4)
    own = shapes_at(net, 2 * net.patch)["params"]
    paths = jax.tree_util.tree_leaves_with_path(own)
    expected = {"/".join(key.key for key in path): leaf.shape for path, leaf in paths}
    found = {path.removeprefix("params/backbone/"): a for path, a in weights.values.items()}
    assert shapes(found) == expected | {MEAN: (3,), STD: (3,)}
    np.testing.assert_allclose([found[MEAN], found[STD]], [mean, std], rtol=1e-6)
    assert weights.size == size
    assert re.fullmatch(weights.backbones, backbone)
    assert {name for name in arrays if re.fullmatch(left_out, name)} == weights.left_out.keys()
    assert {*weights.origin.values()} >= arrays.keys() - weights.left_out.keys()
    assert all(weights.left_out.values())


def test_arrays_left_out_of_farl_have_their_own_reasons():
    left_out = translate(farl(), "farl", "farl.pth").left_out
    for name, reason in (
        ("transformer.resblocks.0.ln_1.weight", "text"),
        ("token_embedding.weight", "text"),
        ("logit_scale", "similarity"),
        ("visual.proj", "shared with text"),
        ("visual.lm_head.bias", "masked patches"),
        ("visual.mask_token", "masked patches"),
    ):
        assert reason in left_out[name]
    assert translate(timm(classes=9), "deit", "").left_out["head.bias"] == CLASSIFIER


@pytest.mark.parametrize(
    ("arrays", "format"),
    [
        (dinov2(), "dinov2"),
        (timm(patch=14, scaled=True), "dinov2"),
        (farl(), "farl"),
        ({f"module.{name}": array for name, array in farl().items()}, "farl"),
        (timm(classes=21843), "timm_vit"),
    ],
)
def test_the_format_of_a_vit_is_found_by_its_names_and_shapes(arrays, format):
    assert find_format(arrays, "vit.pth") == format


def test_a_vit_whose_input_is_not_known_is_refused_unless_a_config_states_it(tmp_path):
    path = saved(tmp_path, timm(classes=1000))
    with pytest.raises(InputError, match=r"\(timm_vit or deit\).* set init\.format"):
        load(path)
    assert load(path, "deit").size == 224
    stated = {"mean": [0.5, 0.4, 0.3], "std": [0.2, 0.2, 0.1], "input_size": [3, 384, 384]}
    saved(tmp_path, timm(classes=1000), config={"pretrained_cfg": stated})
    weights = load(path)
    assert weights.source == f"{path}, read as timm_vit"
    assert weights.size == 384
    np.testing.assert_allclose(weights.values[MEAN], stated["mean"])


def test_a_checkpoint_of_dinov2_numbers_its_blocks_within_chunks():
    arrays = {f"teacher.backbone.{name}": a for name, a in dinov2(chunk="0.").items()}
    chunked = translate(arrays | {"teacher.dino_head.x": rand(2)}, "dinov2", "", (r".*_head\..*",))
    name = "blocks.0.1.mlp.fc2.weight"
    value = chunked.values["params/backbone/block1/fc2/kernel"]
    np.testing.assert_array_equal(value, arrays[f"teacher.backbone.{name}"].T)
    assert chunked.left_out["teacher.backbone.mask_token"].endswith("pre-training")


def fill(arrays, format="timm_vit", side=32, backbone="vit_s16"):
    """Fill a small network with arrays of somebody else."""
    net = network(backbone=backbone, stage_sizes=(2,), width=4)
    params = jax.tree.map(lambda leaf: np.zeros(leaf.shape, np.float32), shapes_at(net, side))
    zeros = {"mean": np.zeros(3, np.float32), "std": np.zeros(3, np.float32)}
    own = {"params": {"backbone": params["params"]}, "batch_stats": {"input": zeros}}
    return initialize.fill(own, translate(arrays, format, "vit.pth"), init_of())


def test_positions_of_another_image_size_are_interpolated_and_the_report_says_so():
    arrays = timm(grid=5)
    start = fill(arrays, side=48)
    expected = resize_positions(arrays["pos_embed"][0], 1 + 3**2)
    found = start.variables["params"]["backbone"]["positions"]
    np.testing.assert_array_equal(found, expected)
    assert "interpolated (5x5 to 3x3)" in initialize.table(start, 48)
    assert "trained on images 224 px wide; this run uses 48 px" in initialize.table(start, 48)
    whole = fill(timm(grid=3), side=48)
    assert {row.status for row in whole.rows} == {"loaded"}


@pytest.mark.parametrize(
    ("arrays", "complaint"),
    [
        (
            timm(depth=3),
            r"arrays do not fit \(12 in all\).*block2/norm1/scale \(\(24,\) in the source, absent",
        ),
        (
            timm(depth=1),
            r"arrays do not fit \(12 in all\).*block1/.* \(absent from the source, \(24,\) in",
        ),
        (
            timm(width=32),
            r"block0/fc1/kernel \(\(32, 128\) in the source, \(24, 96\) in the model\)",
        ),
        (
            timm(patch=8),
            r"patch_kernel \(\(8, 8, 3, 24\) in the source, \(16, 16, 3, 24\) in the model\)",
        ),
        (
            timm() | {"pos_embed": rand(1, 9, 24)},
            r"arrays do not fit \(1 in all\): params/backbone/positions "
            r"\(\(9, 24\) in the source, \(5, 24\) in the model\)",
        ),
        (timm(scaled=True), r"timm_vit does not contain 4 of the array names \(blocks\.0\.ls1"),
        (timm() | {"reg_token": rand(1, 4, 24)}, r"1 of the array names .*\(reg_token\)"),
        (timm() | {"pos_embed": rand(2, 5, 24)}, r"'pos_embed' has shape \(2, 5, 24\)"),
    ],
)
def test_a_vit_of_another_shape_is_refused_with_both_sides_named(arrays, complaint):
    with pytest.raises(InputError, match=rf"^vit.pth[^\n]*{complaint}") as refusal:
        fill(arrays)
    assert "\n" not in str(refusal.value)


def test_dinov2_with_another_patch_or_backbone_is_refused():
    with pytest.raises(InputError, match=r"\(24, 3, 16, 16\), expected \[out, 3, 14, 14\]"):
        translate(dinov2(patch=16), "dinov2", "vit.pth")
    weights = translate(dinov2(), "dinov2", "vit.pth")
    with pytest.raises(InputError, match=r"backbone='vit_s16'; set it to vit_s14 or vit_b14"):
        initialize.check_backbone(weights, "vit_s16")
