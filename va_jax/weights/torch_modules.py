"""Read whole pickled torch modules as the arrays that their `state_dict()` would contain.

No torch class is used: a module is any object whose state contains the three dicts in which
`torch.nn.Module` keeps its parameters, its buffers and its children. The rest of the state (sizes,
activations, hooks) is data that is never read.
"""

from collections.abc import Iterator
from typing import Any, TypeGuard

import numpy as np

from va_jax.weights.content import Budget, ContentError
from va_jax.weights.stand_ins import Dict, Foreign, Set, printable, unknown
from va_jax.weights.torch_files import Tensor

PARTS = ("_parameters", "_buffers", "_modules")

MODULE_BYTES = 512
"""Bytes charged for every use of a module (our choice)."""

MAX_DEPTH = 64
"""Maximum nesting depth of modules (our choice)."""


def is_module(value: Any) -> TypeGuard[Foreign]:
    """Return whether a value from a pickle is a torch module."""
    if not isinstance(value, Foreign) or not isinstance(value.state, Dict):
        return False
    return all(isinstance(value.state.get(part), Dict) for part in PARTS)


def named_arrays(
    module: Foreign, budget: Budget, prefix: str = "", parents: tuple[Foreign, ...] = ()
) -> Iterator[tuple[str, np.ndarray]]:
    """Yield the names and arrays of a module's state dict, in its order.

    Args:
        module: the module.
        budget: memory that may still be taken. Each use of a module is charged to it, because a few
            shared modules may stand for too many names to list.
        prefix: prefix for each name.
        parents: the modules that contain this module.

    Yields:
        (name, array). A shared module or parameter appears under each of its names. Non-persistent
        buffers are left out, and so are parameters and buffers that are None.

    Raises:
        ContentError: a parameter or buffer is not a tensor, a child is not a module, or modules are
            nested too deeply.
    """
    if len(parents) == MAX_DEPTH or module in parents:
        raise ContentError(
            f"its modules are nested more than {MAX_DEPTH} levels deep, or contain themselves"
        )
    budget.spend(MODULE_BYTES + len(prefix))
    left_out = module.state.get("_non_persistent_buffers_set", ())
    if not isinstance(left_out, Set | tuple):
        raise ContentError("its list of non-persistent buffers is not a set")
    for part in ("_parameters", "_buffers"):
        for name, tensor in _named(module, part):
            if part == "_parameters" or name not in left_out:
                yield prefix + name, _tensor(prefix + name, tensor).array()
    for name, child in _named(module, "_modules"):
        if not is_module(child):
            raise _unfit(prefix + name, child, "a module")
        yield from named_arrays(child, budget, f"{prefix}{name}.", (*parents, module))


def _named(module: Foreign, part: str) -> Iterator[tuple[str, Any]]:
    """Yield the names and values in one part of a module's state, except values of None."""
    for name, value in module.state[part].items():
        if not isinstance(name, str):
            raise ContentError(f"a name in {part} of one of its modules is not text")
        if value is not None:
            yield name, value


def _tensor(name: str, value: Any) -> Tensor:
    if not isinstance(value, Tensor):
        raise _unfit(name, value, "a tensor")
    return value


def _unfit(name: str, value: Any, expected: str) -> ContentError:
    if isinstance(value, Foreign):
        return unknown(value.name)
    return ContentError(f"its '{printable(name)}' is not {expected}")


def refuse_foreign(tree: Dict | Foreign, module: Foreign) -> None:
    """Refuse a checkpoint that contains any foreign object other than `module`.

    Raises:
        ContentError: there is such an object; the message names it.
    """
    todo: list[Any] = [tree]
    seen: set[int] = set()
    while todo:
        value = todo.pop()
        if isinstance(value, Foreign) and value is not module:
            raise unknown(value.name)
        if isinstance(value, Dict | list | tuple) and id(value) not in seen:
            seen.add(id(value))
            todo.extend(value.values() if isinstance(value, Dict) else value)
