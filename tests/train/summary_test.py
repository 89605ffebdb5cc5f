"""Costs told without running: FLOPs and kept bytes by hand, published counts, sums, refusals."""

import json
import math
from typing import Any

import flax.linen as nn
import jax
import jax.numpy as jnp
import pytest
from jax import lax

from va_jax import config as configuration
from va_jax import keys
from va_jax.data import sources
from va_jax.models.build import build_model, parameter_count
from va_jax.train.summary import (
    abstract_variables,
    activation_bytes,
    describe,
    flops_by_scope,
    rows,
    summary,
    table,
)
from va_jax.types import DIMS, InputError

BATCH, TIME, SIZE = 2, 3, 32


def settings(**changes: Any):
    """A small residual network with an LSTM; `a__b` is the key `a.b`."""
    small = {
        "data.name": "none",
        "data.size": SIZE,
        "window.length": TIME,
        "train.batch_size": BATCH,
        "model.backbone": "resnet",
        "model.width": 8,
        "model.stage_sizes": (2, 1),
        "model.layers": 1,
        "model.units": 5,
    }
    given = {key.replace("__", "."): value for key, value in changes.items()}
    return configuration.parse(keys.unflatten(small | given))


def rows_of(config, batch=BATCH, time=TIME, **kwargs):
    model = build_model(config.model, DIMS)
    inputs = model.inputs(batch, time, config.data.size)
    found = rows(model, abstract_variables(model, inputs), inputs, **kwargs)
    return {row.name: row for row in found}


def flops(function, *shapes):
    inputs = [jax.ShapeDtypeStruct(shape, jnp.float32) for shape in shapes]
    return flops_by_scope(jax.make_jaxpr(function)(*inputs).jaxpr).total()


@pytest.mark.parametrize(
    ("shape", "kernel", "options", "multiply_adds"),
    [
        ((2, 8, 6, 3), (3, 3, 3, 5), {}, 2 * 8 * 6 * 5 * 9 * 3),
        ((2, 8, 6, 3), (3, 3, 3, 5), {"window_strides": (2, 2)}, 2 * 4 * 3 * 5 * 9 * 3),
        ((2, 8, 6, 3), (3, 3, 3, 5), {"padding": "VALID"}, 2 * 6 * 4 * 5 * 9 * 3),
        ((2, 8, 6, 3), (3, 3, 3, 5), {"rhs_dilation": (2, 1)}, 2 * 8 * 6 * 5 * 9 * 3),
        ((2, 8, 6, 4), (3, 3, 2, 6), {"feature_group_count": 2}, 2 * 8 * 6 * 6 * 9 * 2),
        ((2, 8, 6, 4), (3, 3, 1, 4), {"feature_group_count": 4}, 2 * 8 * 6 * 4 * 9),
        ((4, 8, 6, 3), (3, 3, 3, 6), {"batch_group_count": 2}, 2 * 8 * 6 * 6 * 9 * 3),
        (
            (2, 8, 6, 3),  # transposed: every input meets every tap
            (2, 2, 3, 5),
            {"lhs_dilation": (2, 2), "padding": ((1, 1), (1, 1))},
            2 * 8 * 6 * 5 * 4 * 3,
        ),
    ],
    ids=[
        "plain",
        "strided",
        "valid",
        "dilated",
        "grouped",
        "depthwise",
        "batch_grouped",
        "transposed",
    ],
)
def test_flops_of_a_convolution_are_two_a_multiply_add(shape, kernel, options, multiply_adds):
    options = {"window_strides": (1, 1), "padding": "SAME"} | options

    def convolve(x, kernel):
        return lax.conv_general_dilated(
            x, kernel, **options, dimension_numbers=("NHWC", "HWIO", "NHWC")
        )

    assert flops(convolve, shape, kernel) == 2 * multiply_adds


def test_flops_of_a_convolution_do_not_depend_on_its_layout():
    def convolve(x, kernel):
        return lax.conv(x, kernel, (1, 1), "SAME")  # NCHW, OIHW

    assert flops(convolve, (2, 3, 8, 6), (5, 3, 3, 3)) == 2 * 2 * 8 * 6 * 5 * 9 * 3


