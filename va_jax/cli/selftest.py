"""Check that this installation gives the published numbers, with a model and a clip that it ships.

va_jax selftest
"""

import argparse


def add_arguments(parser: argparse.ArgumentParser) -> None:
    """The command has no arguments."""


def run(args: argparse.Namespace) -> int:
    from va_jax.predict import selftest

    return selftest.main()
