"""An unpickler that runs nothing: it builds dicts, lists, numbers, text and arrays, and no more."""

import io
import math
import pickle
import struct
from collections.abc import Callable, Iterator, Mapping
from typing import Any

import numpy as np

OPCODES = """
    PROTO FRAME STOP MARK POP POP_MARK DUP
    NONE NEWTRUE NEWFALSE INT BININT BININT1 BININT2 LONG LONG1 LONG4 FLOAT BINFLOAT
    STRING BINSTRING SHORT_BINSTRING UNICODE BINUNICODE SHORT_BINUNICODE BINUNICODE8
    BINBYTES SHORT_BINBYTES BINBYTES8
    TUPLE EMPTY_TUPLE TUPLE1 TUPLE2 TUPLE3 LIST EMPTY_LIST APPEND APPENDS SETITEM SETITEMS
    GET BINGET LONG_BINGET PUT BINPUT LONG_BINPUT MEMOIZE
    GLOBAL STACK_GLOBAL REDUCE PERSID BINPERSID
"""
"""What works as in Python's own reader, where calls reach nothing but what `find_class` gave."""

NUMBERS = ("b1", "i1", "i2", "i4", "i8", "u1", "u2", "u4", "u8", "f2", "f4", "f8")
"""Codes of the types of numpy arrays; above all, none of objects."""

WRAPPERS = ("state_dict", "model_state_dict", "model_state", "model")
"""Keys under which a checkpoint holds the weights, beside its epoch and its optimiser."""

DEEPEST = 16
"""Dicts nested deeper than this are no weights (ours)."""


class ContentError(ValueError):
    """Why a file's content is not read; who knows the path makes it an InputError with a remedy."""


def load(
    file: io.BytesIO,
    names: Mapping[tuple[str, str], Any] | None = None,
    persistent: Callable[[Any], Any] | None = None,
) -> Any:
    """The next pickle of `file`: dicts, lists, tuples, numbers, text, bytes and stand-ins.

    `names` maps (module, name) to what takes its place, by default `NAMES`; any other name is
    refused as soon as it is read, and nothing is ever looked up. `persistent` turns a persistent
    id into an object; without it there may be none. Text of Python 2 is read as latin-1, which
    keeps its bytes. Raises ContentError, in one line, for any of this and for what is broken.
    """
    try:
        return _Unpickler(file, NAMES if names is None else names, persistent).load()
    except ContentError:
        raise
    except (ArithmeticError, AttributeError, EOFError, LookupError, MemoryError, RecursionError,
            TypeError, ValueError, struct.error, pickle.UnpicklingError) as error:  # fmt: skip
        raise ContentError("its pickle is cut off or broken") from error


def named_arrays(tree: Any) -> Iterator[tuple[str, np.ndarray]]:
    """The arrays of a dict of dicts, each under its keys, joined by dots.

    Of a checkpoint only the weights. What is no array (numbers, text, None, lists) has no name
    here and is left out.
    """
    if not isinstance(tree, Dict):
        raise ContentError("it is no dict of arrays by name")
    inner = (tree[key] for key in WRAPPERS if isinstance(tree.get(key), Dict))
    return _leaves(next(inner, tree), (), set())


def _leaves(tree: Any, path: tuple[str, ...], seen: set[int]) -> Iterator[tuple[str, np.ndarray]]:
    if len(path) > DEEPEST or id(tree) in seen:
        raise ContentError(f"its dicts nest deeper than {DEEPEST}, or one stands in two places")
    seen.add(id(tree))
    for key, value in tree.items():
        inner = (*path, str(key))
        if isinstance(value, Dict):
            yield from _leaves(value, inner, seen)
        elif hasattr(type(value), "array"):
            yield ".".join(inner), value.array()


def whole(values: Any) -> tuple[int, ...]:
    """A file's shape, strides or axes, once they are sure to be few whole numbers from 0 on."""
    values = tuple(values)
    if len(values) > 32 or not all(type(n) is int and 0 <= n < 2**62 for n in values):
        raise ContentError("one of its arrays has an impossible shape")
    return values


def shown(text: str) -> str:
    """Text out of a file as it may stand in a line of ours: short and printable."""
    return ascii(text[:80])[1:-1]


class Dict(dict):
    """Stands in for dict and OrderedDict; a key is text or a number: hashing others may not end."""

    def __init__(self, items: Any = ()):
        super().__init__()
        for key, value in items:
            self[key] = value

    def __setitem__(self, key: Any, value: Any) -> None:
        if not isinstance(key, str | int | float):
            raise ContentError("a key of its dicts is neither text nor a number")
        super().__setitem__(key, value)

    def build(self, state: Any) -> None:
        """Leaves out attributes, such as the `_metadata` of a state dict."""


class Dtype:
    """Stands in for numpy.dtype, which is made from a code and then told its byte order."""

    def __init__(self, code: Any, *_: Any):
        if not isinstance(code, str) or code not in NUMBERS:
            what = shown(code) if isinstance(code, str) else type(code).__name__
            raise ContentError(f"it holds an array of '{what}', not of numbers")
        self.dtype = np.dtype(code)

    def build(self, state: Any) -> None:
        if state[1] not in ("<", ">", "|"):
            raise ContentError("one of its arrays has no byte order")
        self.dtype = self.dtype.newbyteorder(state[1])


