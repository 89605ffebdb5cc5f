"""Write a run's network to a folder: parameters, metadata, model card, and serialised functions.

va_jax export runs/quickstart --out=exported
"""

import argparse
import functools
import pathlib

from va_jax.cli import job


def add_arguments(parser: argparse.ArgumentParser) -> None:
    add = parser.add_argument
    add("run", type=pathlib.Path, metavar="RUN", help="workdir of the run")
    add("--out", type=pathlib.Path, help="folder to write; default RUN/export")


def run(args: argparse.Namespace) -> int:
    return job.run(job.Job(), functools.partial(job.export, args.run, args.out))
