"""The backbones match the same networks in torch, and ignore masked frames."""

import functools

import flax.linen as nn
import jax
import jax.numpy as jnp
import numpy as np
import pytest

from va_jax import keys
from va_jax.config import Model
from va_jax.models import batch_norm, conv, resnet
from va_jax.models.batch_norm import BatchNorm
from va_jax.models.build import build_model, parameter_count
from va_jax.models.pooling import ceil_padding, max_pool
from va_jax.types import DIMS

NAMES = ("resnet18", "resnet34", "resnet50", "resnet50_vggface2", "seresnet50", "vgg16", "vgg16bn")
SHALLOW = {  # every kind of block and transition, but quick to compile
    name: {"backbone": name, "width": 4, "stage_sizes": (1, 2) if "vgg16" in name else (1, 1)}
    for name in NAMES
}
TINY = {"width": 4, "stage_sizes": (1,)}
INFLATIONS = {
    "zero": {},
    "dilation": {"dilation": (2, 3)},
    "strided": {"strided": True},
    "pools": {"pool_taps": 3},
    "strided pools": {"pool_taps": 3, "strided": True},
    "edge": {"padding": "edge"},
    "all with edge": {"padding": "edge", "dilation": (1, 2), "strided": True, "pool_taps": 3},
    "kinetics": {"layout": "kinetics"},
}
QUICK = ("2-D", "zero")
MASKED = {
    "2-D": {"backbone": "vgg16bn"},
    "zero": {"backbone": "vgg16bn", "inflation": {"taps": 3, "pool_taps": 3}},
    "dilated, strided, edge": {
        "backbone": "vgg16bn",
        "stage_sizes": (1, 1),
        "inflation": {"taps": 3, "dilation": (1, 2), "strided": True, "padding": "edge"},
    },
    "blocks, edge": {"backbone": "resnet", "inflation": {"taps": 3, "padding": "edge"}},
    "blocks, strided": SHALLOW["resnet18"] | {"inflation": {"taps": 3, "strided": True}},
}
WHOLE = {
    "fully connected": SHALLOW["vgg16"]
    | {"pool": "flatten", "fc": (8, 6), "landmarks": "before_fc", "temporal": "gru", "units": 5},
    "branches": SHALLOW["resnet18"]
    | {"fc": (6,), "landmarks": "after_fc", "branches": ("fc", "pool+conv")}
    | {"temporal": "lstm", "units": 5, "bidirectional": True, "bounded": True},
    "inflated": SHALLOW["vgg16bn"]
    | {"temporal": "none", "inflation": {"taps": 3, "strided": True}},
}


def slow(*values):
    return pytest.param(*values, marks=pytest.mark.slow)


def model_config(**changes):
    return keys.parse(Model, changes)


def network(dtype=jnp.float32, **changes):
    """Return the backbone of the default config with these changes."""
    return build_model(model_config(**changes), DIMS).backbone.clone(parent=None, dtype=dtype)


def torch_peer(side, **changes):
    """Return the same network in torch, with random norms and a signal of even scale."""
    torch = pytest.importorskip("torch")
    from benchmarks.peers import Network

    torch.manual_seed(0)
    peer = Network(model_config(**changes), DIMS, side)
    for name, module in peer.backbone.named_modules():
        if hasattr(module, "running_var"):
            torch.nn.init.uniform_(module.weight, 0.3, 0.8)
            torch.nn.init.normal_(module.bias, std=0.1)
            torch.nn.init.normal_(module.running_mean, std=0.1)
            torch.nn.init.uniform_(module.running_var, 0.2, 1.5)
        elif hasattr(module, "weight") and not name.endswith(("conv4", "conv5")):
            torch.nn.init.kaiming_normal_(module.weight)
    return peer


def frames(*shape):
    return np.random.default_rng(0).normal(size=(*shape, 3))


def abstract_variables(net):
    net, x = net.clone(dtype=jnp.float32), jnp.zeros((1, 1, 32, 32, 3))
    mask = jnp.ones((1, 1), bool)
    return dict(jax.eval_shape(lambda: net.init(jax.random.key(0), x, mask, train=False)))


