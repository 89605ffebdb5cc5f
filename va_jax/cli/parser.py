"""A command-line parser that reports errors in one line with exit code 1, like other bad input."""

import argparse
import os
import re
import sys
from collections.abc import Sequence
from typing import Any, NoReturn

HOME = re.compile(r"(?<![^=,])~[^/,]*(?![^/,])")
"""A user's home at the start of a path, which may be the value of a flag or an item in a list."""


class Parser(argparse.ArgumentParser):
    """An `argparse.ArgumentParser` that expands `~` and reports errors in one line.

    Abbreviations of flags are not allowed.
    """

    def __init__(self, **options: Any):
        super().__init__(
            allow_abbrev=False, formatter_class=argparse.RawDescriptionHelpFormatter, **options
        )

    def error(self, message: str) -> NoReturn:
        sys.exit(f"error: {message}; see --help")

    def parse_known_args(self, args: Sequence[str] | None = None, namespace: Any = None) -> Any:  # pyright: ignore[reportIncompatibleMethodOverride]
        words = sys.argv[1:] if args is None else args
        return super().parse_known_args([expand_home(word) for word in words], namespace)


def expand_home(text: str) -> str:
    """Expand `~` in a path, in the value of a flag, and in a list separated by commas.

    A shell expands `--out ~/x`, but not `--out=~/x`.
    """
    return HOME.sub(lambda match: os.path.expanduser(match[0]), text)
