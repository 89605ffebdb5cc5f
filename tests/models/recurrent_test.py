"""Recurrent stacks: directions, masks, states, devices and initial parameters."""

import functools

import jax
import jax.numpy as jnp
import numpy as np
import pytest
from jax.sharding import AxisType, NamedSharding, PartitionSpec

from va_jax.models.recurrent import GATES, RecurrentStack
from va_jax.types import InputError

BATCH, TIME, FEATURES, UNITS = 3, 6, 4, 5
CELLS = {"lstm": ("lstm", False), "gru": ("gru", False), "lstm with peepholes": ("lstm", True)}
EVERY_STEP = np.ones((BATCH, TIME), bool)

both_kinds = pytest.mark.parametrize("kind", GATES)
every_cell = pytest.mark.parametrize("cell", CELLS)
widest_cells = pytest.mark.parametrize("cell", ["gru", "lstm with peepholes"])


@functools.cache
def case(cell, layers, bidirectional=False):
    """Return a stack, random parameters, inputs, a mask with holes and a random state."""
    kind, peepholes = CELLS[cell]
    stack = RecurrentStack(kind, layers, UNITS, bidirectional=bidirectional, peepholes=peepholes)
    rng = np.random.default_rng(0)
    x = rng.normal(size=(BATCH, TIME, FEATURES)).astype(np.float32)
    mask = rng.random((BATCH, TIME)) < 0.7
    init = functools.partial(stack.init, train=False)
    shapes = jax.eval_shape(init, jax.random.key(0), x, mask)["params"], stack.initial_state(BATCH)
    params, state = jax.tree.map(lambda s: rng.normal(size=s.shape).astype(np.float32), shapes)
    return stack, params, x, mask, state


@functools.partial(jax.jit, static_argnums=0)
def apply(stack, params, x, mask, state=None):
    return stack.apply({"params": params}, x, mask, state, train=False)


def assert_close(ours, expected, tolerance=1e-6):
    close = functools.partial(np.testing.assert_allclose, rtol=tolerance, atol=tolerance)
    jax.tree.map(close, ours, expected)


@pytest.mark.slow
@every_cell
def test_each_half_is_a_one_way_stack_over_the_unmasked_steps(cell):
    both, params, x, _, _ = case(cell, 1, bidirectional=True)
    mask = np.array([False, True, False, True, True, False])
    y, _ = apply(both, params, x[:1], mask[None])
    one, seen, ones = both.clone(bidirectional=False), x[:1, mask], EVERY_STEP[:1, : mask.sum()]
    forward, _ = apply(one, {"layer_0": params["layer_0"]}, seen, ones)
    reverse, _ = apply(one, {"layer_0": params["layer_0_reverse"]}, seen[:, ::-1], ones)
    # A held output follows from the number of steps so far; before the first it is 0.
    forward, reverse = (np.pad(half, ((0, 0), (1, 0), (0, 0))) for half in (forward, reverse))
    halves = forward[:, np.cumsum(mask)], reverse[:, np.cumsum(mask[::-1])[::-1]]
    assert_close(y, np.concatenate(halves, -1))


@every_cell
def test_a_masked_step_repeats_the_output_and_keeps_the_state(cell):
    stack, params, x, _, state = case(cell, 1)
    x, mask = x[:1], np.arange(TIME)[None] % 3 != 1
    state = jax.tree.map(lambda leaf: leaf[:1], state)
    y, final = apply(stack, params, x, mask, state)
    dense, dense_final = apply(stack, params, x[:, mask[0]], EVERY_STEP[:1, : mask.sum()], state)
    assert_close(y[:, mask[0]], dense)
    np.testing.assert_array_equal(y[0, 1::3], y[0, ::3])
    assert_close(final, dense_final)


@pytest.mark.slow
@widest_cells
def test_masked_steps_and_padding_affect_neither_output_nor_gradient(cell):
    stack, params, x, mask, _ = case(cell, 2, bidirectional=True)

    @jax.jit
    @functools.partial(jax.value_and_grad, has_aux=True)
    def gradient(params, x, mask):
        y = apply(stack, params, x, mask)[0][:, :TIME]
        return (y**2).sum(), y

    other = np.where(mask[..., None], x, np.float32(100))
    padded = np.pad(other, ((0, 0), (0, 3), (0, 0)), constant_values=100)
    padded_mask = np.pad(mask, ((0, 0), (0, 3)))
    assert_close(gradient(params, padded, padded_mask), gradient(params, x, mask), 1e-5)


