"""Vision Transformers match timm, and CLIP in torch, and see every frame alone."""

import functools
import re

import jax
import jax.numpy as jnp
import numpy as np
import pytest
from flax.traverse_util import unflatten_dict

from tests import timm_models
from tests.models.backbones_test import (
    assert_same,
    frames,
    network,
    relative,
    train_forward,
    train_step,
)
from va_jax.models import vit
from va_jax.models.build import VITS, parameter_count
from va_jax.types import InputError
from va_jax.weights import vit_names
from va_jax.weights.match import match_names
from va_jax.weights.names import FORMATS, table_without

COUNTS = {  # name in timm; side of the images; parameters there, without the classifier
    "vit_s14": ("vit_small_patch14_dinov2", 518, 22_056_192),
    "vit_b14": ("vit_base_patch14_dinov2", 518, 86_579_712),
    "vit_s16": ("vit_small_patch16_224", 224, 21_665_664),
    "vit_b16": ("vit_base_patch16_224", 224, 85_798_656),
    "farl_b16": ("vit_base_patch16_clip_quickgelu_224", 224, 85_799_424),
}
SMALL = {"stage_sizes": (2,), "width": 4}
NORM_PRE = vit_names.layer_norm("norm_pre", "norm_pre")
TIMM = table_without(vit_names.timm() + vit_names.dinov2()[-1:] + NORM_PRE, {})


def slow(*values):
    return pytest.param(*values, marks=pytest.mark.slow)


def side_of(backbone, patches=3):
    return patches * VITS[backbone][1]["patch"]


def shapes_at(net, side):
    """Return the shapes of the network's variables for frames of `side` pixels."""
    x, mask = jnp.zeros((1, 1, side, side, 3)), jnp.ones((1, 1), bool)
    net = net.clone(dtype=jnp.float32)
    return dict(jax.eval_shape(lambda: net.init(jax.random.key(0), x, mask, train=False)))


def randomised(peer):
    """Return a module of torch with random norms and tokens, and a signal of even scale."""
    import torch

    torch.manual_seed(0)
    for name, value in peer.named_parameters():
        if name.endswith("gamma") or (value.ndim == 1 and name.endswith("weight")):
            torch.nn.init.uniform_(value, 0.5, 1.5)
        elif name.endswith("weight"):
            torch.nn.init.normal_(value, std=value[0].numel() ** -0.5)
        else:
            torch.nn.init.normal_(value, std=0.5)
    return peer.eval()


def timm_peer(backbone, side, **changes):
    """Return timm's network of our name, small unless changed."""
    timm = timm_models.imported()
    heads = VITS[backbone][1]["heads"]
    small = {"depth": SMALL["stage_sizes"][0], "embed_dim": heads * SMALL["width"]}
    changes = {"img_size": side, "num_classes": 0} | small | changes
    return randomised(timm.create_model(COUNTS[backbone][0], **changes))


def as_ours(tensors, tables):
    """Return tensors of torch as our tree, in their own precision."""
    match = match_names({name: each.detach().numpy() for name, each in tensors.items()}, tables)
    assert not match.misfits
    flat = {path.replace("params/backbone/", ""): each for path, each in match.values.items()}
    return {"params": unflatten_dict(flat, sep="/")}


def timm_maps(peer, x):
    """Return timm's tokens after the last norm, as the two maps of a backbone."""
    import torch

    batch, time, side = x.shape[:3]
    tokens = peer.forward_features(torch.from_numpy(x).flatten(0, 1).permute(0, 3, 1, 2))
    patches = side // peer.patch_embed.patch_size[0]
    grid = tokens[:, 1:].reshape(batch, time, patches, patches, -1)
    return grid, tokens[:, :1].reshape(batch, time, 1, 1, -1)


def difference(net, variables, x, theirs):
    """Return the largest difference of the two maps, relative to their largest value."""
    mask = jnp.ones(x.shape[:2], bool)
    apply = jax.jit(functools.partial(net.apply, train=False))
    maps = apply(variables, np.float32(x), mask)
    return max(relative(a, b.detach()) for a, b in zip(maps, theirs, strict=True))


