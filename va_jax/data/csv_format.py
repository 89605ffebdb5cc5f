"""The format of csv files for people: the separator between cells, and the decimal mark."""

import contextlib
import csv
import dataclasses
import pathlib
from collections.abc import Iterable, Iterator, Sequence
from typing import Protocol, runtime_checkable

from va_jax.io import DELIMITERS, replacing
from va_jax.types import InputError

DECIMALS = (".", ",")
SEPARATOR_NAMES = {"tab": "\t", r"\t": "\t"}
"""Names of separators that are hard to type in a shell."""


@runtime_checkable
class Writable(Protocol):
    """A text file that is open for writing, or a stream in its place."""

    def write(self, text: str, /) -> object: ...


@dataclasses.dataclass(frozen=True)
class CsvFormat:
    """How a csv file is written; the commands of va_jax can read every format.

    Raises:
        InputError: the separator or the decimal mark is not supported, or they are the same.
    """

    sep: str = ","  # one of io.DELIMITERS
    decimal: str = "."  # one of DECIMALS

    def __post_init__(self) -> None:
        if self.sep not in DELIMITERS:
            raise InputError(
                f"--sep={self.sep!r} is not supported; use ',', ';' or tab, with quotes in a shell"
            )
        if self.decimal not in DECIMALS:
            raise InputError(f"--decimal={self.decimal!r} is not supported; use '.' or ','")
        if self.sep == self.decimal:
            raise InputError(
                f"--decimal={self.decimal!r} is also the separator between cells; pass --sep=';' "
                "or --sep=tab as well"
            )

    @classmethod
    def named(cls, sep: str, decimal: str) -> "CsvFormat":
        """Return the format for the values of the flags; the separator may be called `tab`."""
        return cls(SEPARATOR_NAMES.get(sep, sep), decimal)

    def write_header(self, file: Writable, header: Sequence[str]) -> None:
        """Write the line of column names."""
        csv.writer(file, delimiter=self.sep, lineterminator="\n").writerow(header)

    def write_rows(
        self, file: Writable, rows: Iterable[Sequence[str]], text_columns: int = 1
    ) -> None:
        """Write rows of text in the first `text_columns` and numbers with a point in the others."""
        if self.decimal != ".":
            rows = (
                [*row[:text_columns], *(x.replace(".", self.decimal) for x in row[text_columns:])]
                for row in rows
            )
        csv.writer(file, delimiter=self.sep, lineterminator="\n").writerows(rows)

    def write(
        self,
        path: pathlib.Path,
        header: Sequence[str],
        rows: Iterable[Sequence[str]],
        text_columns: int = 1,
    ) -> None:
        """Write a whole file atomically.

        Raises:
            InputError: the file cannot be written.
        """
        with (
            reporting_problems(path),
            replacing(path) as temporary,
            temporary.open("w", newline="", encoding="utf-8") as file,
        ):
            self.write_header(file, header)
            self.write_rows(file, rows, text_columns)


PLAIN = CsvFormat()
"""Commas between cells, and decimal points."""


@contextlib.contextmanager
def reporting_problems(path: pathlib.Path | str) -> Iterator[None]:
    """Turn a failure to write `path` into an InputError."""
    try:
        yield
    except OSError as error:
        raise InputError(
            f"{path} cannot be written: {error.strerror}; free up disk space or choose a "
            "different file"
        ) from error
