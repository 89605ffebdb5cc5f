"""The summary: layers with counts by hand, published FLOPs, memory of a step, refusals."""

from typing import Any

import jax
import pytest

from va_jax import config as configuration
from va_jax import keys
from va_jax.data import sources
from va_jax.models.build import build_model, parameter_count
from va_jax.train.state import initial_variables
from va_jax.train.summary import layer_rows, step_cost, summary
from va_jax.types import DIMS, InputError

BATCH, TIME, SIZE = 2, 3, 32


def settings(**changes: Any):
    """Return a small residual network with an LSTM; `a__b` is the key `a.b`."""
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


def rows_of(config, depth=2):
    model = build_model(config.model, DIMS)
    return {row.name: row for row in layer_rows(model, config.data.size, depth)}


def memory(**changes):
    config = settings(**changes)
    return step_cost(config, build_model(config.model, DIMS), SIZE)


@pytest.fixture(autouse=True)
def default_promotion():
    """Optax promotes types and ranks."""
    with jax.numpy_dtype_promotion("standard"), jax.numpy_rank_promotion("allow"):
        yield


@pytest.mark.slow
@pytest.mark.parametrize(
    ("backbone", "published"),  # GMAC at 224 px in torchvision's tables of weights
    [("resnet18", 1.814), ("resnet50", 4.089), ("vgg16", 15.470)],
)
def test_flops_at_224_pixels_are_the_published_ones_but_for_padding(backbone, published):
    config = settings(
        data__size=224,
        model__backbone=backbone,
        model__width=64,
        model__stage_sizes=(),
        model__temporal="none",
    )
    gflops = rows_of(config, depth=0)[""].flops / 1e9
    assert gflops == pytest.approx(2 * published, rel=0.08)
    assert gflops < 2 * published


