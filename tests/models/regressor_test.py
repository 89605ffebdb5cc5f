"""The whole network: streaming, masks, training, devices and export."""

import functools

import jax
import jax.numpy as jnp
import numpy as np
import pytest
from jax import export
from jax.sharding import AxisType, NamedSharding, PartitionSpec

from tests.tiny_networks import (
    BATCH,
    INFLATED,
    STACKS,
    TIME,
    assert_trees_close,
    batch,
    extract,
    landmarks,
    predict,
    tiny,
    train_gradient,
    variables_of,
)
from va_jax.types import DIMS


@functools.partial(jax.jit, static_argnums=0)
def train_predict(model, variables, frames, face, rng):
    return model.apply(
        variables, frames, face, train=True, mutable="batch_stats", rngs={"dropout": rng}
    )


@pytest.mark.slow
@pytest.mark.parametrize(
    "changes",
    [
        {"temporal": "gru"},
        {"temporal": "lstm", "layers": 2, "peepholes": True},
        {"temporal": "none"},
        {"temporal": "lstm", "branches": ("fc", "pool", "conv"), "fc": (5,)},
        *STACKS.values(),
        STACKS["tcn"] | {"branches": ("fc", "conv")},
    ],
)
def test_streaming_with_a_carried_state_gives_the_offline_trace(changes):
    model = tiny(**changes)
    variables, (frames, face) = variables_of(model), batch()
    whole, final = predict(model, variables, frames, face)
    state, parts = model.initial_state(BATCH), []
    for start in range(0, TIME, 2):
        chunk = slice(start, start + 2)
        pred, state = predict(model, variables, frames[:, chunk], face[:, chunk], state)
        parts.append(pred)
    np.testing.assert_allclose(jnp.concatenate(parts, 1), whole, atol=1e-6)
    assert_trees_close(state, final)
    assert not model.temporal or np.abs(jax.tree.leaves(final)[0]).min() > 0


@pytest.mark.slow
def test_features_and_recurrent_part_make_the_whole_network():
    model = tiny(temporal="lstm", branches=("fc+conv", "pool"))
    variables, (frames, face) = variables_of(model), batch()
    features = extract(model, variables, frames, face)
    parts = jax.jit(functools.partial(model.apply, method="from_features"))(
        variables, features, face
    )
    assert_trees_close(parts, predict(model, variables, frames, face))


def test_frames_without_a_face_repeat_the_last_prediction_for_any_content():
    model = tiny()
    variables, (frames, face) = variables_of(model), batch()
    pred, _ = predict(model, variables, frames, face)
    other = jnp.where(face[..., None, None, None], frames, 255 - frames)
    np.testing.assert_allclose(predict(model, variables, other, face)[0], pred, atol=1e-6)
    last = np.maximum.accumulate(np.where(face, np.arange(TIME)[None], 0), axis=1)
    np.testing.assert_array_equal(pred, np.take_along_axis(np.asarray(pred), last[..., None], 1))


@pytest.mark.slow
@pytest.mark.parametrize(
    "changes",
    [
        {},
        {"inflation": INFLATED, "temporal": "none"},
        {"inflation": INFLATED | {"strided": True, "padding": "zero"}, "bidirectional": True},
    ],
)
def test_padding_changes_neither_gradient_nor_statistics(changes):
    model = tiny(**changes)
    variables, (frames, face) = variables_of(model), batch()
    pad = ((0, 0), (0, 3))
    padded = jnp.pad(frames, (*pad, (0, 0), (0, 0), (0, 0)), constant_values=77)
    assert_trees_close(
        train_gradient(model, variables, padded, jnp.pad(face, pad)),
        train_gradient(model, variables, frames, face),
        rtol=1e-4,
    )


@pytest.mark.slow
def test_mean_and_std_of_the_input_belong_to_the_weights():
    model, other = tiny(), tiny(input_mean=(0.1, 0.2, 0.3), input_std=(0.5, 0.6, 0.7))
    frames, face = batch()
    new = jax.jit(functools.partial(other.init, train=False))(jax.random.key(0), frames, face)
    scaling, variables = new["batch_stats"]["input"], variables_of(model)
    np.testing.assert_array_equal(scaling["mean"], np.float32([0.1, 0.2, 0.3]))
    np.testing.assert_array_equal(scaling["std"], np.float32([0.5, 0.6, 0.7]))
    moved = variables | {"batch_stats": variables["batch_stats"] | {"input": scaling}}
    pred, _ = predict(model, moved, frames, face)
    assert not np.allclose(pred, predict(model, variables, frames, face)[0], atol=1e-3)
    np.testing.assert_array_equal(pred, predict(other, moved, frames, face)[0])


@pytest.mark.slow
def test_training_moves_the_statistics_of_batch_norm_and_not_of_the_input():
    model = tiny()
    variables, (frames, face) = variables_of(model), batch()
    _, stats = train_gradient(model, variables, frames, face)
    before = variables["batch_stats"]
    jax.tree.map(np.testing.assert_array_equal, stats["input"], before["input"])
    moved = jax.tree.map(lambda a, b: not np.allclose(a, b), stats["backbone"], before["backbone"])
    assert all(jax.tree.leaves(moved))


@pytest.mark.slow
def test_a_frozen_backbone_keeps_its_statistics_and_gets_no_gradient_while_the_rest_learns():
    model = tiny(fc=(5,), branches=("fc", "conv"))
    variables, (frames, face) = variables_of(model), batch()
    grads, stats = train_gradient(model, variables, frames, face, True)
    jax.tree.map(np.testing.assert_array_equal, stats, variables["batch_stats"])
    assert not any(leaf.any() for leaf in jax.tree.leaves(grads.pop("backbone")))
    assert all(leaf.any() for leaf in jax.tree.leaves(grads))
    assert {"fc", "temporal_fc", "temporal_conv", "head_valence"} <= grads.keys()


