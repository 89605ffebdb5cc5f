"""EfficientNet-B0 agrees with timm's in outputs, gradients and statistics."""

import copy
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

SMALL = {"width": 32, "stage_sizes": (1, 2, 1, 1, 1, 1, 1)}
STAGES = [  # the same in timm's words, with half the published channels
    ["ds_r1_k3_s1_e1_c8_se0.25"],
    ["ir_r2_k3_s2_e6_c12_se0.25"],
    ["ir_r1_k5_s2_e6_c20_se0.25"],
    ["ir_r1_k3_s2_e6_c40_se0.25"],
    ["ir_r1_k5_s1_e6_c56_se0.25"],
    ["ir_r1_k5_s2_e6_c96_se0.25"],
    ["ir_r1_k3_s1_e6_c160_se0.25"],
]


def with_random_norms(net):
    import torch

    for module in net.modules():
        if hasattr(module, "running_var"):
            torch.nn.init.uniform_(module.weight, 0.5, 1.2)
            torch.nn.init.normal_(module.bias, std=0.1)
            torch.nn.init.normal_(module.running_mean, std=0.1)
            torch.nn.init.uniform_(module.running_var, 0.5, 1.5)
    return net.eval()


def published_peer():
    return with_random_norms(timm_models.imported().create_model("tf_efficientnet_b0"))


@functools.cache
def small_peer():
    timm_models.imported()
    import torch
    from timm.models._efficientnet_builder import decode_arch_def
    from timm.models.efficientnet import EfficientNet

    torch.manual_seed(0)
    norm = functools.partial(torch.nn.BatchNorm2d, eps=1e-3)
    net = EfficientNet(
        decode_arch_def(STAGES), stem_size=16, num_features=640, pad_type="same",
        act_layer=torch.nn.SiLU, norm_layer=norm, round_chs_fn=int,
    )  # fmt: skip
    return with_random_norms(net)


def ours(arrays):
    """Return timm's arrays of the backbone under our names, with the types that they have."""
    arrays = {name: value.detach().numpy().copy() for name, value in arrays.items()}
    match = match_names(arrays, FORMATS["timm"].tables)
    assert not match.misfits
    values = {path.replace("/backbone/", "/"): value for path, value in match.values.items()}
    return unflatten_dict(values, sep="/")


def frames(*shape):
    return np.random.default_rng(0).normal(size=(*shape, 3)).astype(np.float32)


def assert_outputs_match(peer, size, **changes):
    import torch

    x = frames(1, 2, size, size)
    with torch.no_grad():
        theirs = peer.forward_features(torch.from_numpy(x[0].transpose(0, 3, 1, 2)))
    apply = jax.jit(functools.partial(network(backbone=NAME, **changes).apply, train=False))
    conv, pool = apply(ours(peer.state_dict()), x, jnp.ones((1, 2), bool))
    assert relative(conv[0], theirs.numpy().transpose(0, 2, 3, 1)) < 1e-5
    np.testing.assert_array_equal(conv, pool)


@pytest.mark.parametrize("size", [64, pytest.param(75, marks=pytest.mark.slow)])
def test_outputs_match_timm(size):
    assert_outputs_match(small_peer(), size, **SMALL)


@pytest.mark.slow
def test_outputs_match_timm_at_full_width_and_depth():
    assert_outputs_match(published_peer(), 64)


@pytest.mark.slow
def test_gradients_and_running_statistics_match_timm_in_float64():
    peer, x = copy.deepcopy(small_peer()).double().train(), frames(1, 3, 64, 64).astype(np.float64)
    import torch

    net = network(jnp.float64, backbone=NAME, **SMALL)
    with jax.enable_x64(True):
        _, found = train_step(net, ours(peer.state_dict()), x, np.ones((1, 3), bool))
    y = peer.forward_features(torch.from_numpy(x[0].transpose(0, 3, 1, 2)))
    (2 * (y**2).sum()).backward()  # we return the last map twice
    grads = {name: value.grad for name, value in peer.named_parameters() if value.grad is not None}
    assert_same(found, ours(grads | dict(peer.named_buffers())))


def test_there_are_as_many_parameters_as_published():
    model = build_model(model_config(backbone=NAME, temporal="none"), DIMS)
    x, face = jnp.zeros((1, 1, 32, 32, 3), jnp.uint8), jnp.ones((1, 1), bool)
    variables = jax.eval_shape(lambda: model.init(jax.random.key(0), x, face, train=False))
    assert parameter_count(variables["params"]["backbone"]) == PARAMETERS


@pytest.mark.parametrize(
    ("changes", "named"),
    [
        ({"inflation": {"taps": 3}}, r"model\.inflation.*has no convolutions over time"),
        ({"zero_init_residual": True}, r"model\.zero_init_residual=True: set it to False, since"),
        ({"stage_sizes": (1, 1)}, r"model\.stage_sizes=\(1, 1\): expected \(\) or 7 numbers"),
    ],
)
def test_settings_that_it_does_not_have_are_refused(changes, named):
    with pytest.raises(InputError, match=named):
        network(backbone=NAME, **changes)


def trained(x, mask, **changes):
    """Return the masked maps, gradients and statistics of a step in float64."""
    net = network(jnp.float64, backbone=NAME, **SMALL, **changes)
    variables = ours(copy.deepcopy(small_peer()).double().state_dict())
    with jax.enable_x64(True):
        return train_step(net, variables, x, mask)


def assert_near(one, other):
    jax.tree.map(lambda a, b: np.testing.assert_array_less(np.abs(a - b), near(b)), one, other)


def near(values):
    return 1e-4 * max(np.abs(values).max(), 1)


@pytest.mark.slow
def test_frames_outside_the_mask_influence_nothing():
    x, mask = frames(1, 3, 64, 64).astype(np.float64), np.array([[True, False, True]])
    other = x.copy()
    other[:, 1] = 9
    assert_near(trained(x, mask), trained(other, mask))


@pytest.mark.slow
def test_bfloat16_stays_close():
    x, mask = jnp.asarray(frames(1, 1, 32, 32)), jnp.ones((1, 1), bool)
    variables = ours(small_peer().state_dict())
    exact, rounded = (
        jax.jit(functools.partial(network(dtype, backbone=NAME, **SMALL).apply, train=False))(
            variables, x, mask
        )[0]
        for dtype in (jnp.float32, jnp.bfloat16)
    )
    assert rounded.dtype == jnp.bfloat16
    assert relative(rounded.astype(jnp.float32), exact) < 0.05


@pytest.mark.slow
def test_recomputing_blocks_changes_no_gradient():
    x, mask = frames(1, 2, 32, 32).astype(np.float64), np.ones((1, 2), bool)
    settings = {"backbone": NAME, "width": 8, "stage_sizes": (1, 2, 1, 1, 1, 1, 1)}
    with jax.enable_x64(True):
        plain, again = (network(jnp.float64, remat=remat, **settings) for remat in (False, True))
        shapes = jax.eval_shape(
            functools.partial(plain.init, train=False), jax.random.key(0), x, mask
        )
        rng = np.random.default_rng(0)
        variables = jax.tree.map(lambda leaf: rng.uniform(0.5, 1, leaf.shape), shapes)
        step = jax.jit(train_step, static_argnums=0)
        assert_same(step(again, variables, x, mask), step(plain, variables, x, mask))
