"""An unpickler that runs nothing: it makes dicts, lists, numbers, text and arrays, and no more.

Every class or function that a pickle names is looked up in a short table of our own constructors
(`CONSTRUCTORS`); any other name is refused, and nothing is ever imported. The base class is the
unpickler in pure Python, because the one in C crashes while it hashes deeply nested tuples and
allocates 4 GB for a ten-byte pickle that stores into a large memo index.
"""

import io
import math
import pickle
from collections.abc import Callable
from typing import Any, ClassVar, no_type_check

import numpy as np

from va_jax.weights.content import Budget, ContentError, limit

NUMBERS = ("b1", "i1", "i2", "i4", "i8", "u1", "u2", "u4", "u8", "f2", "f4", "f8")
"""Codes of the numpy types that a pickled array may have; none of them holds objects."""

PART_BYTES = 64
"""Memory charged for every instruction in a pickle; an empty dict takes about as much."""

MAX_DIMENSIONS = 32
"""The most dimensions of an array that all versions of numpy can hold."""

Constructors = dict[tuple[str, str], Any]
"""(module, name) in a pickle -> the function, class or value that takes its place."""


def load(
    file: io.BytesIO,
    constructors: Constructors | None = None,
    persistent_load: Callable[[Any], Any] | None = None,
    budget: Budget | None = None,
) -> Any:
    """Read the next pickle of `file`, up to its end.

    Args:
        file: the bytes.
        constructors: what stands for each name in the pickle; by default `CONSTRUCTORS`.
        persistent_load: turns a persistent id into an object; without it, any id is refused.
        budget: memory that the pickle may take in addition to its bytes; by default, the limit for
            a file of that size.

    Returns:
        Dicts (as `Dict`), lists, tuples, numbers, text, bytes, and instances made by the
        constructors. Byte strings of Python 2 become text in Latin-1, which keeps their bytes.

    Raises:
        ContentError: the pickle names anything else, or is damaged.
    """
    budget = budget or Budget(limit(len(file.getbuffer())))
    try:
        return Unpickler(file, budget, constructors or CONSTRUCTORS, persistent_load).load()
    except ContentError:
        raise
    except Exception as error:  # a damaged pickle raises nearly anything
        raise ContentError("its pickle is cut off or damaged") from error


def checked_shape(values: Any) -> tuple[int, ...]:
    """Return a shape, strides or axes from a file; refuse all but a few integers from 0 on."""
    values = tuple(values)
    if len(values) > MAX_DIMENSIONS or not all(type(n) is int and 0 <= n < 2**62 for n in values):
        raise ContentError("one of its arrays has an impossible shape")
    return values


def printable(text: str) -> str:
    """Return text from a file in a short form without control characters, for a message."""
    return ascii(text[:80])[1:-1]


class StandIn:
    """Base of our classes that take the place of a pickled class and accept its state."""

    def set_state(self, state: Any) -> None:
        """Receive the state that a pickle gives an object after its creation."""
        raise ContentError("it sets the state of an object that has none")


class ArrayStandIn(StandIn):
    """Base of our classes that hold one array."""

    def array(self) -> np.ndarray:
        raise NotImplementedError


class Dict(dict, StandIn):
    """Takes the place of dict and OrderedDict, with text and numbers as keys only.

    The hash of nested tuples might take forever or overflow the stack.
    """

    def __init__(self, items: Any = ()):
        super().__init__()
        for key, value in items:
            self[key] = value

    def __setitem__(self, key: Any, value: Any) -> None:
        if not isinstance(key, str | int | float):
            raise ContentError("a key of its dicts is neither text nor a number")
        super().__setitem__(key, value)

    def set_state(self, state: Any) -> None:
        """Ignore attributes, such as the `_metadata` of a state dict."""


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
    ("numpy", "dtype"): Dtype,
    ("numpy", "ndarray"): None,  # an argument only
}
"""Every name that a pickle of numpy arrays needs."""

