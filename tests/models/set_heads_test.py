"""A head for each data set: every row is predicted by the network of its own data set."""

import jax
import jax.numpy as jnp
import numpy as np
import pytest

from tests.tiny_networks import BATCH, TINY, batch, predict, tiny, variables_of
from va_jax import keys
from va_jax.config import Model, parse
from va_jax.models import set_heads
from va_jax.models.build import build_model
from va_jax.types import DIMS

SETS = ("a_1", "b")
DATASET = jnp.asarray([0, 1, 1, 0], jnp.int32)


def with_sets(**changes):
    return build_model(keys.parse(Model, TINY | changes), DIMS, SETS)


@pytest.mark.parametrize("changes", [{}, {"bins": 5}])
def test_each_row_is_predicted_by_the_ordinary_network_with_the_heads_of_its_set(changes):
    model, ordinary = with_sets(**changes), tiny(**changes)
    variables = variables_of(model)
    frames, face = batch()
    pred, _ = jax.jit(lambda *given: model.apply(*given, train=False, dataset=DATASET))(
        variables, frames, face
    )
    for row in range(BATCH):
        own = set_heads.of_set(variables, SETS, DIMS, int(DATASET[row]))
        expected, _ = predict(ordinary, own, frames, face)
        np.testing.assert_allclose(pred[row], expected[row], atol=1e-6)
    other = set_heads.of_set(variables, SETS, DIMS, 1 - int(DATASET[0]))
    assert not np.allclose(pred[0], predict(ordinary, other, frames, face)[0][0], atol=1e-3)


def test_the_heads_are_the_only_parameters_that_differ_from_those_of_the_ordinary_network():
    own, shared = (set(variables_of(model)["params"]) for model in (with_sets(), tiny()))
    heads = {f"head_{name}__{dim}" for name in SETS for dim in DIMS}
    assert own - shared == heads
    assert shared - own == {f"head_{dim}" for dim in DIMS}


def test_a_head_learns_nothing_from_the_rows_of_another_set():
    model = with_sets()
    variables, (frames, face) = variables_of(model), batch()

    def loss(params):
        given = {**variables, "params": params}
        pred, _ = model.apply(given, frames, face, train=False, dataset=jnp.zeros(BATCH, jnp.int32))
        return (pred**2).sum()

    slopes = jax.jit(jax.grad(loss))(variables["params"])
    for dim in DIMS:
        assert np.abs(slopes[f"head_a_1__{dim}"]["kernel"]).max() > 0
        assert not slopes[f"head_b__{dim}"]["kernel"].any()


@pytest.mark.parametrize(
    ("names", "heads", "expected"),
    [
        ("a/1,b", "per_set", ("a_1", "b")),
        ("a/1,b", "shared", ()),
        ("a/1", "per_set", ()),
    ],
)
def test_only_several_sets_have_heads_of_their_own(names, heads, expected):
    config = parse({"data": {"name": names}, "model": {"heads": heads}})
    assert set_heads.sets_with_heads(config) == expected


def test_shared_heads_are_those_of_every_set():
    variables = {"params": {"head_valence": 1, "temporal": 2}, "batch_stats": {}}
    assert set_heads.of_set(variables, (), ("valence",), 1) == variables
