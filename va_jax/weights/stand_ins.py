"""Stand-ins for the classes and functions that a pickle names, so that none of them is executed."""

import math
from collections.abc import Iterable
from typing import Any

import numpy as np

from va_jax.weights.content import ContentError

NUMBERS = ("b1", "i1", "i2", "i4", "i8", "u1", "u2", "u4", "u8", "f2", "f4", "f8")
"""Codes of the numpy types that a pickled array may have; none of them contains objects."""

MAX_DIMENSIONS = 32
"""Largest number of array dimensions that all versions of numpy support."""

PART_BYTES = 64
"""Bytes charged for every instruction in a pickle; an empty dict takes about this much."""

PYTHON = ("__builtin__", "builtins")
"""Module of built-in names in pickle protocols below 3, and in protocol 3 or higher."""

Constructors = dict[tuple[str, str], Any]
"""(module, name) in a pickle -> the function, class or value that takes its place."""


def checked_shape(values: Any) -> tuple[int, ...]:
    """Return a shape, strides or axes from a file; refuse all but a few non-negative integers."""
    values = tuple(values)
    if len(values) > MAX_DIMENSIONS or not all(type(n) is int and 0 <= n < 2**62 for n in values):
        raise ContentError("one of its arrays has an impossible shape")
    return values


def printable(text: str) -> str:
    """Shorten text from a file and remove control characters, so that a message can contain it."""
    return ascii(text[:80])[1:-1][:80]


def unknown(name: str) -> ContentError:
    """Return the error for a class or function that is not in the table of constructors."""
    return ContentError(f"it refers to {name}, which a weight file never needs")


class StandIn:
    """Base class of the classes that replace a pickled class and accept its state."""

    __slots__ = ()

    def set_state(self, state: Any) -> None:
        """Accept the state that a pickle gives an object after its creation."""
        raise ContentError("it sets the state of an object that has none")


class ArrayStandIn(StandIn):
    """Base class of the stand-ins that contain an array."""

    def array(self) -> np.ndarray:
        raise NotImplementedError


class Foreign(StandIn):
    """Stands in for anything else that a pickle names, and for everything that is made with it.

    It keeps its `name` and the given `state` as data. Arguments and items are ignored.
    """

    __slots__ = ("name", "state")

    def __init__(self, name: str):
        self.name = name
        self.state: Any = None

    def set_state(self, state: Any) -> None:
        self.state = state

    def append(self, item: Any) -> None:
        """Ignore an item that a pickle appends to a list."""

    def extend(self, items: Any) -> None:
        """Ignore items that a pickle appends to a list."""

    def __setitem__(self, key: Any, value: Any) -> None:
        """Ignore an item that a pickle adds to a dict."""


class Dict(dict, StandIn):
    """Stands in for dict and OrderedDict; keys may only be text, numbers or `Foreign`.

    Hashing nested tuples could take forever or overflow the stack.
    """

    def __init__(self, items: Any = ()):
        super().__init__()
        for key, value in items:
            self[key] = value

    def __setitem__(self, key: Any, value: Any) -> None:
        if not isinstance(key, str | int | float | Foreign):
            raise ContentError("a key in one of its dicts is neither text nor a number")
        super().__setitem__(key, value)

    def set_state(self, state: Any) -> None:
        """Ignore attributes, such as the `_metadata` of a state dict."""


class Set(set[str | int | float], StandIn):
    """Stands in for set and frozenset; items may only be text or numbers."""

    def __init__(self, items: Iterable[Any] = ()):
        super().__init__()
        self.update(items)

    def update(self, *groups: Iterable[Any]) -> None:
        for items in groups:
            for item in items:
                if not isinstance(item, str | int | float):
                    raise ContentError(
                        "one of its sets contains something other than text and numbers"
                    )
                self.add(item)


class Dtype(StandIn):
    """Stands in for numpy.dtype, which is created from a code and then receives its byte order."""

    def __init__(self, code: Any, *_: Any):
        if not isinstance(code, str) or code not in NUMBERS:
            kind = printable(code) if isinstance(code, str) else type(code).__name__
            raise ContentError(f"it contains an array of type '{kind}', which is not numeric")
        self.dtype = np.dtype(code)

    def set_state(self, state: Any) -> None:
        if state[1] not in ("<", ">", "|"):
            raise ContentError("one of its arrays has no byte order")
        self.dtype = self.dtype.newbyteorder(state[1])


class Array(ArrayStandIn):
    """Stands in for numpy.ndarray, which may be created empty and then filled."""

    def __init__(self, content: np.ndarray | None = None):
        self._content = content

    def set_state(self, state: Any) -> None:
        _, shape, dtype, fortran, content = state
        self._content = _view(dtype, shape, content, "F" if fortran else "C")

    @property
    def nbytes(self) -> int:
        """Size of the content, in bytes."""
        return 0 if self._content is None else self._content.nbytes

    def array(self) -> np.ndarray:
        if self._content is None:
            raise ContentError("one of its arrays has no content")
        return self._content


def _view(dtype: Any, shape: Any, content: Any, order: Any) -> np.ndarray:
    """Return an array that views the bytes `content`, which must fill it exactly."""
    if isinstance(content, str):  # bytes from Python 2
        content = content.encode("latin1")
    if not isinstance(dtype, Dtype) or not isinstance(content, bytes):
        raise ContentError("it contains an array of objects instead of numbers")
    shape = checked_shape(shape)
    if math.prod(shape) * dtype.dtype.itemsize != len(content):
        raise ContentError(f"one of its arrays has the shape {shape}, but {len(content)} bytes")
    return np.ndarray(shape, dtype.dtype, content, order=order)


def _reconstruct(*_: Any) -> Array:
    """Stand in for the function with which pickle protocols below 5 create an array."""
    return Array()


def _from_buffer(content: Any, dtype: Any, shape: Any, order: Any, axes: Any = None) -> Array:
    """Stand in for the function with which protocol 5 creates an array.

    Order "K" means C order with permuted axes; `axes` restores their order.
    """
    array = _view(dtype, shape, content, "C" if order == "K" else order)
    return Array(array if axes is None else array.transpose(checked_shape(axes)))


def _scalar(dtype: Any, content: Any) -> bool | int | float:
    """Stand in for the function with which numpy creates a number from bytes."""
    return _view(dtype, (), content, "C").item()


def _encode(text: Any, _: Any) -> bytes:
    """Stand in for `_codecs.encode`, which protocols below 3 use to store bytes as Latin-1."""
    if not isinstance(text, str):
        raise ContentError("it encodes a value that is not text")
    return text.encode("latin1")


def _empty_bytes() -> bytes:
    """Stand in for `bytes`, which protocols below 3 use to store an empty value."""
    return b""


CONSTRUCTORS: Constructors = {
    ("collections", "OrderedDict"): Dict,
    ("_codecs", "encode"): _encode,
    ("__builtin__", "bytes"): _empty_bytes,
    **{(module, kind): Set for module in PYTHON for kind in ("set", "frozenset")},
    ("numpy", "dtype"): Dtype,
    ("numpy", "ndarray"): None,  # only used as an argument
}
"""Every name that a pickle of numpy arrays or of plain Python values needs."""

for _core in ("numpy.core", "numpy._core"):  # numpy 1, numpy 2
    CONSTRUCTORS |= {
        (f"{_core}.multiarray", "_reconstruct"): _reconstruct,
        (f"{_core}.multiarray", "scalar"): _scalar,
        (f"{_core}.numeric", "_frombuffer"): _from_buffer,
    }
