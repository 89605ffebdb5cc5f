"""A file's arrays put under our paths by the table of one network."""

import re
from collections.abc import Iterable
from typing import NamedTuple

import numpy as np

from va_jax.weights.names import Layout, Table


class Placement(NamedTuple):
    """What one table makes of the arrays, whose names there stand for them in all but `values`."""

    values: dict[str, np.ndarray]  # our path -> array in our layout
    origin: dict[str, str]  # our path -> name
    left_out: dict[str, str]  # name -> reason
    unknown: list[str]  # names that no row has
    misshapen: dict[str, str]  # name -> the shape its row expects


def place(arrays: dict[str, np.ndarray], tables: tuple[Table, ...]) -> Placement:
    """By the table, and behind the prefix, that fit most of the arrays; of equals by the first."""
    best, fewest = None, len(arrays) + 1
    for table in tables:
        for prefix in _prefixes(arrays, table):
            placed = _apply(arrays, prefix, table)
            misfits = len(placed.unknown) + len(placed.misshapen)
            if misfits < fewest:
                best, fewest = placed, misfits
            if not misfits:
                return placed
    return best


def _prefixes(arrays: Iterable[str], table: Table) -> list[str]:
    """Nothing, and whatever stands before a name of the table's first row."""
    first = re.compile(rf"(.*[./]){table.rows[0][0]}")
    return ["", *dict.fromkeys(match[1] for match in map(first.fullmatch, arrays) if match)]


def _apply(arrays: dict[str, np.ndarray], prefix: str, table: Table) -> Placement:
    placed = Placement({}, {}, {}, [], {})
    for name, array in arrays.items():
        short = name.removeprefix(prefix) if name.startswith(prefix) else ""
        reasons = [reason for pattern, reason in table.left_out if re.fullmatch(pattern, short)]
        path, layout = _row(short, table)
        if reasons:
            placed.left_out[name] = reasons[0]
        elif layout is None or path in placed.origin:
            placed.unknown.append(name)
        else:
            placed.origin[path] = name
            try:
                placed.values[path] = layout(array)
            except ValueError as error:
                placed.misshapen[name] = str(error)
    return placed


def _row(name: str, table: Table) -> tuple[str, Layout | None]:
    """Our path and the layout of the row that has that name; no layout where none has."""
    for pattern, path, layout in table.rows:
        if match := re.fullmatch(pattern, name):
            return match.expand(path), layout
    return "", None
