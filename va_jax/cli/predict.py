"""Predict valence and arousal for videos, images or a camera with a run or an exported model.

    va_jax predict exported video.mp4 --overlay=seen.mp4 --plot=seen.png
    va_jax predict exported clips/ --out=predicted --plot=plots
    va_jax predict exported 0 --csv=-

A SOURCE is a video, a folder of videos, an image, or the number of a camera. For every video and
image, a csv file with a row for each frame of each face is written. If a source fails, the others
are still processed, and the exit code is 1.
"""

import argparse
import pathlib
import signal
import sys
import warnings

from absl import logging

from va_jax.cli import spreadsheet
from va_jax.types import InputError

TRACKS = ("largest", "all")
VIDEOS = ("auto", "embed", "beside", "encode", "none")
MAX_FPS = 1000


def add_arguments(parser: argparse.ArgumentParser) -> None:
    add = parser.add_argument
    add("model", metavar="MODEL", help="exported model, or workdir of a run")
    add("sources", nargs="+", metavar="SOURCE", help="video, folder, image or camera number")
    add("--out", type=pathlib.Path,
        help="folder for the csv files, which are called NAME.csv; default: the current folder for "
        "files, and FOLDER_predictions for the videos in FOLDER")  # fmt: skip
    add("--csv", help="write all rows to this csv file instead; use - for standard output")
    add("--overlay", type=pathlib.Path,
        help="file for a copy of the video, with faces and values drawn on it")  # fmt: skip
    add("--plot", type=pathlib.Path,
        help="write a plot of the values over time to this .png file, or a plot of every source to "
        "this folder")  # fmt: skip
    add("--page", type=pathlib.Path, metavar="FILE.html",
        help="write a page for browsers, with the video, the faces and the values, or a page of "
        "every source to this folder, and an index")  # fmt: skip
    add("--page-video", choices=VIDEOS, default=VIDEOS[0],
        help="how a page shows the video: embed it, leave it beside the page, encode it for "
        "browsers, or none; default: embed up to 50 MB, else beside; encode what browsers cannot "
        "play")  # fmt: skip
    add("--fps", type=float, help="write this many rows per second instead of one per frame")
    spreadsheet.add_arguments(parser)
    add("--every", type=int, default=1, metavar="N",
        help="detect faces in every N-th frame; default %(default)s")  # fmt: skip
    add("--track", choices=TRACKS, default=TRACKS[0], help="predict the largest face or all faces")
    add("--processed", action="store_true", help="apply the model's post-processing")
    add("--overwrite", action="store_true", help="replace existing files")
    add("--progress", action=argparse.BooleanOptionalAction, default=True, help="show progress")
    add("--seconds", type=float, help="stop recording from a camera after this many seconds")


def run(args: argparse.Namespace) -> int:
    from va_jax.predict.outputs import Outputs
    from va_jax.predict.run import Choices, predict, report

    logging.set_verbosity(logging.WARNING)  # Orbax logs every file it reads
    warnings.showwarning = lambda message, *_: report("warning", str(message))
    signal.signal(signal.SIGTERM, lambda *_: sys.exit(143))  # clean up half-written files
    for name, low in (("every", 1), ("seconds", 0)):
        value = getattr(args, name)
        if value is not None and value < low:
            raise InputError(f"--{name}={value}: must be at least {low}")
    if args.fps is not None and not 0 < args.fps <= MAX_FPS:
        raise InputError(f"--fps={args.fps:g}: must be greater than 0 and at most {MAX_FPS}")
    if args.csv is not None and args.out is not None:
        raise InputError(
            f"--csv={args.csv} collects all rows in one file, so --out={args.out} has no meaning; "
            "omit one of them"
        )
    outputs = Outputs(
        args.out, args.csv, args.overlay, args.plot, args.overwrite, args.progress,
        csv_format=spreadsheet.read(args), fps=args.fps, page=args.page, page_video=args.page_video,
    )  # fmt: skip
    choices = Choices(args.track, args.every, args.processed, args.seconds)
    return 0 if predict(args.model, args.sources, outputs, choices) else 1
