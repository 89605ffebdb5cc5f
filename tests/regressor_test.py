"""The whole network: streaming, masks, named heads, devices, export, and what `build` refuses."""

import functools

import jax
import jax.numpy as jnp
import numpy as np
import pytest
from jax import export
from jax.sharding import AxisType, NamedSharding, PartitionSpec
from ml_collections import ConfigDict

from va_jax.models.regressor import BACKBONES, build, parameter_count
from va_jax.schema import DIMS, InputError

BATCH, TIME, SIDE = 4, 6, 16

TINY = {
    "backbone": "resnet",
    "width": 4,
    "stage_sizes": (1,),
    "zero_init_residual": False,
    "recurrent": "gru",
    "layers": 1,
    "units": 3,
    "dropout": 0.0,
    "compute_dtype": "float32",
    "input_mean": (0.5, 0.4, 0.3),
    "input_std": (0.2, 0.3, 0.4),
}


def tiny(dims=DIMS, **changes):
    return build(ConfigDict(TINY | changes), dims)


@functools.cache
def variables_of(model):
    """Random variables, heads included, from a fixed seed; the same for any order of the heads."""
    frames, face = jnp.zeros((1, 1, SIDE, SIDE, 3), jnp.uint8), jnp.ones((1, 1), bool)
    shapes = jax.eval_shape(lambda: model.init(jax.random.key(0), frames, face, train=False))
    rng = np.random.default_rng(0)

    def fill(leaf):
        lowest = -0.5 if leaf.ndim > 1 else 0.1  # kernels of both signs, scales and variances > 0
        return jnp.asarray(rng.uniform(lowest, 0.5, leaf.shape), jnp.float32)

    return jax.tree.map(fill, shapes)


@functools.cache
def batch():
    """Noise frames, and a face mask with holes that begins with a face."""
    rng = np.random.default_rng(1)
    frames = rng.integers(0, 256, (BATCH, TIME, SIDE, SIDE, 3), np.uint8)
    face = rng.random((BATCH, TIME)) < 0.7
    face[:, 0] = True
    return jnp.asarray(frames), jnp.asarray(face)


@functools.partial(jax.jit, static_argnums=0)
def predict(model, variables, frames, face, state=None):
    return model.apply(variables, frames, face, state, train=False)


@functools.partial(jax.jit, static_argnums=0)
def extract(model, variables, frames, face):
    return model.apply(variables, frames, face, method="features")


@functools.partial(jax.jit, static_argnums=0)
def train_gradient(model, variables, frames, face):
    """Gradient of the masked sum of squares of the predictions, and the new statistics."""

    def loss(params):
        (pred, _), updated = model.apply(
            {**variables, "params": params}, frames, face, train=True, mutable="batch_stats"
        )
        return jnp.where(face[..., None], pred**2, 0).sum(), updated["batch_stats"]

    return jax.grad(loss, has_aux=True)(variables["params"])


def assert_trees_close(ours, theirs, rtol=1e-5, atol=1e-6):
    jax.tree.map(functools.partial(np.testing.assert_allclose, rtol=rtol, atol=atol), ours, theirs)


@pytest.mark.parametrize("recurrent", ["gru", "lstm", "none"])
def test_streaming_with_the_state_carried_gives_the_offline_trace(recurrent):
    model = tiny(recurrent=recurrent)
    variables, (frames, face) = variables_of(model), batch()
    whole, final = predict(model, variables, frames, face)
    state, parts = model.initial_state(BATCH), []
    for start in range(0, TIME, 2):
        chunk = slice(start, start + 2)
        pred, state = predict(model, variables, frames[:, chunk], face[:, chunk], state)
        parts.append(pred)
    np.testing.assert_allclose(jnp.concatenate(parts, 1), whole, atol=1e-6)
    assert_trees_close(state, final)


def test_features_then_temporal_part_is_the_whole():
    model = tiny(recurrent="lstm")
    variables, (frames, face) = variables_of(model), batch()
    features = extract(model, variables, frames, face)
    parts = jax.jit(functools.partial(model.apply, method="from_features"))(
        variables, features, face
    )
    assert_trees_close(parts, predict(model, variables, frames, face))


def test_frames_without_a_face_repeat_the_last_prediction_whatever_they_show():
    model = tiny()
    variables, (frames, face) = variables_of(model), batch()
    pred, _ = predict(model, variables, frames, face)
    other = jnp.where(face[..., None, None, None], frames, 255 - frames)
    np.testing.assert_allclose(predict(model, variables, other, face)[0], pred, atol=1e-6)
    last = np.maximum.accumulate(np.where(face, np.arange(TIME)[None], 0), axis=1)
    np.testing.assert_array_equal(pred, np.take_along_axis(np.asarray(pred), last[..., None], 1))


