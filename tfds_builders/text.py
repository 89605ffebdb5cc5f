"""Text files of numbers as people save them: byte-order marks, any line ends, comma decimals."""

import pathlib
import re

from va_jax.types import InputError

_NUMBER = re.compile(r"[+-]?(\d+([.,]\d*)?|[.,]\d+)([eE][+-]?\d+)?")


def read_lines(path: pathlib.Path) -> list[tuple[int, str]]:
    """(line number from 1, text without its end) of every line that is not blank.

    Raises InputError where the file is missing, no UTF-8 text, or has no such line.
    """
    try:
        text = path.read_text(encoding="utf-8-sig")
    except OSError as error:
        raise InputError(f"{path}: {error.strerror}; check the path") from error
    except UnicodeDecodeError as error:
        raise InputError(f"{path}: is no UTF-8 text; save it as UTF-8") from error
    lines = [(n, line) for n, line in enumerate(text.splitlines(), 1) if line.strip()]
    if not lines:
        raise InputError(f"{path}: is empty; replace or remove it")
    if "\0" in text:
        raise InputError(f"{path}: is no text (it holds zero bytes); save it as UTF-8 text")
    return lines


def number(cell: str) -> float | None:
    """The finite number that a cell holds, with a point or a comma before its decimals; else None.

    A value whose separator is a comma cannot come with comma decimals: such a row has a cell too
    many, which its reader refuses.
    """
    if not _NUMBER.fullmatch(cell):
        return None
    value = float(cell.replace(",", "."))
    return value if abs(value) < float("inf") else None


def require(path: pathlib.Path, line: int, name: str, cell: str) -> float:
    """The number in a cell; raises InputError that names it where there is none."""
    value = number(cell)
    if value is None:
        raise InputError(f"{path}: line {line}: {name} {cell!r} is not a number")
    return value
