"""Score predictions from any system against labels.

    va_jax score predictions/ labels/
    va_jax score runs/quickstart/traces/test labels/ --dims=valence --lag_sweep

Both arguments are folders of <recording>.csv files, with a `frame` or `time_s` column and a column
for each dimension.
"""

import argparse
import pathlib

from va_jax.cli import output, timing
from va_jax.evaluation.bootstrap import RESAMPLES
from va_jax.evaluation.metrics import FORMULAS
from va_jax.scoring import score

FORMATS = {"text": score.text, "markdown": score.markdown, "json": score.to_json}


def add_arguments(parser: argparse.ArgumentParser) -> None:
    add = parser.add_argument
    add("predictions", type=pathlib.Path, metavar="PREDICTIONS", help="folder of predictions")
    add("labels", type=pathlib.Path, metavar="LABELS", help="folder of labels")
    add("--dims", type=output.names, action="extend",
        help="columns to score; default: valence and arousal, if both sides have them")  # fmt: skip
    add("--label_suffix", help="suffix of the label columns, such as _target")
    add("--groups", type=pathlib.Path, help="csv file with the columns recording and group")
    add("--formula", choices=FORMULAS, default=FORMULAS[0], help="CCC formula; default %(default)s")
    add("--lag_s", type=float, default=0.0, help="move predictions earlier by this many seconds")
    timing.add_arguments(parser)
    add("--lag_sweep", action="store_true", help="also print the CCC for a range of lags")
    add("--max_lag_s", type=float, default=10.0, help="longest lag in the sweep; default 10 s")
    add("--resamples", type=int, default=RESAMPLES, help="bootstrap resamples; default %(default)s")
    add("--seed", type=int, default=0, help="seed of the bootstrap")
    add("--strict", action="store_true",
        help="stop with an error if a file or row cannot be matched")  # fmt: skip
    output.add_arguments(parser)


def run(args: argparse.Namespace) -> int:
    output.check(args)
    options = score.ScoreOptions(
        dims=args.dims,
        label_suffix=args.label_suffix,
        groups=args.groups,
        formula=args.formula,
        lag_s=args.lag_s,
        timing=timing.read(args),
        max_lag_s=args.max_lag_s if args.lag_sweep else None,
        resamples=args.resamples,
        seed=args.seed,
        strict=args.strict,
    )
    output.show(args, score.score(args.predictions, args.labels, options), FORMATS)
    return 0
