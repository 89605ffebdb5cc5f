"""The TCN matches torch's convolutions with weight normalisation, in float64."""

import functools

import jax
import jax.numpy as jnp
import numpy as np
import pytest

from va_jax.models.tcn import TCN

torch = pytest.importorskip("torch")

BATCH, TIME, FEATURES, UNITS, TAPS, LAYERS = 2, 9, 3, 4, 3, 2


class TorchBlock(torch.nn.Module):
    """Two weight-normalised convolutions with PReLUs and a residual connection."""

    def __init__(self, dilation, both_ways):
        super().__init__()
        reach = (TAPS - 1) * dilation
        self.padding = (reach // 2, reach // 2) if both_ways else (reach, 0)
        self.convs = torch.nn.ModuleList(
            torch.nn.utils.parametrizations.weight_norm(
                torch.nn.Conv1d(UNITS, UNITS, TAPS, dilation=dilation)
            )
            for _ in range(2)
        )
        self.prelus = torch.nn.ModuleList(torch.nn.PReLU() for _ in range(3))

    def forward(self, x):
        y = x
        for conv, prelu in zip(self.convs, self.prelus, strict=False):
            y = prelu(conv(torch.nn.functional.pad(y, self.padding)))
        return self.prelus[2](x + y)


def torch_network(both_ways):
    torch.manual_seed(0)
    blocks = (TorchBlock(2**index, both_ways) for index in range(LAYERS))
    network = torch.nn.Sequential(torch.nn.Conv1d(FEATURES, UNITS, 1), *blocks).double()
    for name, tensor in network.named_parameters():
        if "original0" in name or "prelus" in name:  # scales and slopes that differ
            tensor.data = torch.rand_like(tensor) + 0.1
    return network


def imported(tensors):
    """Return our parameters from torch's: filters [tap, in, out] from [out, in, tap]."""
    params = {"input": {"kernel": tensors["0.weight"][..., 0].T, "bias": tensors["0.bias"]}}
    for index in range(LAYERS):
        layer = params[f"layer_{index}"] = {}
        for conv in range(2):
            name = f"{index + 1}.convs.{conv}"
            layer[f"conv_{conv}"] = {
                "kernel": tensors[f"{name}.parametrizations.weight.original1"].transpose(2, 1, 0),
                "scale": tensors[f"{name}.parametrizations.weight.original0"][:, 0, 0],
                "bias": tensors[f"{name}.bias"],
            }
        for number, ours in enumerate(("prelu_0", "prelu_1", "prelu_sum")):
            layer[ours] = {"negative_slope": tensors[f"{index + 1}.prelus.{number}.weight"][0]}
    return params


@pytest.mark.parametrize(
    "both_ways", [False, pytest.param(True, marks=pytest.mark.slow)], ids=["causal", "centred"]
)
def test_outputs_and_all_gradients_match_torch(both_ways):
    network, rng = torch_network(both_ways), np.random.default_rng(0)
    x, slopes = rng.normal(size=(BATCH, TIME, FEATURES)), rng.normal(size=(BATCH, TIME, UNITS))
    y = network(torch.tensor(x).mT).mT
    (y * torch.tensor(slopes)).sum().backward()
    tensors = {name: tensor.detach().numpy() for name, tensor in network.named_parameters()}
    theirs = {name: tensor.grad.numpy() for name, tensor in network.named_parameters()}
    stack = TCN(LAYERS, UNITS, kernel_size=TAPS, bidirectional=both_ways)

    @jax.jit
    @functools.partial(jax.value_and_grad, has_aux=True)
    def gradient(tensors, x, slopes):
        mask = jnp.ones(x.shape[:2], bool)
        y, _ = stack.apply({"params": imported(tensors)}, x, mask, train=False)
        return (y * slopes).sum(), y

    with jax.enable_x64(True):
        (_, ours), gradients = gradient(tensors, x, slopes)
        np.testing.assert_allclose(ours, y.detach().numpy(), rtol=1e-12, atol=1e-12)
        assert gradients.keys() == theirs.keys()
        for name, expected in theirs.items():
            np.testing.assert_allclose(gradients[name], expected, rtol=1e-10, atol=1e-10)


@functools.partial(jax.jit, static_argnums=0)
def initialized(stack, x, mask):
    return stack.init(jax.random.key(0), x, mask, train=False)


@pytest.mark.slow
@pytest.mark.parametrize(("layers", "taps", "frames"), [(1, 2, 3), (2, 3, 13), (3, 2, 15)])
def test_a_causal_network_sees_the_stated_number_of_frames(layers, taps, frames):
    stack, time = TCN(layers, UNITS, kernel_size=taps), frames + 2
    x, mask = jnp.ones((1, time, FEATURES)), jnp.ones((1, time), bool)
    params = initialized(stack, x, mask)

    @jax.jit
    @jax.grad
    def by_x(x):
        return stack.apply(params, x, mask, train=False)[0][0, -1].sum()

    seen = np.abs(by_x(x)[0]).sum(-1) > 0
    np.testing.assert_array_equal(seen, [False] * 2 + [True] * frames)
    assert sum(past.shape[1] for past, _ in stack.initial_state(1)[:-1]) * 2 + 1 == frames


@pytest.mark.slow
def test_a_new_filter_has_the_norm_of_its_scale():
    x, mask = jnp.ones((1, 2, FEATURES)), jnp.ones((1, 2), bool)
    conv = initialized(TCN(1, 64, kernel_size=5), x, mask)["params"]["layer_0"]["conv_0"]
    np.testing.assert_allclose(conv["scale"], 2**0.5, rtol=1e-6)
    norms = np.linalg.norm(conv["kernel"].reshape(-1, 64), axis=0)
    np.testing.assert_allclose(norms.mean(), 2**0.5, rtol=0.05)
