"""Run a frozen backbone once over a data set, and store its features for training.

    va_jax features --config=emotieffnet.py:gru --init.weights=FILE --flip --out=cached
    va_jax features runs/frame --data.name=video_folder/112 --out=cached

Then train any temporal stack on top of the same backbone, many times faster than from frames:

    va_jax train --config=emotieffnet.py:gru --init.weights=FILE --data.features=cached ...

The backbone must be frozen (optim.rates.backbone=0), and mirroring (--flip) is the only
augmentation that works on features.
"""

import argparse
import functools
import pathlib

from va_jax.cli import config_file, job
from va_jax.train import exported
from va_jax.train import workdir as run_config
from va_jax.types import InputError

TAKES_CONFIG_KEYS = True


def add_arguments(parser: argparse.ArgumentParser) -> None:
    add = parser.add_argument
    add("model", type=pathlib.Path, nargs="?", metavar="MODEL", help="run or exported model")
    add("--config", metavar="FILE[:VARIANT]", help="config that names weights; replaces MODEL")
    add("--out", type=pathlib.Path, required=True, help="new folder for the features")
    add("--flip", action="store_true", help="also store the features of the mirrored frames")
    add("--type", choices=("float16", "float32"), default="float16",
        help="type of the stored features; default %(default)s")  # fmt: skip


def run(args: argparse.Namespace, overrides: list[str]) -> int:
    if (args.model is None) == (args.config is None):
        raise InputError("expected either MODEL or --config=FILE; see va_jax features --help")
    base = None
    if args.model is not None:
        base, key = run_config.load(args.model), "from_workdir"
        if (args.model / exported.ARRAYS).exists():
            key = "from_export"
        overrides = [*overrides, "--init.weights=", f"--init.{key}={args.model}"]
    config = config_file.read(args.config, overrides, base)
    action = functools.partial(job.cache_features, config, args.out, args.type, args.flip)
    return job.run(job.Job(), action)
