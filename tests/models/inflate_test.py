"""Inflated networks start as the 2-D ones, and do not see masked frames."""

import functools

import jax
import jax.numpy as jnp
import numpy as np
import pytest

from va_jax import keys
from va_jax.config import Model
from va_jax.models.build import build_model
from va_jax.models.inflate import WAYS, inflate
from va_jax.types import InputError

SIDE = 32

NETWORKS = {  # backbone, layout; taps of the stem, convolutions over time in each stage
    "vgg16": ("vgg16", "spatial", 1, (2, 2, 3, 3, 3)),
    "vgg16bn": ("vgg16bn", "spatial", 1, (2, 2, 3, 3, 3)),
    "resnet18": ("resnet18", "spatial", 3, (4, 4, 4, 4)),
    "resnet34": ("resnet34", "spatial", 3, (6, 8, 12, 6)),
    "resnet50": ("resnet50", "spatial", 3, (3, 4, 6, 3)),
    "seresnet50": ("seresnet50", "spatial", 3, (3, 4, 6, 3)),
    "resnet50_vggface2": ("resnet50_vggface2", "spatial", 3, (3, 4, 6, 3)),
    "resnet50 of Kinetics": ("resnet50", "kinetics", 5, (3, 2, 3, 1)),
}

QUICK = ("vgg16bn", "resnet18")

ROUNDING = 5e-6
"""Of float32; only from the stem, which adds its taps in one sum and so in another order."""

QUICKEST = ("vgg, edge, strided",)
"""The small network of the main suite; the others are slow to compile."""

SMALL = {  # backbone, blocks or convolutions of each stage, how it reaches over time
    "vgg, zero": ("vgg16bn", (1, 1), {"padding": "zero"}),
    "vgg, edge, strided": ("vgg16bn", (1, 1), {"padding": "edge", "strided": True}),
    "resnet, zero, strided": ("resnet18", (1, 1), {"padding": "zero", "strided": True}),
    "resnet, edge": ("resnet18", (1, 1), {"padding": "edge", "dilation": (2, 1)}),
    "bottlenecks, edge, strided": ("seresnet50", (1, 1), {"padding": "edge", "strided": True}),
    "of Kinetics, edge": ("resnet50 of Kinetics", (1, 2), {"padding": "edge"}),
}

every_small_network = pytest.mark.parametrize(
    "case",
    [
        pytest.param(case, id=name, marks=[] if name in QUICKEST else [pytest.mark.slow])
        for name, case in SMALL.items()
    ],
)


def network(name, stage_sizes=(), **inflation):
    """Return a narrow backbone, shallower with `stage_sizes`, and 2-D without `taps`."""
    backbone, layout, _, _ = NETWORKS[name]
    tree = {
        "backbone": backbone,
        "width": 8,
        "stage_sizes": stage_sizes,
        "inflation": {"layout": layout} | inflation,
    }
    return build_model(keys.parse(Model, tree), ("valence",)).backbone


