"""Compile a network for the devices here or for TPUs elsewhere, and show whether it fits.

    va_jax compile --config=tzirakis2021.py:resnet50_lstm --topology=v5e:2x4 --train.batch_size=16

The training and the evaluation step are compiled but not run; this does not require a data set.
Without --topology, they are compiled for the devices of this machine. The exit code is 1 if a step
does not fit. Override any config key with --KEY=VALUE.
"""

import argparse
import functools

from va_jax.cli import config_file, job

TAKES_CONFIG_KEYS = True


def add_arguments(parser: argparse.ArgumentParser) -> None:
    parser.add_argument("--config", required=True, metavar="FILE[:VARIANT]", help="config file")
    parser.add_argument("--topology", default="", metavar="NAME",
        help="TPU slice, such as v5e:2x4; default: the devices here")  # fmt: skip
    parser.add_argument("--json", action="store_true", help="print JSON")


def run(args: argparse.Namespace, overrides: list[str]) -> int:
    config = config_file.read(args.config, overrides)
    action = functools.partial(job.compile_steps, config, args.topology, args.json)
    return job.run(job.Job(), action)
