"""Inspect the source material of a data set before building it, or a data set that is built.

    va_jax inspect aff_wild2/112 DIR
    va_jax inspect recola DIR --json
    va_jax inspect aff_wild2/112 --data_dir=data
    va_jax inspect aff_wild2/112 --data_dir=data --model=exported

With DIR, each problem of the source material is printed on one line, with the file name and how a
build will handle it. Without DIR, the recordings of the built data set are compared with each
other: copies in different splits are problems. With --model or --features, subjects who look alike
are listed too. The exit code is 1 if there are any problems.
"""

import argparse
import dataclasses
import json
import os
import pathlib

from va_jax.types import InputError


def add_arguments(parser: argparse.ArgumentParser) -> None:
    add = parser.add_argument
    add("name", metavar="NAME[/CONFIG]", help="data set defined in tfds_builders")
    add("tree", type=pathlib.Path, nargs="?", metavar="DIR",
        help="folder with the source material; default: inspect the built data set")  # fmt: skip
    add("--data_dir", type=pathlib.Path, default="data", help="folder of the built data sets")
    add("--json", action="store_true", help="print JSON")
    add("--jobs", type=int, default=os.cpu_count(), help="number of threads; default: one per core")
    add("--no_detector", action="store_true", help="do not search sampled frames for faces")
    add("--compare_s", type=float, default=60.0,
        help="seconds at the start of each source recording to decode and compare with the others; "
        "0 for none; default %(default)g")  # fmt: skip
    add("--config_options", nargs="*", action="extend", default=[], metavar="KEY=VALUE",
        help="options for the builder, as for `va_jax build`")  # fmt: skip
    add("--model", type=pathlib.Path,
        help="run or export whose backbone compares the subjects of a built set")  # fmt: skip
    add("--features", type=pathlib.Path,
        help="features that compare these subjects, from `va_jax features`")  # fmt: skip


def run(args: argparse.Namespace) -> int:
    if args.jobs < 1:
        raise InputError(f"jobs={args.jobs} must be at least 1")
    if args.compare_s < 0:
        raise InputError(f"--compare_s={args.compare_s:g} must be at least 0")
    if args.tree is None:
        return _inspect_built(args)
    if args.model or args.features:
        raise InputError(
            "--model and --features compare the subjects of a built data set; build it, and leave "
            f"out DIR ({args.tree})"
        )
    from tfds_builders.inspect_recording import Thoroughness
    from tfds_builders.inspect_tree import inspect_tree

    result = inspect_tree(
        args.name,
        args.tree.expanduser(),
        args.data_dir.expanduser(),
        args.config_options,
        args.jobs,
        Thoroughness(not args.no_detector, args.compare_s),
    )
    print(json.dumps(result.to_json(), indent=1) if args.json else result.text())
    return 1 if result.findings else 0


def _inspect_built(args: argparse.Namespace) -> int:
    from absl import logging

    from va_jax.data import alike, features, leaks, sources

    logging.set_verbosity(logging.WARNING)  # TFDS logs every set it opens
    directory, everything = str(args.data_dir.expanduser()), 10**9
    tracks = sources.metadata(directory, args.name)["tracks"]
    names = [name for name, rows in tracks.items() if rows]
    opened = {
        name: sources.open_split(directory, args.name, name, max_bad_records=everything)
        for name in names
    }
    result = leaks.find_leaks(opened, args.jobs)
    if args.model:
        from va_jax.evaluation import subject_features

        means = subject_features.mean_features(args.model.expanduser(), opened.values())
        result = dataclasses.replace(result, alike=alike.find_alike(means))
    elif args.features:
        cached = [features.open_split(args.features.expanduser(), name) for name in names]
        means = alike.means_of_features(cached)
        result = dataclasses.replace(result, alike=alike.find_alike(means))
    print(json.dumps(result.to_json(), indent=1) if args.json else result.text())
    return 1 if result.across else 0
