"""The flags --sep and --decimal, for commands that write csv files for people."""

import argparse

from va_jax.data.csv_format import CsvFormat


def add_arguments(parser: argparse.ArgumentParser) -> None:
    """Add the flags for the format of csv files."""
    add = parser.add_argument
    add("--sep", default=",", help="separator between the cells of csv files: ',', ';' or tab")
    add("--decimal", default=".", help="decimal mark of the numbers in csv files: '.' or ','")


def read(args: argparse.Namespace) -> CsvFormat:
    """Return the format; InputError if it is not supported."""
    return CsvFormat.named(args.sep, args.decimal)
