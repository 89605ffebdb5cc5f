"""Read the arrays in other projects' weight files, of many file types, without running any code."""

import pathlib
import re
import zipfile
from collections.abc import Iterable, Iterator
from typing import Any

import ml_dtypes
import numpy as np
import safetensors

from va_jax.types import InputError
from va_jax.weights import content, torch_files, torch_modules
from va_jax.weights.content import Budget, ContentError
from va_jax.weights.matlab import matconvnet_arrays
from va_jax.weights.stand_ins import ArrayStandIn, Dict, printable, unknown
from va_jax.weights.torch_modules import is_module

LEGAL = ".safetensors, .npz, torch .pth, pickled numpy arrays, MatConvNet .mat, Keras .weights.h5"

SAFETENSORS = {
    **{"F64": "f8", "F32": "f4", "F16": "f2", "BF16": ml_dtypes.bfloat16, "BOOL": "?"},
    **{"I64": "i8", "I32": "i4", "I16": "i2", "I8": "i1"},
    **{"U64": "u8", "U32": "u4", "U16": "u2", "U8": "u1"},
}
"""Type in a file -> numpy type; the safetensors package itself lacks bfloat16 for numpy."""

MAX_HEADER_BYTES = 100_000_000
"""Length of the longest JSON header that the safetensors format allows."""

ARRAY_BYTES = 512
"""Bytes charged for every array besides its values; a view of a storage takes about this much."""

MAX_DEPTH = 16
"""Maximum nesting depth of dicts in a weight file (our choice)."""

WRAPPERS = ("state_dict", "model_state_dict", "model_state", "model")
"""Keys for the weights in a checkpoint that also contains its epoch and optimizer."""

TORCHSCRIPT_REMEDY = (
    "save its weights in torch with torch.save(torch.jit.load('model.pt').state_dict(), "
    "'weights.pth')"
)

FOREIGN = (  # first bytes of a file of a different kind, and that kind
    (b"MATLAB 7.3", "a MATLAB 7.3 file; save it in MATLAB again with '-v7'"),
    (b"PK", "a zip archive of other files; if it is a .keras model, extract model.weights.h5"),
    (b"\x08", "an ONNX model; use the .pt or .safetensors file of the same network"),
    (b"<", "a web page, perhaps from a failed download; download the file again"),
    (b"version https://git-lfs", "a Git LFS pointer; run `git lfs pull`"),
    (b"", "a file of an unknown type"),
)


def read(path: pathlib.Path, needed: int = 0) -> dict[str, np.ndarray]:
    """Read the arrays in a weight file by name; the content determines its type, not the extension.

    Args:
        path: path to the weight file.
        needed: size, in bytes, of the network that the weights are for; the file may always take
            enough memory for it.

    Returns:
        name -> array. Floats become float32, integers and booleans keep their type, and axes stay
        as stored. An array may be read-only, and may share memory with another one. Names are those
        in the file. The keys of nested dicts are joined by ".", and a whole torch module gives the
        names in its state dict. A checkpoint is reduced to its state dict or module. If every name
        starts with "module." (from torch's DataParallel), this prefix is removed. A MatConvNet net
        gives "LAYER.weight" (HWIO), "LAYER.bias" and "averageImage"; Keras HDF5 gives the path of
        every data set, without ":0".

    Raises:
        InputError: the file is missing, is damaged, has an unknown type, contains more than arrays,
            or would take far more memory than a file of its size needs. Nothing that a pickle names
            is imported or called. Unknown classes and functions are ignored in a whole torch
            module, except in its parameters and buffers, and refused anywhere else.
    """
    try:
        with path.open("rb") as file:
            head = file.read(512)
        most = content.limit(path.stat().st_size, needed)
    except OSError as error:
        raise InputError(
            f"{path}: cannot be read ({error.strerror}); give the path of a weight file"
        ) from error
    try:
        return _checked(_stored_arrays(path, head, most), Budget(most))
    except InputError:
        raise
    except ContentError as error:
        reason, cause = str(error), error
    except Exception as error:  # on a damaged file, the readers may raise almost any exception
        reason = f"it is cut off or damaged ({' '.join(str(error).split())[:120]})"
        cause = error
    raise InputError(
        f"{path}: {reason}; download it again, or save only its arrays as .safetensors"
    ) from cause


def _stored_arrays(path: pathlib.Path, head: bytes, most: int) -> Iterable[tuple[str, np.ndarray]]:
    """Return the names and arrays, as stored, in a file that starts with `head`.

    Reading takes at most `most` bytes of memory in addition to the size of the file.
    """
    budget = Budget(most)
    if head.startswith(b"PK\3\4"):
        return _read_zip(path, head, budget)
    if head.startswith(b"\x89HDF\r\n\x1a\n"):
        return _read_hdf5(path, budget)
    if head.startswith(b"MATLAB 5.0"):
        return matconvnet_arrays(path.read_bytes(), budget)
    if head[8:9] == b"{" and int.from_bytes(head[:8], "little") <= MAX_HEADER_BYTES:
        return _read_safetensors(path)
    if re.match(rb"[\x80(}]|c[\w.]+\n\w+\n", head):
        return _named_arrays(*torch_files.read_pickle(path.read_bytes(), budget), budget)
    raise _foreign(path, head)


