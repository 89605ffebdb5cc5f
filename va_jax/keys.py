"""Declare, check, change and document the keys of typed configuration sections."""

import dataclasses
import difflib
import typing
from collections.abc import Iterator, Mapping
from typing import Any, NoReturn, TypeVar

from va_jax.io import Table
from va_jax.types import InputError

Section = TypeVar("Section")

INTRODUCTION = """# Configuration keys

This page is generated with `python -m va_jax.config > docs/config.md`. Set a key in a config file
or on the command line: `--config.KEY=VALUE`, or `--KEY=VALUE` with the `va_jax` command.
Write a tuple in quotes: `--model.stage_sizes='(1, 1, 1)'`. The value of a key marked (*) may change
when a run continues ([running.md](running.md#changing-a-run)); other values must stay the same."""


@dataclasses.dataclass(frozen=True)
class Limits:
    """Legal values for a key, or for each entry of a tuple."""

    low: float | int | None = None  # `low` and `high` themselves are legal
    high: float | int | None = None
    above: float | int | None = None  # `above` and `below` themselves are not legal
    below: float | int | None = None
    legal: tuple[str, ...] = ()

    def allow(self, value: Any) -> bool:
        """Return whether `value` is legal; NaN never is."""
        if self.legal:
            return value in self.legal
        return (
            (self.low is None or value >= self.low)
            and (self.high is None or value <= self.high)
            and (self.above is None or value > self.above)
            and (self.below is None or value < self.below)
        )

    def __str__(self) -> str:
        if self.legal:
            return ", ".join(self.legal)
        limits = (("of at least", self.low), ("above", self.above))
        limits += (("of at most", self.high), ("below", self.below))
        return " and ".join(f"{word} {value:,}" for word, value in limits if value is not None)


def key(default: Any, help: str, *, unit: str = "", **limits: Any) -> Any:
    """Declare a key with its default, its help text and the `Limits` on its value."""
    metadata = {"help": help, "unit": unit, "limits": Limits(**limits)}
    return dataclasses.field(default=default, metadata=metadata)


def choice(default: str, legal: tuple[str, ...], help: str) -> Any:
    """Declare a key whose value is one of the `legal` words."""
    return key(default, help, legal=legal)


def at_least(default: int, low: int, help: str, unit: str = "") -> Any:
    """Declare a key whose value is a whole number of at least `low`."""
    return key(default, help, unit=unit, low=low)


CHANGEABLE = {"changeable": True}
"""Metadata for a key, or for a section, whose values may change when a run continues."""


def changeable(declared: Any) -> Any:
    """Mark a declared key as one whose value may change when a run continues."""
    return dataclasses.field(default=declared.default, metadata={**declared.metadata, **CHANGEABLE})


def fail(name: str, value: Any, remedy: str) -> NoReturn:
    """Raise an InputError for a key with an illegal value."""
    raise InputError(f"{name}={value!r}: {remedy}")


def default_tree(section: type) -> dict[str, Any]:
    """Return the defaults of a section as nested dicts."""
    types = typing.get_type_hints(section)
    return {
        field.name: default_tree(types[field.name])
        if dataclasses.is_dataclass(types[field.name])
        else field.default
        for field in dataclasses.fields(section)
    }


def parse(
    section: type[Section],
    tree: Mapping[str, Any],
    prefix: str = "",
    renamed: Mapping[str, str] = {},
) -> Section:
    """Return the section that `tree` describes, with defaults for missing keys.

    Args:
        section: dataclass whose fields are declared with `key`.
        tree: nested mappings, such as parsed JSON.
        prefix: name of the section followed by a dot, for messages.
        renamed: current dotted names of keys by their names in earlier versions, for messages.

    Raises:
        InputError: a key is unknown, or its value has the wrong type or is not legal.
    """
    types = typing.get_type_hints(section)
    unknown = [name for name in tree if name not in types]
    if unknown:
        name = f"{prefix}{unknown[0]}"
        close = difflib.get_close_matches(unknown[0], types, 1)
        hint = f"did you mean {prefix}{close[0]}?" if close else f"choose from {', '.join(types)}"
        hint = f"it is now called {renamed[name]}" if name in renamed else hint
        raise InputError(f"unknown config key {name}; {hint}")
    values: dict[str, Any] = {}
    for field in dataclasses.fields(typing.cast(Any, section)):
        name, kind = f"{prefix}{field.name}", types[field.name]
        if field.name not in tree:
            continue
        value = tree[field.name]
        if dataclasses.is_dataclass(kind):
            if not isinstance(value, Mapping):
                fail(name, value, "expected a section that contains keys")
            values[field.name] = parse(typing.cast(Any, kind), value, f"{name}.", renamed)
        else:
            values[field.name] = _checked(name, value, kind, field.metadata["limits"])
    return section(**values)


