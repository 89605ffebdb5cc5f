"""Write a network to a folder: parameters, metadata, model card, and serialised functions.

    va_jax export runs/quickstart --out=exported
    va_jax export --config=emotieffnet.py --init.weights=enet_b0_8_va_mtl.pt --out=emotieffnet

The first command writes the network of a run. The second one writes a network that others have
trained to estimate valence and arousal, from its weight file and without any training.
"""

import argparse
import functools
import pathlib

from va_jax.cli import config_file, job
from va_jax.types import InputError

TAKES_CONFIG_KEYS = True


def add_arguments(parser: argparse.ArgumentParser) -> None:
    add = parser.add_argument
    add("run", type=pathlib.Path, nargs="?", metavar="RUN", help="workdir of the run")
    add("--config", metavar="FILE[:VARIANT]", help="config that names a weight file; replaces RUN")
    add("--head", default="", metavar="SET",
        help="data set, among those of RUN, whose head, crops and frame rate to export; required "
        "if model.heads=per_set, by default the first one otherwise")  # fmt: skip
    add("--out", type=pathlib.Path, help="new folder for the export; default: RUN/export")


def run(args: argparse.Namespace, overrides: list[str]) -> int:
    if (args.run is None) == (args.config is None):
        raise InputError("expected either RUN or --config=FILE; see va_jax export --help")
    if args.config is None:
        if overrides:
            raise InputError(f"unexpected argument {overrides[0]!r}; see va_jax export --help")
        return job.run(job.Job(), functools.partial(job.export, args.run, args.out, args.head))
    if args.head:
        raise InputError(f"--head={args.head} applies only to a RUN; omit it")
    if args.out is None:
        raise InputError("--config requires --out=FOLDER; see va_jax export --help")
    config = config_file.read(args.config, overrides)
    return job.run(job.Job(), functools.partial(job.export_weights, config, args.out))