def difference_from_timm(backbone, side, sizes=SMALL, **changes):
    x, peer = np.float32(frames(1, 2, side, side)), timm_peer(backbone, side, **changes)
    variables = as_ours(peer.state_dict(), (TIMM,))
    net = network(backbone=backbone, **sizes)
    assert jax.tree.map(np.shape, variables) == jax.tree.map(np.shape, shapes_at(net, side))
    return difference(net, variables, x, timm_maps(peer, x))


@pytest.mark.parametrize("backbone", ["vit_s14", *map(slow, ("vit_b14", "vit_s16", "vit_b16"))])
def test_a_network_has_the_published_number_of_parameters(backbone):
    _, side, count = COUNTS[backbone]
    assert parameter_count(shapes_at(network(backbone=backbone), side)) == count


@pytest.mark.slow
def test_only_the_number_of_positions_depends_on_the_size_of_the_frames():
    shapes = shapes_at(network(backbone="farl_b16"), 112)["params"]
    assert shapes["positions"].shape == (1 + 7**2, 768)
    assert parameter_count(shapes) == COUNTS["farl_b16"][2] - (14**2 - 7**2) * 768


@pytest.mark.slow
@pytest.mark.parametrize("backbone", COUNTS)
def test_timm_has_the_same_number_of_parameters(backbone):
    timm = timm_models.imported()
    import torch

    name, _, count = COUNTS[backbone]
    with torch.device("meta"):
        peer = timm.create_model(name, num_classes=0)
    assert sum(value.numel() for value in peer.parameters()) == count


def test_every_vit_has_a_pinned_count():
    assert COUNTS.keys() == VITS.keys()


@pytest.mark.slow  # as all tests that import timm
@pytest.mark.parametrize("backbone", COUNTS)
def test_tokens_match_timm(backbone):
    assert difference_from_timm(backbone, side_of(backbone)) < 1e-5


@pytest.mark.slow
@pytest.mark.parametrize("backbone", COUNTS)
def test_tokens_match_timm_at_full_size(backbone):
    whole = {"depth": 12, "embed_dim": 64 * VITS[backbone][1]["heads"]}
    assert difference_from_timm(backbone, side_of(backbone, 4), sizes={}, **whole) < 1e-5


@pytest.mark.slow
@pytest.mark.parametrize("backbone", COUNTS)
def test_gradients_match_timm_in_float64(backbone):
    side = side_of(backbone)
    peer, x = timm_peer(backbone, side).double(), frames(1, 2, side, side)
    variables = as_ours(peer.state_dict(), (TIMM,))
    with jax.enable_x64(True):
        net = network(jnp.float64, backbone=backbone, **SMALL)
        _, gradients = train_step(net, variables, x, np.ones((1, 2), bool))
    sum((y**2).sum() for y in timm_maps(peer, x)).backward()
    theirs = {name: value.grad for name, value in peer.named_parameters()}
    assert_same({"params": gradients["params"]}, as_ours(theirs, (TIMM,)))