def variables_from(net, peer):
    from benchmarks.peer_names import to_ours

    return to_ours(abstract_variables(net), peer.backbone.state_dict())


def random_variables(net):
    """Return kernels of both signs, and scales and variances above 0, in float64."""
    rng = np.random.default_rng(0)

    def fill(leaf):
        return rng.uniform(-0.5 if leaf.ndim > 1 else 0.1, 0.5, leaf.shape)

    return jax.tree.map(fill, abstract_variables(net))


@functools.partial(jax.jit, static_argnums=0)
def train_step(net, variables, x, mask):
    """Return the masked maps, the gradient of their sum of squares, and the statistics."""

    def loss(params):
        maps, updated = train_forward(net, {**variables, "params": params}, x, mask)
        seen = [jnp.where(mask[..., None, None, None], y, 0) for y in maps]
        return sum((y**2).sum() for y in seen), (seen, updated)

    grads, (seen, updated) = jax.grad(loss, has_aux=True)(variables["params"])
    return seen, {"params": grads, **updated}


def train_forward(net, variables, x, mask):
    return net.apply(variables, x, mask, train=True, mutable="batch_stats")


def relative(ours, theirs):
    ours, theirs = np.asarray(ours), np.asarray(theirs)
    assert ours.shape == theirs.shape
    return np.abs(ours - theirs).max() / np.abs(theirs).max()


def difference(net, peer, x, variables=None):
    """Return the largest relative difference of the two maps; compiles again on every call."""
    import torch

    variables = variables or variables_from(net, peer)
    with torch.no_grad():
        theirs = peer.eval().maps(torch.from_numpy(x.astype(np.float32)))
    mask = jnp.ones(x.shape[:2], bool)
    apply = jax.jit(lambda variables, x: net.apply(variables, x, mask, train=False))
    ours = apply(variables, x.astype(np.float32))
    return max(relative(a, b) for a, b in zip(ours, theirs, strict=True))


def assert_same(ours, theirs):
    """Assert that arrays agree within 1e-8 of the largest value of the reference.

    If that is tiny, as for the gradient of a bias that a norm removes again, only rounding is left,
    and the scale is that of the whole tree.
    """
    smallest = 1e-6 * max(np.abs(leaf).max() for leaf in jax.tree.leaves(theirs))

    def check(path, mine, reference):
        assert mine.shape == reference.shape, path
        scale = max(np.abs(reference).max(), smallest)
        assert np.abs(np.asarray(mine) - np.asarray(reference)).max() < 1e-8 * scale, path

    jax.tree_util.tree_map_with_path(check, ours, theirs)


def assert_gradients_and_statistics_match_torch(x, **changes):
    peer = torch_peer(x.shape[2], **changes).double().train()
    import torch

    from benchmarks.peer_names import to_ours

    net = network(jnp.float64, **changes)
    variables = variables_from(net, peer)
    with jax.enable_x64(True):
        _, ours = train_step(net, variables, x, np.ones(x.shape[:2], bool))
    sum((y**2).sum() for y in peer.maps(torch.from_numpy(x))).backward()
    grads = {name: value.grad for name, value in peer.backbone.named_parameters()}
    assert_same(ours, to_ours(ours, grads | dict(peer.backbone.named_buffers())))


@pytest.mark.parametrize(
    "name", ["resnet18", "vgg16bn", *map(slow, sorted({*NAMES} - {"resnet18", "vgg16bn"}))]
)
def test_outputs_match_torch(name):
    changes = {"backbone": name, "width": 8}
    assert difference(network(**changes), torch_peer(64, **changes), frames(1, 2, 64, 64)) < 1e-5


@pytest.mark.slow
@pytest.mark.parametrize("name", ["resnet50", "vgg16"])
def test_outputs_match_torch_at_full_width(name):
    peer = torch_peer(64, backbone=name)
    assert difference(network(backbone=name), peer, frames(1, 2, 64, 64)) < 1e-5


