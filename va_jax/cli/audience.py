"""Average the predictions for many viewers of a stimulus, with a 95 % interval and peaks.

    va_jax predict exported recordings/ --out=predicted
    va_jax audience predicted --stimuli=viewers.csv --out=audience

PREDICTED is a folder that `va_jax predict` wrote. viewers.csv has a row for each recording, with
the columns `file` and `stimulus` and, if needed, `start_s`, `end_s`, `viewer` and `track`. For the
meaning of the results, see docs/audience.md.
"""

import argparse
import pathlib
import sys

from va_jax.cli import output, spreadsheet


def add_arguments(parser: argparse.ArgumentParser) -> None:
    add = parser.add_argument
    add("predicted", type=pathlib.Path, metavar="PREDICTED", help="folder of predictions")
    add("--stimuli", type=pathlib.Path, required=True,
        help="csv file that names the stimulus of each recording")  # fmt: skip
    add("--out", type=pathlib.Path, required=True, help="folder for the results")
    add("--fps", type=float, default=5.0, help="points per second; default %(default)g")
    add("--centre", action="store_true",
        help="subtract from each viewer their own mean over the stimulus")  # fmt: skip
    add("--prominence", type=float, default=0.1,
        help="smallest prominence of a peak; default %(default)g")  # fmt: skip
    add("--dims", type=output.names, action="extend", help="dimensions; default: all")
    spreadsheet.add_arguments(parser)
    add("--overwrite", action="store_true", help="replace an existing folder of results")


def run(args: argparse.Namespace) -> int:
    from va_jax.report import audience as folder
    from va_jax.scoring.audience import AudienceOptions

    csv_format = spreadsheet.read(args)
    options = AudienceOptions(args.fps, args.centre, args.prominence, args.dims)
    folder.check_folder(args.out, args.overwrite)
    lines, warnings = folder.aggregate(args.predicted, args.stimuli, args.out, options, csv_format)
    for warning in warnings:
        print(f"warning: {warning}", file=sys.stderr)
    print(*lines, f"written to {args.out}", sep="\n")
    return 0
