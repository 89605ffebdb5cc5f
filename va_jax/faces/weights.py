"""The weights of MTCNN's three nets, read from the files of the `mtcnn` package."""

import functools
import importlib.util
import io
import math
import pathlib
import pickle
from typing import Any

import numpy as np

from va_jax.schema import InputError

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

        return _ArrayReader(io.BytesIO(lz4.frame.decompress(path.read_bytes()))).load()
    except (ImportError, OSError, EOFError, RuntimeError, LookupError, TypeError, ValueError,
            AttributeError, pickle.UnpicklingError) as error:  # fmt: skip
        raise InputError(
            f"{path}: not a readable list of float32 arrays ({error}); "
            "run `pip install --force-reinstall mtcnn`"
        ) from error


class _StoredArray:
    """Stands in for joblib's array wrapper: facts first, then the bytes follow in the file."""

    def read(self, file: io.BytesIO) -> np.ndarray:
        if self.dtype.code != "f4" or self.order != "C":
            raise pickle.UnpicklingError(f"an array of '{self.dtype.code}' in '{self.order}' order")
        if hasattr(self, "numpy_array_alignment_bytes"):
            file.read(file.read(1)[0])
        count = math.prod(self.shape)
        return np.frombuffer(file.read(4 * count), "<f4", count).reshape(self.shape)


class _StoredType:
    """Stands in for numpy.dtype."""

    def __init__(self, code: str, *_: Any):
        self.code = code

    def __setstate__(self, state: tuple[Any, ...]) -> None:
        if state[1] != "<":
            raise pickle.UnpicklingError(f"byte order '{state[1]}'")


class _ArrayReader(pickle._Unpickler):
    """Reads joblib's arrays; every other name in the file is refused before it is looked up."""

    ADMITTED = {  # noqa: RUF012
        ("joblib.numpy_pickle", "NumpyArrayWrapper"): _StoredArray,
        ("numpy", "ndarray"): None,
        ("numpy", "dtype"): _StoredType,
    }
    dispatch = dict(pickle._Unpickler.dispatch)  # noqa: RUF012

    def __init__(self, file: io.BytesIO):
        super().__init__(file)
        self._arrays_file = file

    def find_class(self, module: str, name: str) -> Any:
        if (module, name) not in self.ADMITTED:
            raise pickle.UnpicklingError(f"it names {module}.{name}")
        return self.ADMITTED[module, name]

    def load_build(self) -> None:
        super().load_build()
        if isinstance(self.stack[-1], _StoredArray):
            self.stack[-1] = self.stack[-1].read(self._arrays_file)

    dispatch[pickle.BUILD[0]] = load_build
