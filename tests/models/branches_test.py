"""The inputs of the branches, and the layers and heads around the recurrent stacks."""

import functools

import jax
import jax.numpy as jnp
import numpy as np
import pytest

from tests.tiny_networks import (
    BATCH,
    MAP,
    POINTS,
    TIME,
    TINY,
    UNITS,
    WIDTH,
    assert_trees_close,
    batch,
    extract,
    landmarks,
    predict,
    shapes_of,
    tiny,
    variables_of,
)
from va_jax.types import DIMS


@pytest.mark.slow
def test_heads_are_named_and_never_indexed():
    model, swapped = tiny(), tiny(dims=("arousal", "valence"))
    variables, (frames, face) = variables_of(model), batch()
    pred, turned = (predict(m, variables, frames, face)[0] for m in (model, swapped))
    np.testing.assert_array_equal(turned, pred[..., ::-1])
    assert not np.allclose(pred[..., 0], pred[..., 1])


def test_features_are_the_backbone_maps_of_normalised_frames():
    model = tiny(branches=("pool", "conv", "fc+conv"), temporal="none")
    variables, (frames, face) = variables_of(model), batch()
    mean, std = np.float64(TINY["input_mean"]), np.float64(TINY["input_std"])
    x = jnp.asarray((np.asarray(frames) / 255 - mean) / std, jnp.float32)
    given = {collection: tree["backbone"] for collection, tree in variables.items()}
    backbone = model.backbone.clone(parent=None)
    conv, _ = jax.jit(functools.partial(backbone.apply, train=False))(given, x, face)
    mean, flat = np.mean(conv, (2, 3)), np.reshape(conv, (BATCH, TIME, -1))
    expected = (mean, flat, np.concatenate([mean, flat], -1))
    assert_trees_close(extract(model, variables, frames, face), expected, atol=1e-5)


def test_flattened_features_keep_the_order_of_the_last_map():
    model = tiny(pool="flatten", temporal="none", branches=("pool", "conv"))
    variables, (frames, face) = variables_of(model), batch()
    pool, conv = extract(model, variables, frames, face)
    assert pool.shape[-1] == MAP * WIDTH
    np.testing.assert_array_equal(pool, conv)


@pytest.mark.parametrize(
    ("branches", "expected_rows"),
    [
        (("fc",), {"temporal": 5}),
        (("fc+pool",), {"temporal": 5 + WIDTH}),
        (
            ("fc", "pool", "conv"),
            {"temporal_fc": 5, "temporal_pool": WIDTH, "temporal_conv": MAP * WIDTH},
        ),
        (("fc+pool", "conv"), {"temporal_fc_pool": 5 + WIDTH, "temporal_conv": MAP * WIDTH}),
    ],
)
@pytest.mark.parametrize("bidirectional", [False, True])
def test_every_branch_has_its_own_recurrent_stack_before_common_heads(
    branches, expected_rows, bidirectional
):
    model = tiny(branches=branches, fc=(5,), bidirectional=bidirectional)
    params = shapes_of(model)["params"]
    stacks = {name: tree for name, tree in params.items() if name.startswith("temporal")}
    rows = {name: tree["layer_0"]["input_kernel"].shape[0] for name, tree in stacks.items()}
    assert rows == expected_rows
    width = UNITS * len(branches) * (1 + bidirectional)
    assert params["head_valence"]["kernel"].shape == (width, 1)
    state = model.initial_state(7)
    assert len(state) == len(branches)
    expected = () if bidirectional else ((7, UNITS),) * len(branches)
    assert tuple(leaf.shape for leaf in jax.tree.leaves(state)) == expected


def test_branches_do_not_share_their_stacks():
    model = tiny(branches=("pool", "fc"))  # the same input, since there are no fc layers
    variables, (frames, face) = variables_of(model), batch()
    _, (first, second) = predict(model, variables, frames, face)
    assert not np.allclose(first[0][0], second[0][0])
    params = variables["params"]
    swapped = params | {
        "temporal_fc": params["temporal_pool"],
        "temporal_pool": params["temporal_fc"],
    }
    _, (third, fourth) = predict(model, variables | {"params": swapped}, frames, face)
    assert_trees_close((fourth, third), (first, second))