def flatten(tree: Mapping[str, Any], prefix: str = "") -> dict[str, Any]:
    """Flatten nested dicts into one dict with dotted names."""
    flat: dict[str, Any] = {}
    for name, value in tree.items():
        if isinstance(value, Mapping):
            flat |= flatten(value, f"{prefix}{name}.")
        else:
            flat[f"{prefix}{name}"] = value
    return flat


def unflatten(flat: Mapping[str, Any]) -> dict[str, Any]:
    """Turn a dict with dotted names into nested dicts."""
    tree: dict[str, Any] = {}
    for name, value in flat.items():
        *sections, last = name.split(".")
        place = tree
        for section in sections:
            place = place.setdefault(section, {})
        place[last] = value
    return tree


def changeable_keys(section: type, prefix: str = "", marked: bool = False) -> set[str]:
    """Return the dotted names of the keys whose values may change when a run continues.

    Args:
        section: dataclass that declares the section.
        prefix: name of the section followed by a dot.
        marked: whether the whole section is marked as changeable.
    """
    types, found = typing.get_type_hints(section), set[str]()
    for field in dataclasses.fields(section):
        name, kind = f"{prefix}{field.name}", types[field.name]
        may_change = marked or "changeable" in field.metadata
        if dataclasses.is_dataclass(kind):
            found |= changeable_keys(typing.cast(type, kind), f"{name}.", may_change)
        elif may_change:
            found.add(name)
    return found


def sections(section: type) -> Iterator[tuple[str, str, list[list[str]]]]:
    """Yield (name, docstring, rows) for a section and every section inside it.

    Each row contains a key, its default, its legal values with their unit, and its meaning, which
    carries a mark if the key is changeable.
    """
    yield from _sections(section, "", changeable_keys(section))


def _sections(
    section: type, prefix: str, changeable: set[str]
) -> Iterator[tuple[str, str, list[list[str]]]]:
    types = typing.get_type_hints(section)
    rows, inner = [], []
    for field in dataclasses.fields(section):
        name, kind = f"{prefix}{field.name}", types[field.name]
        if dataclasses.is_dataclass(kind):
            inner.append((typing.cast(type, kind), f"{name}."))
        else:
            legal = str(field.metadata["limits"]).replace("of at", "at") or _word(kind)
            unit = f", {field.metadata['unit']}" if field.metadata["unit"] else ""
            meaning = field.metadata["help"] + " (*)" * (name in changeable)
            rows.append([name, repr(field.default), f"{legal}{unit}", meaning])
    yield prefix.rstrip("."), section.__doc__ or "", rows
    for kind, name in inner:
        yield from _sections(kind, name, changeable)


def page(section: type) -> str:
    """Return the text of docs/config.md: a heading, a docstring and a table of keys per section."""
    parts = [INTRODUCTION]
    for name, doc, rows in sections(section):
        cells = [[f"`{key}`", f"`{default}`", *rest] for key, default, *rest in rows]
        table = Table(["key", "default", "legal values", "meaning"], cells, right=False)
        parts += [f"## {name or 'run'}", doc, table.markdown()]
    return "\n\n".join(parts) + "\n"


def text(section: type) -> str:
    """Return the text of `--help`: one line for every key, with its default and its meaning."""
    rows = [row for _, _, rows in sections(section) for row in rows]
    return "\n".join(f"  {key} = {default}: {meaning}" for key, default, _, meaning in rows)


def _checked(name: str, value: Any, kind: Any, limits: Limits) -> Any:
    """Convert `value` to its declared type, or raise an InputError."""
    if typing.get_origin(kind) is tuple:
        if not isinstance(value, (tuple, list)):
            fail(name, value, f"expected {_word(kind)}")
        item = typing.get_args(kind)[0]
        return tuple(_checked(name, each, item, limits) for each in value)
    if kind is float and isinstance(value, int) and not isinstance(value, bool):
        value = float(value)
    if type(value) is not kind:
        fail(name, value, f"expected {_word(kind)}")
    if not limits.allow(value):
        fail(name, value, f"choose from {limits}" if limits.legal else f"set a value {limits}")
    return value


def _word(kind: Any) -> str:
    """Describe a type in words."""
    if typing.get_origin(kind) is tuple:
        words = {bool: "booleans", int: "whole numbers", float: "numbers", str: "strings"}
        return f"a tuple of {words[typing.get_args(kind)[0]]}"
    return {bool: "True or False", int: "a whole number", float: "a number", str: "text"}[kind]
