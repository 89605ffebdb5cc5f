"""Train a network to the end and evaluate it; the same command continues an interrupted run.

    va_jax train --config=quickstart.py --workdir=runs/quickstart --optim.learning_rate=1e-3

Override any config key with --KEY=VALUE or --config.KEY=VALUE.
"""

import argparse
import functools
import pathlib

from va_jax import config as configuration
from va_jax import keys
from va_jax.cli import config_file, job

TAKES_CONFIG_KEYS = True


def add_arguments(parser: argparse.ArgumentParser) -> None:
    add = parser.add_argument
    add("--config", required=True, metavar="FILE[:VARIANT]", help="your own or a built-in config")
    add("--workdir", required=True, type=pathlib.Path, help="folder of the run")
    job.add_arguments(parser)
    parser.epilog = f"config keys and their defaults:\n\n{keys.text(configuration.Config)}"


def run(args: argparse.Namespace, overrides: list[str]) -> int:
    config, here = config_file.read(args.config, overrides), job.of_arguments(args)
    return job.run(here, functools.partial(job.train, here, config, args.workdir))
