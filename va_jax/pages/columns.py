"""Columns of numbers for a page, in a few bytes a frame."""

from collections.abc import Sequence

import numpy as np

from va_jax.pages.render import packed
from va_jax.types import InputError

STEP = 1e-4
"""Numbers are rounded to multiples of this."""

MISSING = -(2**31)
"""Stands for NaN among the multiples."""


def pack_columns(columns: Sequence[np.ndarray]) -> str:
    """Return columns of equal length for a data block that `readColumns` in columns.js reads.

    Numbers are rounded to `STEP`; NaN stays NaN. Each column is stored as the differences between
    neighbours, whose highest bytes come first, because curves change slowly and gzip then has long
    runs of zeros to compress.

    Args:
        columns: numbers or bools [frames].

    Raises:
        InputError: a number is too large to be stored, with a magnitude of 214,747 or more.
    """
    length = np.array([len(columns[0]), len(columns)], "<u4").tobytes()
    return packed(length + b"".join(_planes(np.asarray(column, float)) for column in columns))


def _planes(column: np.ndarray) -> bytes:
    """Return the differences in a column as four runs of bytes."""
    known = np.isfinite(column)
    largest = np.abs(column[known]).max(initial=0)
    if largest >= -MISSING * STEP - 1:
        raise InputError(f"a curve reaches {largest:g}, too far for a page; correct the values")
    multiples = np.where(known, np.rint(np.where(known, column, 0) / STEP), MISSING)
    changes = np.diff(multiples.astype(np.int64), prepend=0).astype(np.uint32).astype(np.int32)
    unsigned = ((changes << 1) ^ (changes >> 31)).astype("<u4")  # small ones of either sign
    return unsigned.view(np.uint8).reshape(-1, 4).T[::-1].tobytes()
