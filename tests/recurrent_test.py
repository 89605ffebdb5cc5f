"""The recurrent stacks against plain autodiff and torch, and what masks and states promise."""

import functools

import jax
import jax.numpy as jnp
import numpy as np
import pytest
from jax.sharding import AxisType, NamedSharding, PartitionSpec

from va_jax.models.recurrent import GATES, RecurrentStack

BATCH, TIME, FEATURES, UNITS = 3, 6, 4, 5
STATES = {"lstm": 2, "gru": 1}

both_kinds = pytest.mark.parametrize("kind", GATES)


@functools.cache
def case(kind, layers=2, dtype=np.float64):
    """A stack, random parameters, inputs, a mask with holes and a random state; numpy arrays."""
    stack = RecurrentStack(kind, layers, UNITS)
    rng = np.random.default_rng(0)
    x = rng.normal(size=(BATCH, TIME, FEATURES)).astype(dtype)
    mask = rng.random((BATCH, TIME)) < 0.7
    shapes = jax.eval_shape(
        lambda: stack.init(
            jax.random.key(0),
            jnp.zeros((BATCH, TIME, FEATURES)),
            jnp.ones((BATCH, TIME), bool),
            train=False,
        )
    )
    params = jax.tree.map(lambda leaf: rng.normal(size=leaf.shape).astype(dtype), shapes)["params"]
    state = tuple(
        tuple(rng.normal(size=(BATCH, UNITS)).astype(dtype) for _ in range(STATES[kind]))
        for _ in range(layers)
    )
    return stack, params, x, mask, state


@functools.partial(jax.jit, static_argnums=0)
def apply(stack, params, x, mask, state=None):
    return stack.apply({"params": params}, x, mask, state, train=False)


def plain(params, x, mask, state):
    """The equations of torch's documentation in one scan, differentiated by autodiff alone."""

    def step(states, inputs):
        below, on = inputs
        after = []
        for name, carry in zip(sorted(params), states, strict=True):
            layer, h = params[name], carry[0]
            z = below @ layer["input_kernel"] + layer["bias"][None]
            u = h @ layer["recurrent_kernel"]
            if len(carry) == 2:
                i, f, g, o = jnp.split(z + u, 4, axis=1)
                c = jax.nn.sigmoid(f) * carry[1] + jax.nn.sigmoid(i) * jnp.tanh(g)
                new = jax.nn.sigmoid(o) * jnp.tanh(c), c
            else:
                (z_r, z_z, z_n), (u_r, u_z, u_n) = jnp.split(z, 3, 1), jnp.split(u, 3, 1)
                r, update = jax.nn.sigmoid(z_r + u_r), jax.nn.sigmoid(z_z + u_z)
                n = jnp.tanh(z_n + r * (u_n + layer["b_hn"][None]))
                new = ((1 - update) * n + update * h,)
            after.append(tuple(jnp.where(on, a, b) for a, b in zip(new, carry, strict=True)))
            below = after[-1][0]
        return tuple(after), below

    final, y = jax.lax.scan(step, state, (x.swapaxes(0, 1), mask.T[..., None]))
    return y.swapaxes(0, 1), final


@both_kinds
def test_gradient_is_that_of_plain_autodiff_in_float64(kind):
    stack, params, x, mask, state = case(kind)
    weights = np.random.default_rng(1).normal(size=(BATCH, TIME, UNITS))

    def loss(forward, params, x, state):
        y, final = forward(params, x, mask, state)
        return (y * weights).sum() + sum((leaf**2).sum() for leaf in jax.tree.leaves(final))

    with jax.enable_x64(True):
        params, x, state, mask = jax.tree.map(jnp.asarray, (params, x, state, mask))
        results = [
            jax.jit(jax.value_and_grad(functools.partial(loss, forward), argnums=(0, 1, 2)))(
                params, x, state
            )
            for forward in (functools.partial(apply, stack), plain)
        ]
    jax.tree.map(functools.partial(np.testing.assert_allclose, rtol=1e-12, atol=1e-12), *results)


@both_kinds
def test_outputs_and_final_state_are_those_of_torch(kind):
    torch = pytest.importorskip("torch")
    stack, params, x, _, state = case(kind)
    peer = {"lstm": torch.nn.LSTM, "gru": torch.nn.GRU}[kind](
        FEATURES, UNITS, num_layers=2, batch_first=True
    ).double()
    rows = len(GATES[kind]) * UNITS
    tensors = {}
    for index in range(2):
        layer = params[f"layer_{index}"]
        second = np.zeros(rows)
        if kind == "gru":
            second[2 * UNITS :] = layer["b_hn"]
        tensors[f"weight_ih_l{index}"] = torch.from_numpy(layer["input_kernel"].T.copy())
        tensors[f"weight_hh_l{index}"] = torch.from_numpy(layer["recurrent_kernel"].T.copy())
        tensors[f"bias_ih_l{index}"] = torch.from_numpy(layer["bias"].copy())
        tensors[f"bias_hh_l{index}"] = torch.from_numpy(second)
    peer.load_state_dict(tensors)
    stacked = [torch.from_numpy(np.stack(parts)) for parts in zip(*state, strict=True)]
    with torch.no_grad():
        y, final = peer(torch.from_numpy(x), tuple(stacked) if kind == "lstm" else stacked[0])
    with jax.enable_x64(True):
        x, params, state = jax.tree.map(jnp.asarray, (x, params, state))
        ours, ours_final = apply(stack, params, x, jnp.ones((BATCH, TIME), bool), state)
    np.testing.assert_allclose(ours, y.numpy(), rtol=1e-12, atol=1e-12)
    for index, parts in enumerate(zip(*ours_final, strict=True)):
        expected = (final[index] if kind == "lstm" else final).numpy()
        np.testing.assert_allclose(np.stack(parts), expected, rtol=1e-12, atol=1e-12)


