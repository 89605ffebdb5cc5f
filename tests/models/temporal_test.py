"""Temporal stacks without a recurrent scan: masks, states, directions, gradients and sizes."""

import functools

import jax
import jax.numpy as jnp
import jax.test_util
import numpy as np
import pytest

from va_jax.models.build import parameter_count
from va_jax.models.lru import LRUStack
from va_jax.models.tcn import TCN
from va_jax.models.tcn_lru import TCNLRU
from va_jax.models.transformer import Transformer
from va_jax.types import InputError

BATCH, TIME, FEATURES, UNITS = 4, 8, 3, 4
STACKS = {
    "tcn": TCN(layers=2, units=UNITS, kernel_size=3),
    "lru": LRUStack(layers=2, units=UNITS),
    "tcn_lru": TCNLRU(layers=1, units=UNITS, kernel_size=3),
    "transformer": Transformer(layers=2, units=UNITS, heads=2, window=4),
}

every_stack = pytest.mark.parametrize("name", STACKS)
both_directions = pytest.mark.parametrize(
    "both_ways", [False, pytest.param(True, marks=pytest.mark.slow)], ids=["causal", "both ways"]
)


@functools.cache
def case(name, both_ways=False):
    """Return a stack, random parameters, inputs and a mask: all, holes, padding at either end."""
    stack = STACKS[name].clone(bidirectional=both_ways)
    rng = np.random.default_rng(0)
    x = rng.normal(size=(BATCH, TIME, FEATURES)).astype(np.float32)
    mask = np.ones((BATCH, TIME), bool)
    mask[1, [1, 3, 4]] = mask[2, 5:] = mask[3, :3] = False
    shapes = jax.eval_shape(functools.partial(stack.init, train=False), jax.random.key(0), x, mask)
    params = jax.tree.map(lambda s: rng.uniform(-1, 1, s.shape).astype(np.float32), shapes)
    return stack, params["params"], x, mask


@functools.partial(jax.jit, static_argnums=0)
def apply(stack, params, x, mask, state=None):
    return stack.apply({"params": params}, x, mask, state, train=False)


def in_chunks(stack, params, x, mask, lengths):
    state, parts, start = stack.initial_state(len(x)), [], 0
    for length in lengths:
        chunk = slice(start, start + length)
        y, state = apply(stack, params, x[:, chunk], mask[:, chunk], state)
        parts.append(y)
        start += length
    assert start == x.shape[1]
    return np.concatenate(parts, 1), state


def assert_close(ours, expected, tolerance=1e-5):
    close = functools.partial(np.testing.assert_allclose, rtol=tolerance, atol=tolerance)
    jax.tree.map(close, ours, expected)


@pytest.mark.slow
@every_stack
@pytest.mark.parametrize("lengths", [[1] * TIME, [3, 1, 4]], ids=str)
def test_frames_and_chunks_with_a_carried_state_give_the_whole_trace(name, lengths):
    case_of_name = case(name)
    assert_close(in_chunks(*case_of_name, lengths), apply(*case_of_name))


@every_stack
@both_directions
def test_masked_frames_do_not_exist_and_repeat_the_last_output(name, both_ways):
    stack, params, x, mask = case(name, both_ways)
    y, _ = apply(stack, params, x, mask)
    for row in range(1, BATCH):
        seen = x[row : row + 1, mask[row]]
        dense, _ = apply(stack, params, seen, np.ones(seen.shape[:2], bool))
        held = np.pad(dense[0], ((1, 0), (0, 0)))[np.cumsum(mask[row])]  # 0 before the first
        np.testing.assert_allclose(y[row], held, rtol=1e-5, atol=1e-5)


@pytest.mark.slow
@every_stack
@both_directions
def test_masked_frames_and_padding_affect_neither_output_nor_gradient(name, both_ways):
    stack, params, x, mask = case(name, both_ways)

    @jax.jit
    @functools.partial(jax.value_and_grad, argnums=(0, 1), has_aux=True)
    def gradient(params, x, mask):
        y = apply(stack, params, x, mask)[0][:, :TIME]
        return (y**2).sum(), y

    pad = ((0, 0), (0, 3))
    other = np.where(mask[..., None], x, np.float32(np.nan))
    padded = np.pad(other, (*pad, (0, 0)), constant_values=np.nan)
    ours, (by_params, by_x) = gradient(params, padded, np.pad(mask, pad))
    np.testing.assert_array_equal(by_x[:, TIME:], 0)
    np.testing.assert_array_equal(by_x[:, :TIME][~mask], 0)
    assert np.abs(by_x[:, :TIME][mask]).min() > 0
    assert_close((ours, (by_params, by_x[:, :TIME])), gradient(params, x, mask), 1e-4)


@every_stack
def test_a_track_without_any_face_gives_zeros_and_the_first_state(name):
    stack, params, x, _ = case(name)
    state = stack.initial_state(BATCH)
    nothing = np.zeros((BATCH, 1), bool)
    y, final = apply(stack, params, x[:, :1] * np.float32(np.inf), nothing, state)
    np.testing.assert_array_equal(y, np.zeros_like(y))
    jax.tree.map(np.testing.assert_array_equal, final, state)


@every_stack
@pytest.mark.slow
def test_rows_of_a_batch_do_not_affect_each_other(name):
    whole = case(name)
    stack, params, x, mask = whole
    halves = [apply(stack, params, x[rows], mask[rows])[0] for rows in (slice(2), slice(2, 4))]
    assert_close(np.concatenate(halves), apply(*whole)[0])


