"""Recurrent stacks match torch: outputs, final states and every gradient, in float64."""

import functools
import itertools

import jax
import jax.numpy as jnp
import numpy as np
import pytest

from va_jax.models.recurrent import GATES, RecurrentStack

torch = pytest.importorskip("torch")

BATCH, TIME, FEATURES, UNITS = 3, 6, 4, 5
MODULES = {"lstm": torch.nn.LSTM, "gru": torch.nn.GRU}
STATES = {"lstm": 2, "gru": 1}
EVERY_STEP = np.ones((BATCH, TIME), bool)

both_kinds = pytest.mark.parametrize("kind", GATES)


def inputs(kind, layers, bidirectional):
    """Return random x and a first state in torch's form: h, and for an LSTM c, of all layers."""
    rng = np.random.default_rng(0)
    states = 0 if bidirectional else STATES[kind]
    shapes = [(BATCH, TIME, FEATURES)] + states * [(layers, BATCH, UNITS)]
    x, *states = (rng.normal(size=shape) for shape in shapes)
    return x, states


@functools.cache
def torch_results(kind, layers, bidirectional):
    """Return torch's tensors, and its outputs, final states and gradients."""
    torch.manual_seed(0)
    module = MODULES[kind](
        FEATURES, UNITS, layers, batch_first=True, bidirectional=bidirectional, dtype=torch.float64
    )
    x, states = inputs(kind, layers, bidirectional)
    x, *states = (torch.tensor(value, requires_grad=True) for value in (x, *states))
    y, final = module(x, (tuple(states) if kind == "lstm" else states[0]) if states else None)
    final = () if bidirectional else final if kind == "lstm" else (final,)
    loss = (y * torch.tensor(loss_weights(y.shape))).sum() + sum((s**2).sum() for s in final)
    loss.backward()
    tensors = dict(module.named_parameters())
    gradients = {name: tensor.grad for name, tensor in tensors.items()}
    results = named(y, final, gradients, x.grad, [state.grad for state in states])
    return tuple({k: v.detach().numpy().copy() for k, v in r.items()} for r in (tensors, results))


def our_results(kind, layers, bidirectional, tensors, exchange=False):
    """Return our results from torch's tensors; `exchange` swaps the first h and c."""
    stack = RecurrentStack(kind, layers, UNITS, bidirectional=bidirectional)
    x, states = inputs(kind, layers, bidirectional)
    with jax.enable_x64(True):
        (_, (y, final)), gradients = our_gradients(
            stack, tensors, x, states[:: -1 if exchange else 1]
        )
        return jax.tree.map(np.asarray, named(y, final, *gradients))


@functools.partial(jax.jit, static_argnums=0)
@functools.partial(jax.value_and_grad, argnums=(1, 2, 3), has_aux=True)
def our_gradients(stack, tensors, x, states):
    """Differentiate through the import, so that gradients have torch's names and shapes."""
    params, state = imported(stack.kind, tensors), tuple(zip(*states, strict=True)) or None
    y, final = apply(stack, params, x, state)
    final = [jnp.stack(parts) for parts in zip(*final, strict=True)]
    return (y * loss_weights(y.shape)).sum() + sum((s**2).sum() for s in final), (y, final)


@functools.partial(jax.jit, static_argnums=0)
def apply(stack, params, x, state=None):
    return stack.apply({"params": params}, x, jnp.asarray(EVERY_STEP), state, train=False)


def imported(kind, tensors):
    """Return our parameters from torch's: transposed, and the two biases summed."""
    params = {}
    for layer in [name.removeprefix("weight_ih_l") for name in tensors if "weight_ih" in name]:
        first, second = tensors[f"bias_ih_l{layer}"], tensors[f"bias_hh_l{layer}"]
        params[f"layer_{layer}"] = {
            "input_kernel": tensors[f"weight_ih_l{layer}"].T,
            "recurrent_kernel": tensors[f"weight_hh_l{layer}"].T,
            "bias": first + second,
        }
        if kind == "gru":
            r_and_z, n = jnp.split(second, [2 * UNITS])
            summed = first + jnp.concatenate([r_and_z, jnp.zeros_like(n)])
            params[f"layer_{layer}"] |= {"bias": summed, "b_hn": n}
    return params


