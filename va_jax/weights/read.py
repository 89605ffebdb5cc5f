"""Other people's weight files, of many formats, as numpy arrays by name; nothing in them is run."""

import io
import lzma
import pathlib
import re
import struct
import zipfile
import zlib
from collections.abc import Iterable, Iterator
from typing import Any

import ml_dtypes
import numpy as np
import safetensors

from va_jax.types import InputError
from va_jax.weights import matlab, torch_files
from va_jax.weights.safe_pickle import ContentError, named_arrays, shown

LEGAL = ".safetensors, .npz, torch .pth, pickled numpy arrays, MatConvNet .mat, Keras .weights.h5"

SAFETENSORS = {
    "F64": np.float64,
    "F32": np.float32,
    "F16": np.float16,
    "BF16": ml_dtypes.bfloat16,
    "I64": np.int64,
    "I32": np.int32,
    "I16": np.int16,
    "I8": np.int8,
    "U64": np.uint64,
    "U32": np.uint32,
    "U16": np.uint16,
    "U8": np.uint8,
    "BOOL": np.bool_,
}

LONGEST_HEADER = 100_000_000
"""Bytes of JSON that a .safetensors file may start with, by its own rules."""

DENSEST = 1032
"""Bytes that deflate makes of one byte at most; an HDF5 data set that claims more is lying."""

FOREIGN = (  # how other files begin, and what they are
    (b"\x93NUMPY", "a single numpy array"),
    (b"MATLAB 7.3", "a MATLAB 7.3 file; in MATLAB, save it with '-v7'"),
    (b"PK", "a zip archive of other things; of a .keras model, unpack model.weights.h5"),
    (b"\x1f\x8b", "a gzip archive"),
    (b"BZh", "a bzip2 archive"),
    (b"\xfd7zXZ", "an xz archive"),
    (b"\x04\x22\x4d\x18", "an lz4 archive"),
    (b"<", "a web page, perhaps in place of a failed download"),
    (b"version https://git-lfs", "a pointer of git-lfs; run `git lfs pull`"),
)

FOREIGN_SUFFIXES = {
    ".onnx": "an ONNX model",
    ".index": "a TensorFlow checkpoint",
    ".data": "a TensorFlow checkpoint",
    ".pb": "a TensorFlow graph",
    ".tflite": "a TensorFlow Lite model",
    ".tar": "a tar archive",
    ".caffemodel": "a Caffe model",
}

BROKEN = (
    ArithmeticError, AttributeError, EOFError, LookupError, MemoryError, OSError, RuntimeError,
    TypeError, ValueError, lzma.LZMAError, struct.error, zlib.error,
    zipfile.BadZipFile, safetensors.SafetensorError,
)  # fmt: skip
"""What the readers of the formats raise for a file that is cut off or damaged."""


def read(path: pathlib.Path) -> dict[str, np.ndarray]:
    """The arrays of a weight file by name, told apart by its content, not by its extension.

    Floats come as float32, integers and booleans as they are, axes as stored; an array may be
    read-only and share memory with another. Names are the file's own: nested dicts are joined
    by ".", a checkpoint is reduced to its state dict, and a "module." that starts every name
    (torch's DataParallel) is taken off. A MatConvNet net gives "LAYER.weight", HWIO,
    "LAYER.bias" and "averageImage"; Keras HDF5 the path of every data set, without ":0".

    Raises InputError, one line, where the file is missing, foreign, damaged or holds more than
    arrays; a pickle that names anything else is refused before anything happens.
    """
    try:
        with path.open("rb") as file:
            head = file.read(512)
    except OSError as error:
        raise InputError(f"{path} cannot be read ({error.strerror}); give a weight file") from error
    try:
        return _named(_arrays(path, head))
    except InputError:
        raise
    except ContentError as error:
        reason, cause = str(error), error
    except BROKEN as error:
        reason = f"it is cut off or broken ({' '.join(str(error).split())[:120]})"
        cause = error
    raise InputError(
        f"{path}: {reason}; fetch it again, or save nothing but its arrays as .safetensors"
    ) from cause