@pytest.mark.slow
@every_stack
@both_directions
def test_only_a_bidirectional_stack_sees_later_frames(name, both_ways):
    stack, params, x, mask = case(name, both_ways)

    @jax.jit
    @jax.grad
    def by_x(x):
        return apply(stack, params, x, mask)[0][0, 4].sum()

    seen = np.abs(by_x(x)[0]).sum(-1) > 0
    assert seen[4]
    assert seen[5:].any() == both_ways


@every_stack
@pytest.mark.slow
@pytest.mark.parametrize("both_ways", [False, True], ids=["causal", "both ways"])
def test_gradients_match_finite_differences_in_float64(name, both_ways):
    stack, params, x, mask = case(name, both_ways)
    # Flax finds the type of a layer norm by a promotion to at least float32.
    with jax.enable_x64(True), jax.numpy_dtype_promotion("standard"):
        state = jax.tree.map(lambda leaf: np.ones(leaf.shape), stack.initial_state(BATCH))
        given = jax.tree.map(lambda leaf: jnp.asarray(leaf, jnp.float64), (params, x, state))
        jax.test_util.check_grads(
            lambda params, x, state: apply(stack, params, x, mask, state),
            given,
            order=1,
            modes=["rev"],
            atol=1e-5,
            rtol=1e-5,
        )


@pytest.mark.slow
@every_stack
def test_dropout_acts_only_in_training(name):
    stack, params, x, mask = case(name)

    @functools.partial(jax.jit, static_argnums=(0, 1))
    def output(stack, train):
        rngs = {"dropout": jax.random.key(0)}
        arrays = jax.tree.map(jnp.asarray, ({"params": params}, x, mask))
        return stack.apply(*arrays, train=train, rngs=rngs)[0]

    dropping = stack.clone(dropout=0.5)
    plain = output(stack, False)
    np.testing.assert_array_equal(output(dropping, False), plain)
    np.testing.assert_array_equal(output(stack, True), plain)
    assert not np.allclose(output(dropping, True), plain)


@pytest.mark.parametrize(
    ("stack", "count"),
    [  # layers, width u: linear layer 8 x u + u, then each layer
        # two convolutions: k u^2, scales, biases; three slopes
        (TCN(2, 16, kernel_size=5), 144 + 2 * (2 * (5 * 256 + 32) + 3)),
        (TCN(2, 16, kernel_size=5, bidirectional=True), 144 + 2 * (2 * (5 * 256 + 32) + 3)),
        # norm, lambda and gamma, B and C, D, gated linear unit
        (LRUStack(2, 16), 144 + 2 * (32 + 48 + 4 * 256 + 16 + 512 + 32)),
        (LRUStack(2, 16, bidirectional=True), 144 + 2 * (32 + 2 * 1088 + 1024 + 32)),
        (TCNLRU(2, 16), 144 + 2 * (2 * (3 * 256 + 32) + 3) + 2 * (32 + 48 + 4 * 256 + 16 + 544)),
        # norms, queries, keys and values, output, two fully connected layers; last norm
        (Transformer(2, 16, heads=4, window=9), 144 + 2 * (64 + 816 + 272 + 1088 + 1040) + 32),
        (Transformer(2, 16, heads=4, window=9, bidirectional=True), 144 + 2 * 3280 + 32),
    ],
    ids=[
        "tcn",
        "tcn, centred",
        "lru",
        "lru, both ways",
        "tcn_lru",
        "transformer",
        "transformer, both ways",
    ],
)
def test_the_number_of_parameters_is_that_by_hand(stack, count):
    x, mask = jnp.zeros((1, 2, 8)), jnp.ones((1, 2), bool)
    init = functools.partial(stack.init, train=False)
    assert parameter_count(jax.eval_shape(init, jax.random.key(0), x, mask)) == count


@pytest.mark.slow
@every_stack
def test_memory_is_constant_over_300_frames_of_a_stream(name):
    stack, params, x, _ = case(name)
    step = jax.jit(functools.partial(stack.apply, train=False), donate_argnums=3)
    row, face = jnp.asarray(x[:1, :1]), jnp.ones((1, 1), bool)
    state = jax.tree.map(jnp.array, stack.initial_state(1))
    sizes, arrays = [], []
    for _ in range(300):
        y, state = step({"params": params}, row, face, state)
        sizes.append([(leaf.shape, leaf.dtype) for leaf in jax.tree.leaves(state)])
        arrays.append(sum(leaf.nbytes for leaf in jax.live_arrays()))
    first = [(leaf.shape, leaf.dtype) for leaf in jax.tree.leaves(stack.initial_state(1))]
    assert all(size == first for size in sizes)
    assert arrays[-1] == arrays[1]
    assert np.isfinite(y).all()


@every_stack
def test_a_bidirectional_stack_has_no_state_and_refuses_one(name):
    stack, params, x, mask = case(name, True)
    assert stack.initial_state(BATCH) == ()
    y, final = apply.eval_shape(stack, params, x, mask, ())
    assert (y.shape[-1], final) == (UNITS, ())
    state = stack.clone(bidirectional=False).initial_state(BATCH)
    with pytest.raises(InputError, match=r"bidirectional stack.* reads the whole window"):
        apply(stack, params, x, mask, state)
