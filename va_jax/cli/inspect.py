"""Inspect the source material of a data set before building it.

    va_jax inspect aff_wild2/112 DIR
    va_jax inspect recola DIR --json

Each problem is printed on one line, with the file name and how a build will handle it. The exit
code is 1 if there are any problems.
"""

import argparse
import json
import os
import pathlib

from tfds_builders.inspect_tree import inspect_tree


def add_arguments(parser: argparse.ArgumentParser) -> None:
    add = parser.add_argument
    add("name", metavar="NAME[/CONFIG]", help="data set defined in tfds_builders")
    add("tree", type=pathlib.Path, metavar="TREE", help="folder with the source material")
    add("--data_dir", type=pathlib.Path, default="data", help="folder in which it would be built")
    add("--json", action="store_true", help="print JSON")
    add("--jobs", type=int, default=os.cpu_count(), help="number of threads; default: one per core")
    add("--no_detector", action="store_true", help="do not search sampled frames for faces")
    add("--config_options", nargs="*", action="extend", default=[], metavar="KEY=VALUE",
        help="options for the builder, as for `va_jax build`")  # fmt: skip


def run(args: argparse.Namespace) -> int:
    result = inspect_tree(
        args.name,
        args.tree.expanduser(),
        args.data_dir.expanduser(),
        args.config_options,
        args.jobs,
        not args.no_detector,
    )
    print(json.dumps(result.to_json(), indent=1) if args.json else result.text())
    return 1 if result.findings else 0
