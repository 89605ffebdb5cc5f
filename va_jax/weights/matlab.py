"""Read MatConvNet's nets from MATLAB 5 files with scipy, after checking the file's structure.

scipy trusts the types and sizes in a file: a single wrong byte may make it crash or allocate
gigabytes.
"""

import io
import math
import struct
import zlib
from collections.abc import Iterator
from typing import Any

import numpy as np

from va_jax.weights.content import Budget, ContentError
from va_jax.weights.stand_ins import checked_shape

UINT32, MATRIX, COMPRESSED = 6, 14, 15
VALUES = (1, 2, 3, 4, 5, 6, 7, 9, 12, 13, 16, 17, 18)
"""Types of elements that contain numbers or text."""

CELL, STRUCT, CHAR = 1, 2, 4
NUMBERS = range(6, 16)
"""Accepted classes of arrays; sparse arrays, functions and objects are refused."""

COMPLEX = 0x800
"""Flag of a complex array, in the same word as its class."""

NUMBER_BYTES = 8
"""Bytes of memory that a number or a character takes, even if the file stores it in one byte."""

ELEMENT_BYTES = 256
"""Bytes that an element takes besides its content: a view of it, and scipy's array."""

MAX_DEPTH = 16
"""Maximum nesting depth of cells and structs (our choice)."""


def matconvnet_arrays(content: bytes, budget: Budget) -> Iterator[tuple[str, np.ndarray]]:
    """Yield the weights of a SimpleNN net, stored as the file's variables or as its variable `net`.

    The names are "LAYER.weight" (HWIO), "LAYER.bias" and "averageImage". A layer's arrays are in
    its cell array `weights` or, in older nets, in `filters` and `biases`; batch normalization adds
    "LAYER.moments". The `budget` is charged for inflated variables and their arrays.
    """
    import scipy.io  # takes 0.4 s, and no other file type needs it

    order = {b"IM": "<", b"MI": ">"}[content[126:128]]
    file = io.BytesIO(content[:128] + b"".join(_checked_variables(content[128:], order, budget)))
    net: dict[str, Any] = scipy.io.loadmat(file, mat_dtype=True)
    net = _fields(net.get("net")) or net
    layers = _cells(net.get("layers"))
    if not layers:
        raise ContentError("it has no cell array 'layers', so it is not a MatConvNet network")
    for layer in map(_fields, layers):
        arrays = _cells(layer.get("weights")) or [layer.get("filters"), layer.get("biases")]
        for kind, array in zip(("weight", "bias", "moments"), arrays, strict=False):
            if isinstance(array, np.ndarray) and array.size:
                name = f"{layer['name'].item()}.{kind}"
                yield name, array.reshape(-1) if kind == "bias" else array  # a row or a column
    meta = _fields(net.get("meta"))
    normalization = _fields(meta.get("normalization", net.get("normalization")))
    if "averageImage" in normalization:
        yield "averageImage", normalization["averageImage"]


def _fields(value: Any) -> dict[str, Any]:
    """Return the fields of a single struct; {} for any other value."""
    if isinstance(value, np.ndarray) and value.dtype.names and value.size == 1:
        return dict(zip(value.dtype.names, value.item(), strict=True))
    return {}


def _cells(value: Any) -> list[Any]:
    """Return the values of a cell array; [] for any other value."""
    return list(value.flat) if isinstance(value, np.ndarray) and value.dtype == object else []


def _checked_variables(content: bytes, order: str, budget: Budget) -> Iterator[bytes]:
    """Yield every variable, uncompressed and checked, as an element of a MATLAB file."""
    for kind, data in _elements(memoryview(content), order, budget):
        if kind == COMPRESSED:
            ((kind, data),) = _elements(memoryview(_inflated(data, budget)), order, budget)
        _check_array(kind, data, order, budget)
        yield struct.pack(f"{order}2I", kind, len(data)) + data


def _inflated(data: memoryview, budget: Budget) -> bytes:
    inflater = zlib.decompressobj()
    content = inflater.decompress(data, budget.left + 1)
    budget.spend(len(content))
    if not inflater.eof:
        raise ContentError("one of its variables is cut off")
    return content


def _elements(content: memoryview, order: str, budget: Budget) -> Iterator[tuple[int, memoryview]]:
    """Yield the type and content of each element in turn."""
    while content:
        budget.spend(ELEMENT_BYTES)
        kind, size = struct.unpack_from(f"{order}2I", content)
        start, padding = 8, 0 if kind == COMPRESSED else -size % 8
        if kind >> 16:  # a small element: size and type share four bytes, and four follow
            kind, size, start, padding = kind & 0xFFFF, kind >> 16, 4, 4 - (kind >> 16)
        end = start + size + padding
        if padding < 0 or end > len(content):
            raise ContentError("one of its elements extends past the end of the data")
        yield kind, content[start : start + size]
        content = content[end:]


def _check_array(
    kind: int, content: memoryview, order: str, budget: Budget, depth: int = 0
) -> None:
    """Refuse an array, a cell array or a struct that scipy could not read safely.

    The elements of each are the flags, the size and the name, followed by the values.
    """
    _expect(kind == MATRIX and depth <= MAX_DEPTH)
    if not content:
        return
    (flags_kind, flags), (dims_kind, dims), (name_kind, _), *parts = _elements(
        content, order, budget
    )
    _expect((flags_kind, len(flags)) == (UINT32, 8) and {dims_kind, name_kind} <= {*VALUES})
    (flags,) = struct.unpack_from(f"{order}I", flags)
    shape = checked_shape(np.frombuffer(dims, f"{order}i4").tolist())
    count, array_class = math.prod(shape), flags & 0xFF
    _expect(len(shape) > 1 and not flags & COMPLEX)
    if array_class in (CELL, STRUCT):
        if array_class == STRUCT:
            (width_kind, width), (names_kind, names), *parts = parts
            (width,) = struct.unpack(f"{order}i", width)
            _expect({width_kind, names_kind} <= {*VALUES} and width > 0)
            _expect(len(names) % width == 0)
            count *= len(names) // width
        _expect(len(parts) == count)
        for part in parts:
            _check_array(*part, order, budget, depth + 1)
    else:
        ((values_kind, values),) = parts
        _expect(values_kind in VALUES and (array_class == CHAR or array_class in NUMBERS))
        _expect(count <= len(values))
        budget.spend(NUMBER_BYTES * count)


def _expect(condition: bool) -> None:
    if not condition:
        raise ContentError(
            "one of its arrays is damaged, or does not contain numbers, text, cells or structs"
        )
