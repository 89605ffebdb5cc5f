"""Read and write text, csv and JSON files (atomic writes, one-line errors), and render tables."""

import contextlib
import csv
import dataclasses
import functools
import hashlib
import json
import os
import pathlib
import platform
import re
import shutil
from collections.abc import Iterator, Sequence
from typing import Any

from va_jax.types import InputError

HOST = hashlib.sha256(platform.node().encode()).hexdigest()[:8]
"""Identifier of this machine in the names of temporary files, since process numbers are only valid
on the machine that assigned them."""

LONG_NAME_BYTES = 200
"""Length from which a hash replaces the original name in the name of a temporary file, since file
systems limit names to 255 bytes."""

ESCAPED = ("=", "+", "-", "@", "\t", "\r", "'")  # beginnings of text, see `text_cell`
DELIMITERS = (";", "\t", ",")
_NUMBER = re.compile(r"[+-]?(\d+([.,]\d*)?|[.,]\d+)([eE][+-]?\d+)?")


@contextlib.contextmanager
def replacing(path: pathlib.Path) -> Iterator[pathlib.Path]:
    """Yield a temporary path next to `path`, and move it to `path` if the block succeeds.

    The block writes a file or a folder to the temporary path. Readers see either the old or the new
    content, never a partial one. If the block fails, `path` stays unchanged and the temporary file
    or folder is removed. Several processes may write to the same path. Temporary files that killed
    processes on this machine left in the folder are cleaned up.
    """
    _clean_up(path.parent)
    encoded = os.fsencode(path.name)
    name = path.name if len(encoded) < LONG_NAME_BYTES else hashlib.sha256(encoded).hexdigest()
    temporary = path.with_name(f".{name}.{HOST}.{os.getpid()}.tmp")
    old = temporary.with_suffix(".old")
    _remove(temporary)  # left behind by a killed process with the same number
    if path.exists():
        _remove(old)
    try:
        yield temporary
        if path.is_dir() and not path.is_symlink():
            path.rename(old)  # os.replace cannot replace a folder that is not empty
        os.replace(temporary, path)
    finally:
        if old.is_dir() and not path.exists():
            old.rename(path)
        _remove(temporary)
        _remove(old)


@functools.lru_cache
def _clean_up(folder: pathlib.Path) -> None:
    """Remove temporary files of killed processes or restore the old content, once per folder."""
    for path in folder.glob(f".*.{HOST}.*.*"):
        name, _, process, kind = path.name[1:].rsplit(".", 3)
        if kind not in ("tmp", "old") or not process.isdecimal() or _is_running(int(process)):
            continue
        if kind == "old" and not path.with_name(name).exists():
            path.rename(path.with_name(name))
        else:
            _remove(path)


def _is_running(process: int) -> bool:
    """Return whether this machine runs a process with this number."""
    try:
        os.kill(process, 0)
    except PermissionError:  # a process of another user
        return True
    except OSError:
        return False
    return True


def _remove(path: pathlib.Path) -> None:
    if path.is_dir():
        shutil.rmtree(path, ignore_errors=True)
    else:
        path.unlink(missing_ok=True)


def write_text(path: pathlib.Path, text: str) -> None:
    """Write a UTF-8 text file atomically."""
    with replacing(path) as temporary:
        temporary.write_text(text, encoding="utf-8")


def write_bytes(path: pathlib.Path, data: bytes) -> None:
    """Write a binary file atomically."""
    with replacing(path) as temporary:
        temporary.write_bytes(data)


def write_json(path: pathlib.Path, value: Any) -> None:
    """Write `value` as indented JSON, atomically."""
    write_text(path, json.dumps(value, indent=1) + "\n")


def write_csv(path: pathlib.Path, header: Sequence[str], rows: Sequence[Sequence[Any]]) -> None:
    """Write a comma-separated file with a header line, atomically."""
    with replacing(path) as temporary, temporary.open("w", newline="", encoding="utf-8") as file:
        writer = csv.writer(file, lineterminator="\n")
        writer.writerow(header)
        writer.writerows(rows)


def text_cell(text: str) -> str:
    """Return a csv cell that a spreadsheet shows as text, not as a formula, for text from users.

    Text that begins with one of `ESCAPED` gets a leading apostrophe, which `split_cells` removes.
    """
    return f"'{text}" if text.startswith(ESCAPED) else text


def read_text(path: pathlib.Path) -> str:
    r"""Return the text of a UTF-8 file without its byte-order mark and with `\n` line endings.

    Raises:
        InputError: the file cannot be opened or is not UTF-8 text.
    """
    try:
        text = path.read_bytes().decode("utf-8-sig")
    except OSError as error:
        raise InputError(f"{path}: {error.strerror}; check the path") from error
    except UnicodeDecodeError as error:
        raise InputError(
            f"{path}: not UTF-8 text (byte {error.start}); save the file as UTF-8"
        ) from error
    if "\0" in text:
        raise InputError(f"{path}: not a text file (contains zero bytes); save it as UTF-8 text")
    return text.replace("\r\n", "\n").replace("\r", "\n") if "\r" in text else text


def read_lines(path: pathlib.Path) -> list[tuple[int, str]]:
    """Return (line number, text) for every non-blank line in a text file; line numbers start at 1.

    Raises:
        InputError: the file cannot be opened, is not UTF-8 text, or has only blank lines.
    """
    lines = [(n, line) for n, line in enumerate(read_text(path).split("\n"), 1) if line.strip()]
    if not lines:
        raise InputError(f"{path}: the file is empty; replace or remove it")
    return lines