def _arrays(path: pathlib.Path, head: bytes) -> Iterable[tuple[str, np.ndarray]]:
    """The names and arrays of a file that starts with `head`, as stored."""
    if head.startswith(b"PK\3\4"):
        return _zip(path, head)
    if head.startswith(b"\x89HDF\r\n\x1a\n"):
        return _hdf5(path)
    if head.startswith(b"MATLAB 5.0"):
        return matlab.matconvnet_arrays(path.read_bytes())
    if head[8:9] == b"{" and int.from_bytes(head[:8], "little") <= LONGEST_HEADER:
        return _safetensors(path)
    if re.match(rb"[\x80(}]|c[\w.]+\n\w+\n", head):
        return named_arrays(torch_files.read_pickle(path.read_bytes()))
    raise _foreign(path, head)


def _foreign(path: pathlib.Path, head: bytes) -> InputError:
    """What to say of a file that is none of the legal ones."""
    if not head:
        return InputError(f"{path} is empty; fetch it again")
    told = FOREIGN_SUFFIXES.get(path.suffix.split("-")[0], "no weight file known here")
    if head[257:262] == b"ustar":
        told = "a tar archive"
    told = next((kind for start, kind in FOREIGN if head.startswith(start)), told)
    return InputError(f"{path} seems to be {told}; legal are {LEGAL}")


def _named(pairs: Iterable[tuple[str, np.ndarray]]) -> dict[str, np.ndarray]:
    """The arrays as users of this module get them: see `read`."""
    arrays: dict[str, np.ndarray] = {}
    for name, array in pairs:
        if name in arrays:
            raise ContentError(f"it has two arrays named '{shown(name)}'")
        if array.dtype.kind == "f" or array.dtype == ml_dtypes.bfloat16:
            arrays[name] = array.astype(np.float32, copy=False)
        elif array.dtype.kind in "biu":
            arrays[name] = array.astype(array.dtype.newbyteorder("="), copy=False)
        else:
            raise ContentError(
                f"its array '{shown(name)}' holds {array.dtype.str[:20]}, not numbers"
            )
    if not arrays:
        raise ContentError("it holds no array")
    if all(name.startswith("module.") for name in arrays):
        return {name.removeprefix("module."): array for name, array in arrays.items()}
    return arrays


def _zip(path: pathlib.Path, head: bytes) -> Iterable[tuple[str, np.ndarray]]:
    with zipfile.ZipFile(path) as archive:
        names = archive.namelist()
        if any(name.endswith("/data.pkl") for name in names):
            return named_arrays(torch_files.read_zip(archive))
        if all(name.endswith(".npy") for name in names):
            return [(name.removesuffix(".npy"), _npy(archive.read(name))) for name in names]
    raise _foreign(path, head)


def _npy(content: bytes) -> np.ndarray:
    """The array of one member of an .npz; refuses a shape that its bytes do not fill."""
    file = io.BytesIO(content)
    if np.lib.format.read_magic(file) == (1, 0):
        shape, fortran, dtype = np.lib.format.read_array_header_1_0(file)
    else:
        shape, fortran, dtype = np.lib.format.read_array_header_2_0(file)
    if dtype.hasobject:  # numpy would take the bytes for pointers
        raise ContentError("one of its arrays holds objects, not numbers")
    return np.ndarray(shape, dtype, content, file.tell(), order="F" if fortran else "C")


def _safetensors(path: pathlib.Path) -> Iterator[tuple[str, np.ndarray]]:
    """Decoded here, for the numpy interface of the package knows no bfloat16."""
    for name, tensor in safetensors.deserialize(path.read_bytes()):
        if tensor["dtype"] not in SAFETENSORS:
            raise ContentError(
                f"its array '{shown(name)}' holds {tensor['dtype']}, not numbers of numpy"
            )
        yield name, np.ndarray(tensor["shape"], SAFETENSORS[tensor["dtype"]], tensor["data"])


def _hdf5(path: pathlib.Path) -> list[tuple[str, np.ndarray]]:
    """Every data set of a Keras file; links to other files are not followed."""
    try:
        import h5py
    except ImportError as error:
        raise InputError(f"{path} is an HDF5 file; to read it, run `pip install h5py`") from error
    pairs = []

    def collect(name: str, node: Any) -> None:
        if isinstance(node, h5py.Dataset):
            if node.external or node.is_virtual:
                raise ContentError(f"'{shown(name)}' lies in another file")
            if node.shape is None or node.nbytes > DENSEST * node.id.get_storage_size():
                raise ContentError(f"'{shown(name)}' claims more values than it stores")
            pairs.append((name.removesuffix(":0"), node[()]))

    with h5py.File(path, "r") as file:
        file.visititems(collect)
    return pairs
