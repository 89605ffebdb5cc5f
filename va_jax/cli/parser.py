"""A command-line parser whose errors are one line and exit code 1, like all other bad input."""

import argparse
import sys
from typing import Any, NoReturn


class Parser(argparse.ArgumentParser):
    """`argparse.ArgumentParser` without abbreviations, that prints an error as one line."""

    def __init__(self, **options: Any):
        super().__init__(
            allow_abbrev=False, formatter_class=argparse.RawDescriptionHelpFormatter, **options
        )

    def error(self, message: str) -> NoReturn:
        sys.exit(f"error: {message}; see --help")