@pytest.mark.slow
@pytest.mark.parametrize("inflation", INFLATIONS.values(), ids=INFLATIONS)
def test_inflated_outputs_match_torch(inflation):
    changes = SHALLOW["resnet50_vggface2"] | {"inflation": {"taps": 3} | inflation}
    assert difference(network(**changes), torch_peer(22, **changes), frames(2, 7, 22, 22)) < 1e-5


@pytest.mark.slow
@pytest.mark.parametrize(
    "name", ["resnet18", *map(slow, ("resnet50", "resnet50_vggface2", "seresnet50", "vgg16bn"))]
)
def test_gradients_and_running_statistics_match_torch_in_float64(name):
    assert_gradients_and_statistics_match_torch(frames(1, 3, 22, 22), **SHALLOW[name])


@pytest.mark.slow
@pytest.mark.parametrize(
    ("name", "inflation"),
    [
        ("vgg16bn", "dilation"),
        slow("resnet50_vggface2", "all with edge"),
        slow("resnet18", "pools"),
        slow("resnet50", "edge"),
        slow("resnet50", "kinetics"),
        slow("resnet50", "strided pools"),
        slow("seresnet50", "zero"),
        slow("vgg16", "strided"),
        slow("vgg16bn", "all with edge"),
    ],
)
def test_inflated_gradients_match_torch_in_float64(name, inflation):
    changes = SHALLOW[name] | {"inflation": {"taps": 3} | INFLATIONS[inflation]}
    assert_gradients_and_statistics_match_torch(frames(1, 7, 22, 22), **changes)


@pytest.mark.slow
@pytest.mark.parametrize("name", NAMES)
def test_gradients_of_the_deep_networks_match_torch_in_float64(name):
    assert_gradients_and_statistics_match_torch(frames(1, 3, 64, 64), backbone=name, width=4)


def nothing(monkeypatch):
    pass


def same_padding(monkeypatch):
    explicit = jax.lax.conv_general_dilated
    monkeypatch.setattr(
        conv.lax,
        "conv_general_dilated",
        lambda *arrays, padding, **options: explicit(*arrays, padding="SAME", **options),
    )


def large_epsilon(monkeypatch):
    normalise = batch_norm._normalise
    monkeypatch.setattr(batch_norm, "_normalise", lambda *given: normalise(*given[:-1], 1e-3))


def pool_padded_on_all_sides(monkeypatch):
    monkeypatch.setattr(resnet, "ceil_padding", lambda side, size: (1, 1))


def pool_that_rounds_down(monkeypatch):
    monkeypatch.setattr(resnet, "ceil_padding", lambda side, size: (0, 0))


@pytest.mark.slow
@pytest.mark.parametrize(
    ("mistake", "ours", "theirs"),
    [
        (same_padding, "resnet18", "resnet18"),
        (large_epsilon, "resnet18", "resnet18"),
        (pool_padded_on_all_sides, "resnet50_vggface2", "resnet50_vggface2"),
        (pool_that_rounds_down, "resnet50_vggface2", "resnet50_vggface2"),
        (pool_padded_on_all_sides, "resnet50_vggface2", "resnet50"),  # only the stride is wrong
        (nothing, "resnet50_vggface2", "resnet50"),
        (nothing, "resnet50", "resnet50_vggface2"),
    ],
)
def test_the_comparison_fails_for_a_planted_mistake(mistake, ours, theirs, monkeypatch):
    peer = torch_peer(32, **SHALLOW[theirs])
    mistake(monkeypatch)
    assert difference(network(**SHALLOW[ours]), peer, frames(1, 1, 32, 32)) > 1e-3


@pytest.mark.parametrize("axis", [0, 3], ids=["taps", "colours"])
def test_the_comparison_fails_if_the_first_kernel_is_flipped(axis):
    changes = SHALLOW["resnet18"] | {"inflation": {"taps": 3}}
    net, peer = network(**changes), torch_peer(22, **changes)
    variables = variables_from(net, peer)
    stem = variables["params"]["conv1"]
    stem["kernel"] = np.flip(stem["kernel"], axis)
    assert difference(net, peer, frames(1, 4, 22, 22), variables) > 1e-3