def clip_peer(width, heads, depth, side, patch=16):
    """Return CLIP's network of images in torch, under its names, and its token function."""
    torch = pytest.importorskip("torch")
    nn = torch.nn

    class Residual(nn.Module):
        def __init__(self):
            super().__init__()
            self.attn = nn.MultiheadAttention(width, heads, batch_first=True)
            self.ln_1, self.ln_2 = nn.LayerNorm(width), nn.LayerNorm(width)
            layers = {"c_fc": nn.Linear(width, 4 * width), "c_proj": nn.Linear(4 * width, width)}
            self.mlp = nn.ModuleDict(layers)

        def forward(self, x):
            normed = self.ln_1(x)
            x = x + self.attn(normed, normed, normed)[0]
            hidden = self.mlp["c_fc"](self.ln_2(x))
            return x + self.mlp["c_proj"](hidden / (1 + torch.exp(-1.702 * hidden)))

    visual = nn.Module()
    visual.conv1 = nn.Conv2d(3, width, patch, stride=patch, bias=False)
    visual.class_embedding = nn.Parameter(torch.empty(width))
    visual.positional_embedding = nn.Parameter(torch.empty(1 + (side // patch) ** 2, width))
    visual.ln_pre, visual.ln_post = nn.LayerNorm(width), nn.LayerNorm(width)
    visual.transformer = nn.Module()
    visual.transformer.resblocks = nn.ModuleList(Residual() for _ in range(depth))
    clip = nn.Module()
    clip.visual = visual

    def tokens(images):
        patches = visual.conv1(images).flatten(2).mT
        first = visual.class_embedding.expand(len(images), 1, -1)
        x = visual.ln_pre(torch.cat([first, patches], 1) + visual.positional_embedding)
        for block in visual.transformer.resblocks:
            x = block(x)
        return visual.ln_post(x)

    return randomised(clip), tokens


def test_the_tokens_of_farl_match_clip_in_torch():
    torch = pytest.importorskip("torch")
    side, x = 48, np.float32(frames(1, 2, 48, 48))
    peer, tokens = clip_peer(width=48, heads=12, depth=2, side=side)
    theirs = tokens(torch.from_numpy(x).flatten(0, 1).permute(0, 3, 1, 2))
    maps = theirs[:, 1:].reshape(1, 2, 3, 3, 48), theirs[:, :1].reshape(1, 2, 1, 1, 48)
    variables = as_ours(peer.state_dict(), FORMATS["farl"].tables)
    assert difference(network(backbone="farl_b16", **SMALL), variables, x, maps) < 1e-5


MISTAKES = {
    "tanh": ("vit_s16", vit.nn, "gelu", lambda x, approximate: jax.nn.gelu(x, approximate=True)),
    "GELU": ("farl_b16", vit, "quick_gelu", lambda x: jax.nn.gelu(x, approximate=False)),
    "epsilon": ("vit_s16", vit, "_epsilon", lambda clip: 1e-2),
}


@pytest.mark.slow
@pytest.mark.parametrize("mistake", MISTAKES)
def test_the_comparison_fails_for_a_planted_mistake(mistake, monkeypatch):
    backbone, *place = MISTAKES[mistake]
    monkeypatch.setattr(*place)
    assert difference_from_timm(backbone, side_of(backbone)) > 1e-4


def random_variables(net, side):
    rng = np.random.default_rng(0)
    return jax.tree.map(
        lambda leaf: rng.uniform(-0.5 if leaf.ndim > 1 else 0.1, 0.5, leaf.shape),
        shapes_at(net, side),
    )


@pytest.mark.parametrize("backbone", ["vit_s14", slow("vit_s16"), slow("farl_b16")])
@pytest.mark.parametrize("fill", [0, 9], ids=["black", "noise"])
def test_frames_without_a_face_affect_neither_maps_nor_gradient(backbone, fill):
    side = side_of(backbone, 2)
    net = network(jnp.float64, backbone=backbone, stage_sizes=(1,), width=2)
    variables, x = random_variables(net, side), frames(2, 4, side, side)
    mask = np.array([[True, False, True, True], [False, False, True, False]])
    other = np.where(mask[..., None, None, None], x, fill * x[:, ::-1])
    with jax.enable_x64(True):
        expected = train_step(net, variables, x, mask)
        maps, gradients = train_step(net, variables, other, mask)
    assert all(np.isfinite(leaf).all() for leaf in jax.tree.leaves(gradients))
    assert_same((maps, gradients["params"]), (expected[0], expected[1]["params"]))
    assert net.times() == []


@pytest.mark.slow
def test_remat_keeps_less_and_gives_the_same_result():
    small = {"backbone": "vit_s16", "stage_sizes": (2,), "width": 2}
    net, again = (network(jnp.float64, **small, remat=remat) for remat in (False, True))
    variables, x, mask = random_variables(net, 32), frames(1, 2, 32, 32), np.ones((1, 2), bool)

    def kept(net):
        """Return the number of values that the forward pass keeps for the gradient."""

        def pull(variables, x, mask):
            return jax.vjp(lambda variables: train_forward(net, variables, x, mask), variables)[1]

        return parameter_count(jax.eval_shape(pull, variables, x, mask))

    with jax.enable_x64(True):
        plain, recomputed = (train_step(each, variables, x, mask) for each in (net, again))
        assert_same(recomputed, plain)
        assert kept(again) < kept(net)


@pytest.mark.slow
def test_bfloat16_stays_close_to_float32_with_float32_norms_and_softmax():
    backbone, side = "vit_s14", side_of("vit_s14")
    x, mask = np.float32(frames(1, 2, side, side)), np.ones((1, 2), bool)
    nets = [network(dtype, backbone=backbone, **SMALL) for dtype in (jnp.float32, jnp.bfloat16)]
    variables = jax.tree.map(np.float32, random_variables(nets[0], side))
    programs = [jax.jit(functools.partial(train_forward, net)) for net in nets]
    (full, _), (low, _) = (program(variables, x, mask) for program in programs)
    assert {y.dtype for y in low} == {jnp.dtype("bfloat16")}
    for ours, theirs in zip(low, full, strict=True):
        assert relative(ours.astype(jnp.float32), theirs) < 0.05
    text = programs[1].lower(variables, x, mask).as_text()
    kinds = re.findall(r"stablehlo\.(exponential|rsqrt) .*x(\w+)>", text)
    assert {*kinds} == {("exponential", "f32"), ("rsqrt", "f32")}


@pytest.mark.parametrize(("backbone", "side", "remedy"), [
    ("vit_s14", 32, "multiple of 14.* 28 or 42"),
    ("vit_s16", 100, "multiple of 16.* 96 or 112"),
    ("farl_b16", 9, "multiple of 16.* 16 or 32"),
])  # fmt: skip
def test_a_size_that_is_no_multiple_of_the_patch_is_refused(backbone, side, remedy):
    with pytest.raises(InputError, match=rf"^data\.size={side} .*{remedy}"):
        shapes_at(network(backbone=backbone), side)


@pytest.mark.slow
@pytest.mark.parametrize(("before", "after"), [(5, 3), (3, 5), (4, 2)])
def test_positions_are_interpolated_as_in_timm(before, after):
    timm_models.imported()
    import torch
    from timm.layers import resample_abs_pos_embed

    positions = np.float32(np.random.default_rng(0).normal(size=(1 + before**2, 6)))
    theirs = resample_abs_pos_embed(torch.from_numpy(positions)[None], [after, after])[0]
    resized = vit.resize_positions(positions, 1 + after**2)
    np.testing.assert_array_equal(resized[0], positions[0])
    assert relative(resized, theirs) < 1e-6


@pytest.mark.slow
@pytest.mark.parametrize("backbone", ["vit_s14", "vit_s16", "farl_b16"])
def test_tokens_at_another_image_size_match_timm(backbone):
    there, here = side_of(backbone, 5), side_of(backbone, 3)
    peer, x = timm_peer(backbone, there), np.float32(frames(1, 2, here, here))
    variables = as_ours(peer.state_dict(), (TIMM,))
    positions = vit.resize_positions(variables["params"]["positions"], 1 + 3**2)
    variables["params"]["positions"] = positions
    peer.set_input_size((here, here))
    net = network(backbone=backbone, **SMALL)
    assert difference(net, variables, x, timm_maps(peer, x)) < 1e-5


def test_tokens_without_a_square_grid_are_not_interpolated():
    with pytest.raises(ValueError, match=r"8 position embeddings .* to 5"):
        vit.resize_positions(np.zeros((8, 2), np.float32), 5)
