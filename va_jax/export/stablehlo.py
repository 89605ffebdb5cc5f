"""Networks as serialised functions that include the parameters and need only JAX to run.

`model.jaxexport` takes frames, face and, if the network uses them, landmarks. It treats them as one
window that starts with a state of zeros, and returns pred. `stream.jaxexport` also takes the state
arrays, and returns the updated ones after pred, so a track can be processed in pieces of any
length. Both functions accept any batch size and any number of frames.
"""

import contextlib
import pathlib
from collections.abc import Callable, Generator, Sequence
from typing import Any

import jax
import jax.numpy as jnp
import numpy as np
from jax import export
from jaxtyping import Array, Float32

from va_jax.models.regressor import Regressor
from va_jax.train.exported import EXPORT_AGAIN
from va_jax.types import InputError

MODEL = "model.jaxexport"
STREAM = "stream.jaxexport"

PLATFORMS = ("cpu", "cuda", "tpu")


def predict(model: Regressor, variables: Any, *inputs: Any) -> Array:
    """Return pred [batch, time, dims] for frames, face and, if the network uses them, landmarks."""
    frames, face, *landmarks = inputs
    return model.apply(variables, frames, face, None, *landmarks, train=False)[0]


def serialize_model(model: Regressor, variables: Any, size: int) -> bytes:
    """Return the contents of `model.jaxexport` for frames of `size` pixels."""
    return _serialize(lambda *inputs: predict(model, variables, *inputs), _inputs(model, size))


def serialize_stream(model: Regressor, variables: Any, size: int) -> bytes:
    """Return the contents of `stream.jaxexport`; the network must not use later frames."""
    inputs = _inputs(model, size)
    rows, count = inputs[0].shape[0], len(inputs)
    states = [jax.ShapeDtypeStruct((rows, *each), jnp.float32) for each in state_shapes(model)]
    layout = jax.tree.structure(model.initial_state(1))

    def advance(*given: Any) -> tuple[Array, ...]:
        frames, face, *landmarks = given[:count]
        state = jax.tree.unflatten(layout, given[count:])
        pred, state = model.apply(variables, frames, face, state, *landmarks, train=False)
        return pred, *jax.tree.leaves(state)

    return _serialize(advance, [*inputs, *states])


def state_shapes(model: Regressor) -> list[list[int]]:
    """Return the shapes, for a single track, of the arrays in the network's state."""
    return [list(leaf.shape[1:]) for leaf in jax.tree.leaves(model.initial_state(1))]


def read(path: pathlib.Path) -> export.Exported:
    """Read a function from a file; its `call` takes and returns arrays in the order above.

    Raises:
        InputError: the file cannot be read.
    """
    try:
        return export.deserialize(bytearray(path.read_bytes()))
    except Exception as error:  # JAX does not document the errors for damaged bytes
        raise InputError(f"{path}: the file cannot be read ({error}); {EXPORT_AGAIN}") from error


def run_in_pieces(
    stream: export.Exported, inputs: Sequence[np.ndarray], shapes: Sequence[Any], length: int
) -> Float32[np.ndarray, "batch time dims"]:
    """Run a stream function on whole tracks piece by piece, and return the predictions.

    Args:
        stream: function from `stream.jaxexport`.
        inputs: frames, face and, if the network uses them, landmarks for whole tracks.
        shapes: `state_shapes` of the network.
        length: number of frames in each piece.
    """
    advance, (rows, time) = jax.jit(stream.call), inputs[0].shape[:2]
    state, parts = [np.zeros((rows, *shape), np.float32) for shape in shapes], []
    for start in range(0, time, length):
        pred, *state = advance(*(each[:, start : start + length] for each in inputs), *state)
        parts.append(np.asarray(pred))
    return np.concatenate(parts, 1)


def _inputs(model: Regressor, size: int) -> list[jax.ShapeDtypeStruct]:
    """Return the shapes of the network's inputs, with symbolic batch and time."""
    rows, time = export.symbolic_shape("b, t")
    return [
        jax.ShapeDtypeStruct((rows, time, *each.shape[2:]), each.dtype)
        for each in model.inputs(1, 1, size).values()
    ]


def _serialize(function: Callable[..., Any], shapes: Sequence[jax.ShapeDtypeStruct]) -> bytes:
    with _without_source_locations():
        return bytes(export.export(jax.jit(function), platforms=PLATFORMS)(*shapes).serialize())


@contextlib.contextmanager
def _without_source_locations() -> Generator[None, None, None]:
    """Keep the paths of source files, which name folders of this machine, out of programs."""
    before = jax.config.jax_traceback_in_locations_limit  # pyright: ignore[reportAttributeAccessIssue]
    jax.config.update("jax_traceback_in_locations_limit", 0)
    try:
        yield
    finally:
        jax.config.update("jax_traceback_in_locations_limit", before)