@pytest.mark.slow
@pytest.mark.parametrize("changes", WHOLE.values(), ids=WHOLE)
def test_predictions_of_the_whole_network_match_torch(changes):
    peer = torch_peer(32, **changes).eval()
    import torch

    from benchmarks.peer_names import to_ours

    config = model_config(**changes)
    model = build_model(config, DIMS)
    rng = np.random.default_rng(0)
    inputs = {"frames": rng.integers(0, 256, (2, 5, 32, 32, 3), np.uint8)}
    if config.landmarks != "none":
        shape = (2, 5, config.landmark_points, 2)
        inputs["landmarks"] = rng.uniform(-1, 1, shape).astype(np.float32)
    face = jnp.ones((2, 5), bool)
    init = functools.partial(model.init, jax.random.key(0), face=face, train=False)
    variables = to_ours(dict(jax.eval_shape(init, **inputs)), peer.state_dict())
    apply = jax.jit(functools.partial(model.apply, face=face, train=False))
    with torch.no_grad():
        expected = peer(**{name: torch.from_numpy(x) for name, x in inputs.items()})
    assert relative(apply(variables, **inputs)[0], expected) < 1e-5


@pytest.mark.parametrize(
    "changes",
    [each if name in QUICK else slow(each) for name, each in MASKED.items()],
    ids=MASKED,
)
def test_masked_frames_affect_neither_maps_nor_gradient_nor_statistics(changes):
    net = network(jnp.float64, **TINY | changes)
    variables = random_variables(net)
    x, noise = frames(2, 5, 16, 16), 9 * frames(2, 8, 16, 16)[:, ::-1]
    mask = np.array([[True, False, True, True, False], [False, True, True, False, True]])
    longer, face = np.concatenate([x, noise[:, 5:]], 1), np.pad(mask, ((0, 0), (0, 3)))
    other = np.where(face[..., None, None, None], longer, noise)
    with jax.enable_x64(True):
        expected = train_step(net, variables, x, mask)
        for shown in (longer, other):
            maps, tree = train_step(net, variables, shown, face)
            assert_same(([y[:, :5] for y in maps], tree), expected)


@pytest.mark.parametrize("changes", [MASKED[name] for name in QUICK], ids=QUICK)
def test_a_batch_without_a_face_keeps_the_statistics_and_is_finite(changes):
    net = network(jnp.float64, **TINY | changes)
    variables = random_variables(net)
    with jax.enable_x64(True):
        _, tree = train_step(net, variables, frames(2, 8, 16, 16), np.zeros((2, 8), bool))
    jax.tree.map(np.testing.assert_array_equal, tree["batch_stats"], variables["batch_stats"])
    assert all(np.isfinite(leaf).all() for leaf in jax.tree.leaves(tree))


@pytest.mark.slow
@pytest.mark.parametrize("backbone", ["resnet", "vgg16bn"])
def test_remat_keeps_less_and_gives_the_same_result(backbone):
    changes = TINY | {"backbone": backbone}
    net, again = (network(jnp.float64, **changes, remat=remat) for remat in (False, True))
    variables, x, mask = random_variables(net), frames(1, 2, 16, 16), np.ones((1, 2), bool)

    def kept(net):
        """Return the number of values that the forward pass keeps for the gradient."""

        def pull(variables, x, mask):
            return jax.vjp(lambda variables: train_forward(net, variables, x, mask), variables)[1]

        return parameter_count(jax.eval_shape(pull, variables, x, mask))

    with jax.enable_x64(True):
        plain, recomputed = (train_step(n, variables, x, mask) for n in (net, again))
        assert_same(recomputed, plain)
        assert kept(again) < kept(net)


def test_statistics_are_exact_if_the_mean_is_large_against_the_spread():
    x = 1000 + np.random.default_rng(0).normal(size=(1, 4, 8, 8, 1)).astype(np.float32)
    variables = {
        "params": {"scale": jnp.ones(1), "bias": jnp.zeros(1)},
        "batch_stats": {"mean": jnp.full(1, 1000.0), "var": jnp.ones(1)},
    }
    step = jax.jit(functools.partial(BatchNorm().apply, train=True, mutable="batch_stats"))
    _, updated = step(variables, x, np.ones((1, 4), bool))
    expected = 0.9 * 1 + 0.1 * x.astype(np.float64).var(ddof=1)
    assert abs(updated["batch_stats"]["var"][0] - expected) < 1e-5


