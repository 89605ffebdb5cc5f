"""What takes the place of the classes and functions that a pickle names, none of them executed."""

import math
from collections.abc import Iterable
from typing import Any

import numpy as np

from va_jax.weights.content import ContentError

NUMBERS = ("b1", "i1", "i2", "i4", "i8", "u1", "u2", "u4", "u8", "f2", "f4", "f8")
"""Codes of the numpy types that a pickled array may have; none of them holds objects."""

MAX_DIMENSIONS = 32
"""The most dimensions of an array that all versions of numpy can hold."""

PART_BYTES = 64
"""Memory charged for every instruction in a pickle; an empty dict takes about as much."""

PYTHON = ("__builtin__", "builtins")
"""The module of built-in names in pickle protocols below 3, and from 3 on."""

Constructors = dict[tuple[str, str], Any]
"""(module, name) in a pickle -> the function, class or value that takes its place."""


def checked_shape(values: Any) -> tuple[int, ...]:
    """Return a shape, strides or axes from a file; refuse all but a few integers from 0 on."""
    values = tuple(values)
    if len(values) > MAX_DIMENSIONS or not all(type(n) is int and 0 <= n < 2**62 for n in values):
        raise ContentError("one of its arrays has an impossible shape")
    return values


def printable(text: str) -> str:
    """Return text from a file in a short form without control characters, for a message."""
    return ascii(text[:80])[1:-1][:80]


def unknown(name: str) -> ContentError:
    """Return the error for a class or function that is not in the table of constructors."""
    return ContentError(f"it names {name}, which no weights need")


class StandIn:
    """Base of our classes that take the place of a pickled class and accept its state."""

    __slots__ = ()

    def set_state(self, state: Any) -> None:
        """Receive the state that a pickle gives an object after its creation."""
        raise ContentError("it sets the state of an object that has none")


class ArrayStandIn(StandIn):
    """Base of our classes that hold one array."""

    def array(self) -> np.ndarray:
        raise NotImplementedError


class Foreign(StandIn):
    """Takes the place of anything else that a pickle names, and of all that a pickle makes of it.

    It keeps its `name` and the `state` that it is given, as data. Arguments and items are ignored.
    """

    __slots__ = ("name", "state")

    def __init__(self, name: str):
        self.name = name
        self.state: Any = None

    def set_state(self, state: Any) -> None:
        self.state = state

    def append(self, item: Any) -> None:
        """Ignore an item, which a pickle gives to a list."""

    def extend(self, items: Any) -> None:
        """Ignore items, which a pickle gives to a list."""

    def __setitem__(self, key: Any, value: Any) -> None:
        """Ignore an item, which a pickle gives to a dict."""


class Dict(dict, StandIn):
    """Takes the place of dict and OrderedDict, with text, numbers and `Foreign` as keys only.

    The hash of nested tuples might take forever or overflow the stack.
    """

    def __init__(self, items: Any = ()):
        super().__init__()
        for key, value in items:
            self[key] = value

    def __setitem__(self, key: Any, value: Any) -> None:
        if not isinstance(key, str | int | float | Foreign):
            raise ContentError("a key of its dicts is neither text nor a number")
        super().__setitem__(key, value)

    def set_state(self, state: Any) -> None:
        """Ignore attributes, such as the `_metadata` of a state dict."""


class Set(set[str | int | float], StandIn):
    """Takes the place of set and frozenset, with text and numbers only."""

    def __init__(self, items: Iterable[Any] = ()):
        super().__init__()
        self.update(items)

    def update(self, *groups: Iterable[Any]) -> None:
        for items in groups:
            for item in items:
                if not isinstance(item, str | int | float):
                    raise ContentError("one of its sets has more than text and numbers")
                self.add(item)


class Dtype(StandIn):
    """Takes the place of numpy.dtype, which is made from a code and then given its byte order."""

    def __init__(self, code: Any, *_: Any):
        if not isinstance(code, str) or code not in NUMBERS:
            kind = printable(code) if isinstance(code, str) else type(code).__name__
            raise ContentError(f"it holds an array of type '{kind}', which is not a number type")
        self.dtype = np.dtype(code)

    def set_state(self, state: Any) -> None:
        if state[1] not in ("<", ">", "|"):
            raise ContentError("one of its arrays has no byte order")
        self.dtype = self.dtype.newbyteorder(state[1])


class Array(ArrayStandIn):
    """Takes the place of numpy.ndarray, which may be made empty and then given its content."""

    def __init__(self, content: np.ndarray | None = None):
        self._content = content

    def set_state(self, state: Any) -> None:
        _, shape, dtype, fortran, content = state
        self._content = _view(dtype, shape, content, "F" if fortran else "C")

    @property
    def nbytes(self) -> int:
        """Size of the content in bytes."""
        return 0 if self._content is None else self._content.nbytes

    def array(self) -> np.ndarray:
        if self._content is None:
            raise ContentError("one of its arrays has no content")
        return self._content


def _view(dtype: Any, shape: Any, content: Any, order: Any) -> np.ndarray:
    """Return an array on the bytes `content`, which must fill it exactly."""
    if isinstance(content, str):  # the bytes of Python 2
        content = content.encode("latin1")
    if not isinstance(dtype, Dtype) or not isinstance(content, bytes):
        raise ContentError("it holds an array of objects, not of numbers")
    shape = checked_shape(shape)
    if math.prod(shape) * dtype.dtype.itemsize != len(content):
        raise ContentError(f"one of its arrays of shape {shape} has {len(content)} bytes")
    return np.ndarray(shape, dtype.dtype, content, order=order)


def _reconstruct(*_: Any) -> Array:
    """Take the place of the function by which pickle protocols below 5 start an array."""
    return Array()


def _from_buffer(content: Any, dtype: Any, shape: Any, order: Any, axes: Any = None) -> Array:
    """Take the place of the function by which protocol 5 makes an array.

    Order "K" means C order of permuted axes; `axes` puts them back.
    """
    array = _view(dtype, shape, content, "C" if order == "K" else order)
    return Array(array if axes is None else array.transpose(checked_shape(axes)))


def _scalar(dtype: Any, content: Any) -> bool | int | float:
    """Take the place of the function by which numpy makes a number from bytes."""
    return _view(dtype, (), content, "C").item()


def _encode(text: Any, _: Any) -> bytes:
    """Take the place of `_codecs.encode`, by which protocols below 3 write bytes as Latin-1."""
    if not isinstance(text, str):
        raise ContentError("it encodes a value that is not text")
    return text.encode("latin1")


def _empty_bytes() -> bytes:
    """Take the place of `bytes`, by which protocols below 3 write an empty value."""
    return b""


CONSTRUCTORS: Constructors = {
    ("collections", "OrderedDict"): Dict,
    ("_codecs", "encode"): _encode,
    ("__builtin__", "bytes"): _empty_bytes,
    **{(module, kind): Set for module in PYTHON for kind in ("set", "frozenset")},
    ("numpy", "dtype"): Dtype,
    ("numpy", "ndarray"): None,  # an argument only
}
"""Every name that a pickle of numpy arrays or of plain Python values needs."""

for _core in ("numpy.core", "numpy._core"):  # numpy 1, numpy 2
    CONSTRUCTORS |= {
        (f"{_core}.multiarray", "_reconstruct"): _reconstruct,
        (f"{_core}.multiarray", "scalar"): _scalar,
        (f"{_core}.numeric", "_frombuffer"): _from_buffer,
    }
