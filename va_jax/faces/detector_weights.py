"""Read the weights of the three MTCNN nets from the files in the `mtcnn` package."""

import functools
import importlib.util
import io
import math
import pathlib
from typing import Any

import numpy as np

from va_jax.types import InputError
from va_jax.weights import safe_pickle
from va_jax.weights.content import ContentError
from va_jax.weights.stand_ins import CONSTRUCTORS, StandIn, checked_shape

PARAMETERS = {"pnet": 6_632, "rnet": 100_178, "onet": 389_040}
"""Number of parameters in each net."""

REINSTALL = "run `pip install --force-reinstall mtcnn`"


@functools.cache
def load_weights() -> dict[str, list[np.ndarray]]:
    """Return the kernels (HWIO), biases and PReLU slopes of each net, in layer order.

    Raises:
        InputError: the package is missing, or its files contain anything except these arrays.
    """
    spec = importlib.util.find_spec("mtcnn")
    if spec is None or not spec.submodule_search_locations:
        raise InputError("The weights of the face detector are missing; run `pip install mtcnn`")
    folder = pathlib.Path(spec.submodule_search_locations[0]) / "assets" / "weights"
    weights = {}
    for net, parameters in PARAMETERS.items():
        path = folder / f"{net}.lz4"
        weights[net] = read_arrays(path)
        found = sum(array.size for array in weights[net])
        if found != parameters:
            raise InputError(
                f"{path}: contains {found} parameters; expected {parameters}; {REINSTALL}"
            )
    return weights


def read_arrays(path: pathlib.Path) -> list[np.ndarray]:
    """Return the float32 arrays in an lz4 joblib file, without executing any code it refers to.

    Raises:
        InputError: the file is not a list of float32 arrays.
    """
    try:
        import lz4.frame  # installed with the mtcnn package

        file = io.BytesIO(lz4.frame.decompress(path.read_bytes()))
        wrapper = functools.partial(_StoredArray, file)
        joblib = {("joblib.numpy_pickle", "NumpyArrayWrapper"): wrapper}
        stored = safe_pickle.load(file, {**CONSTRUCTORS, **joblib})
        return [each.array for each in stored]
    except (ImportError, OSError, EOFError, RuntimeError, AttributeError, TypeError,
            ValueError) as error:  # fmt: skip
        raise InputError(
            f"{path}: not a readable list of float32 arrays ({error}); {REINSTALL}"
        ) from error


class _StoredArray(StandIn):
    """Stand-in for joblib's array wrapper, whose state is followed by the array's bytes."""

    def __init__(self, file: io.BytesIO):
        self._file = file

    def set_state(self, state: dict[str, Any]) -> None:
        shape, dtype = checked_shape(state["shape"]), state["dtype"].dtype
        if dtype != np.float32 or state["order"] != "C":
            raise ContentError(f"contains a {dtype} array in {state['order']} order")
        if "numpy_array_alignment_bytes" in state:
            self._file.read(self._file.read(1)[0])
        count = math.prod(shape)
        self.array = np.frombuffer(self._file.read(4 * count), "<f4", count).reshape(shape)
