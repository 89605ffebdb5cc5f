"""Write the submission file of a challenge.

    va_jax submit abaw runs/mine --template=test_set_sample.txt --out=predictions.txt

RUN is the workdir of an evaluated run, or a folder with the traces of a split. For the file format
and the rules for frames without a face, see docs/submissions.md.
"""

import argparse
import pathlib

from va_jax.scoring.folders import find_traces
from va_jax.submit.abaw import SubmissionOptions, write_submission
from va_jax.submit.predictions import FILL_RULES


def add_arguments(parser: argparse.ArgumentParser) -> None:
    add = parser.add_argument
    add("challenge", choices=["abaw"], help="challenge to write a submission for")
    add("run", type=pathlib.Path, metavar="RUN", help="workdir of a run, or folder of traces")
    add("--out", type=pathlib.Path, required=True, help="file to write, such as predictions.txt")
    add("--overwrite", action="store_true", help="replace an existing --out file")
    add("--split", default="test", help="split to read from a workdir; default %(default)s")
    add("--template", type=pathlib.Path, help="csv file from the organisers that lists the images")
    add("--fill", choices=FILL_RULES, default="hold", help="how to fill frames without a face")
    add("--allow_missing", action="store_true", help="also fill images without a prediction")
    add(
        "--processed",
        action=argparse.BooleanOptionalAction,
        help="write post-processed predictions; default: if there are any",
    )


def run(args: argparse.Namespace) -> int:
    options = SubmissionOptions(
        template=args.template,
        fill=args.fill,
        allow_missing=args.allow_missing,
        processed=args.processed,
        overwrite=args.overwrite,
    )
    print(write_submission(find_traces(args.run, args.split), args.out, options))
    return 0
