"""An unpickler that runs no code: it creates only dicts, lists, numbers, text and arrays.

Every class or function that a pickle names is looked up in a short table of our own constructors
(`CONSTRUCTORS`); any other name is refused or becomes an inert `Foreign`, and nothing is ever
imported. The base class is Python's unpickler, not the one in C: that one crashes when it hashes
deeply nested tuples, and allocates 4 GB for a ten-byte pickle that stores to a large memo index.
"""

import io
import pickle
from collections.abc import Callable
from typing import Any, ClassVar, no_type_check

from va_jax.weights.content import Budget, ContentError, limit
from va_jax.weights.stand_ins import (
    CONSTRUCTORS,
    PART_BYTES,
    Array,
    Constructors,
    Dict,
    Foreign,
    Set,
    StandIn,
    printable,
    unknown,
)


def load(
    file: io.BytesIO,
    constructors: Constructors | None = None,
    persistent_load: Callable[[Any], Any] | None = None,
    budget: Budget | None = None,
    foreign: list[str] | None = None,
) -> Any:
    """Read the next pickle in `file`, up to the end of the pickle.

    Args:
        file: file in memory.
        constructors: replacement for each name in the pickle; by default `CONSTRUCTORS`.
        persistent_load: function that turns a persistent id into an object; without it, every id is
            refused.
        budget: memory that the pickle may take in addition to its bytes; by default, the limit for
            a file of that size.
        foreign: list that receives the other names in the pickle, which become `Foreign` objects in
            the result; without it, any other name is refused.

    Returns:
        Dicts (as `Dict`), sets of text and numbers (as `Set`), lists, tuples, numbers, text, bytes,
        and instances made by the constructors. Byte strings from Python 2 are decoded as Latin-1,
        which preserves their bytes.

    Raises:
        ContentError: the pickle names anything else, or is damaged.
    """
    budget = budget or Budget(limit(len(file.getbuffer())))
    constructors = constructors or CONSTRUCTORS
    try:
        return Unpickler(file, budget, constructors, persistent_load, foreign).load()
    except ContentError:
        raise
    except Exception as error:  # a damaged pickle may raise almost any exception
        raise ContentError("its pickle is cut off or damaged") from error


_PYTHON = pickle._Unpickler.dispatch


class Metered(dict[int, Any]):
    """The handler for each instruction in a pickle; each lookup is charged to a budget."""

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
    if isinstance(made, Dict | Set):
        return PART_BYTES * len(made)
    return len(made) if isinstance(made, bytes) else 0


class Unpickler(pickle._Unpickler):
    """Python's unpickler, restricted to the given constructors and to dicts with plain keys.

    Anything else that a pickle names becomes a `Foreign`, and so does the result of calling it.
    """

    stack: list[Any]
    append: Callable[[Any], None]
    pop_mark: Callable[[], list[Any]]

    def __init__(
        self,
        file: io.BytesIO,
        budget: Budget,
        constructors: Constructors,
        persistent_load: Callable[[Any], Any] | None,
        foreign: list[str] | None,
    ):
        super().__init__(file, encoding="latin1")
        self._constructors, self._persistent_load = constructors, persistent_load
        self._budget, self._foreign = budget, foreign
        vars(self)["dispatch"] = Metered(self._handlers, budget)  # hides the attribute of the class

    def find_class(self, module: str, name: str) -> Any:
        if (module, name) in self._constructors:
            return self._constructors[module, name]
        path = printable(f"{module[:80]}.{name[:80]}")
        if self._foreign is None:
            raise unknown(path)
        self._budget.spend(2 * PART_BYTES)  # for the text
        self._foreign.append(path)
        return Foreign(path)

    def persistent_load(self, pid: Any) -> Any:
        if self._persistent_load is None:
            if self._foreign:
                raise unknown(self._foreign[0])
            raise ContentError("it refers to an object outside the pickle")
        return self._persistent_load(pid)

    def get_extension(self, code: int) -> Any:
        """Refuse a registered extension: Python takes it from a cache and bypasses `find_class`."""
        raise ContentError(f"it uses the pickle extension {code}, which a weight file never needs")

    def _instantiate(self, constructor: Any, arguments: Any) -> None:
        """Call a constructor and charge for its result, as an argument may be copied many times."""
        if isinstance(constructor, Foreign):
            made = Foreign(constructor.name)
        else:
            for argument in arguments:
                if isinstance(argument, Foreign):
                    raise unknown(argument.name)
            made = constructor(*arguments)
            self._budget.spend(_copied_bytes(made))
        self.append(made)

    def load_reduce(self) -> None:
        arguments, constructor = self.stack.pop(), self.stack.pop()
        self._instantiate(constructor, arguments)

    def load_newobj_ex(self) -> None:
        """Call a constructor without keywords, which none of our constructors takes."""
        if self.stack.pop() and not isinstance(self.stack[-2], Foreign):
            raise ContentError(
                "it calls a constructor with keyword arguments, which a weight file never needs"
            )
        self.load_reduce()

    def load_build(self) -> None:
        """Pass an object its state, without setting attributes or calling `__setstate__`."""
        state = self.stack.pop()
        if not isinstance(self.stack[-1], StandIn):
            raise ContentError("it sets attributes, which a weight file never needs")
        self.stack[-1].set_state(state)
        self._budget.spend(_copied_bytes(self.stack[-1]))

    def load_empty_dict(self) -> None:
        self.append(Dict())

    def load_dict(self) -> None:
        items = self.pop_mark()
        self.append(Dict(zip(items[::2], items[1::2], strict=True)))

    def load_empty_set(self) -> None:
        self.append(Set())

    def load_frozenset(self) -> None:
        items = self.pop_mark()  # this replaces `append`
        self.append(Set(items))

    _handlers: ClassVar[dict[int, Any]] = {
        **_PYTHON,
        pickle.BUILD[0]: load_build,
        pickle.REDUCE[0]: load_reduce,
        pickle.EMPTY_DICT[0]: load_empty_dict,
        pickle.DICT[0]: load_dict,
        pickle.EMPTY_SET[0]: load_empty_set,
        pickle.FROZENSET[0]: load_frozenset,
        pickle.NEWOBJ[0]: load_reduce,  # calls the constructor, never a `__new__`
        pickle.NEWOBJ_EX[0]: load_newobj_ex,
        pickle.BYTEARRAY8[0]: _PYTHON[pickle.BINBYTES8[0]],  # reads before it allocates
    }
