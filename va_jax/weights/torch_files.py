"""PyTorch's files, of its zip form and of the form before, as dicts of numpy-backed tensors."""

import io
import math
import sys
import zipfile
from collections.abc import Mapping
from typing import Any

import ml_dtypes
import numpy as np

from va_jax.weights import safe_pickle
from va_jax.weights.safe_pickle import ContentError, whole

MAGIC = 0x1950A86A20F9469CFC6C
"""The number that is the first pickle of a file of torch before 1.6."""

DTYPES = {
    "FloatStorage": np.dtype(np.float32),
    "DoubleStorage": np.dtype(np.float64),
    "HalfStorage": np.dtype(np.float16),
    "BFloat16Storage": np.dtype(ml_dtypes.bfloat16),
    "LongStorage": np.dtype(np.int64),
    "IntStorage": np.dtype(np.int32),
    "ShortStorage": np.dtype(np.int16),
    "CharStorage": np.dtype(np.int8),
    "ByteStorage": np.dtype(np.uint8),
    "BoolStorage": np.dtype(np.bool_),
}


def read_zip(archive: zipfile.ZipFile) -> Any:
    """The object in a file of torch 1.6 or newer: `*/data.pkl` and `*/data/KEY` in a zip."""
    members = set(archive.namelist())
    folder = min(name for name in members if name.endswith("/data.pkl"))[: -len("data.pkl")]
    order = "little"
    if f"{folder}byteorder" in members:
        order = archive.read(f"{folder}byteorder").decode()
    storages = _Storages()
    file = io.BytesIO(archive.read(f"{folder}data.pkl"))
    tree = safe_pickle.load(file, NAMES, storages.of)
    _end(file)
    for key, storage in storages.items():
        storage.fill(archive.read(f"{folder}data/{key}"), order)
    return tree


def read_pickle(content: bytes) -> Any:
    """The object in a pickle of numpy arrays, or in a file of torch before 1.6.

    The latter is a row of pickles: magic number, version, machine, object, keys of the storages;
    then every storage, its length first.
    """
    file = io.BytesIO(content)
    tree = safe_pickle.load(file, NAMES)
    if tree == MAGIC:
        _version, _machine = safe_pickle.load(file), safe_pickle.load(file)
        storages = _Storages()
        tree = safe_pickle.load(file, NAMES, storages.of)
        keys = safe_pickle.load(file)
        if sorted(keys) != sorted(storages):
            raise ContentError("its tensors and its storages do not belong together")
        for key in keys:
            storage = storages[key]
            if int.from_bytes(file.read(8), "little") != storage.numel:
                raise ContentError("the length of a storage is not what its tensors say")
            storage.fill(file.read(storage.numel * storage.dtype.itemsize), "little")
    _end(file)
    return tree


def _end(file: io.BytesIO) -> None:
    if file.read(1):
        raise ContentError("it goes on after its end")


class Storage:
    """`numel` values of one type, which stand outside the pickle and are filled in after it."""

    def __init__(self, dtype: np.dtype, numel: int):
        self.dtype, self.numel = dtype, numel
        self.values: np.ndarray | None = None

    def fill(self, content: bytes, order: str) -> None:
        """Take `content`, whose byte `order` is "little" or "big"."""
        if order not in ("little", "big"):
            raise ContentError("its byte order is neither little nor big")
        if len(content) != self.numel * self.dtype.itemsize:
            raise ContentError(
                f"a storage of {self.numel} {self.dtype} values has {len(content)} bytes"
            )
        values = np.ndarray((self.numel,), self.dtype, content)
        self.values = values if order == sys.byteorder else values.byteswap()


class _Storages(dict[str, Storage]):
    """Every storage that a pickle asks for, by key."""

    def of(self, pid: Any) -> Storage:
        """The storage of a persistent id; the same for the same key."""
        match pid:
            case ("storage", str(kind), str(key), str(), int(numel), *_) if kind in DTYPES:
                found = self.setdefault(key, Storage(DTYPES[kind], *whole([numel])))
                if (found.dtype, found.numel) == (DTYPES[kind], numel) and pid[5:] in ((), (None,)):
                    return found
        raise ContentError("one of its persistent ids is that of no storage of numbers")


class Tensor:
    """Stands in for a tensor: a view of a storage, by offset, size and stride in values."""

    def __init__(self, storage: Any, offset: Any, size: Any, stride: Any, *_: Any):
        self.storage, (self.offset,) = storage, whole([offset])
        self.size, self.stride = whole(size), whole(stride)
        steps = zip(self.size, self.stride, strict=True)
        last = self.offset + sum((n - 1) * step for n, step in steps)
        count = math.prod(self.size)
        if not isinstance(storage, Storage) or count > storage.numel:
            raise ContentError(f"a tensor of size {self.size} claims more than its storage holds")
        if count and last >= storage.numel:
            raise ContentError(f"a tensor of size {self.size} reaches beyond its storage")

    def array(self) -> np.ndarray:
        """The tensor's values, read-only, sharing memory with other views of the storage."""
        strides = [step * self.storage.dtype.itemsize for step in self.stride]
        return np.lib.stride_tricks.as_strided(
            self.storage.values[self.offset :], self.size, strides, writeable=False
        )


def _parameter(tensor: Any, *_: Any) -> Any:
    """Stands in for the function that makes a parameter of a tensor."""
    return tensor


NAMES: Mapping[tuple[str, str], Any] = {
    **safe_pickle.NAMES,
    **{("torch", kind): kind for kind in DTYPES},
    ("torch._utils", "_rebuild_tensor"): Tensor,
    ("torch._utils", "_rebuild_tensor_v2"): Tensor,
    ("torch._utils", "_rebuild_parameter"): _parameter,
}
"""What pickles of torch tensors name, and our own that takes its place."""
