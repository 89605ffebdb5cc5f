"""Arrays of an exported network: `model.safetensors` and, for plain NumPy, `model.npz`."""

import pathlib
import zipfile
from collections.abc import Mapping
from typing import Any

import numpy as np
import safetensors.numpy
from flax.traverse_util import flatten_dict, unflatten_dict

from va_jax.train.exported import ARRAYS as SAFETENSORS
from va_jax.train.exported import EXPORT_AGAIN
from va_jax.types import InputError

NPZ = "model.npz"

MAX_LISTED = 5
"""Maximum number of differing arrays to list in an error message."""


def write(folder: pathlib.Path, variables: Mapping[str, Any]) -> None:
    """Write the variables of a network in both formats.

    Every array is stored with its path as the name, such as `params/backbone/conv1/kernel`.
    """
    arrays = {
        path: np.asarray(value, order="C")  # ascontiguousarray would give scalars an axis
        for path, value in flatten_dict(variables, sep="/").items()
    }
    # safetensors.numpy.save_file would create a file that only its owner can read.
    (folder / SAFETENSORS).write_bytes(safetensors.numpy.save(arrays))
    np.savez(folder / NPZ, allow_pickle=False, **arrays)


def read(folder: pathlib.Path, name: str = SAFETENSORS) -> dict[str, np.ndarray]:
    """Return the arrays in an export by path, read from either of its two files.

    Raises:
        InputError: the file cannot be read.
    """
    path = folder / name
    try:
        if name == SAFETENSORS:
            return safetensors.numpy.load_file(path)
        with np.load(path, allow_pickle=False) as arrays:
            return dict(arrays)
    except (OSError, ValueError, zipfile.BadZipFile, safetensors.SafetensorError) as error:
        raise InputError(f"{path}: the file cannot be read ({error}); {EXPORT_AGAIN}") from error


def read_like(folder: pathlib.Path, target: Mapping[str, Any]) -> dict[str, Any]:
    """Return the variables in an export as a nested dict like `target`.

    Args:
        folder: folder of the export.
        target: variables of the network described by its config, abstract or concrete.

    Raises:
        InputError: the arrays differ from those in `target` in their paths, shapes or types.
    """
    stored, expected = read(folder), flatten_dict(target, sep="/")
    differing = [
        f"{path} ({_layout(stored.get(path))} in the file, "
        f"{_layout(expected.get(path))} in the network)"
        for path in sorted(stored.keys() | expected.keys())
        if _layout(stored.get(path)) != _layout(expected.get(path))
    ]
    if differing:
        more = f" and {len(differing) - MAX_LISTED} more" if len(differing) > MAX_LISTED else ""
        raise InputError(
            f"{folder / SAFETENSORS}: the arrays do not match the network in config.json: "
            f"{', '.join(differing[:MAX_LISTED])}{more}; {EXPORT_AGAIN}"
        )
    return unflatten_dict(stored, sep="/")


def _layout(array: Any) -> str:
    return "absent" if array is None else f"{array.dtype} {tuple(array.shape)}"
