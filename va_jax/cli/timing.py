"""The flags --fps, --time_column and --time_unit, for commands that read traces."""

import argparse

from va_jax.data.columns import UNITS
from va_jax.scoring.files import Timing


def add_arguments(parser: argparse.ArgumentParser) -> None:
    """Add the flags that say how the rows of files are identified."""
    add = parser.add_argument
    add("--fps", type=float, help="frame rate of files that contain no times")
    add("--time_column", default="",
        help="name or position of the time column in files where it is not recognised")  # fmt: skip
    add("--time_unit", default="", choices=UNITS,
        help="unit of the times, if the column name does not state it")  # fmt: skip


def read(args: argparse.Namespace) -> Timing:
    """Return the values of the flags."""
    return Timing(args.fps, args.time_column, args.time_unit)
