"""Score predictions of any system: `python -m va_jax.score PREDICTIONS LABELS`.

Both are folders of <recording>.csv, with a column `frame` or `time_s` and a column for each target.
"""

import argparse
import pathlib
import sys
from collections.abc import Sequence

from va_jax.evaluation.bootstrap import RESAMPLES
from va_jax.evaluation.metrics import FORMULAS
from va_jax.io import write_text
from va_jax.scoring import score
from va_jax.types import InputError

FORMATS = {"text": score.text, "markdown": score.markdown, "json": score.to_json}


def write(path: pathlib.Path, output: str) -> None:
    """Write what is printed; an InputError where that is not possible."""
    if path.is_dir():
        raise InputError(f"--out={path} is a folder; name a file")
    try:
        write_text(path, output)
    except OSError as error:
        raise InputError(f"--out={path} cannot be written: {error.strerror}") from error


def main(argv: Sequence[str] | None = None) -> None:
    parser = argparse.ArgumentParser(
        prog="python -m va_jax.score", description=__doc__, allow_abbrev=False
    )
    parser.error = lambda message: sys.exit(f"error: {message}")
    add = parser.add_argument
    add("predictions", type=pathlib.Path, metavar="PREDICTIONS", help="folder of <recording>.csv")
    add("labels", type=pathlib.Path, metavar="LABELS", help="folder of <recording>.csv")
    add("--dims", help="columns to score, by commas; default: valence, arousal or both")
    add("--label_suffix", default="", help="of the label columns, such as _target in our traces")
    add("--groups", type=pathlib.Path, help="csv with the columns recording,group: a row for each")
    add("--formula", choices=FORMULAS, default=FORMULAS[0], help="of the CCC; default population")
    add("--lag_s", type=float, default=0.0, help="move predictions earlier by this before scoring")
    add("--fps", type=float, help="gives times to files that have frames alone")
    add("--lag_sweep", action="store_true", help="tell the CCC of every lag as well")
    add("--max_lag_s", type=float, default=10.0, help="how far the sweep goes, default 10")
    add("--resamples", type=int, default=RESAMPLES, help=f"of the bootstrap, default {RESAMPLES}")
    add("--seed", type=int, default=0, help="of the bootstrap")
    add("--strict", action="store_true", help="refuse if any row or file finds no place")
    add("--format", choices=FORMATS, default="text", help="of what is printed")
    add("--out", type=pathlib.Path, help="also write what is printed to this file")
    args = parser.parse_args(argv)
    try:
        options = score.ScoreOptions(
            dims=None if args.dims is None else args.dims.split(","),
            label_suffix=args.label_suffix,
            groups=args.groups,
            formula=args.formula,
            lag_s=args.lag_s,
            fps=args.fps,
            max_lag_s=args.max_lag_s if args.lag_sweep else None,
            resamples=args.resamples,
            seed=args.seed,
            strict=args.strict,
        )
        result = score.score(args.predictions, args.labels, options)
        output = FORMATS[args.format](result)
        if args.out is not None:
            write(args.out, output)
    except InputError as error:
        sys.exit(f"error: {error}")
    print(output, end="")


if __name__ == "__main__":
    main()
