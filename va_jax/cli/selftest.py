"""Check that this installation reproduces published numbers, using an included model and clip.

va_jax selftest
"""

import argparse


def add_arguments(parser: argparse.ArgumentParser) -> None:
    """Add no arguments: this command has none."""


def run(args: argparse.Namespace) -> int:
    from va_jax.predict import selftest

    return selftest.main()
