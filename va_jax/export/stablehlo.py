"""A network with its parameters as one serialised function, which JAX alone can read and run.

`model.jaxexport` is the network's pass over the frames it is given, as one window that begins with
a state of zeros: frames, face and, where the network needs them, landmarks -> pred. In
`stream.jaxexport` the arrays of the state follow the inputs and the prediction: what is handed on
makes a track in pieces of any length give what it gives in one. Batch and time are left open.
"""

import pathlib
from collections.abc import Sequence
from typing import Any

import jax
import jax.numpy as jnp
import numpy as np
from jax import export
from jaxtyping import Array, Float32

from va_jax.models.regressor import Regressor
from va_jax.types import InputError

MODEL = "model.jaxexport"
STREAM = "stream.jaxexport"

PLATFORMS = ("cpu", "cuda", "tpu")


def of_model(model: Regressor, variables: Any, size: int) -> bytes:
    """The pass over a window, for frames of `size` pixels."""
    return _serialised(lambda *inputs: predict(model, variables, *inputs), _inputs(model, size))


def of_stream(model: Regressor, variables: Any, size: int) -> bytes:
    """The pass over a piece of a track, for a network that has a state and sees no frame ahead."""
    inputs = _inputs(model, size)
    shapes, count = state_shapes(model), len(inputs)
    rows = inputs[0].shape[0]
    states = [jax.ShapeDtypeStruct((rows, *shape), jnp.float32) for shape in shapes]
    layout = jax.tree.structure(model.initial_state(1))

    def advance(*given: Any) -> tuple[Array, ...]:
        frames, face, *points = given[:count]
        state = jax.tree.unflatten(layout, given[count:])
        pred, final = model.apply(variables, frames, face, state, *points, train=False)
        return pred, *jax.tree.leaves(final)

    return _serialised(advance, [*inputs, *states])


def predict(model: Regressor, variables: Any, *inputs: Any) -> Array:
    """What `of_model` serialises: predictions of frames, face and, where needed, landmarks."""
    frames, face, *points = inputs
    return model.apply(variables, frames, face, None, *points, train=False)[0]


def state_shapes(model: Regressor) -> list[list[int]]:
    """Of the arrays of the state, in their order, the shape for one track."""
    return [list(leaf.shape[1:]) for leaf in jax.tree.leaves(model.initial_state(1))]


def read(path: pathlib.Path) -> export.Exported:
    """The function in a file; `read(path).call` takes and gives arrays, in the order above."""
    try:
        return export.deserialize(bytearray(path.read_bytes()))
    except Exception as error:  # what damaged bytes raise is not told
        raise InputError(
            f"{path}: not readable ({error}); write it again by "
            f"`python -m va_jax.main --mode=export --workdir=RUN --out={path.parent}`"
        ) from error


def run_in_pieces(
    stream: export.Exported, inputs: Sequence[np.ndarray], shapes: Sequence[Any], length: int
) -> Float32[np.ndarray, "batch time dims"]:
    """Predictions of whole tracks, fed in pieces of `length` frames, the state handed on."""
    advance, (rows, time) = jax.jit(stream.call), inputs[0].shape[:2]
    state, parts = [np.zeros((rows, *shape), np.float32) for shape in shapes], []
    for start in range(0, time, length):
        pred, *state = advance(*(x[:, start : start + length] for x in inputs), *state)
        parts.append(np.asarray(pred))
    return np.concatenate(parts, 1)


def _inputs(model: Regressor, size: int) -> list[jax.ShapeDtypeStruct]:
    """What the network is called on, for any batch and time."""
    rows, time = export.symbolic_shape("b, t")
    return [
        jax.ShapeDtypeStruct((rows, time, *x.shape[2:]), x.dtype)
        for x in model.inputs(1, 1, size).values()
    ]


def _serialised(function: Any, shapes: Sequence[jax.ShapeDtypeStruct]) -> bytes:
    return bytes(export.export(jax.jit(function), platforms=PLATFORMS)(*shapes).serialize())