def loss_weights(shape):
    return np.random.default_rng(1).normal(size=shape)


def named(y, final, by_tensors, by_x, by_states):
    """Return outputs, final states and gradients in one flat dict."""
    final = {f"final state {i}": state for i, state in enumerate(final)}
    by_states = {f"by state {i}": gradient for i, gradient in enumerate(by_states)}
    return {"output": y, **final, "by x": by_x, **by_states, **by_tensors}


def difference(ours, theirs):
    """Return the largest difference of any result, relative to its largest value."""
    assert ours.keys() == theirs.keys()
    return max(np.abs(ours[k] - theirs[k]).max() / np.abs(theirs[k]).max() for k in theirs)


@both_kinds
@pytest.mark.parametrize(
    "layers", [2, pytest.param(1, marks=pytest.mark.slow), pytest.param(3, marks=pytest.mark.slow)]
)
@pytest.mark.parametrize("bidirectional", [False, True], ids=["one way", "both ways"])
def test_outputs_states_and_all_gradients_match_torch(kind, layers, bidirectional):
    tensors, theirs = torch_results(kind, layers, bidirectional)
    assert difference(our_results(kind, layers, bidirectional, tensors), theirs) < 1e-12


@both_kinds
def test_float32_outputs_match_torch_in_float64(kind):
    tensors, theirs = torch_results(kind, 3, True)
    stack = RecurrentStack(kind, 3, UNITS, bidirectional=True)
    params, x = jax.tree.map(np.float32, (imported(kind, tensors), inputs(kind, 3, True)[0]))
    y, _ = apply(stack, params, x)
    assert difference({"output": y}, {"output": theirs["output"]}) < 1e-5


@pytest.mark.slow
@pytest.mark.parametrize(
    ("kind", "order"),
    [(kind, "".join(order)) for kind in GATES for order in itertools.permutations(GATES[kind])],
)
def test_the_comparison_holds_for_no_other_order_of_the_gates(kind, order):
    tensors, theirs = torch_results(kind, 1, True)
    gates = "".join(GATES[kind])
    tensors = {
        name: np.concatenate([np.split(rows, len(gates))[gates.index(gate)] for gate in order])
        for name, rows in tensors.items()
    }
    found = difference(our_results(kind, 1, True, tensors), theirs)
    assert found < 1e-12 if order == gates else found > 1e-3


def test_the_comparison_fails_where_h_and_c_are_exchanged():
    tensors, theirs = torch_results("lstm", 1, False)
    exchanged_first = our_results("lstm", 1, False, tensors, exchange=True)
    assert difference({"output": exchanged_first["output"]}, {"output": theirs["output"]}) > 1e-3
    ours = our_results("lstm", 1, False, tensors)
    exchanged_final = {"h": ours["final state 1"], "c": ours["final state 0"]}
    final = {"h": theirs["final state 0"], "c": theirs["final state 1"]}
    assert difference(exchanged_final, final) > 1e-3


@both_kinds
def test_the_comparison_fails_where_the_directions_are_confused(kind):
    tensors, theirs = torch_results(kind, 1, True)
    forward, reverse = np.split(our_results(kind, 1, True, tensors)["output"], 2, -1)
    for halves in ((forward, reverse[:, ::-1]), (reverse, forward)):
        mistaken = {"output": np.concatenate(halves, -1)}
        assert difference(mistaken, {"output": theirs["output"]}) > 1e-3


def test_the_comparison_fails_where_the_biases_of_a_gru_are_exchanged():
    tensors, theirs = torch_results("gru", 1, True)
    tensors = tensors | {"bias_hh_l0": tensors["bias_ih_l0"], "bias_ih_l0": tensors["bias_hh_l0"]}
    assert difference(our_results("gru", 1, True, tensors), theirs) > 1e-3