@pytest.mark.slow
def test_rows_of_a_recurrent_network_are_those_by_hand():
    found = rows_of(settings())
    stem = found["backbone/conv1"]
    assert stem.output == (SIZE // 2, SIZE // 2, 8)
    assert stem.parameters == 7 * 7 * 3 * 8
    assert stem.flops == pytest.approx(2 * (SIZE // 2) ** 2 * 7 * 7 * 3 * 8, rel=0.15)
    block = found["backbone/layer2_0"]  # stride 2 with a 1x1 shortcut, from 8 to 16 channels
    weights = 9 * 8 * 16 + 9 * 16 * 16 + 8 * 16
    assert block.output == (SIZE // 8, SIZE // 8, 16)
    assert block.parameters == weights + 3 * 2 * 16
    assert block.flops == pytest.approx(2 * (SIZE // 8) ** 2 * weights, rel=0.25)
    lstm = found["temporal/layer_0"]
    assert lstm.output == (5,)
    assert lstm.parameters == 4 * 5 * (16 + 5 + 1)
    assert lstm.flops == pytest.approx(2 * 4 * 5 * (16 + 5), rel=0.25)
    assert found["head_arousal"].output == (1,)
    assert found["head_arousal"].parameters == 5 + 1
    assert list(found) == [
        "",
        "backbone",
        "backbone/conv1",
        "backbone/bn1",
        "backbone/layer1_0",
        "backbone/layer1_1",
        "backbone/layer2_0",
        "temporal",
        "temporal/layer_0",
        "head_valence",
        "head_arousal",
    ]


@pytest.mark.slow
def test_modules_sum_to_their_parent_and_parts_to_the_network():
    config = settings(model__temporal="gru", model__fc=(7,), model__remat=True)
    found = rows_of(config, depth=3)
    assert "backbone/layer2_0/downsample_conv" in found
    for name, row in found.items():
        depth = len(name.split("/")) if name else 0
        prefix = f"{name}/" if name else ""
        parts = [
            part
            for path, part in found.items()
            if path != name and path.startswith(prefix) and len(path.split("/")) == depth + 1
        ]
        if parts:
            assert sum(part.parameters for part in parts) == row.parameters
            assert sum(part.flops for part in parts) == pytest.approx(row.flops, rel=0.05)
    model = build_model(config.model, DIMS)
    variables = jax.eval_shape(lambda: initial_variables(model, SIZE, 0))
    assert found[""].parameters == parameter_count(variables["params"])


@pytest.mark.slow
def test_flops_of_a_frame_include_every_tap_and_shrink_with_a_stride_in_time():
    flat, inflated, strided = (
        rows_of(settings(model__temporal="none", **changes), depth=0)[""].flops
        for changes in (
            {},
            {"model__inflation__taps": 3},
            {"model__inflation__taps": 3, "model__inflation__strided": True},
        )
    )
    assert inflated > 2 * flat
    assert strided < 0.6 * inflated


@pytest.mark.slow
def test_a_frozen_backbone_lowers_the_working_space():
    large = {"train__batch_size": 32, "window__length": 8}
    frozen, learning = memory(**large, optim__rates__backbone=0.0), memory(**large)
    assert frozen.temporaries < 0.7 * learning.temporaries


@pytest.mark.slow
def test_parameters_optimiser_and_batch_are_those_by_hand():
    adam, sgd = memory(optim__name="adam"), memory(optim__name="sgd")
    params = 4 * rows_of(settings(), depth=0)[""].parameters
    assert params <= adam.parameters < 1.1 * params
    assert 0 <= adam.optimiser - 2 * params < 100  # step counters
    assert 0 <= sgd.optimiser - params < 100
    assert adam.batch == BATCH * TIME * (3 * SIZE**2 + 1 + 1 + 2 * 4)
    top = 4 * 5 * (16 + 5 + 1) + 2 * (5 + 1)
    assert 0 <= memory(optim__rates__backbone=0.0).optimiser - 2 * 4 * top < 100


@pytest.mark.slow
def test_a_training_step_costs_about_three_forward_passes():
    config = settings()
    cost = step_cost(config, build_model(config.model, DIMS), SIZE)
    forward = BATCH * TIME * rows_of(config, depth=0)[""].flops
    assert 2 * forward < cost.flops < 4 * forward


@pytest.mark.slow
def test_nothing_is_allocated():
    config = settings(train__batch_size=10**4, window__length=150)
    assert step_cost(config, build_model(config.model, DIMS), 224).temporaries > 10**12


@pytest.mark.slow
def test_the_text_shows_every_row_the_sums_and_the_memory():
    config = settings(train__accumulate=2)
    text = summary(config)
    lines = text.splitlines()
    assert f"frames uint8 2x3x{SIZE}x{SIZE}x3, face bool 2x3, in 2 pieces" in lines[0]
    network, *layers = rows_of(config).values()
    shown = [line.split() for line in lines[3 : 3 + len(layers)]]
    assert [cells[0] for cells in shown] == [row.name for row in layers]
    assert [int(cells[2].replace(",", "")) for cells in shown] == [row.parameters for row in layers]
    totals = [line.split() for line in lines if line.startswith("total ")]
    assert int(totals[0][2].replace(",", "")) == network.parameters
    start = next(i for i, line in enumerate(lines) if line.startswith("memory"))
    mib = [float(line.split()[-1].replace(",", "")) for line in lines[start + 1 : start + 6]]
    assert mib[-1] == pytest.approx(sum(mib[:-1]), abs=0.3)
    assert max(map(len, lines)) <= 100


@pytest.mark.slow
def test_side_and_dimensions_are_the_data_sets_unless_the_config_gives_a_side(monkeypatch):
    facts = {"dims": ["arousal", "valence", "liking"], "crop": {"size": 24}}
    monkeypatch.setattr(sources, "metadata", lambda folder, name: facts)
    stored = summary(settings(data__name="some_set", data__size=0), depth=1)
    assert "x24x24x3" in stored
    assert "head_liking" in stored
    assert "x40x40x3" in summary(settings(data__name="some_set", data__size=40), depth=1)


@pytest.mark.slow
def test_without_a_data_set_the_side_must_be_given(tmp_path):
    absent = {"data__name": "some_set", "data__dir": str(tmp_path)}
    with pytest.raises(InputError, match=r"data\.size=0 .*'some_set'.*set data\.size"):
        summary(settings(**absent, data__size=0))
    text = summary(settings(**absent), depth=1)
    assert [f"head_{dim}" in text for dim in DIMS] == [True, True]


def test_a_config_that_cannot_train_is_refused():
    with pytest.raises(InputError, match=r"train\.batch_size=2.*train\.accumulate=4"):
        settings(train__accumulate=4)
