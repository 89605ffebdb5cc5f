"""The flags --json, --markdown, --out and --overwrite, for commands that print a result."""

import argparse
import pathlib
import sys
from collections.abc import Callable, Mapping
from typing import Any

from va_jax import io
from va_jax.types import InputError

Formats = Mapping[str, Callable[[Any], str]]
"""Functions that format a result as "text", "markdown" and "json"."""


def add_arguments(parser: argparse.ArgumentParser) -> None:
    """Add the output flags to a parser."""
    kind = parser.add_mutually_exclusive_group()
    kind.add_argument("--json", action="store_true", help="print JSON")
    kind.add_argument("--markdown", action="store_true", help="print Markdown tables")
    parser.add_argument("--out", type=pathlib.Path, help="also write the output to this file")
    parser.add_argument("--overwrite", action="store_true", help="replace an existing --out file")


def check(args: argparse.Namespace) -> None:
    """Raise InputError if --out cannot be written; call this before the work begins."""
    if args.out is None:
        return
    if args.out.is_dir():
        raise InputError(f"--out={args.out} is a folder; pass the path of a file")
    if args.out.exists() and not args.overwrite:
        raise InputError(
            f"--out={args.out} already exists; choose a different file or pass --overwrite"
        )


def show(args: argparse.Namespace, result: Any, formats: Formats) -> None:
    """Print `result` in the chosen format, and write it to --out."""
    kind = "json" if args.json else "markdown" if args.markdown else "text"
    text = formats[kind](result).rstrip() + "\n"
    if args.out is not None:
        try:
            io.write_text(args.out, text)
        except OSError as error:
            raise InputError(
                f"--out={args.out} cannot be written: {error.strerror}; choose a different file"
            ) from error
    sys.stdout.write(text)


def names(text: str) -> list[str]:
    """Split a comma-separated list of names."""
    return [name for name in (part.strip() for part in text.split(",")) if name]