def test_flops_of_a_matrix_product_count_batch_axes_once():
    def product(x, y):
        return jnp.einsum("bijk,bjkl->bil", x, y)

    assert flops(product, (7, 2, 3, 4), (7, 3, 4, 5)) == 2 * 7 * 2 * (3 * 4) * 5


def square(x):
    return x @ x


@jax.custom_vjp
def square_with_its_own_gradient(x):
    return square(x)


square_with_its_own_gradient.defvjp(lambda x: (square(x), x), lambda x, slope: (slope @ x,))

ONCE = 2 * 4**3


@pytest.mark.parametrize(
    ("function", "expected"),
    [
        (jax.jit(jax.jit(square)), ONCE),
        (jax.checkpoint(square), ONCE),
        (square_with_its_own_gradient, ONCE),
        (lambda x: lax.scan(lambda c, _: (square(c), None), x, length=7)[0], 7 * ONCE),
        (
            lambda x: lax.scan(
                lambda c, _: (lax.scan(lambda d, _: (square(d), None), c, length=3)[0], None),
                x,
                length=5,
            )[0],
            15 * ONCE,
        ),
        (lambda x: lax.cond(x[0, 0] > 0, square, lambda x: square(square(x)), x), 2 * ONCE),
        (lambda x: lax.cond(x[0, 0] > 0, lambda x: square(square(x)), square, x), 2 * ONCE),
        (lambda x: lax.while_loop(lambda x: x[0, 0] > 0, square, x), ONCE),
    ],
    ids=["jit", "remat", "custom_vjp", "scan", "nested_scan", "cond_second", "cond_first", "while"],
)
def test_flops_inside_other_programs_count_as_often_as_they_run(function, expected):
    assert flops(function, (4, 4)) == expected


@pytest.mark.parametrize(
    ("backbone", "published"),  # GMAC at 224 px in torchvision's tables of weights
    [("resnet18", 1.814), ("resnet50", 4.089), ("vgg16", 15.470)],
)
def test_flops_at_224_pixels_are_the_published_ones(backbone, published):
    config = settings(
        data__size=224,
        model__backbone=backbone,
        model__width=64,
        model__stage_sizes=(),
        model__recurrent="none",
    )
    gflops = sum(row.flops for row in rows_of(config, 1, 1).values()) / 1e9
    assert gflops == pytest.approx(2 * published, rel=0.01)