def read_json(path: pathlib.Path, remedy: str = "restore the file") -> Any:
    """Return the value in a JSON file.

    Raises:
        InputError: the file cannot be opened or is not valid JSON; the message ends with `remedy`.
    """
    text = read_text(path)
    try:
        return json.loads(text)
    except json.JSONDecodeError as error:
        raise InputError(
            f"{path}: line {error.lineno}: not valid JSON ({error.msg}); {remedy}"
        ) from error
    except (ValueError, RecursionError) as error:  # a number is too long or nesting is too deep
        raise InputError(f"{path}: cannot read this JSON file ({error}); {remedy}") from error


def number(cell: str) -> float | None:
    """Return the finite number in a cell, or None if the cell does not contain one.

    The decimal separator may be a point or a comma. Comma-delimited files cannot use decimal
    commas: the row would have an extra cell, which `read_csv` rejects.
    """
    if not _NUMBER.fullmatch(cell):
        return None
    value = float(cell.replace(",", "."))
    return value if abs(value) < float("inf") else None


def require_number(path: pathlib.Path, line: int, name: str, cell: str) -> float:
    """Return the finite number in a cell, like `number`, but raise an error if there is none.

    Raises:
        InputError: the cell does not contain a number. The message names the file, the line, the
            column `name` and the cell.
    """
    value = number(cell)
    if value is None:
        raise InputError(f"{path}: line {line}: {name} {cell!r} is not a number; correct the file")
    return value


def split_cells(line: str, delimiter: str) -> list[str]:
    """Split a line of a csv file into cells, without quotes or surrounding blanks."""
    try:
        cells = next(csv.reader([line], delimiter=delimiter, skipinitialspace=True), [""])
    except csv.Error:  # a cell that is too long, so this is no table
        cells = [line[:200]]
    return [_unquoted(cell.strip(' \t"')) for cell in cells]


def _unquoted(cell: str) -> str:
    """Remove apostrophes around a number, a pair of them, or that of `text_cell`, but no others."""
    bare = cell.strip(" \t'\"")
    if bare == cell or number(bare) is not None:
        return bare
    if len(cell) > 1 and cell[0] == cell[-1] == "'" != cell[1]:
        return cell[1:-1].strip()
    return cell[1:] if cell[:1] == "'" and cell[1:].startswith(ESCAPED) else cell


def sniff_delimiter(line: str, names: Sequence[str] = ()) -> str:
    """Detect the delimiter of a csv file (semicolon, tab or comma) from its first line.

    A delimiter that isolates one of the column `names` (in lower case) takes precedence. Otherwise,
    the first of the three delimiters that splits the line is chosen, or the comma if none does.
    """
    split = {d: [cell.casefold() for cell in split_cells(line, d)] for d in DELIMITERS}
    found = [d for d, cells in split.items() if set(names) & set(cells)]
    found += [d for d, cells in split.items() if len(cells) > 1]
    return found[0] if found else ","


@dataclasses.dataclass(frozen=True)
class CsvFile:
    """The content of a csv file; every row has the same number of cells as the first line."""

    path: pathlib.Path
    header: list[str]  # cells in the first line, which may be names or values
    rows: list[tuple[int, list[str]]]  # (line number, cells) for every other line
    header_line: int  # line number of the first line that is not blank

    def columns(self, *names: str) -> list[int]:
        """Return the indices of the columns called `names`, ignoring case.

        Raises:
            InputError: the header does not contain a name, or contains it more than once.
        """
        known = [name.casefold() for name in self.header]
        for name in names:
            if known.count(name.casefold()) != 1:
                problem = "more than one column" if name.casefold() in known else "no column"
                raise InputError(
                    f"{self.path}: line {self.header_line}: {problem} is named {name!r} "
                    f"(columns: {', '.join(self.header)}); correct the header"
                )
        return [known.index(name.casefold()) for name in names]


def read_csv(path: pathlib.Path) -> CsvFile:
    """Read a csv file with any common delimiter, quoting and line ending, with or without a BOM.

    Raises:
        InputError: the file is not text or is empty, or a row does not have the same number of
            cells as the first line.
    """
    (first, line), *others = read_lines(path)
    delimiter = sniff_delimiter(line)
    header = split_cells(line, delimiter)
    rows = [(n, split_cells(text, delimiter)) for n, text in others]
    for n, cells in rows:
        if len(cells) != len(header):
            raise InputError(
                f"{path}: line {n}: has {len(cells)} cell{'s' * (len(cells) != 1)}, but line "
                f"{first} has {len(header)}; correct the row"
            )
    return CsvFile(path, header, rows, first)


@dataclasses.dataclass(frozen=True)
class Table:
    """A small text table whose first column labels the rows."""

    header: Sequence[str]
    rows: Sequence[Sequence[str]]
    right: bool = True  # whether to right-align the other columns; False for columns of words

    def text(self) -> str:
        """Return the table as aligned plain text, without a trailing newline."""
        columns = list(zip(self.header, *self.rows, strict=True))
        widths = [max(map(len, column)) for column in columns]
        lines = []
        for label, *cells in (self.header, *self.rows):
            side = ">" if self.right else "<"
            padded = (
                f"  {cell:{side}{width}}" for cell, width in zip(cells, widths[1:], strict=True)
            )
            lines.append(f"{label:<{widths[0]}}{''.join(padded)}".rstrip())
        return "\n".join(lines)

    def markdown(self) -> str:
        """Return the table in Markdown, without a trailing newline."""
        rule = "---:" if self.right else "---"
        lines = [self.header, ["---", *[rule] * (len(self.header) - 1)], *self.rows]
        return "\n".join(f"| {' | '.join(cells)} |" for cells in lines)
