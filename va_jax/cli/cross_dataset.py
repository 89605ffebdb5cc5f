"""Score runs on several built data sets; the table has a row per run and a column per data set.

va_jax cross-dataset runs/gru runs/lstm --data=synthetic_faces/quickstart,video_folder/112:dev
"""

import argparse
import functools
import json
import pathlib
import sys

from absl import logging

from va_jax.cli import output

AGGREGATIONS = ("pooled", "mean_of_recordings", "length_weighted")


def add_arguments(parser: argparse.ArgumentParser) -> None:
    add = parser.add_argument
    add("runs", nargs="+", type=pathlib.Path, metavar="RUN", help="workdir of a run")
    add("--data", required=True, type=output.names, action="extend",
        help="built data sets, each given as NAME or NAME:SPLIT")  # fmt: skip
    add("--data_dir", default="",
        help="folder of the built data sets; default: the one that each run used")  # fmt: skip
    add("--split", default="test",
        help="split to use for data sets given without one; default %(default)s")  # fmt: skip
    add("--processed", action="store_true", help="apply each run's own post-processing")
    add("--aggregation", choices=AGGREGATIONS, default="pooled",
        help="how to combine the scores of recordings; default %(default)s")  # fmt: skip
    output.add_arguments(parser)


def run(args: argparse.Namespace) -> int:
    import jax

    from va_jax.evaluation import cross_dataset

    logging.set_verbosity(logging.WARNING)  # Orbax and TFDS log every file they open
    output.check(args)
    cells = cross_dataset.plan(args.runs, args.data, args.data_dir, args.split)
    results = []
    for each in cross_dataset.score_cells(cells, args.processed):
        results.append(each)
        print(f"{len(results)} of {len(cells)}: {each['run']} on {each['data']}", file=sys.stderr)
    formats = {
        "text": functools.partial(cross_dataset.text, aggregation=args.aggregation),
        "markdown": functools.partial(cross_dataset.markdown, aggregation=args.aggregation),
        "json": lambda found: json.dumps({"results": found}, indent=1),
    }
    if jax.process_index() == 0:
        output.show(args, results, formats)
    return 0
