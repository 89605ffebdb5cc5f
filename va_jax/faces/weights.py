"""The weights of MTCNN's three nets, read from the files of the `mtcnn` package."""

import functools
import importlib.util
import io
import math
import pathlib
from typing import Any

import numpy as np

from va_jax.types import InputError
from va_jax.weights import safe_pickle
from va_jax.weights.safe_pickle import ContentError

PARAMETERS = {"pnet": 6_632, "rnet": 100_178, "onet": 389_040}


@functools.cache
def load_weights() -> dict[str, list[np.ndarray]]:
    """Kernels (HWIO), biases and PReLU slopes of the three nets, in order, from the package.

    Raises InputError where the package is absent or its files hold anything but such arrays.
    """
    spec = importlib.util.find_spec("mtcnn")
    if spec is None or not spec.submodule_search_locations:
        raise InputError("the face detector's weights are not installed; run `pip install mtcnn`")
    folder = pathlib.Path(spec.submodule_search_locations[0]) / "assets" / "weights"
    weights = {}
    for net, parameters in PARAMETERS.items():
        weights[net] = read_arrays(folder / f"{net}.lz4")
        found = sum(array.size for array in weights[net])
        if found != parameters:
            raise InputError(
                f"{folder / net}.lz4 holds {found} parameters, not {parameters}; "
                "run `pip install --force-reinstall mtcnn`"
            )
    return weights


def read_arrays(path: pathlib.Path) -> list[np.ndarray]:
    """The float32 arrays of an lz4 joblib file, read without running anything the file names."""
    try:
        import lz4.frame  # comes with the mtcnn package

        file = io.BytesIO(lz4.frame.decompress(path.read_bytes()))
        wrapper = functools.partial(_StoredArray, file)
        names = {**safe_pickle.NAMES, ("joblib.numpy_pickle", "NumpyArrayWrapper"): wrapper}
        return [stored.array for stored in safe_pickle.load(file, names)]
    except (ImportError, OSError, EOFError, RuntimeError, AttributeError, TypeError,
            ValueError) as error:  # fmt: skip
        raise InputError(
            f"{path}: not a readable list of float32 arrays ({error}); "
            "run `pip install --force-reinstall mtcnn`"
        ) from error


class _StoredArray:
    """Stands in for joblib's array wrapper: facts first, then the bytes follow in the file."""

    def __init__(self, file: io.BytesIO):
        self._file = file

    def build(self, facts: dict[str, Any]) -> None:
        shape, dtype = safe_pickle.whole(facts["shape"]), facts["dtype"].dtype
        if dtype != np.float32 or facts["order"] != "C":
            raise ContentError(f"an array of {dtype} in {facts['order']} order")
        if "numpy_array_alignment_bytes" in facts:
            self._file.read(self._file.read(1)[0])
        count = math.prod(shape)
        self.array = np.frombuffer(self._file.read(4 * count), "<f4", count).reshape(shape)