class Array:
    """Stands in for numpy.ndarray, which is made empty and then told its content."""

    _array: np.ndarray | None = None

    def build(self, state: Any) -> None:
        _, shape, dtype, fortran, content = state
        self._array = _array(dtype, shape, content, "F" if fortran else "C")

    def array(self) -> np.ndarray:
        if self._array is None:
            raise ContentError("one of its arrays has no content")
        return self._array


def _array(dtype: Any, shape: Any, content: Any, order: Any) -> np.ndarray:
    if isinstance(content, str):  # the bytes of Python 2
        content = content.encode("latin1")
    if not isinstance(dtype, Dtype) or not isinstance(content, bytes):
        raise ContentError("it holds an array of objects, not of numbers")
    dtype, shape = dtype.dtype, whole(shape)
    if math.prod(shape) * dtype.itemsize != len(content):
        raise ContentError(
            f"one of its arrays has {len(content)} bytes, which its shape contradicts"
        )
    return np.ndarray(shape, dtype, content, order=order)


def _reconstruct(*_: Any) -> Array:
    """Stands in for the function of numpy by which protocols below 5 start an array."""
    return Array()


def _frombuffer(content: Any, dtype: Any, shape: Any, order: Any, axes: Any = None) -> Array:
    """Stands in for the function of numpy by which protocol 5 makes an array.

    Order "K" is C order of other axes, which `axes` puts in their places.
    """
    made = Array()
    made._array = _array(dtype, shape, content, "C" if order == "K" else order)
    if axes is not None:
        made._array = made._array.transpose(whole(axes))
    return made


def _scalar(dtype: Any, content: Any) -> bool | int | float:
    """Stands in for the function of numpy that makes a number of bytes."""
    return _array(dtype, (), content, "C").item()


def _encode(text: Any, _: Any) -> bytes:
    """Stands in for `_codecs.encode`, by which protocols below 3 write bytes, as latin-1."""
    if not isinstance(text, str):
        raise ContentError("it encodes what is no text")
    return text.encode("latin1")


def _no_bytes() -> bytes:
    """Stands in for `bytes`, by which protocols below 3 write none."""
    return b""


NAMES: Mapping[tuple[str, str], Any] = {
    ("collections", "OrderedDict"): Dict,
    ("_codecs", "encode"): _encode,
    ("__builtin__", "bytes"): _no_bytes,
    ("numpy", "dtype"): Dtype,
    ("numpy", "ndarray"): None,  # only ever an argument
    ("numpy.core.multiarray", "_reconstruct"): _reconstruct,
    ("numpy.core.multiarray", "scalar"): _scalar,
    ("numpy.core.numeric", "_frombuffer"): _frombuffer,
    ("numpy._core.multiarray", "_reconstruct"): _reconstruct,  # since numpy 2
    ("numpy._core.multiarray", "scalar"): _scalar,
    ("numpy._core.numeric", "_frombuffer"): _frombuffer,
}
"""What pickles of numpy arrays name, and our own that takes its place."""


class _Unpickler(pickle._Unpickler):
    """Python's own, with fewer opcodes, and with stand-ins for all it would import, call or set."""

    def __init__(self, file: io.BytesIO, names: Any, persistent: Any):
        super().__init__(file, encoding="latin1")
        self._names, self._persistent = names, persistent

    def find_class(self, module: str, name: str) -> Any:
        if (module, name) not in self._names:
            raise ContentError(f"it names {shown(f'{module}.{name}')}, which no weights need")
        return self._names[module, name]

    def persistent_load(self, pid: Any) -> Any:
        if self._persistent is None:
            raise ContentError("it points to something outside itself")
        return self._persistent(pid)

    def load_build(self) -> None:
        state = self.stack.pop()
        if not hasattr(type(self.stack[-1]), "build"):
            raise ContentError("it sets attributes, which no weights need")
        self.stack[-1].build(state)

    def load_dict(self) -> None:
        items = self.pop_mark()
        self.append(Dict(zip(items[::2], items[1::2], strict=True)))

    def load_empty_dictionary(self) -> None:
        self.append(Dict())

    def load_inst(self) -> None:
        self.load_global()  # says which class it would be
        self.load_other()

    def load_other(self) -> None:
        raise ContentError("its pickle has an opcode that no weights need")

    dispatch = dict.fromkeys(range(256), load_other) | {
        getattr(pickle, name)[0]: pickle._Unpickler.dispatch[getattr(pickle, name)[0]]
        for name in OPCODES.split()
    }
    dispatch[pickle.BUILD[0]] = load_build
    dispatch[pickle.DICT[0]] = load_dict
    dispatch[pickle.EMPTY_DICT[0]] = load_empty_dictionary
    dispatch[pickle.INST[0]] = load_inst
    dispatch[pickle.NEWOBJ[0]] = pickle._Unpickler.load_reduce  # a stand-in is called, not copied
    dispatch[pickle.BYTEARRAY8[0]] = pickle._Unpickler.load_binbytes8  # reads before it allocates