@pytest.mark.slow
@pytest.mark.parametrize("inflation", [{}, {"taps": 3}], ids=["2-D", "inflated"])
def test_bfloat16_stays_close_to_float32_with_float32_statistics(inflation):
    changes = TINY | {"backbone": "resnet", "inflation": inflation}
    forward = jax.jit(train_forward, static_argnums=0)
    variables = jax.tree.map(np.float32, random_variables(network(**changes)))
    x, mask = np.float32(frames(1, 4, 16, 16)), np.ones((1, 4), bool)
    (_, y), _ = forward(network(**changes), variables, x, mask)
    (_, low), updated = forward(network(jnp.bfloat16, **changes), variables, x, mask)
    assert {leaf.dtype for leaf in jax.tree.leaves(updated)} == {jnp.dtype("float32")}
    assert low.dtype == jnp.bfloat16
    assert relative(low.astype(jnp.float32), y) < 0.05


def test_zero_initialised_residual_branches_start_as_the_shortcut_alone():
    net = network(backbone="resnet", stage_sizes=(1,), width=2, zero_init_residual=True)
    init = jax.jit(functools.partial(net.init, train=False))
    params = init(jax.random.key(0), jnp.zeros((1, 1, 8, 8, 3)), jnp.ones((1, 1), bool))["params"]
    assert not params["layer1_0"]["bn2"]["scale"].any()
    assert params["layer1_0"]["bn1"]["scale"].all()


def test_every_stage_scales_with_width():
    params = abstract_variables(network(backbone="resnet50", stage_sizes=(1,) * 3, width=8))
    blocks = [params["params"][f"layer{stage}_0"] for stage in (1, 2, 3)]
    assert [block["conv3"]["kernel"].shape[-1] for block in blocks] == [32, 64, 128]
    params = abstract_variables(network(backbone="vgg16", width=8))["params"]
    widths = [params[f"conv{stage}_1"]["kernel"].shape[-1] for stage in range(1, 6)]
    assert widths == [8, 16, 32, 64, 64]


def value_and_gradient(pool, x):
    """Return a pool's output, and the gradient of a loss whose slope differs everywhere."""
    return jax.jit(lambda x: (pool(x), jax.grad(lambda x: (pool(x) ** 3).sum())(x)))(x)


@pytest.mark.slow
@pytest.mark.parametrize(("side", "padding"), [(3, (1, 1)), (2, (0, 0)), (3, (0, 1))])
@pytest.mark.parametrize("shape", [(2, 8, 8, 3), (1, 7, 10, 2), (1, 2, 2, 1)])
def test_the_max_pool_and_its_gradient_match_flax_also_for_ties(side, padding, shape):
    x = np.round(2 * np.random.default_rng(0).normal(size=shape)).astype(np.float32)

    def library(x):
        return nn.max_pool(x, (side, side), strides=(2, 2), padding=(padding, padding))

    ours = value_and_gradient(lambda x: max_pool(x, side, padding), x)
    jax.tree.map(np.testing.assert_array_equal, ours, value_and_gradient(library, x))


@pytest.mark.slow
@pytest.mark.parametrize("size", range(2, 10))
def test_the_pool_that_rounds_up_and_its_gradient_match_torch_also_for_ties(size):
    torch = pytest.importorskip("torch")
    x = np.round(2 * np.random.default_rng(0).normal(size=(2, size, size, 3))).astype(np.float32)
    theirs = torch.tensor(x.transpose(0, 3, 1, 2), requires_grad=True)
    pooled = torch.nn.MaxPool2d(3, 2, 0, ceil_mode=True)(theirs)
    (pooled**3).sum().backward()
    ours = value_and_gradient(lambda x: max_pool(x, 3, ceil_padding(3, size)), x)
    for mine, reference in zip(ours, (pooled.detach(), theirs.grad), strict=True):
        np.testing.assert_array_equal(mine, reference.numpy().transpose(0, 2, 3, 1))