@pytest.mark.slow
def test_a_bidirectional_network_sees_the_whole_window_and_carries_no_state():
    model = tiny(bidirectional=True)
    variables, (frames, face) = variables_of(model), batch()
    pred, state = predict(model, variables, frames, jnp.ones_like(face), model.initial_state(BATCH))
    assert jax.tree.leaves(state) == []
    other, _ = predict(model, variables, frames.at[:, -1].add(99), jnp.ones_like(face))
    assert (np.abs(other - pred).max((0, 2)) > 1e-4).all()


@pytest.mark.slow
def test_frames_hidden_in_training_count_as_frames_without_a_face():
    model, open_ = tiny(frame_mask=0.5), tiny()
    variables, (frames, face) = variables_of(model), batch()
    everywhere, rng = jnp.ones_like(face), jax.random.key(3)
    (pred, _), updated = train_predict(model, variables, frames, everywhere, rng)
    empty = [variables["params"][f"head_{dim}"]["bias"] for dim in DIMS]  # of a state of zeros
    before = np.concatenate([np.tile(np.ravel(empty), (BATCH, 1, 1)), pred[:, :-1]], 1)
    shown = np.abs(pred - before).max(-1) > 1e-6  # the others repeat
    (expected, _), statistics = train_predict(open_, variables, frames, jnp.asarray(shown), rng)
    assert_trees_close(pred[shown], expected[shown])
    assert_trees_close(updated, statistics)
    assert 0.2 < shown.mean() < 0.8
    (other, _), _ = train_predict(model, variables, frames, everywhere, jax.random.key(4))
    assert not np.allclose(other, pred, atol=1e-4)


def test_no_frame_is_hidden_in_evaluation():
    model, open_ = tiny(frame_mask=0.5), tiny()
    variables, (frames, face) = variables_of(model), batch()
    jax.tree.map(
        np.testing.assert_array_equal,
        predict(model, variables, frames, face),
        predict(open_, variables, frames, face),
    )


@pytest.mark.slow
def test_an_inflated_network_sees_no_hidden_frame():
    model = tiny(frame_mask=0.5, temporal="none", inflation=INFLATED)
    variables, frames = variables_of(model), batch()[0][:1]
    face, rng = jnp.ones((1, TIME), bool), jax.random.key(3)
    (pred, _), stats = train_predict(model, variables, frames, face, rng)
    hidden = []
    for frame in range(TIME):
        other = frames.at[:, frame].add(99)
        (turned, _), moved = train_predict(model, variables, other, face, rng)
        same = jax.tree.map(np.array_equal, moved, stats)
        hidden.append(all(jax.tree.leaves(same)))
        others = np.abs(np.delete(turned - pred, frame, 1)).max()
        assert (others == 0) == hidden[-1]
    assert 0 < sum(hidden) < TIME


@pytest.mark.slow
def test_gradient_and_statistics_do_not_depend_on_the_number_of_devices():
    model = tiny()
    variables, (frames, face) = variables_of(model), batch()
    mesh = jax.make_mesh((4,), ("data",), axis_types=(AxisType.Auto,))
    split = NamedSharding(mesh, PartitionSpec("data"))
    four = train_gradient(
        model,
        jax.device_put(variables, NamedSharding(mesh, PartitionSpec())),
        jax.device_put(frames, split),
        jax.device_put(face, split),
    )
    assert_trees_close(four, train_gradient(model, variables, frames, face), 1e-4, 1e-5)


def test_bfloat16_stays_close_to_float32_with_float32_predictions():
    model, low = tiny(), tiny(compute_dtype="bfloat16")
    variables, (frames, face) = variables_of(model), batch()
    pred, low_pred = (predict(m, variables, frames, face)[0] for m in (model, low))
    assert low_pred.dtype == jnp.float32
    np.testing.assert_allclose(low_pred, pred, atol=0.02)


def test_dropout_acts_in_training_only():
    model = tiny(temporal="none", dropout=0.5)
    variables, (frames, face) = variables_of(model), batch()
    features = extract(model, variables, frames, face)
    calm, _ = predict(model, variables, frames, face)
    wild, _ = jax.jit(functools.partial(model.apply, method="from_features", train=True))(
        variables, features, face, rngs={"dropout": jax.random.key(0)}
    )
    assert not np.allclose(wild, calm)


@pytest.mark.slow
@pytest.mark.parametrize(
    "changes",
    [
        {"temporal": "gru", "branches": ("fc", "conv")},
        {"temporal": "lstm", "landmarks": "after_fc"},
        {"temporal": "none", "inflation": INFLATED},
        {"temporal": "gru", "inflation": INFLATED | {"padding": "zero", "strided": True}},
    ],
)
def test_exports_with_symbolic_batch_and_time(changes):
    model = tiny(**changes)
    variables, (frames, face) = variables_of(model), batch()
    points = (landmarks(),) if model.landmarks != "none" else ()
    inputs = (frames, face, None, *points)
    rows, time = export.symbolic_shape("batch, time")
    shapes = jax.tree.map(
        lambda x: jax.ShapeDtypeStruct((rows, time, *x.shape[2:]), x.dtype), inputs
    )
    exported = export.export(jax.jit(functools.partial(predict, model, variables)))(*shapes)
    shorter = jax.tree.map(lambda x: x[:3, : TIME - 1], inputs)
    for some in (inputs, shorter):
        assert_trees_close(exported.call(*some), predict(model, variables, *some))
