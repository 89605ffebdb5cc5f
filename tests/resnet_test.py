"""The backbone against the same network in torch, and what the mask keeps out of batch norm."""

import functools

import flax.linen as nn
import jax
import jax.numpy as jnp
import numpy as np
import pytest

from va_jax.models.pooling import max_pool
from va_jax.models.regressor import parameter_count
from va_jax.models.resnet import BatchNorm, ResNet

NETWORKS = {
    "resnet18": ((2, 2, 2, 2), False, 11_176_512),
    "resnet34": ((3, 4, 6, 3), False, 21_284_672),
    "resnet50": ((3, 4, 6, 3), True, 23_508_032),
}


def abstract_variables(net):
    x, mask = jnp.zeros((1, 32, 32, 3)), jnp.ones(1, bool)
    return jax.eval_shape(lambda: net.init(jax.random.key(0), x, mask, train=False))


def torch_resnet(stage_sizes, bottleneck, width):
    """The published network with torchvision's module names, norms randomised."""
    torch = pytest.importorskip("torch")
    nn = torch.nn

    class Block(nn.Module):
        def __init__(self, before, features, stride):
            super().__init__()
            out = 4 * features if bottleneck else features
            shapes = [(before, features, 3, stride), (features, out, 3, 1)]
            if bottleneck:
                shapes = [(before, features, 1, 1), (features, features, 3, stride)]
                shapes.append((features, out, 1, 1))
            self.depth = len(shapes)
            for i, (a, b, k, s) in enumerate(shapes, 1):
                self.add_module(f"conv{i}", nn.Conv2d(a, b, k, s, k // 2, bias=False))
                self.add_module(f"bn{i}", nn.BatchNorm2d(b))
            self.downsample = nn.Identity()
            if stride != 1 or before != out:
                conv = nn.Conv2d(before, out, 1, stride, bias=False)
                self.downsample = nn.Sequential(conv, nn.BatchNorm2d(out))

        def forward(self, x):
            y = x
            for i in range(1, self.depth + 1):
                y = getattr(self, f"bn{i}")(getattr(self, f"conv{i}")(y))
                y = y.relu() if i < self.depth else y
            return (y + self.downsample(x)).relu()

    net = nn.Sequential()
    net.add_module("conv1", nn.Conv2d(3, width, 7, 2, 3, bias=False))
    net.add_module("bn1", nn.BatchNorm2d(width))
    net.add_module("relu", nn.ReLU())
    net.add_module("maxpool", nn.MaxPool2d(3, 2, 1))
    before = width
    for stage, size in enumerate(stage_sizes):
        features, blocks = width * 2**stage, []
        for index in range(size):
            blocks.append(Block(before, features, 2 if stage and not index else 1))
            before = 4 * features if bottleneck else features
        net.add_module(f"layer{stage + 1}", nn.Sequential(*blocks))
    net.add_module("avgpool", nn.AdaptiveAvgPool2d(1))
    net.add_module("flatten", nn.Flatten())
    torch.manual_seed(0)
    for module in net.modules():
        if isinstance(module, nn.BatchNorm2d):
            nn.init.uniform_(module.weight, 0.5, 1.5)
            nn.init.normal_(module.bias, std=0.1)
            nn.init.normal_(module.running_mean, std=0.1)
            nn.init.uniform_(module.running_var, 0.5, 1.5)
    return net


def torch_name(path):
    """Name in torch of one of our leaves, such as ('params', 'layer1_0', 'conv1', 'kernel')."""
    leaf = {
        ("params", "kernel"): "weight",
        ("params", "scale"): "weight",
        ("params", "bias"): "bias",
        ("batch_stats", "mean"): "running_mean",
        ("batch_stats", "var"): "running_var",
    }[path[0], path[-1]]
    module = ".".join(path[1:-1])
    if module.startswith("layer"):
        module = module.replace("_", ".", 1)
    module = module.replace("downsample_conv", "downsample.0")
    return f"{module.replace('downsample_bn', 'downsample.1')}.{leaf}"


def from_torch(tree, tensors):
    """`tree` filled from torch tensors by name; every leaf must find its tensor."""

    def fill(path, leaf):
        tensor = tensors[torch_name([key.key for key in path])].detach().numpy()
        value = jnp.asarray(tensor.transpose(2, 3, 1, 0) if tensor.ndim == 4 else tensor)
        assert value.shape == leaf.shape
        return value

    return jax.tree_util.tree_map_with_path(fill, tree)


def relative(ours, theirs):
    ours, theirs = np.asarray(ours), np.asarray(theirs)
    return np.abs(ours - theirs).max() / np.abs(theirs).max()


@pytest.mark.parametrize("name", NETWORKS)
def test_parameter_count_is_the_published_one(name):
    stage_sizes, bottleneck, count = NETWORKS[name]
    assert parameter_count(abstract_variables(ResNet(stage_sizes, bottleneck))["params"]) == count


@pytest.mark.parametrize(
    "name", ["resnet18", pytest.param("resnet34", marks=pytest.mark.slow), "resnet50"]
)
def test_outputs_are_those_of_torch(name):
    torch = pytest.importorskip("torch")
    stage_sizes, bottleneck, _ = NETWORKS[name]
    peer = torch_resnet(stage_sizes, bottleneck, width=64).eval()
    net = ResNet(stage_sizes, bottleneck)
    variables = from_torch(abstract_variables(net), peer.state_dict())
    x = np.random.default_rng(0).normal(size=(2, 62, 62, 3)).astype(np.float32)
    with torch.no_grad():
        theirs = peer(torch.from_numpy(x.transpose(0, 3, 1, 2).copy())).numpy()
    apply = jax.jit(lambda variables, x: net.apply(variables, x, jnp.ones(2, bool), train=False))
    assert relative(apply(variables, x), theirs) < 1e-5


@functools.partial(jax.jit, static_argnums=0)
def train_forward(net, variables, x, mask):
    return net.apply(variables, x, mask, train=True, mutable="batch_stats")


@functools.partial(jax.jit, static_argnums=0)
def train_gradient(net, variables, x, mask):
    """Gradient of the sum of squared features, and the new statistics."""

    def loss(params):
        y, updated = train_forward(net, {**variables, "params": params}, x, mask)
        return (y**2).sum(), updated

    return jax.grad(loss, has_aux=True)(variables["params"])


@pytest.mark.parametrize("bottleneck", [False, True])
def test_gradient_and_running_statistics_are_those_of_torch_in_float64(bottleneck):
    torch = pytest.importorskip("torch")
    peer = torch_resnet((1, 1), bottleneck, width=4).double().train()
    x = np.random.default_rng(0).normal(size=(3, 22, 22, 3))
    with jax.enable_x64(True):
        net = ResNet((1, 1), bottleneck, width=4, dtype=jnp.float64)
        variables = from_torch(abstract_variables(net), peer.state_dict())
        grads, updated = train_gradient(net, variables, jnp.asarray(x), jnp.ones(3, bool))
        (peer(torch.from_numpy(x.transpose(0, 3, 1, 2).copy())) ** 2).sum().backward()
        tensors = {name: value.grad for name, value in peer.named_parameters()}
        ours = {"params": grads, **updated}
        theirs = from_torch(ours, tensors | dict(peer.named_buffers()))
        for mine, reference in zip(jax.tree.leaves(ours), jax.tree.leaves(theirs), strict=True):
            assert relative(mine, reference) < 1e-10


SMALL = ResNet((1, 1), bottleneck=False, width=4)


@functools.cache
def small_case():
    """Variables of the small network, five frames of noise, and a mask of the first three."""
    rng = np.random.default_rng(0)

    def fill(leaf):
        lowest = -0.5 if leaf.ndim == 4 else 0.1  # kernels of both signs, scales and variances > 0
        return jnp.asarray(rng.uniform(lowest, 0.5, leaf.shape), jnp.float32)

    variables = jax.tree.map(fill, abstract_variables(SMALL))
    return variables, jnp.asarray(rng.normal(size=(5, 24, 24, 3)), jnp.float32), jnp.arange(5) < 3


def test_masked_frames_change_neither_the_others_nor_the_statistics():
    variables, x, mask = small_case()
    whole, updated = train_forward(SMALL, variables, x, mask)
    part, expected = train_forward(SMALL, variables, x[:3], mask[:3])
    np.testing.assert_allclose(whole[:3], part, rtol=1e-5, atol=1e-6)
    jax.tree.map(
        lambda a, b: np.testing.assert_allclose(a, b, rtol=1e-5, atol=1e-6), updated, expected
    )


def test_batch_without_a_face_leaves_the_statistics_and_is_finite():
    variables, x, mask = small_case()
    grads, updated = train_gradient(SMALL, variables, x, jnp.zeros_like(mask))
    jax.tree.map(np.testing.assert_array_equal, updated["batch_stats"], variables["batch_stats"])
    assert all(jnp.isfinite(leaf).all() for leaf in jax.tree.leaves(grads))


def test_statistics_keep_their_digits_where_the_mean_dwarfs_the_spread():
    x = 1000 + np.random.default_rng(0).normal(size=(4, 8, 8, 1)).astype(np.float32)
    variables = {
        "params": {"scale": jnp.ones(1), "bias": jnp.zeros(1)},
        "batch_stats": {"mean": jnp.full(1, 1000.0), "var": jnp.ones(1)},
    }
    _, updated = train_forward(BatchNorm(), variables, jnp.asarray(x), jnp.ones(4, bool))
    expected = 0.9 * 1 + 0.1 * x.astype(np.float64).var(ddof=1)
    assert abs(updated["batch_stats"]["var"][0] - expected) < 1e-5


def test_bfloat16_stays_close_to_float32_with_float32_output_and_statistics():
    variables, x, mask = small_case()
    y, _ = train_forward(SMALL, variables, x, mask)
    low, updated = train_forward(SMALL.clone(dtype=jnp.bfloat16), variables, x, mask)
    assert low.dtype == jnp.float32
    assert {leaf.dtype for leaf in jax.tree.leaves(updated)} == {jnp.dtype("float32")}
    assert relative(low, y) < 0.05


def test_zero_initialised_residual_branches_start_as_the_shortcut_alone():
    net = ResNet((1,), bottleneck=False, width=2, zero_init_residual=True)
    x, mask = jnp.zeros((1, 8, 8, 3)), jnp.ones(1, bool)
    block = net.init(jax.random.key(0), x, mask, train=False)["params"]["layer1_0"]
    assert not block["bn2"]["scale"].any()
    assert block["bn1"]["scale"].all()


def test_every_stage_scales_with_width():
    net = ResNet((1, 1, 1), bottleneck=True, width=8)
    params = abstract_variables(net)["params"]
    assert [params[f"layer{i}_0"]["conv3"]["kernel"].shape[-1] for i in (1, 2, 3)] == [32, 64, 128]


@pytest.mark.parametrize("shape", [(2, 8, 8, 3), (1, 7, 10, 2), (1, 1, 1, 1)])
def test_the_max_pool_and_its_gradient_are_those_of_flax_also_for_ties(shape):
    x = jnp.round(2 * jax.random.normal(jax.random.key(0), shape))

    def library(x):
        return nn.max_pool(x, (3, 3), strides=(2, 2), padding=((1, 1), (1, 1)))

    def loss(pool):
        return lambda x: (pool(x) ** 3).sum()

    np.testing.assert_array_equal(max_pool(x), library(x))
    np.testing.assert_array_equal(jax.grad(loss(max_pool))(x), jax.grad(loss(library))(x))
