"""Our stack computes the same as torch and Keras with their recurrent layers."""

import flax.traverse_util
import jax
import jax.numpy as jnp
import numpy as np
import pytest

from tests.weights.published import keras_rnn, rand, torch_rnn
from va_jax.models.recurrent import RecurrentStack
from va_jax.types import InputError
from va_jax.weights.load import translate
from va_jax.weights.match import find_format


def run_stack(weights, kind, x, layers, bidirectional=False):
    """Return the output of our recurrent stack with those weights for [batch, time, features]."""
    units = len(weights.values["params/temporal/layer_0/recurrent_kernel"])
    stack = RecurrentStack(kind, layers, units, bidirectional=bidirectional)
    variables = flax.traverse_util.unflatten_dict(weights.values, sep="/")
    variables = {"params": jax.tree.map(jnp.asarray, variables["params"]["temporal"])}
    mask = jnp.ones(x.shape[:2], bool)
    return stack.apply(variables, jnp.asarray(x), mask, train=False)[0]


@pytest.mark.parametrize("bidirectional", [False, True])
@pytest.mark.parametrize("kind", ["lstm", "gru"])
def test_our_stack_with_torchs_layers_agrees_with_torch(kind, bidirectional):
    torch = pytest.importorskip("torch")
    module = {"lstm": torch.nn.LSTM, "gru": torch.nn.GRU}[kind]
    net = module(3, 5, num_layers=2, batch_first=True, bidirectional=bidirectional).double()
    for parameter in net.parameters():
        torch.nn.init.normal_(parameter)
    arrays = {f"rnn.{name}": value.numpy() for name, value in net.state_dict().items()}
    assert find_format(arrays, "rnn.pth") == "torch_rnn"
    weights = translate(arrays, "torch_rnn", "rnn.pth")
    x = rand(2, 7, 3)
    theirs = net(torch.from_numpy(x).double())[0].detach().numpy()
    np.testing.assert_allclose(run_stack(weights, kind, x, 2, bidirectional), theirs, atol=1e-5)
    assert (weights.size, weights.left_out) == (0, {})
    bias = "rnn.bias_ih_l0 + rnn.bias_hh_l0"
    assert weights.origin["params/temporal/layer_0/bias"] == bias


def sigmoid(x):
    return 1 / (1 + np.exp(-x))


def keras_lstm(x, kernel, recurrent, bias):
    """keras.layers.LSTM: [time, features] -> [time, units]."""
    h = c = np.zeros(len(recurrent))
    outputs = []
    for step in x:
        i, f, candidate, o = np.split(step @ kernel + h @ recurrent + bias, 4)
        c = sigmoid(f) * c + sigmoid(i) * np.tanh(candidate)
        h = sigmoid(o) * np.tanh(c)
        outputs.append(h)
    return np.stack(outputs)


def keras_gru(x, kernel, recurrent, bias):
    """keras.layers.GRU with reset_after=True."""
    h = np.zeros(len(recurrent))
    outputs = []
    for step in x:
        x_z, x_r, x_h = np.split(step @ kernel + bias[0], 3)
        h_z, h_r, h_h = np.split(h @ recurrent + bias[1], 3)
        z = sigmoid(x_z + h_z)
        h = z * h + (1 - z) * np.tanh(x_h + sigmoid(x_r + h_r) * h_h)
        outputs.append(h)
    return np.stack(outputs)


KERAS = {"lstm": keras_lstm, "gru": keras_gru}
ROLES = ("kernel", "recurrent_kernel", "bias")
KERAS_NAMES = {  # a layer's path -> its three arrays
    "keras 2": lambda layer: [f"{layer}/{layer}/{role}:0" for role in ROLES],
    "tf 2": lambda layer: [f"{layer}/{layer.split('_')[0]}_cell_7/{role}" for role in ROLES],
    "keras 3": lambda layer: [f"layers/{layer}/cell/vars/{number}" for number in range(3)],
}


