"""The flags --json, --markdown, --out and --overwrite, for commands that print a result."""

import argparse
import pathlib
import sys
from collections.abc import Callable, Mapping, Sequence
from typing import Any

from va_jax import io
from va_jax.data.csv_format import reporting_problems
from va_jax.types import InputError

Formats = Mapping[str, Callable[[Any], str]]
"""Functions that format a result as "text", "markdown" and "json"."""


def add_arguments(parser: argparse.ArgumentParser) -> None:
    """Add the output flags to a parser."""
    kind = parser.add_mutually_exclusive_group()
    kind.add_argument("--json", action="store_true", help="print JSON")
    kind.add_argument("--markdown", action="store_true", help="print Markdown tables")
    parser.add_argument("--out", type=pathlib.Path, help="also write the output to this file")
    parser.add_argument("--overwrite", action="store_true", help="replace existing files")


def check(args: argparse.Namespace) -> None:
    """Raise InputError if --out cannot be written; call this before the work begins."""
    if args.out is not None:
        check_file("--out", args.out, args.overwrite)


def check_file(
    flag: str, path: pathlib.Path, overwrite: bool, suffixes: Sequence[str] = ()
) -> None:
    """Raise InputError if the file of a flag cannot be written, or lacks one of the extensions."""
    if path.is_dir():
        raise InputError(f"{flag}={path} is a folder; pass the path of a file")
    if not path.parent.is_dir():
        raise InputError(f"{flag}={path}: there is no folder {path.parent}; create it")
    if suffixes and path.suffix.lower() not in suffixes:
        raise InputError(f"{flag}={path}: unsupported extension; use {' or '.join(suffixes)}")
    if path.exists() and not overwrite:
        raise InputError(
            f"{flag}={path} already exists; choose a different file or pass --overwrite"
        )


def show(args: argparse.Namespace, result: Any, formats: Formats) -> None:
    """Print `result` in the chosen format, and write it to --out."""
    kind = "json" if args.json else "markdown" if args.markdown else "text"
    text = formats[kind](result).rstrip() + "\n"
    sys.stdout.write(text)
    if args.out is not None:
        with reporting_problems(f"--out={args.out}"):
            io.write_text(args.out, text)


def names(text: str) -> list[str]:
    """Split a comma-separated list of names."""
    return [name for name in (part.strip() for part in text.split(",")) if name]
