"""Print the layers, parameters, memory and FLOPs of a network; this does not require a data set.

va_jax summary --config=kollias2017.py:affwildnet_vggface,gru
"""

import argparse
import functools

from va_jax.cli import config_file, job

TAKES_CONFIG_KEYS = True


def add_arguments(parser: argparse.ArgumentParser) -> None:
    parser.add_argument("--config", required=True, metavar="FILE[:VARIANT]", help="config file")


def run(args: argparse.Namespace, overrides: list[str]) -> int:
    config = config_file.read(args.config, overrides)
    return job.run(job.Job(), functools.partial(job.summarise, config))