@pytest.mark.parametrize("names", KERAS_NAMES)
@pytest.mark.parametrize("kind", KERAS)
def test_our_stack_with_keras_layers_agrees_with_the_documentation_of_keras(kind, names):
    first, second = keras_rnn(kind, 3, 5), keras_rnn(kind, 5, 5)
    layers = {f"{kind}_10": second, f"{kind}_9": first}
    arrays = {
        name: array
        for layer, of_layer in layers.items()
        for name, array in zip(KERAS_NAMES[names](layer), of_layer, strict=True)
    }
    assert find_format(arrays, "model.h5") == "keras_rnn"
    x = rand(2, 7, 3)
    theirs = [KERAS[kind](KERAS[kind](track, *first), *second) for track in x]
    weights = translate(arrays, "keras_rnn", "model.h5")
    np.testing.assert_allclose(run_stack(weights, kind, x, 2), theirs, atol=1e-5)


@pytest.mark.parametrize(
    "slot",
    ["optimizer/vars/1", "optimizer_weights/Adam/m/lstm/kernel:0", "optimizer/iteration",
     "layers/dropout/seed_generator/vars/0"],
)  # fmt: skip
def test_slots_of_keras_optimisers_are_left_out(slot):
    arrays = dict(zip(KERAS_NAMES["keras 3"]("lstm"), keras_rnn("lstm", 3, 5), strict=True))
    layer = translate(arrays, "keras_rnn", "model.h5")
    with_slot = arrays | {slot: rand(3, 20)}
    assert find_format(with_slot, "model.h5") == "keras_rnn"
    weights = translate(with_slot, "keras_rnn", "model.h5")
    assert weights.values.keys() == layer.values.keys()
    assert weights.left_out == {slot: "not a parameter"}


def test_keras_backward_layer_is_the_reverse_half():
    names = ("bidirectional/forward_gru/gru_cell_1", "bidirectional/backward_gru/gru_cell_2")
    layers = [keras_rnn("gru", 3, 5) for _ in names]
    arrays = {
        f"{name}/{role}": array
        for name, layer in zip(names, layers, strict=True)
        for role, array in zip(ROLES, layer, strict=True)
    }
    weights = translate(arrays, "keras_rnn", "model.h5")
    x = rand(1, 7, 3)
    theirs = [keras_gru(x[0], *layers[0]), keras_gru(x[0, ::-1], *layers[1])[::-1]]
    ours = run_stack(weights, "gru", x, 1, bidirectional=True)
    np.testing.assert_allclose(ours[0], np.concatenate(theirs, -1), atol=1e-5)


@pytest.mark.parametrize(
    ("arrays", "format", "message"),
    [
        (torch_rnn(1), "torch_rnn", r"4 x units \(LSTM\) or .*'weight_hh_l0' \(5, 5\)"),
        (torch_rnn(4, prefix="a.") | torch_rnn(4, prefix="b."), "torch_rnn",
         "'a.weight_ih_l0' and 'b.weight_ih_l0' both belong to layer 0"),
        (torch_rnn(4) | {"weight_hr_l0": rand(5, 2)}, "torch_rnn", r"\(weight_hr_l0\)"),
        (torch_rnn(4) | {"bias_hh_l0": rand(15)}, "torch_rnn", "kernels and biases with 20"),
        ({n: a for n, a in torch_rnn(3).items() if n != "bias_hh_l0"}, "torch_rnn",
         "has no bias_hh; add"),
        (dict(zip(ROLES, [*keras_rnn("gru", 3, 5)[:2], rand(15)], strict=True)), "keras_rnn",
         "reset_after=False is not supported"),
        (dict(zip(ROLES, keras_rnn("lstm", 3, 5), strict=True)) | {"dense/vars/0": rand(2)},
         "keras_rnn", r"\(dense/vars/0\)"),
    ],
)  # fmt: skip
def test_layers_that_do_not_fit_are_refused_by_name_and_shape(arrays, format, message):
    with pytest.raises(InputError, match=f"^rnn.pth: .*{message}") as refusal:
        translate(arrays, format, "rnn.pth")
    assert "\n" not in str(refusal.value)
