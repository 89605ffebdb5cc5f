"""EfficientNet-B0 agrees with timm's in outputs, gradients and statistics."""

import functools

import jax
import jax.numpy as jnp
import numpy as np
import pytest
from flax.traverse_util import unflatten_dict

from tests import timm_models
from tests.models.backbones_test import assert_same, model_config, network, relative, train_step
from va_jax.models.build import build_model, parameter_count
from va_jax.types import DIMS, InputError
from va_jax.weights.match import match_names
from va_jax.weights.names import FORMATS

NAME = "efficientnet_b0"
PARAMETERS = 4_007_548  # without the classifier, as timm counts them


@functools.cache
def peer():
    """Return timm's network with random norms."""
    timm = timm_models.imported()
    import torch

    torch.manual_seed(0)
    net = timm.create_model("tf_efficientnet_b0", num_classes=10)
    for module in net.modules():
        if hasattr(module, "running_var"):
            torch.nn.init.uniform_(module.weight, 0.5, 1.2)
            torch.nn.init.normal_(module.bias, std=0.1)
            torch.nn.init.normal_(module.running_mean, std=0.1)
            torch.nn.init.uniform_(module.running_var, 0.5, 1.5)
    return net


def ours(arrays):
    """Return timm's arrays of the backbone under our names, with the types that they have."""
    arrays = {name: value.detach().numpy() for name, value in arrays.items()}
    match = match_names(arrays, FORMATS["timm"].tables)
    assert not match.misfits
    values = {path.replace("/backbone/", "/"): value for path, value in match.values.items()}
    return unflatten_dict(values, sep="/")


def frames(*shape):
    return np.random.default_rng(0).normal(size=(*shape, 3))


def assert_near(one, other):
    assert np.abs(one - other).max() < 1e-4 * max(np.abs(other).max(), 1)


@pytest.mark.parametrize("size", [64, pytest.param(51, marks=pytest.mark.slow)])
def test_outputs_match_timm(size):
    net, x = peer().float().eval(), frames(1, 2, size, size).astype(np.float32)
    import torch

    with torch.no_grad():
        theirs = net.forward_features(torch.from_numpy(x[0].transpose(0, 3, 1, 2)))
    apply = functools.partial(network(backbone=NAME).apply, train=False)
    conv, pool = jax.jit(apply)(ours(net.state_dict()), x, jnp.ones((1, 2), bool))
    assert relative(conv[0], theirs.numpy().transpose(0, 2, 3, 1)) < 1e-5
    np.testing.assert_array_equal(conv, pool)


@pytest.mark.slow
def test_gradients_and_running_statistics_match_timm_in_float64():
    net, x = peer().double().train(), frames(1, 3, 64, 64)
    import torch

    before = {name: value.clone() for name, value in net.state_dict().items()}
    with jax.enable_x64(True):
        variables = ours(before)
        _, found = train_step(
            network(jnp.float64, backbone=NAME), variables, x, np.ones((1, 3), bool)
        )
    y = net.forward_features(torch.from_numpy(x[0].transpose(0, 3, 1, 2)))
    (2 * (y**2).sum()).backward()  # we return the last map twice
    grads = {name: value.grad for name, value in net.named_parameters()}
    grads = {name: grad for name, grad in grads.items() if grad is not None}
    assert_same(found, ours(grads | dict(net.named_buffers())))
    net.load_state_dict(before)


def test_there_are_as_many_parameters_as_published():
    model = build_model(model_config(backbone=NAME, recurrent="none"), DIMS)
    x, face = jnp.zeros((1, 1, 32, 32, 3), jnp.uint8), jnp.ones((1, 1), bool)
    variables = jax.eval_shape(lambda: model.init(jax.random.key(0), x, face, train=False))
    assert parameter_count(variables["params"]["backbone"]) == PARAMETERS


@pytest.mark.parametrize(
    ("changes", "named"),
    [
        ({"inflation": {"taps": 3}}, r"model\.inflation.*no convolutions over time"),
        ({"zero_init_residual": True}, r"model\.zero_init_residual=True: set False"),
        ({"stage_sizes": (1, 1)}, r"model\.stage_sizes=\(1, 1\): expected \(\) or 7 numbers"),
    ],
)
def test_settings_that_it_does_not_have_are_refused(changes, named):
    with pytest.raises(InputError, match=named):
        network(backbone=NAME, **changes)


@pytest.mark.slow
def test_recomputing_blocks_changes_no_gradient():
    x, mask = frames(1, 2, 32, 32).astype(np.float32), np.ones((1, 2), bool)
    variables = ours(peer().float().state_dict())
    _, plain = train_step(network(backbone=NAME), variables, x, mask)
    _, again = train_step(network(backbone=NAME, remat=True), variables, x, mask)
    jax.tree.map(assert_near, plain, again)


@pytest.mark.slow
def test_frames_outside_the_mask_influence_nothing():
    x, mask = frames(1, 3, 32, 32).astype(np.float32), np.array([[True, False, True]])
    other = x.copy()
    other[:, 1] = 9
    variables = ours(peer().float().state_dict())
    one, two = (train_step(network(backbone=NAME), variables, each, mask) for each in (x, other))
    jax.tree.map(assert_near, one, two)


def test_bfloat16_stays_close():
    x, mask = frames(1, 1, 32, 32).astype(np.float32), jnp.ones((1, 1), bool)
    variables = ours(peer().float().state_dict())
    exact, near = (
        network(dtype, backbone=NAME).apply(variables, jnp.asarray(x), mask, train=False)[0]
        for dtype in (jnp.float32, jnp.bfloat16)
    )
    assert near.dtype == jnp.bfloat16
    assert relative(near.astype(jnp.float32), exact) < 0.05
