"""Read PyTorch's weight files, both zip archives and the older form, as trees of numpy tensors."""

import io
import math
import sys
import zipfile
from typing import Any

import ml_dtypes
import numpy as np

from va_jax.weights import safe_pickle, stand_ins
from va_jax.weights.content import Budget, ContentError
from va_jax.weights.stand_ins import ArrayStandIn, Foreign, checked_shape, unknown

MAGIC = 0x1950A86A20F9469CFC6C
"""First pickle in a file written by torch before 1.6."""

DTYPES = {
    "FloatStorage": np.dtype("f4"),
    "DoubleStorage": np.dtype("f8"),
    "HalfStorage": np.dtype("f2"),
    "BFloat16Storage": np.dtype(ml_dtypes.bfloat16),
    "LongStorage": np.dtype("i8"),
    "IntStorage": np.dtype("i4"),
    "ShortStorage": np.dtype("i2"),
    "CharStorage": np.dtype("i1"),
    "ByteStorage": np.dtype("u1"),
    "BoolStorage": np.dtype("?"),
}


def read_zip(archive: zipfile.ZipFile, budget: Budget) -> tuple[Any, list[str]]:
    """Return the object in a file of torch 1.6 or newer: `*/data.pkl` and `*/data/KEY`.

    The `budget` must already be charged for the members of the archive; the pickle is charged to
    the remainder. The second result is the list of names of the `Foreign` objects in the pickle.
    """
    members = archive.namelist()
    folder = min(name for name in members if name.endswith("/data.pkl")).removesuffix("data.pkl")
    byteorder = f"{folder}byteorder"
    order = archive.read(byteorder).decode() if byteorder in members else "little"
    storages, foreign = _Storages(), []
    file = io.BytesIO(archive.read(f"{folder}data.pkl"))
    tree = safe_pickle.load(file, CONSTRUCTORS, storages.find, budget, foreign)
    _check_end(file)
    for key, storage in storages.items():
        storage.fill(archive.read(f"{folder}data/{key}"), order)
    return tree, foreign


def read_pickle(content: bytes, budget: Budget) -> tuple[Any, list[str]]:
    """Return the object in a pickle of numpy arrays, or in a file written by torch before 1.6.

    The latter is a sequence of pickles: magic number, version, machine, object, and keys of the
    storages. The storages follow, each after its length. All pickles share the `budget`. The second
    result is the list of names of the `Foreign` objects in the pickles.
    """
    file, foreign = io.BytesIO(content), []
    tree = safe_pickle.load(file, CONSTRUCTORS, None, budget, foreign)
    if tree == MAGIC:
        for _ in ("version", "machine"):
            safe_pickle.load(file, budget=budget)
        storages = _Storages()
        tree = safe_pickle.load(file, CONSTRUCTORS, storages.find, budget, foreign)
        keys = safe_pickle.load(file, budget=budget)
        if sorted(keys) != sorted(storages):
            raise ContentError("its list of storages does not match its tensors")
        for key in keys:
            storage = storages[key]
            if int.from_bytes(file.read(8), "little") != storage.count:
                raise ContentError(
                    "one of its storages does not have the length that its tensors state"
                )
            storage.fill(file.read(storage.count * storage.dtype.itemsize), "little")
    _check_end(file)
    return tree, foreign


def _check_end(file: io.BytesIO) -> None:
    if file.read(1):
        raise ContentError("it contains extra data after its end")


class Storage:
    """`count` values of one type, which are stored outside the pickle and filled in later."""

    def __init__(self, dtype: np.dtype, count: int):
        self.dtype, self.count = dtype, count
        self.values = np.empty(0, dtype)

    def fill(self, content: bytes, order: str) -> None:
        """Take over the bytes `content`, whose byte order is "little" or "big"."""
        if order not in ("little", "big"):
            raise ContentError("its byte order is neither little nor big")
        if len(content) != self.count * self.dtype.itemsize:
            raise ContentError(
                f"a storage of {self.count} {self.dtype} values has {len(content)} bytes, expected "
                f"{self.count * self.dtype.itemsize}"
            )
        values = np.ndarray((self.count,), self.dtype, content)
        self.values = values if order == sys.byteorder else values.byteswap()


class _Storages(dict[str, Storage]):
    """Every storage that a pickle refers to, by key."""

    def find(self, pid: Any) -> Storage | Foreign:
        """Return the storage for a persistent id; the same key always gives the same storage.

        Versions of torch before 1.6 also write ids that contain the class of a module and its
        source code. For such an id, return the class as the pickle names it.
        """
        match pid:
            case ("module", Foreign() as kind, *_):
                return kind
            case ("storage", Foreign() as kind, *_):
                raise unknown(kind.name)
            case ("storage", str(kind), str(key), str(), int(count), *view) if kind in DTYPES:
                found = self.setdefault(key, Storage(DTYPES[kind], *checked_shape([count])))
                if (found.dtype, found.count) == (DTYPES[kind], count) and view in ([], [None]):
                    return found
        raise ContentError("one of its persistent ids does not refer to a storage of numbers")


class Tensor(ArrayStandIn):
    """Stands in for a tensor: a view of a storage, with its offset and strides in values."""

    def __init__(self, storage: Any, offset: Any, size: Any, stride: Any, *_: Any):
        self.storage, (self.offset,) = storage, checked_shape([offset])
        self.size, self.stride = checked_shape(size), checked_shape(stride)
        steps = zip(self.size, self.stride, strict=True)
        last = self.offset + sum((n - 1) * step for n, step in steps)
        count = math.prod(self.size)
        if not isinstance(storage, Storage) or count > storage.count:
            raise ContentError(f"a tensor of size {self.size} is larger than its storage")
        if count and last >= storage.count:
            raise ContentError(f"a tensor of size {self.size} extends past the end of its storage")

    def array(self) -> np.ndarray:
        """Return the values as a read-only array; other views of the storage share its memory."""
        strides = [step * self.storage.dtype.itemsize for step in self.stride]
        return np.lib.stride_tricks.as_strided(
            self.storage.values[self.offset :], self.size, strides, writeable=False
        )


def _parameter(tensor: Any, *_: Any) -> Any:
    return tensor


def _with_attributes(constructor: Any, _kind: Any, arguments: Any, _attributes: Any) -> Tensor:
    """Stand in for the function that creates a tensor with attributes, such as an `nn.Buffer`."""
    if constructor is not Tensor:
        raise ContentError("it creates a tensor in an unknown way")
    return Tensor(*arguments)


CONSTRUCTORS: stand_ins.Constructors = {
    **stand_ins.CONSTRUCTORS,
    **{("torch", kind): kind for kind in DTYPES},
    ("torch._utils", "_rebuild_tensor"): Tensor,
    ("torch._utils", "_rebuild_tensor_v2"): Tensor,
    ("torch._utils", "_rebuild_parameter"): _parameter,
    ("torch._utils", "_rebuild_parameter_with_state"): _parameter,
    ("torch._tensor", "_rebuild_from_type_v2"): _with_attributes,
    ("torch", "Tensor"): None,  # only used as an argument
}
"""Every name that a pickle of torch tensors needs."""
