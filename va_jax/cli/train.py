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
    add("--seeds", type=_seeds, metavar="0,1,2",
        help="train one run per seed, in WORKDIR/seed_N, and compare the scores")  # fmt: skip
    job.add_arguments(parser)
    parser.epilog = f"config keys and their defaults:\n\n{keys.text(configuration.Config)}"


def run(args: argparse.Namespace, overrides: list[str]) -> int:
    config, here = config_file.read(args.config, overrides), job.of_arguments(args)
    if args.seeds:
        action = functools.partial(job.train_seeds, here, config, args.workdir, args.seeds)
    else:
        action = functools.partial(job.train, here, config, args.workdir)
    return job.run(here, action)


def _seeds(text: str) -> list[int]:
    seeds = text.split(",")
    if not all(map(str.isdecimal, seeds)) or len({*map(int, seeds)}) < len(seeds):
        raise argparse.ArgumentTypeError(
            f"{text!r} is not a list of different seeds; write it as 0,1,2"
        )
    return [int(seed) for seed in seeds]