@pytest.mark.slow
@every_cell
def test_chunks_with_a_carried_state_give_the_same_as_the_whole_sequence(cell):
    stack, params, x, mask, _ = case(cell, 2)
    whole, final = apply(stack, params, x, mask)
    state, parts = stack.initial_state(BATCH), []
    for start, stop in ((0, 2), (2, 4), (4, 5), (5, 6)):
        y, state = apply(stack, params, x[:, start:stop], mask[:, start:stop], state)
        parts.append(y)
    assert_close((np.concatenate(parts, 1), state), (whole, final))


@pytest.mark.slow
@widest_cells
def test_gradient_does_not_depend_on_the_number_of_devices(cell):
    stack, params, _, _, _ = case(cell, 1, bidirectional=True)
    rng = np.random.default_rng(2)
    x = rng.normal(size=(8, TIME, FEATURES)).astype(np.float32)
    mask = rng.random((8, TIME)) < 0.7

    @jax.jit
    def gradient(params, x, mask):
        return jax.grad(lambda params: (apply(stack, params, x, mask)[0] ** 2).mean())(params)

    mesh = jax.make_mesh((4,), ("data",), axis_types=(AxisType.Auto,))
    split = NamedSharding(mesh, PartitionSpec("data"))
    everywhere = jax.device_put(params, NamedSharding(mesh, PartitionSpec()))
    four = gradient(everywhere, jax.device_put(x, split), jax.device_put(mask, split))
    assert_close(four, gradient(params, x, mask))


@functools.cache
def new_lstm():
    """Return a new layer with peepholes: stack, outputs and parameters."""
    stack, _, x, mask, _ = case("lstm with peepholes", 1)
    init = jax.jit(functools.partial(stack.init_with_output, train=False))
    (y, _), variables = init(jax.random.key(0), x, mask)
    return stack, y, variables["params"]["layer_0"]


@pytest.mark.slow
def test_kernels_start_orthogonal_per_gate_and_the_forget_gate_open():
    layer = new_lstm()[-1]
    for gate in np.split(layer["recurrent_kernel"], 4, axis=1):
        np.testing.assert_allclose(gate.T @ gate, np.eye(UNITS), atol=1e-5)
    expected = np.repeat([0, 1, 0, 0], UNITS)  # i, f, g, o
    np.testing.assert_array_equal(layer["bias"], expected)


@pytest.mark.slow
def test_a_new_lstm_with_peepholes_is_a_plain_one():
    stack, y, layer = new_lstm()
    np.testing.assert_array_equal(layer["peephole"], np.zeros((3, UNITS)))
    _, _, x, mask, _ = case("lstm with peepholes", 1)
    plain = {"layer_0": {name: value for name, value in layer.items() if name != "peephole"}}
    assert_close(y, apply(stack.clone(peepholes=False), plain, x, mask)[0])


@every_cell
@pytest.mark.parametrize("bidirectional", [False, True], ids=["one way", "both ways"])
def test_parameters_are_named_by_layer_and_direction(cell, bidirectional):
    params = case(cell, 2, bidirectional=bidirectional)[1]
    own = {"gru": ["b_hn"], "lstm with peepholes": ["peephole"]}.get(cell, [])
    directions = ["", "_reverse"] if bidirectional else [""]
    assert {f"{layer}/{name}" for layer, names in params.items() for name in names} == {
        f"layer_{index}{direction}/{name}"
        for index in range(2)
        for direction in directions
        for name in ["input_kernel", "recurrent_kernel", "bias", *own]
    }


@pytest.mark.slow
def test_dropout_acts_between_layers_and_only_in_training():
    stack, params, x, mask, _ = case("gru", 2)
    rngs = {"dropout": jax.random.key(0)}

    @functools.partial(jax.jit, static_argnums=(0, 1))
    def outputs(stack, train):
        arguments = jax.tree.map(jnp.asarray, ({"params": params}, x, mask))
        return stack.apply(*arguments, train=train, rngs=rngs)[0]

    dropping = stack.clone(dropout=0.5)
    np.testing.assert_array_equal(outputs(dropping, False), outputs(stack, False))
    assert not np.allclose(outputs(dropping, True), outputs(stack, False))
    single = RecurrentStack("gru", 1, UNITS, dropout=0.5)
    np.testing.assert_array_equal(outputs(single, True), outputs(single, False))


@both_kinds
def test_a_bidirectional_stack_has_no_state_and_refuses_one(kind):
    stack, params, x, mask, _ = case(kind, 2, bidirectional=True)
    assert stack.initial_state(BATCH) == ()
    y, final = apply.eval_shape(stack, params, x, mask, ())
    assert (y.shape[-1], final) == (2 * UNITS, ())
    state = stack.clone(bidirectional=False).initial_state(BATCH)
    with pytest.raises(InputError, match=r"bidirectional stack.* reads the whole window"):
        apply(stack, params, x, mask, state)