@both_kinds
def test_masked_step_holds_the_output_and_passes_the_state_through(kind):
    stack, params, x, mask, state = case(kind, 1, np.float32)
    x, mask = jnp.asarray(x[:1]), np.arange(TIME)[None] % 3 != 1
    state = jax.tree.map(lambda leaf: jnp.asarray(leaf[:1]), state)
    y, final = apply(stack, params, x, jnp.asarray(mask), state)
    dense, dense_final = apply(
        stack, params, x[:, mask[0]], jnp.ones((1, int(mask.sum())), bool), state
    )
    np.testing.assert_allclose(y[:, mask[0]], dense, atol=1e-6)
    np.testing.assert_array_equal(y[0, 1::3], y[0, ::3])
    jax.tree.map(lambda a, b: np.testing.assert_allclose(a, b, atol=1e-6), final, dense_final)


@both_kinds
def test_what_stands_at_masked_steps_reaches_neither_output_nor_gradient(kind):
    stack, params, x, mask, _ = case(kind, 1, np.float32)

    @jax.jit
    def gradient(params, x):
        return jax.value_and_grad(lambda params: (apply(stack, params, x, mask)[0] ** 2).sum())(
            params
        )

    other = np.where(mask[..., None], x, 100)
    jax.tree.map(
        lambda a, b: np.testing.assert_allclose(a, b, rtol=1e-6, atol=1e-6),
        gradient(params, jnp.asarray(x)),
        gradient(params, jnp.asarray(other)),
    )


@both_kinds
def test_chunks_with_the_state_carried_give_the_whole_sequence(kind):
    stack, params, x, mask, _ = case(kind, dtype=np.float32)
    x, mask = jnp.asarray(x), jnp.asarray(mask)
    whole, final = apply(stack, params, x, mask)
    state, parts = stack.initial_state(BATCH), []
    for start, stop in ((0, 3), (3, 4), (4, 6)):
        y, state = apply(stack, params, x[:, start:stop], mask[:, start:stop], state)
        parts.append(y)
    np.testing.assert_allclose(jnp.concatenate(parts, 1), whole, atol=1e-6)
    jax.tree.map(lambda a, b: np.testing.assert_allclose(a, b, atol=1e-6), state, final)


@both_kinds
def test_gradient_does_not_depend_on_the_number_of_devices(kind):
    stack, params, _, _, _ = case(kind, 1, np.float32)
    rng = np.random.default_rng(2)
    x = rng.normal(size=(8, TIME, FEATURES)).astype(np.float32)
    mask = rng.random((8, TIME)) < 0.7

    @jax.jit
    def gradient(params, x, mask):
        return jax.grad(lambda params: (apply(stack, params, x, mask)[0] ** 2).mean())(params)

    mesh = jax.make_mesh((4,), ("data",), axis_types=(AxisType.Auto,))
    split = NamedSharding(mesh, PartitionSpec("data"))
    one = gradient(params, jnp.asarray(x), jnp.asarray(mask))
    four = gradient(
        jax.device_put(params, NamedSharding(mesh, PartitionSpec())),
        jax.device_put(x, split),
        jax.device_put(mask, split),
    )
    jax.tree.map(lambda a, b: np.testing.assert_allclose(a, b, rtol=1e-5, atol=1e-6), one, four)


def test_kernels_start_orthogonal_per_gate_and_the_forget_gate_open():
    stack = RecurrentStack("lstm", 1, UNITS)
    x, mask = jnp.zeros((1, 2, FEATURES)), jnp.ones((1, 2), bool)
    init = jax.jit(functools.partial(stack.init, train=False))
    layer = init(jax.random.key(0), x, mask)["params"]["layer_0"]
    for gate in np.split(layer["recurrent_kernel"], 4, axis=1):
        np.testing.assert_allclose(gate.T @ gate, np.eye(UNITS), atol=1e-5)
    expected = np.repeat([0, 1, 0, 0], UNITS)  # i, f, g, o
    np.testing.assert_array_equal(layer["bias"], expected)


def test_dropout_acts_between_layers_and_only_in_training():
    stack, params, x, mask, _ = case("gru", dtype=np.float32)

    params, x, mask = jax.tree.map(jnp.asarray, (params, x, mask))
    rngs = {"dropout": jax.random.key(0)}

    @functools.partial(jax.jit, static_argnums=(0, 1))
    def outputs(stack, train):
        return stack.apply({"params": params}, x, mask, train=train, rngs=rngs)[0]

    dropping = stack.clone(dropout=0.5)
    np.testing.assert_array_equal(outputs(dropping, False), outputs(stack, False))
    assert not np.allclose(outputs(dropping, True), outputs(stack, False))
    single = RecurrentStack("gru", 1, UNITS, dropout=0.5)
    np.testing.assert_array_equal(outputs(single, True), outputs(single, False))
