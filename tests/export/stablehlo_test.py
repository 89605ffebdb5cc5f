"""Serialised networks of every family predict like the networks, for any batch and time."""

import functools

import jax
import numpy as np
import pytest

from tests.tiny_networks import INFLATED, SIDE, STACKS, batch, landmarks, tiny, variables_of
from va_jax.export import stablehlo
from va_jax.types import InputError

FAMILIES = [
    {"temporal": "lstm", "branches": ("fc", "conv"), "landmarks": "after_fc", "bounded": True},
    *(
        pytest.param(changes, marks=pytest.mark.slow)
        for changes in (
            {"temporal": "gru"},
            {"temporal": "lstm", "layers": 2, "peepholes": True},
            *STACKS.values(),
            *(stack | {"bidirectional": True} for stack in STACKS.values()),
            {"temporal": "none", "landmarks": "before_fc"},
            {"bidirectional": True},
            {"backbone": "vgg", "stage_sizes": (1, 1), "temporal": "none"},
            {"backbone": "vgg16bn", "stage_sizes": (1, 1), "pool": "flatten", "fc": (5, 4)},
            {"backbone": "resnet50", "stage_sizes": (1, 1)},
            {"backbone": "seresnet50", "stage_sizes": (1, 1)},
            {"backbone": "vit_s16", "temporal": "none"},
            {"backbone": "farl_b16", "branches": ("fc", "conv")},
            {"compute_dtype": "bfloat16"},
            {"temporal": "none", "inflation": INFLATED},
            {"temporal": "none", "inflation": INFLATED | {"padding": "zero"}},
            {"temporal": "gru", "inflation": INFLATED | {"strided": True}},
            {
                "backbone": "resnet50",
                "stage_sizes": (1, 1),
                "temporal": "none",
                "inflation": {"taps": 3, "layout": "kinetics"},
            },
        )
    ),
]


def inputs_of(model, rows=None, time=None):
    inputs = [*batch()] + ([landmarks()] if model.landmarks != "none" else [])
    return [np.asarray(x)[:rows, :time] for x in inputs]


def live(model, inputs):
    network = jax.jit(functools.partial(stablehlo.predict, model))
    return np.asarray(network(variables_of(model), *inputs))


def written(path, data):
    path.write_bytes(data)
    return stablehlo.read(path)


@pytest.mark.slow
@pytest.mark.parametrize("changes", FAMILIES, ids=str)
def test_a_serialised_network_predicts_like_the_network(tmp_path, changes):
    model = tiny(**changes)
    data = stablehlo.serialize_model(model, variables_of(model), SIDE)
    network = written(tmp_path / stablehlo.MODEL, data)
    for rows, time in ((4, 6), (1, 3)):
        inputs = inputs_of(model, rows, time)
        found = jax.jit(network.call)(*inputs)
        np.testing.assert_allclose(found, live(model, inputs), atol=1e-5, rtol=0)


@pytest.mark.slow
@pytest.mark.parametrize("changes", [FAMILIES[0], *STACKS.values()], ids=str)
@pytest.mark.parametrize("length", [1, 4])
def test_a_track_in_pieces_is_predicted_like_the_whole_track(tmp_path, changes, length):
    model = tiny(**changes)
    data = stablehlo.serialize_stream(model, variables_of(model), SIDE)
    stream, inputs = written(tmp_path / stablehlo.STREAM, data), inputs_of(model)
    found = stablehlo.run_in_pieces(stream, inputs, stablehlo.state_shapes(model), length)
    np.testing.assert_allclose(found, live(model, inputs), atol=1e-6, rtol=0)


def test_a_function_is_for_every_kind_of_device_and_any_batch_and_time(tmp_path):
    model = tiny(temporal="none")
    data = stablehlo.serialize_model(model, variables_of(model), SIDE)
    network = written(tmp_path / stablehlo.MODEL, data)
    assert network.platforms == ("cpu", "cuda", "tpu")
    assert [str(aval.shape) for aval in network.in_avals] == [
        f"(b, t, {SIDE}, {SIDE}, 3)",
        "(b, t)",
    ]
    assert [str(aval.shape) for aval in network.out_avals] == ["(b, t, 2)"]


@pytest.mark.parametrize(
    ("changes", "shapes"),
    [
        ({"temporal": "gru", "layers": 2}, [[3], [3]]),
        ({"temporal": "lstm", "branches": ("fc", "conv")}, [[3]] * 4),
        ({"temporal": "tcn", "layers": 2}, [[2, 3], [2, 3], [4, 3], [4, 3], [3]]),
        ({"temporal": "lru", "layers": 2}, [[6], [6], [3]]),
        (STACKS["transformer"], [[2, 8], [2, 8], [2, 1], [8]]),
        ({"temporal": "none"}, []),
        ({"bidirectional": True}, []),
    ],
)
def test_the_state_has_an_array_for_every_layer_and_branch(changes, shapes):
    assert stablehlo.state_shapes(tiny(**changes)) == shapes


@pytest.mark.parametrize("data", [b"", b"abc", bytes(300)])
def test_a_damaged_file_is_named(tmp_path, data):
    with pytest.raises(
        InputError, match=r"model\.jaxexport: the file cannot be read .*va_jax export"
    ):
        written(tmp_path / stablehlo.MODEL, data)
