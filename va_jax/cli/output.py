"""The flags --json, --markdown, --out and --overwrite of commands that print a result."""

import argparse
import pathlib
import sys
from collections.abc import Callable, Mapping
from typing import Any

from va_jax import io
from va_jax.types import InputError

Formats = Mapping[str, Callable[[Any], str]]
"""Functions that turn a result into "text", "markdown" and "json"."""


def add_arguments(parser: argparse.ArgumentParser) -> None:
    """Add the flags."""
    kind = parser.add_mutually_exclusive_group()
    kind.add_argument("--json", action="store_true", help="print JSON")
    kind.add_argument("--markdown", action="store_true", help="print Markdown tables")
    parser.add_argument("--out", type=pathlib.Path, help="write the output to this file, too")
    parser.add_argument("--overwrite", action="store_true", help="replace the file --out")


def check(args: argparse.Namespace) -> None:
    """Raise an InputError if --out cannot be written; call it before the work begins."""
    if args.out is None:
        return
    if args.out.is_dir():
        raise InputError(f"--out={args.out}: is a folder; name a file")
    if args.out.exists() and not args.overwrite:
        raise InputError(f"--out={args.out}: exists; name another file, or add --overwrite")


def show(args: argparse.Namespace, result: Any, formats: Formats) -> None:
    """Print `result` in the chosen format, and write it to --out."""
    kind = "json" if args.json else "markdown" if args.markdown else "text"
    text = formats[kind](result).rstrip() + "\n"
    if args.out is not None:
        try:
            io.write_text(args.out, text)
        except OSError as error:
            raise InputError(f"--out={args.out}: {error.strerror}; name another file") from error
    sys.stdout.write(text)


def names(text: str) -> list[str]:
    """Split a comma-separated list of names."""
    return [name for name in (part.strip() for part in text.split(",")) if name]
