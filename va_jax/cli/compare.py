"""Compare two systems on the same recordings: `python -m va_jax.compare A B [LABELS]`.

A and B are each the workdir of an evaluated run or a folder of <recording>.csv; several runs of a
system are named by commas or by a quoted glob. Without LABELS those in the runs' traces are taken.
"""

import argparse
import pathlib
import sys
from collections.abc import Sequence

from va_jax.evaluation.bootstrap import RESAMPLES
from va_jax.evaluation.metrics import FORMULAS, METRICS
from va_jax.scoring import compare_text
from va_jax.scoring.compare import CompareOptions, compare, to_json
from va_jax.types import InputError

FORMATS = {"text": compare_text.text, "markdown": compare_text.markdown, "json": to_json}
CHOSEN = {"all": METRICS, "ccc": ("ccc",)}


def main(argv: Sequence[str] | None = None) -> None:
    parser = argparse.ArgumentParser(
        prog="python -m va_jax.compare", description=__doc__, allow_abbrev=False
    )
    parser.error = lambda message: sys.exit(f"error: {message}")
    add = parser.add_argument
    add("first", metavar="A", help="workdir or folder, or several: seeds of one system")
    add("second", metavar="B", help="the same of the other system")
    add("labels", metavar="LABELS", nargs="?", type=pathlib.Path, help="folder of <recording>.csv")
    add("--split", default="test", help="of workdirs, default test")
    add("--dims", help="dimensions to compare, by commas; default: all that both have")
    add("--processed", action="store_true", help="compare post-processed predictions")
    add("--metric", choices=CHOSEN, default="all", help="metrics to tell; default all")
    add("--formula", choices=FORMULAS, default=FORMULAS[0], help="of the CCC; default population")
    add("--resamples", type=int, default=RESAMPLES, help=f"of the bootstrap, default {RESAMPLES}")
    add("--seed", type=int, default=0, help="of the bootstrap")
    add("--fps", type=float, help="gives times to files that have frames alone")
    add("--strict", action="store_true", help="refuse if anything is left out")
    add("--format", choices=FORMATS, default="text", help="of what is printed")
    args = parser.parse_args(argv)
    try:
        options = CompareOptions(
            split=args.split,
            dims=None if args.dims is None else args.dims.split(","),
            processed=args.processed,
            formula=args.formula,
            metrics=CHOSEN[args.metric],
            resamples=args.resamples,
            seed=args.seed,
            fps=args.fps,
            strict=args.strict,
        )
        result = compare(args.first, args.second, args.labels, options)
    except InputError as error:
        sys.exit(f"error: {error}")
    print(FORMATS[args.format](result), end="")


if __name__ == "__main__":
    main()