@pytest.mark.parametrize(
    ("place", "fc_rows", "stack_rows"),
    [("none", WIDTH, 5), ("before_fc", WIDTH + 2 * POINTS, 5), ("after_fc", WIDTH, 5 + 2 * POINTS)],
)
def test_landmarks_join_before_or_after_the_fc_layers(place, fc_rows, stack_rows):
    params = shapes_of(tiny(landmarks=place, fc=(5,)))["params"]
    assert params["fc"]["layer_0"]["kernel"].shape == (fc_rows, 5)
    assert params["temporal"]["layer_0"]["input_kernel"].shape[0] == stack_rows


@pytest.mark.parametrize("place", ["before_fc", "after_fc"])
def test_landmarks_are_appended_to_the_features_and_change_the_prediction(place):
    model = tiny(landmarks=place)  # without layers both places are the same
    variables, (frames, face) = variables_of(model), batch()
    (features,) = extract(model, variables, frames, face, landmarks())
    points = np.reshape(landmarks(), (BATCH, TIME, 2 * POINTS))  # x, y, x, y
    np.testing.assert_array_equal(features[..., WIDTH:], points)
    pred, _ = predict(model, variables, frames, face, None, landmarks())
    turned, _ = predict(model, variables, frames, face, None, -landmarks())
    assert not np.allclose(pred, turned, atol=1e-3)
    with pytest.raises(ValueError, match=rf"'{place}', but the network got no landmarks"):
        predict(model, variables, frames, face)


def test_landmarks_of_frames_without_a_face_are_ignored():
    model = tiny(landmarks="after_fc")
    variables, (frames, face) = variables_of(model), batch()
    other = jnp.where(face[..., None, None], landmarks(), 9.0)
    np.testing.assert_array_equal(
        predict(model, variables, frames, face, None, other)[0],
        predict(model, variables, frames, face, None, landmarks())[0],
    )


def test_every_fully_connected_layer_has_a_relu():
    model = tiny(fc=(5, 4), branches=("pool", "fc"), temporal="none")
    variables, (frames, face) = variables_of(model), batch()
    params, rng = variables["params"], np.random.default_rng(0)
    layers = jax.tree.map(lambda leaf: np.float32(rng.normal(size=leaf.shape)), params["fc"])
    x, y = extract(model, variables | {"params": params | {"fc": layers}}, frames, face)
    for name in ("layer_0", "layer_1"):
        x = np.maximum(x @ layers[name]["kernel"] + layers[name]["bias"][None, None], 0)
        assert 0 < (x == 0).mean() < 1
    np.testing.assert_allclose(y, x, rtol=1e-5, atol=1e-6)


@pytest.mark.slow
def test_dropout_between_fully_connected_layers_acts_in_training_only():
    rngs = {"dropout": jax.random.key(0)}
    frames, face = batch()
    for widths, drops in (((50,), False), ((50, 4), True)):
        model = tiny(fc=widths, fc_dropout=0.5, temporal="none")
        variables = variables_of(model)
        (calm,) = extract(model, variables, frames, face)
        features = functools.partial(model.apply, method="features", train=True)
        (wild,), _ = jax.jit(functools.partial(features, freeze_backbone=True, mutable=True))(
            variables, frames, face, rngs=rngs
        )
        assert np.allclose(wild, calm, rtol=1e-5, atol=1e-6) is not drops


def test_bounded_predictions_are_the_tanh_of_unbounded_ones():
    model, bounded = tiny(temporal="none"), tiny(temporal="none", bounded=True)
    variables, (frames, face) = variables_of(model), batch()
    pred, _ = predict(model, variables, frames, face)
    inside, _ = predict(bounded, variables, frames, face)
    assert np.abs(pred).max() > 1 > np.abs(inside).max()
    np.testing.assert_allclose(inside, np.tanh(pred), atol=1e-6)


def test_new_heads_start_near_zero():
    frames, face = batch()
    model = tiny(temporal="none")
    params = jax.jit(functools.partial(model.init, train=False))(
        jax.random.key(0), frames[:1, :1], face[:1, :1]
    )["params"]
    for dim in DIMS:
        assert 0 < np.abs(params[f"head_{dim}"]["kernel"]).max() < 0.03
        assert not params[f"head_{dim}"]["bias"].any()