for _core in ("numpy.core", "numpy._core"):  # numpy 1, numpy 2
    CONSTRUCTORS |= {
        (f"{_core}.multiarray", "_reconstruct"): _reconstruct,
        (f"{_core}.multiarray", "scalar"): _scalar,
        (f"{_core}.numeric", "_frombuffer"): _from_buffer,
    }

_PYTHON = pickle._Unpickler.dispatch


class Metered(dict[int, Any]):
    """What to do at each instruction of a pickle; charges a budget whenever it is looked up."""

    def __init__(self, handlers: dict[int, Any], budget: Budget):
        super().__init__(handlers)
        self._budget = budget

    @no_type_check  # a check in tests would take longer than all the rest
    def __getitem__(self, instruction: int) -> Any:
        self._budget.left -= PART_BYTES
        if self._budget.left < 0:
            self._budget.spend(0)
        return dict.__getitem__(self, instruction)


def _copied_bytes(made: Any) -> int:
    """Return the memory of an object that a constructor made from its arguments."""
    if isinstance(made, Array):
        return made.nbytes
    if isinstance(made, Dict):
        return PART_BYTES * len(made)
    return len(made) if isinstance(made, bytes) else 0


class Unpickler(pickle._Unpickler):
    """Python's unpickler, limited to the given constructors and to dicts with plain keys."""

    stack: list[Any]
    append: Callable[[Any], None]
    pop_mark: Callable[[], list[Any]]

    def __init__(
        self, file: io.BytesIO, budget: Budget, constructors: Constructors, persistent_load: Any
    ):
        super().__init__(file, encoding="latin1")
        self._constructors, self._persistent_load = constructors, persistent_load
        self._budget = budget
        vars(self)["dispatch"] = Metered(self._handlers, budget)  # hides that of the class

    def find_class(self, module: str, name: str) -> Any:
        if (module, name) not in self._constructors:
            raise ContentError(f"it names {printable(f'{module}.{name}')}, which no weights need")
        return self._constructors[module, name]

    def persistent_load(self, pid: Any) -> Any:
        if self._persistent_load is None:
            raise ContentError("it points to an object outside the pickle")
        return self._persistent_load(pid)

    def get_extension(self, code: int) -> Any:
        """Refuse a registered extension: Python takes it from a cache, past `find_class`."""
        raise ContentError(f"it uses the pickle extension {code}, which no weights need")

    def load_reduce(self) -> None:
        """Call a constructor; its result may be a copy of an argument that is used many times."""
        super().load_reduce()  # pyright: ignore[reportAttributeAccessIssue]
        self._budget.spend(_copied_bytes(self.stack[-1]))

    def load_build(self) -> None:
        """Give an object its state, which sets no attribute and calls no `__setstate__`."""
        state = self.stack.pop()
        if not isinstance(self.stack[-1], StandIn):
            raise ContentError("it sets attributes, which no weights need")
        self.stack[-1].set_state(state)
        self._budget.spend(_copied_bytes(self.stack[-1]))

    def load_empty_dict(self) -> None:
        self.append(Dict())

    def load_dict(self) -> None:
        items = self.pop_mark()
        self.append(Dict(zip(items[::2], items[1::2], strict=True)))

    def load_set(self) -> None:
        raise ContentError("it holds a set, which no weights need")  # it would hash its elements

    _handlers: ClassVar[dict[int, Any]] = {
        **_PYTHON,
        pickle.BUILD[0]: load_build,
        pickle.REDUCE[0]: load_reduce,
        pickle.EMPTY_DICT[0]: load_empty_dict,
        pickle.DICT[0]: load_dict,
        pickle.EMPTY_SET[0]: load_set,
        pickle.FROZENSET[0]: load_set,
        pickle.NEWOBJ[0]: load_reduce,  # calls the constructor, never a `__new__`
        pickle.BYTEARRAY8[0]: _PYTHON[pickle.BINBYTES8[0]],  # reads before it allocates
    }
