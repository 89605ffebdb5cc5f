"""Rows that map array names in other projects' networks to our paths, for the tables of names.

A row is (name, path, layout): a regular expression for the whole name in the file, our path, in
which `\1` stands for a group of that expression, and the function that converts the array.
`va_jax.models` defines our paths.
"""

import dataclasses
import re
from collections.abc import Callable, Mapping

import numpy as np

from va_jax.weights.layouts import vector

HEADS = "heads"
"""Our path for a last layer that is split into one head for each output."""

Layout = Callable[[np.ndarray], np.ndarray]
Row = tuple[str, str, Layout]
Colour = tuple[float, float, float]  # red, green, blue in [0, 1]


@dataclasses.dataclass(frozen=True)
class Table:
    """The rows of one network, compiled."""

    rows: tuple[tuple[re.Pattern[str], str, Layout], ...]
    left_out: Mapping[str, str]  # regular expression for names in the file -> reason


@dataclasses.dataclass(frozen=True)
class Format:
    """A source of weights: a table for each network, and the input that its networks expect."""

    tables: tuple[Table, ...]
    mean: Colour
    std: Colour
    backbones: str  # regular expression: names of our backbones that the weights fit
    bgr: bool = False  # the first convolution expects blue, green, red
    size: int = 224  # side of the images, in px


def norm(name: str, path: str) -> tuple[Row, ...]:
    """Return the rows for a batch norm."""
    return (
        (rf"{name}\.weight", f"params/{path}/scale", vector),
        (rf"{name}\.bias", f"params/{path}/bias", vector),
        (rf"{name}\.running_mean", f"batch_stats/{path}/mean", vector),
        (rf"{name}\.running_var", f"batch_stats/{path}/var", vector),
    )


def kernel(name: str, path: str, layout: Layout) -> tuple[Row, ...]:
    """Return the row for a layer without a bias."""
    return ((rf"{name}\.weight", f"params/{path}/kernel", layout),)


def affine(name: str, path: str, layout: Layout) -> tuple[Row, ...]:
    """Return the rows for a layer with a kernel and a bias."""
    return (*kernel(name, path, layout), (rf"{name}\.bias", f"params/{path}/bias", vector))


def table(rows: tuple[Row, ...], classifier: str | None) -> Table:
    """Return a table that leaves out the classifier, if any, and the counters of batch norms."""
    left_out = {r".*\.num_batches_tracked": "not a parameter"}
    if classifier is not None:
        left_out[classifier] = "classifier for the original task"
    return table_without(rows, left_out)


def table_without(rows: tuple[Row, ...], left_out: Mapping[str, str]) -> Table:
    """Return a table that leaves out names that match a key of `left_out`, and gives the reason."""
    return Table(tuple((re.compile(name), path, layout) for name, path, layout in rows), left_out)
