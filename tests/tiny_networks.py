"""A network that compiles quickly, random variables for it, and a batch."""

import functools

import jax
import jax.numpy as jnp
import numpy as np

from va_jax import keys
from va_jax.config import Model
from va_jax.models.build import build_model
from va_jax.types import DIMS

BATCH, TIME, SIDE, WIDTH, UNITS, POINTS = 4, 6, 16, 4, 3, 2

TINY = {
    "backbone": "resnet",
    "width": WIDTH,
    "stage_sizes": (1,),
    "temporal": "gru",
    "layers": 1,
    "units": UNITS,
    "landmark_points": POINTS,
    "input_mean": (0.5, 0.4, 0.3),
    "input_std": (0.2, 0.3, 0.4),
}
STACKS = {
    "tcn": {"temporal": "tcn", "layers": 2},
    "lru": {"temporal": "lru", "layers": 2},
    "transformer": {"temporal": "transformer", "units": 8, "attention_window": 3},
}
"""Changes for the temporal stacks that are not recurrent."""
INFLATED = {"taps": 3, "padding": "edge", "pool_taps": 3}
MAP = (SIDE // 4) ** 2  # pixels of the last map


def tiny(dims=DIMS, inflation=(), **changes):
    tree = TINY | changes | {"inflation": dict(inflation)}
    return build_model(keys.parse(Model, tree), dims)


@functools.cache
def shapes_of(model):
    inputs = {
        name: jnp.zeros(leaf.shape, leaf.dtype) for name, leaf in model.inputs(1, 1, SIDE).items()
    }
    return jax.eval_shape(lambda: model.init(jax.random.key(0), **inputs, train=False))


@functools.cache
def variables_of(model):
    """Return random variables from a fixed seed; they do not depend on the order of the heads."""
    rng = np.random.default_rng(0)

    def fill(leaf):
        lowest = -0.5 if leaf.ndim > 1 else 0.1  # kernels of both signs, scales and variances > 0
        return jnp.asarray(rng.uniform(lowest, 0.5, leaf.shape), jnp.float32)

    filled = jax.tree.map(fill, shapes_of(model))
    filled["batch_stats"]["input"] = {
        name: jnp.asarray(TINY[f"input_{name}"]) for name in ("mean", "std")
    }
    return filled


@functools.cache
def batch():
    """Return noise frames, and a face mask with holes that begins with a face."""
    rng = np.random.default_rng(1)
    frames = rng.integers(0, 256, (BATCH, TIME, SIDE, SIDE, 3), np.uint8)
    face = rng.random((BATCH, TIME)) < 0.7
    face[:, 0] = True
    return jnp.asarray(frames), jnp.asarray(face)


@functools.cache
def landmarks():
    places = np.random.default_rng(2).uniform(-1, 1, (BATCH, TIME, POINTS, 2))
    return jnp.asarray(places, jnp.float32)


@functools.partial(jax.jit, static_argnums=0)
def predict(model, variables, frames, face, state=None, landmarks=None):
    return model.apply(variables, frames, face, state, landmarks, train=False)


@functools.partial(jax.jit, static_argnums=0)
def extract(model, variables, frames, face, landmarks=None):
    return model.apply(variables, frames, face, landmarks, method="features")


@functools.partial(jax.jit, static_argnums=(0, 4))
def train_gradient(model, variables, frames, face, freeze_backbone=False):
    """Return the gradient of the masked sum of squared predictions, and the new statistics."""

    def loss(params):
        (pred, _), updated = model.apply(
            {**variables, "params": params},
            frames,
            face,
            train=True,
            freeze_backbone=freeze_backbone,
            mutable="batch_stats",
        )
        return jnp.where(face[..., None], pred**2, 0).sum(), updated["batch_stats"]

    return jax.grad(loss, has_aux=True)(variables["params"])


def assert_trees_close(ours, theirs, rtol=1e-5, atol=1e-6):
    jax.tree.map(functools.partial(np.testing.assert_allclose, rtol=rtol, atol=atol), ours, theirs)