def _foreign(path: pathlib.Path, head: bytes) -> InputError:
    """Return the error for a file whose type is not supported."""
    if not head:
        return InputError(f"{path} is empty; download it again")
    kind = next(kind for start, kind in FOREIGN if head.startswith(start))
    return InputError(f"{path} seems to be {kind}; expected one of {LEGAL}")


def _checked(pairs: Iterable[tuple[str, np.ndarray]], budget: Budget) -> dict[str, np.ndarray]:
    """Return the arrays as described in `read`, or raise a ContentError.

    Many views of a few values are charged like copies, because they become copies later.
    """
    arrays: dict[str, np.ndarray] = {}
    for name, array in pairs:
        if name in arrays:
            raise ContentError(f"it has two arrays named '{printable(name)}'")
        budget.spend(ARRAY_BYTES + len(name))
        if array.dtype.kind == "f" or array.dtype == ml_dtypes.bfloat16:
            budget.spend(4 * array.size)
            arrays[name] = array.astype(np.float32, copy=False)
        elif array.dtype.kind in "biu":
            budget.spend(array.nbytes)
            arrays[name] = array.astype(array.dtype.newbyteorder("="), copy=False)
        else:
            raise ContentError(
                f"its array '{printable(name)}' has the type {array.dtype.str[:20]}, which is not "
                "numeric"
            )
    if not arrays:
        raise ContentError("it does not contain any arrays")
    if all(name.startswith("module.") for name in arrays):
        return {name.removeprefix("module."): array for name, array in arrays.items()}
    return arrays


def _named_arrays(
    tree: Any, foreign: list[str], budget: Budget
) -> Iterator[tuple[str, np.ndarray]]:
    """Return the arrays in nested dicts or a module by name; a checkpoint yields only its weights.

    Args:
        tree: content of a pickle.
        foreign: the classes and functions named in the pickle that have no constructor here.
        budget: memory that may still be taken.
    """
    weights = tree
    if isinstance(tree, Dict):
        wrapped = (tree[key] for key in WRAPPERS if key in tree)
        weights = next((w for w in wrapped if isinstance(w, Dict) or is_module(w)), tree)
    if is_module(weights):
        torch_modules.refuse_foreign(tree, weights)
        return torch_modules.named_arrays(weights, budget)
    if foreign:
        raise unknown(foreign[0])
    if not isinstance(weights, Dict):
        raise ContentError("it does not contain a dict of named arrays")
    return _leaves(weights, (), set())


def _leaves(tree: Dict, keys: tuple[str, ...], seen: set[int]) -> Iterator[tuple[str, np.ndarray]]:
    if len(keys) > MAX_DEPTH or id(tree) in seen:
        raise ContentError(
            f"its dicts are nested more than {MAX_DEPTH} levels deep, or one of them is used twice"
        )
    seen.add(id(tree))
    for key, value in tree.items():
        if isinstance(value, Dict):
            yield from _leaves(value, (*keys, str(key)), seen)
        elif isinstance(value, ArrayStandIn):
            yield ".".join((*keys, str(key))), value.array()


def _read_zip(path: pathlib.Path, head: bytes, budget: Budget) -> Iterable[tuple[str, np.ndarray]]:
    with zipfile.ZipFile(path) as archive:
        names = archive.namelist()
        budget.spend(sum(member.file_size for member in archive.infolist()))
        if any(name.endswith("/data.pkl") for name in names):
            if any(name.endswith("/constants.pkl") for name in names):
                raise InputError(f"{path} is a TorchScript archive; {TORCHSCRIPT_REMEDY}")
            return _named_arrays(*torch_files.read_zip(archive, budget), budget)
    if all(name.endswith(".npy") for name in names):
        with np.load(path, allow_pickle=False) as arrays:
            return list(arrays.items())
    raise _foreign(path, head)


def _read_safetensors(path: pathlib.Path) -> Iterator[tuple[str, np.ndarray]]:
    for name, tensor in safetensors.deserialize(path.read_bytes()):
        if tensor["dtype"] not in SAFETENSORS:
            raise ContentError(
                f"its array '{printable(name)}' has the type {tensor['dtype']}, which numpy does "
                "not support"
            )
        yield name, np.ndarray(tensor["shape"], SAFETENSORS[tensor["dtype"]], tensor["data"])


def _read_hdf5(path: pathlib.Path, budget: Budget) -> list[tuple[str, np.ndarray]]:
    """Return every data set in a Keras file, without following links to other files."""
    try:
        import h5py
    except ImportError as error:
        raise InputError(f"{path} is an HDF5 file; to read it, run `pip install h5py`") from error
    pairs = []

    def collect(name: str, node: Any) -> None:
        if isinstance(node, h5py.Dataset):
            if node.external or node.is_virtual:
                raise ContentError(f"the values of '{printable(name)}' are stored in another file")
            if node.shape is None:
                raise ContentError(f"'{printable(name)}' has no values")
            budget.spend(node.nbytes)
            pairs.append((name.removesuffix(":0"), node[()]))

    with h5py.File(path, "r") as file:
        file.visititems(collect)
    return pairs
