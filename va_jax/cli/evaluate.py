"""Score the best checkpoint of a run and draw report.html.

    va_jax evaluate runs/quickstart
    va_jax evaluate runs/quickstart --eval.state=window --eval.fusion=last --out=runs/windows

The run's own config is used; keys in its `eval` and `post` sections can be overridden.
"""

import argparse
import functools
import pathlib

from va_jax.cli import config_file, job
from va_jax.train import workdir as run_config

TAKES_CONFIG_KEYS = True


def add_arguments(parser: argparse.ArgumentParser) -> None:
    add = parser.add_argument
    add("run", type=pathlib.Path, metavar="RUN", help="workdir of the run")
    add("--out", type=pathlib.Path, help="folder for the results; default: the workdir")
    job.add_arguments(parser)


def run(args: argparse.Namespace, overrides: list[str]) -> int:
    config, here = None, job.of_arguments(args)
    if overrides:
        config = config_file.read(None, overrides, run_config.load(args.run))
    return job.run(here, functools.partial(job.evaluate, here, config, args.run, args.out))
