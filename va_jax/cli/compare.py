"""Compare two systems on the recordings that both predict, with intervals and p-values.

    va_jax compare runs/gru runs/lstm
    va_jax compare runs/gru runs/lstm --page=compared.html
    va_jax compare 'runs/gru_*' predictions/ labels/ --metric=ccc

A and B are each the workdir of an evaluated run, or a folder of <recording>.csv files. Separate
several runs of the same system, such as different seeds, with commas, or pass a quoted pattern.
Without LABELS, the labels in the traces of the runs are used.
"""

import argparse
import pathlib

from va_jax.cli import output, timing
from va_jax.evaluation.bootstrap import RESAMPLES
from va_jax.evaluation.metrics import FORMULAS, METRICS
from va_jax.scoring import compare_text
from va_jax.scoring.compare import CompareOptions, compare, to_json
from va_jax.types import InputError

FORMATS = {"text": compare_text.text, "markdown": compare_text.markdown, "json": to_json}
CHOSEN = {"all": METRICS, "ccc": ("ccc",)}


def add_arguments(parser: argparse.ArgumentParser) -> None:
    add = parser.add_argument
    add("first", metavar="A", help="workdir or folder of csv files, or several separated by commas")
    add("second", metavar="B", help="the same for the second system")
    add("labels", metavar="LABELS", nargs="?", type=pathlib.Path, help="folder of label files")
    add("--split", default="test", help="split to read from workdirs; default %(default)s")
    add("--dims", type=output.names, action="extend",
        help="dimensions to compare; default: all that both systems predict")  # fmt: skip
    add("--processed", action="store_true", help="compare post-processed predictions")
    add("--metric", choices=CHOSEN, default="all", help="metrics to compare; default: all")
    add("--formula", choices=FORMULAS, default=FORMULAS[0], help="CCC formula; default %(default)s")
    add("--resamples", type=int, default=RESAMPLES, help="bootstrap resamples; default %(default)s")
    add("--seed", type=int, default=0, help="seed of the bootstrap")
    timing.add_arguments(parser)
    add("--strict", action="store_true",
        help="stop with an error if a recording or row cannot be matched")  # fmt: skip
    add("--page", type=pathlib.Path, metavar="FILE.html",
        help="also write a page for browsers, with the curves of both systems")  # fmt: skip
    output.add_arguments(parser)


def run(args: argparse.Namespace) -> int:
    output.check(args)
    if args.page is not None:
        output.check_file("--page", args.page, args.overwrite, (".html", ".htm"))
        if args.out is not None and args.out.resolve() == args.page.resolve():
            raise InputError(f"--page={args.page} is also --out; choose a different file")
    options = CompareOptions(
        split=args.split,
        dims=args.dims,
        processed=args.processed,
        formula=args.formula,
        metrics=CHOSEN[args.metric],
        resamples=args.resamples,
        seed=args.seed,
        timing=timing.read(args),
        strict=args.strict,
    )
    comparison = compare(args.first, args.second, args.labels, options)
    output.show(args, comparison, FORMATS)
    if args.page is not None:
        from va_jax.scoring import compare_page

        compare_page.write(args.page, comparison)
    return 0