def reach(name, taps=3, counts=None, dilation=(1,) * 5):
    """Return the frames that the last map sees on either side, summed over convolutions."""
    stem = taps if NETWORKS[name][2] == 3 else NETWORKS[name][2]
    counts = counts or NETWORKS[name][3]
    spans = [d * (taps - 1) // 2 * count for d, count in zip(dilation, counts, strict=False)]
    return (stem - 1) // 2 + sum(spans)


@functools.cache
def shapes_of(net):
    x, mask = jnp.zeros((1, 1, SIDE, SIDE, 3)), jnp.ones((1, 1), bool)
    return jax.eval_shape(lambda: net.init(jax.random.key(0), x, mask, train=False))


@functools.cache
def flat_variables(name, stage_sizes=()):
    """Return random variables of the 2-D network; no norm is the identity, no bias is zero."""
    rng = np.random.default_rng(0)

    def fill(path, leaf):
        if path[-1].key == "kernel":
            gain = 2 if name.startswith("vgg") else 1  # neither fades nor grows through the layers
            return rng.normal(size=leaf.shape, scale=(gain / np.prod(leaf.shape[:-1])) ** 0.5)
        if path[-1].key in ("scale", "var"):
            return rng.uniform(0.5, 1.5, leaf.shape)
        return rng.normal(size=leaf.shape, scale=0.1)

    shapes = shapes_of(network(name, stage_sizes))
    drawn = jax.tree_util.tree_map_with_path(fill, shapes)
    return jax.tree.map(lambda leaf: leaf.astype(np.float32), drawn)


def inflated(variables, net, way):
    """Return the inflated variables, after checking their shapes."""

    def fill(leaf, target):
        taller = len(target.shape) > leaf.ndim
        return inflate(leaf, target.shape[0], way) if taller else leaf

    filled = jax.tree.map(fill, variables, shapes_of(net))
    assert jax.tree.map(np.shape, filled) == jax.tree.map(np.shape, shapes_of(net))
    return filled


@functools.partial(jax.jit, static_argnums=0)
def run_jitted(net, variables, x, mask):
    maps = net.apply(variables, x, mask, train=False)
    return jnp.concatenate([y.reshape(*y.shape[:2], -1) for y in maps], -1)


def run(net, variables, x, mask=None):
    """Return both maps of every frame, flattened and concatenated."""
    mask = np.ones(x.shape[:2], bool) if mask is None else np.asarray(mask)
    return np.asarray(run_jitted(net, variables, x, mask))


@functools.cache
def moving(frames, rows=1):
    """Return clips of noise."""
    shape = (rows, frames, SIDE, SIDE, 3)
    return np.random.default_rng(1).normal(size=shape).astype(np.float32)


@functools.cache
def flat_case(name):
    """Return a moving and a still clip, and the output of the 2-D network for every frame."""
    frames = 2 * reach(name) + 2
    clips = np.concatenate([moving(frames), np.repeat(moving(frames)[:, :1], frames, 1)])
    return clips, run(network(name), flat_variables(name), clips)


def repeated(x, frames):
    """Repeat `x` to this number of frames."""
    return x[:, np.arange(frames) % x.shape[1]]


def gap(ours, theirs):
    assert ours.shape == theirs.shape
    return np.abs(ours - theirs).max() / np.abs(theirs).max()


def slow(*values):
    return pytest.param(*values, marks=pytest.mark.slow)


@pytest.mark.slow
@pytest.mark.parametrize(
    ("name", "padding"),
    [
        *((name, "edge") for name in ("vgg16bn", "resnet18", "seresnet50")),  # each kind of block
        *((name, "zero") for name in NETWORKS if name != "resnet34"),  # blocks of resnet18
    ],
)
def test_an_inflated_network_starts_as_the_2d_one(name, padding):
    net, variables = network(name, taps=3, padding=padding), flat_variables(name)
    clips, (flat, still) = flat_case(name)
    assert gap(flat[1:], flat[:-1]) > 0.1  # frames, and so outputs, differ
    centred = run(net, inflated(variables, net, "centred"), clips)
    assert gap(centred, np.stack([flat, still])) < ROUNDING
    copied = run(net, inflated(variables, net, "copied"), clips)
    inner = slice(reach(name), -reach(name)) if padding == "zero" else slice(None)
    assert gap(copied[1, inner], still[inner]) < ROUNDING
    assert gap(copied[0], flat) > 0.1
    if padding == "zero":
        assert gap(copied[1, :1], still[:1]) > 0.1
        assert gap(copied[1, -1:], still[-1:]) > 0.1


@pytest.mark.slow
@pytest.mark.parametrize("name", [name if name in QUICK else slow(name) for name in NETWORKS])
def test_a_frame_is_seen_as_far_as_the_convolutions_reach(name):
    net = network(name, taps=3, padding="zero")
    variables = inflated(flat_variables(name), net, "centred")
    poisoned = flat_case(name)[0].copy()
    poisoned[0, 0], poisoned[1, -1] = np.nan, np.nan  # a product with nan is nan, by 0 too
    seen = np.isnan(run(net, variables, poisoned)).any(-1)
    number = np.arange(seen.shape[1])
    np.testing.assert_array_equal(seen, [number <= reach(name), number[::-1] <= reach(name)])


@pytest.mark.slow
@pytest.mark.parametrize(
    ("name", "stage_sizes", "counts", "dilation"),
    [
        ("vgg16bn", (1, 2), (1, 2), (1, 3)),
        ("resnet18", (1, 1), (2, 2), (2, 3)),
        ("resnet50 of Kinetics", (2, 2), (2, 1), (3, 2)),
    ],
)
def test_five_taps_and_dilation_start_as_the_2d_network_and_reach_further(
    name, stage_sizes, counts, dilation
):
    net = network(name, stage_sizes, taps=5, padding="zero", dilation=dilation)
    far = reach(name, 5, counts, dilation)
    frames = 2 * far + 1
    clip = moving(frames)
    still = repeated(clip[:, :1], frames)
    clips, flat = np.concatenate([clip, still]), flat_variables(name, stage_sizes)
    expected = run(network(name, stage_sizes), flat, clips)
    centred, copied = (inflated(flat, net, way) for way in WAYS)
    assert gap(run(net, centred, clips), expected) < ROUNDING
    assert gap(run(net, copied, clips)[1, far], expected[1, far]) < ROUNDING
    clips[:, 0] = np.nan
    seen = np.isnan(run(net, copied, clips)).any(-1)
    np.testing.assert_array_equal(seen, [np.arange(frames) <= far] * 2)


@pytest.mark.parametrize(
    ("way", "mistake", "row"),
    [
        ("copied", lambda kernel: kernel * len(kernel), 1),  # not divided by the taps
        ("centred", lambda kernel: np.roll(kernel, 1, 0), 0),  # in a neighbour's tap
    ],
)
def test_a_mistake_in_inflating_changes_the_output(way, mistake, row):
    net = network("resnet18", taps=3, padding="edge")
    clips, expected = flat_case("resnet18")
    variables = inflated(flat_variables("resnet18"), net, way)
    wrong = jax.tree.map(lambda leaf: mistake(leaf) if leaf.ndim == 5 else leaf, variables)
    assert gap(run(net, wrong, clips)[row], expected[row]) > 0.05


@pytest.mark.slow
@pytest.mark.parametrize("name", ["vgg16bn", slow("resnet18")])
def test_a_network_strided_in_time_starts_as_the_2d_one_and_keeps_the_frames(name):
    net = network(name, taps=3, padding="edge", strided=True, pool_taps=3)
    clips, expected = (repeated(x, 70) for x in flat_case(name))
    y = run(net, inflated(flat_variables(name), net, "copied"), clips)
    assert gap(y[1], expected[1]) < ROUNDING
    assert gap(y[0], expected[0]) > 0.05
    values = y[0, :, -8 * net.width :]  # the last map
    np.testing.assert_array_equal(values, values[np.arange(70) // 32 * 32])
    assert len(np.unique(values, axis=0)) == 3  # of 32, 32 and 6 frames


@pytest.mark.slow
@pytest.mark.parametrize(("name", "stride"), [("vgg16bn", 4), ("resnet18", 8)])
@pytest.mark.parametrize("extra", [-1, 0, 1])
def test_a_strided_network_gives_one_value_per_stride_also_for_the_last_part(name, stride, extra):
    net = network(name, (1, 1), taps=3, strided=True)
    variables = inflated(flat_variables(name, (1, 1)), net, "copied")
    frames = 2 * stride + extra
    y = run(net, variables, moving(frames))[0, :, -2 * net.width :]
    assert len(y) == frames
    assert len(np.unique(y, axis=0)) == -(-frames // stride)


def small_case(case):
    """Return a shallow network with copied kernels, 22 frames, and a mask with holes."""
    name, stage_sizes, inflation = case
    net = network(name, stage_sizes, taps=3, pool_taps=3, **inflation)
    variables = inflated(flat_variables(name, stage_sizes), net, "copied")
    mask = np.random.default_rng(2).random((2, 22)) < 0.5
    return net, variables, moving(22, rows=2), mask


@every_small_network
def test_padding_around_a_clip_changes_none_of_its_frames(case):
    net, variables, clip, _ = small_case(case)
    inner = slice(8, 19)  # 8 is a whole stride of every network
    number = np.arange(22)[None]
    mask = np.repeat((number >= 8) & (number < 19), 2, 0)
    padded = np.where(mask[..., None, None, None], clip, np.float32(np.nan))
    whole = run(net, variables, padded, mask)[:, inner]
    assert gap(whole, run(net, variables, clip[:, inner])) < ROUNDING


@every_small_network
def test_frames_outside_the_mask_are_not_seen_by_others(case):
    net, variables, clip, mask = small_case(case)
    shown = mask[..., None, None, None]
    first = run(net, variables, np.where(shown, clip, np.float32(np.nan)), mask)[mask]
    assert np.isfinite(first).all()
    for value in (0, 99):
        other = run(net, variables, np.where(shown, clip, np.float32(value)), mask)[mask]
        np.testing.assert_array_equal(other, first)
    assert gap(run(net, variables, clip)[mask], first) > 0.01  # the holes matter


@pytest.mark.slow
@pytest.mark.parametrize("case", [case for case in SMALL.values() if case[2]["padding"] == "edge"])
def test_holes_in_a_still_clip_change_nothing_under_edge_padding(case):
    net, variables, clip, mask = small_case(case)
    still = np.repeat(clip[:, :1], 22, 1)
    shown = np.where(mask[..., None, None, None], still, np.float32(np.nan))
    flat = run(network(*case[:2]), flat_variables(*case[:2]), still)
    assert gap(run(net, variables, shown, mask)[mask], flat[mask]) < ROUNDING


@pytest.mark.slow
def test_a_hole_as_wide_as_one_convolution_splits_a_clip_under_zero_padding():
    net = network("resnet18", (1, 1), taps=3, dilation=(2, 2))
    variables = inflated(flat_variables("resnet18", (1, 1)), net, "copied")
    clip, mask = moving(12), np.ones((1, 12), bool)
    mask[:, 5:7] = False
    y = run(net, variables, clip, mask)
    assert gap(y[:, :5], run(net, variables, clip[:, :5])) < ROUNDING
    assert gap(y[:, 7:], run(net, variables, clip[:, 7:])) < ROUNDING


def test_inflating_puts_the_kernel_in_the_middle_or_a_share_of_it_in_every_tap():
    kernel = np.float32([[[[6.0, -3.0]]]])
    zero = np.zeros_like(kernel)
    np.testing.assert_array_equal(inflate(kernel, 3, "centred"), np.stack([zero, kernel, zero]))
    np.testing.assert_array_equal(inflate(kernel, 3, "copied"), np.stack([kernel / 3] * 3))
    assert inflate(kernel, 5, "copied").dtype == np.float32


@pytest.mark.parametrize(("shape", "taps"), [((3, 3, 3), 3), ((3, 3, 3, 3, 3), 3), ((1,) * 4, 2)])
def test_only_2d_kernels_are_inflated_and_to_an_odd_number_of_taps(shape, taps):
    with pytest.raises(ValueError, match="cannot be inflated"):
        inflate(np.zeros(shape, np.float32), taps, "copied")


def test_an_unknown_way_of_inflating_is_refused_with_the_legal_ones():
    with pytest.raises(InputError, match=r"init\.inflate='mean'.*centred, copied"):
        inflate(np.zeros((1, 1, 1, 1), np.float32), 3, "mean")
