"""MatConvNet's nets, and the MATLAB 5 files they come in, read here within their bounds."""

import math
import struct
import zlib
from collections.abc import Iterator
from typing import Any

import numpy as np

from va_jax.weights.safe_pickle import ContentError, whole

STORED = {
    1: "i1", 2: "u1", 3: "i2", 4: "u2", 5: "i4", 6: "u4", 7: "f4", 9: "f8", 12: "i8", 13: "u8",
}  # fmt: skip
"""Types of the elements that hold numbers; MATLAB stores an array in the smallest that fits."""

ENCODINGS = {1: "latin1", 2: "latin1", 4: "utf-16", 16: "utf-8", 17: "utf-16", 18: "utf-32"}
"""Types of the elements that hold text."""

MATRIX, COMPRESSED = 14, 15
"""Types of the elements that hold others."""

CELL, STRUCT, CHAR = 1, 2, 4
NUMBERS = {
    6: "f8", 7: "f4", 8: "i1", 9: "u1", 10: "i2", 11: "u2", 12: "i4", 13: "u4", 14: "i8", 15: "u8",
}  # fmt: skip
"""Classes of arrays."""

COMPLEX = 0x800
"""Flag of an array beside its class."""

DEEPEST = 16
"""Cells and structs nested deeper than this are no net (ours)."""


def matconvnet_arrays(content: bytes) -> Iterator[tuple[str, np.ndarray]]:
    """The weights of a simple net by "LAYER.weight", HWIO, "LAYER.bias" and "averageImage".

    A layer's are in `weights`, in older nets in `filters` and `biases`; batch normalisation adds
    "LAYER.moments". The net is the file's variables or its variable `net`.
    """
    net = read_variables(content)
    net = net["net"] if isinstance(net.get("net"), dict) else net
    if not isinstance(net.get("layers"), list):
        raise ContentError("it has no cell array 'layers', so it is no MatConvNet net")
    for layer in net["layers"]:
        arrays = layer.get("weights")
        if not isinstance(arrays, list):
            arrays = [layer.get("filters"), layer.get("biases")]
        for kind, array in zip(("weight", "bias", "moments"), arrays, strict=False):
            if isinstance(array, np.ndarray) and array.size:
                name = f"{layer['name']}.{kind}"
                yield name, array.reshape(-1) if kind == "bias" else array  # a row or a column
    meta = net["meta"] if isinstance(net.get("meta"), dict) else {}
    normalization = meta.get("normalization", net.get("normalization"))
    if isinstance(normalization, dict) and "averageImage" in normalization:
        yield "averageImage", normalization["averageImage"]


def read_variables(content: bytes) -> dict[str, Any]:
    """The variables of a MATLAB 5 file by name, their axes as in MATLAB.

    Arrays of numbers are arrays, char arrays text, cell arrays lists, a struct a dict and an
    array of structs a list of dicts; what is none of these (functions, objects, sparse and
    complex arrays) is None.
    """
    order = {b"IM": "<", b"MI": ">"}[content[126:128]]
    return dict(_array(element, order) for element in _elements(memoryview(content)[128:], order))


def _elements(content: memoryview, order: str) -> Iterator[tuple[int, memoryview]]:
    """Type and content of the data elements that stand in a row."""
    while content:
        kind, size = struct.unpack_from(f"{order}2I", content)
        start, padding = 8, 0 if kind == COMPRESSED else -size % 8
        if kind >> 16:  # a small element: size and type share four bytes, and four follow
            kind, size, start, padding = kind & 0xFFFF, kind >> 16, 4, 4 - (kind >> 16)
        end = start + size + padding
        if padding < 0 or end > len(content):
            raise ContentError("an element of it reaches beyond its end")
        if kind == COMPRESSED:
            yield from _elements(memoryview(zlib.decompress(content[start:end])), order)
        else:
            yield kind, content[start : start + size]
        content = content[end:]


def _array(element: tuple[int, memoryview], order: str, depth: int = 0) -> tuple[str, Any]:
    """Name and value of one array of any class: flags, size, name, and what the class asks for."""
    if element[0] != MATRIX or depth > DEEPEST:
        raise ContentError("it has no array where one belongs, or too many in one another")
    parts = list(_elements(element[1], order))
    if not parts:
        return "", None
    (flags,) = struct.unpack_from(f"{order}I", parts[0][1])
    kind = flags & 0xFF
    if kind not in (CELL, STRUCT, CHAR, *NUMBERS) or flags & COMPLEX:
        return "", None
    (_, dims), (_, name), *parts = parts[1:]
    dims = whole(np.frombuffer(dims, f"{order}i4").tolist())
    if kind == CHAR:
        value = _text(*parts[0], order)
    elif kind in NUMBERS:
        stored = np.frombuffer(parts[0][1], order + STORED[parts[0][0]])
        value = stored.astype(NUMBERS[kind], copy=False).reshape(dims, order="F")
    elif kind == CELL:
        value = [_array(part, order, depth + 1)[1] for part in parts]
        _expect(len(value), math.prod(dims))
    else:
        value = _struct(parts, math.prod(dims), order, depth)
    return bytes(name).decode(), value


def _struct(parts: list[tuple[int, memoryview]], count: int, order: str, depth: int) -> Any:
    """An array of `count` structs: the width of a field's name, the names, all fields of each."""
    (_, width), (_, names), *parts = parts
    (width,) = struct.unpack(f"{order}i", width)
    starts = range(0, len(names), width)
    fields = [bytes(names[at : at + width]).partition(b"\0")[0].decode() for at in starts]
    values = [_array(part, order, depth + 1)[1] for part in parts]
    _expect(len(values), count * len(fields))
    each = iter(values)
    rows = [{field: next(each) for field in fields} for _ in range(count if fields else 0)]
    return rows[0] if len(rows) == 1 else rows


def _text(kind: int, content: memoryview, order: str) -> str:
    encoding = ENCODINGS[kind]
    if encoding in ("utf-16", "utf-32"):
        encoding += "-le" if order == "<" else "-be"
    return bytes(content).decode(encoding, errors="replace")


def _expect(found: int, claimed: int) -> None:
    if found != claimed:
        raise ContentError(f"one of its arrays claims {claimed} entries and has {found}")