def test_padding_changes_neither_gradient_nor_statistics():
    model = tiny()
    variables, (frames, face) = variables_of(model), batch()
    pad = ((0, 0), (0, 3))
    padded = jnp.pad(frames, (*pad, (0, 0), (0, 0), (0, 0)), constant_values=77)
    assert_trees_close(
        train_gradient(model, variables, padded, jnp.pad(face, pad)),
        train_gradient(model, variables, frames, face),
        rtol=1e-4,
    )


def test_heads_are_named_and_never_indexed():
    model, swapped = tiny(), tiny(dims=("arousal", "valence"))
    variables, (frames, face) = variables_of(model), batch()
    pred, turned = (predict(m, variables, frames, face)[0] for m in (model, swapped))
    np.testing.assert_array_equal(turned, pred[..., ::-1])
    assert not np.allclose(pred[..., 0], pred[..., 1])


def test_input_is_normalised_by_the_configured_mean_and_std():
    model = tiny()
    variables, (frames, face) = variables_of(model), batch()
    mean, std = np.float64(TINY["input_mean"]), np.float64(TINY["input_std"])
    x = (np.asarray(frames).reshape(-1, SIDE, SIDE, 3) / 255 - mean) / std
    given = {collection: tree["backbone"] for collection, tree in variables.items()}
    expected = jax.jit(functools.partial(model.backbone.clone(parent=None).apply, train=False))(
        given, jnp.asarray(x, jnp.float32), face.reshape(-1)
    )
    np.testing.assert_allclose(
        extract(model, variables, frames, face).reshape(BATCH * TIME, -1), expected, atol=1e-5
    )


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


def test_new_heads_start_near_zero():
    frames, face = batch()
    model = tiny(recurrent="none")
    params = jax.jit(functools.partial(model.init, train=False))(
        jax.random.key(0), frames[:1, :1], face[:1, :1]
    )["params"]
    for dim in DIMS:
        assert 0 < np.abs(params[f"head_{dim}"]["kernel"]).max() < 0.03
        assert not params[f"head_{dim}"]["bias"].any()


def test_dropout_acts_in_training_only():
    model = tiny(recurrent="none", dropout=0.5)
    variables, (frames, face) = variables_of(model), batch()
    features = extract(model, variables, frames, face)
    calm, _ = predict(model, variables, frames, face)
    wild, _ = jax.jit(functools.partial(model.apply, method="from_features", train=True))(
        variables, features, face, rngs={"dropout": jax.random.key(0)}
    )
    assert not np.allclose(wild, calm)


@pytest.mark.parametrize("recurrent", ["gru", "lstm"])
def test_exports_with_symbolic_batch_and_time(recurrent):
    model = tiny(recurrent=recurrent)
    variables, (frames, face) = variables_of(model), batch()
    batch_size, time = export.symbolic_shape("batch, time")
    shapes = (
        jax.ShapeDtypeStruct((batch_size, time, SIDE, SIDE, 3), jnp.uint8),
        jax.ShapeDtypeStruct((batch_size, time), bool),
    )
    exported = export.export(jax.jit(functools.partial(predict, model, variables)))(*shapes)
    assert_trees_close(exported.call(frames, face), predict(model, variables, frames, face))


@pytest.mark.parametrize("backbone", [name for name in BACKBONES if name != "resnet"])
def test_parameter_count_of_named_networks_is_backbone_stack_and_heads(backbone):
    model = tiny(backbone=backbone, width=64, stage_sizes=(), recurrent="lstm", layers=2, units=256)
    frames, face = jnp.zeros((1, 1, 32, 32, 3), jnp.uint8), jnp.ones((1, 1), bool)
    shapes = jax.eval_shape(lambda: model.init(jax.random.key(0), frames, face, train=False))
    counts = {"resnet18": 11_176_512, "resnet34": 21_284_672, "resnet50": 23_508_032}
    features = 2048 if backbone == "resnet50" else 512
    lstm = 4 * 256 * ((features + 256 + 1) + (256 + 256 + 1))
    assert parameter_count(shapes["params"]) == counts[backbone] + lstm + 2 * (256 + 1)


@pytest.mark.parametrize(
    ("key", "value", "remedy"),
    [
        ("backbone", "resnet19", "resnet18"),
        ("recurrent", "rnn", "none"),
        ("compute_dtype", "float16", "bfloat16"),
        ("stage_sizes", (), "one or more"),
        ("stage_sizes", (1, 0), "one or more"),
        ("width", 0, "at least 1"),
        ("layers", 0, "at least 1"),
        ("units", 0, "at least 1"),
        ("dropout", 1.0, "dropout < 1"),
        ("input_mean", (0.5, 0.5), "three"),
        ("input_std", (0.5, 0.0, 0.5), "above 0"),
    ],
)
def test_bad_value_is_refused_with_its_key_and_the_legal_ones(key, value, remedy):
    with pytest.raises(InputError, match=rf"^model\.{key}=.*{remedy}[^\n]*$"):
        tiny(**{key: value})