def test_rows_of_a_recurrent_network_are_those_by_hand():
    found = rows_of(settings())
    stem = found["backbone/conv1"]
    assert stem.output == (BATCH, TIME, SIZE // 2, SIZE // 2, 8)
    assert stem.parameters == 7 * 7 * 3 * 8
    assert stem.flops == 2 * (SIZE // 2) ** 2 * 7 * 7 * 3 * 8
    block = found["backbone/layer2_0"]  # stride 2 with a 1x1 shortcut, from 8 to 16 channels
    weights = 9 * 8 * 16 + 9 * 16 * 16 + 8 * 16
    assert block.output == (BATCH, TIME, SIZE // 8, SIZE // 8, 16)
    assert block.parameters == weights + 3 * 2 * 16
    assert block.flops == 2 * (SIZE // 8) ** 2 * weights
    lstm = found["recurrent/layer_0"]
    assert lstm.output == (BATCH, TIME, 5)
    assert lstm.parameters == 4 * 5 * (16 + 5 + 1)
    assert lstm.flops == 2 * 4 * 5 * (16 + 5)
    assert found["head_arousal"] == ("head_arousal", (BATCH, TIME, 1), 5 + 1, 2 * 5)
    assert list(found) == [
        "backbone/conv1",
        "backbone/bn1",
        "backbone/layer1_0",
        "backbone/layer1_1",
        "backbone/layer2_0",
        "recurrent/layer_0",
        "head_valence",
        "head_arousal",
    ]


def test_deeper_rows_sum_to_their_module_and_all_rows_to_the_network():
    config = settings(model__recurrent="gru", model__fc=(7,), model__remat=True)
    shallow, deep = rows_of(config), rows_of(config, depth=9)
    for name, row in shallow.items():
        parts = [part for path, part in deep.items() if f"{path}/".startswith(f"{name}/")]
        assert sum(part.parameters for part in parts) == row.parameters
        assert sum(part.flops for part in parts) == pytest.approx(row.flops)
    assert "backbone/layer2_0/downsample_conv" in deep
    model = build_model(config.model, DIMS)
    params = abstract_variables(model, model.inputs(1, 1, SIZE))["params"]
    assert sum(row.parameters for row in shallow.values()) == parameter_count(params)


@pytest.mark.parametrize("inflated", [False, True])
def test_flops_per_frame_depend_neither_on_batch_nor_on_time(inflated):
    config = settings(model__inflation__taps=3 if inflated else 1, model__recurrent="gru")
    small, large = rows_of(config, 1, 2), rows_of(config, 3, 8)
    assert [row.flops for row in small.values()] == [row.flops for row in large.values()]


class Perceptron(nn.Module):
    """Two layers, and a product with parameters of the network itself."""

    wrapped: bool = False
    dropout: float = 0.0

    @nn.compact
    def __call__(self, frames, *, train, freeze_backbone=False):
        layer = nn.remat(Hidden, static_argnums=(2,)) if self.wrapped else Hidden
        x = layer(self.dropout, name="hidden")(frames, train)
        return x @ self.param("out", nn.initializers.ones, (4, 2)), ()


class Hidden(nn.Module):
    dropout: float

    @nn.compact
    def __call__(self, x, train):
        x = nn.relu(nn.Dense(4, use_bias=False, name="dense")(x))
        return nn.Dropout(self.dropout, deterministic=not train)(x)


FRAMES = {"frames": jax.ShapeDtypeStruct((5, 3, 6), jnp.float32)}
HIDDEN = 5 * 3 * 4  # numbers between the two layers


def test_what_belongs_to_no_module_is_in_the_row_other():
    model = Perceptron()
    hidden, other = rows(model, abstract_variables(model, FRAMES), FRAMES)
    assert hidden == ("hidden/dense", (5, 3, 4), 6 * 4, 2 * 6 * 4)
    assert other == ("(other)", (), 4 * 2, 2 * 4 * 2)


def test_flops_belong_to_the_module_whatever_method_is_called():
    class Encoder(nn.Module):
        @nn.compact
        def encode(self, x):
            return nn.Dense(2, use_bias=False, name="dense")(x)

    class Outer(nn.Module):
        def setup(self):
            self.encoder = Encoder()

        def __call__(self, frames, *, train):
            return self.encoder.encode(frames), ()

    (row,) = rows(Outer(), abstract_variables(Outer(), FRAMES), FRAMES)
    assert row == ("encoder/dense", (5, 3, 2), 6 * 2, 2 * 6 * 2)
    (row,) = rows(Outer(), abstract_variables(Outer(), FRAMES), FRAMES, depth=1)
    assert row == ("encoder", (), 6 * 2, 2 * 6 * 2)


@pytest.mark.parametrize(
    ("model", "expected"),
    [
        (Perceptron(), HIDDEN * (4 + 1)),  # ReLU's output, and where it is above 0
        (Perceptron(dropout=0.5), HIDDEN * (4 + 1 + 1)),  # and what dropout let through
        (Perceptron(wrapped=True), HIDDEN * 4),  # the last layer's input alone
    ],
    ids=["plain", "dropout", "remat"],
)
def test_kept_bytes_of_two_layers_are_those_by_hand(model, expected):
    assert activation_bytes(model, abstract_variables(model, FRAMES), FRAMES) == expected


def test_a_reshaped_array_is_kept_once_and_a_given_one_not_at_all():
    class Reshaping(nn.Module):
        @nn.compact
        def __call__(self, frames, *, train, freeze_backbone=False):
            hidden = jnp.sin(nn.Dense(4, use_bias=False)(frames.reshape(-1, 6)))  # keeps its cosine
            first = nn.Dense(1, use_bias=False)(hidden)
            second = nn.Dense(1, use_bias=False)(hidden.reshape(5, 3, 4))
            return first.reshape(5, 3, 1) + second, ()

    model = Reshaping()
    assert activation_bytes(model, abstract_variables(model, FRAMES), FRAMES) == HIDDEN * (4 + 4)


def kept(**changes):
    return describe(settings(**changes), DIMS, SIZE)["bytes"]


@pytest.mark.slow
def test_remat_bfloat16_a_frozen_backbone_and_pieces_each_lower_the_activations():
    plain = kept()["activations"]
    assert kept(model__remat=True)["activations"] < 0.7 * plain
    assert kept(model__compute_dtype="bfloat16")["activations"] < 0.65 * plain
    assert kept(optim__rates__backbone=0.0)["activations"] < 0.01 * plain
    assert kept(train__accumulate=2)["activations"] == pytest.approx(plain / 2, rel=0.01)


def test_the_optimiser_keeps_two_numbers_a_parameter_for_adam_and_none_for_a_frozen_part():
    adam, sgd = kept(optim__name="adam"), kept(optim__name="sgd")
    assert adam["parameters"] == adam["gradients"] == sgd["parameters"]
    assert 0 <= adam["optimiser"] - 2 * adam["parameters"] < 100  # step counters
    assert 0 <= sgd["optimiser"] - sgd["parameters"] < 100
    top = 4 * 5 * (16 + 5 + 1) + 2 * (5 + 1)
    assert 0 <= kept(optim__rates__backbone=0.0)["optimiser"] - 2 * 4 * top < 100


def test_nothing_is_computed():
    large = settings(train__batch_size=10**6, window__length=150)
    assert describe(large, DIMS, 224)["bytes"]["activations"] > 10**14  # a hundred terabytes


def test_the_table_shows_every_row_the_sums_and_the_memory():
    description = describe(settings(train__accumulate=2), DIMS, SIZE)
    text = table(json.loads(json.dumps(description)))  # plain enough for a file
    assert text == table(description)
    lines = text.splitlines()
    assert lines[0].endswith(f"2, each frames uint8 1x3x{SIZE}x{SIZE}x3, face bool 1x3")
    shown = [line.split() for line in lines[3 : 3 + len(description["rows"])]]
    assert [cells[0] for cells in shown] == [row["name"] for row in description["rows"]]
    parameters = [int(cells[2].replace(",", "")) for cells in shown]
    total = next(line for line in lines if line.startswith("total ")).split()
    assert int(total[1].replace(",", "")) == sum(parameters)
    mib = [float(line.split()[-1].replace(",", "")) for line in lines if " device" in line]
    assert math.isclose(sum(mib[:-1]), mib[-1], abs_tol=0.3)
    assert max(map(len, lines)) <= 100


def test_side_and_dimensions_are_the_data_sets_unless_the_config_gives_a_side(monkeypatch):
    facts = {"dims": ["arousal", "valence", "liking"], "crop": {"size": 24}}
    monkeypatch.setattr(sources, "metadata", lambda folder, name: facts)
    stored = summary(settings(data__name="some_set", data__size=0))
    assert "x24x24x3" in stored
    assert "head_liking" in stored
    assert "x40x40x3" in summary(settings(data__name="some_set", data__size=40))


def test_without_a_data_set_the_side_must_be_given(tmp_path):
    absent = settings(data__name="some_set", data__dir=str(tmp_path), data__size=0)
    with pytest.raises(InputError, match=r"^data\.size=0 .*'some_set'[^\n]*set data\.size$"):
        summary(absent)
    absent.data.size = SIZE
    text = summary(absent)
    assert [f"head_{dim}" in text for dim in DIMS] == [True, True]


def test_a_config_that_cannot_train_is_refused():
    with pytest.raises(InputError, match=r"train\.batch_size=2 .*train\.accumulate=4"):
        summary(settings(train__accumulate=4))
