"""Predict anyone's video: `python -m va_jax.predict MODEL SOURCE...`.

MODEL is an export or the workdir of a run. A SOURCE is a video, a folder of videos, an image, a
pattern such as "clips/*.mp4", or the number of a camera; docs/predict.md tells the rest. Exit code
1 if any source failed, each in a line; the others are predicted.
"""

import pathlib
import signal
import sys
import warnings

from absl import app, flags, logging

from va_jax.cli import flags as command_line
from va_jax.predict import preprocessing, run
from va_jax.predict.predictor import TRACKS
from va_jax.types import InputError

OUT = flags.DEFINE_string("out", ".", "folder of the outputs, NAME.csv for each source")
CSV = flags.DEFINE_string("csv", None, "one file for all rows instead; - is standard output")
OVERLAY = flags.DEFINE_string("overlay", None, "also write the video with what is said of it")
PLOT = flags.DEFINE_string("plot", None, "also draw the values over time, a .png")
EVERY = flags.DEFINE_integer(
    "every", preprocessing.DETECT_EVERY, "frames from one search for faces to the next", 1
)
TRACK = flags.DEFINE_enum(
    "track", TRACKS[0], TRACKS, "the one subject of a video, or every face in it"
)
PROCESSED = flags.DEFINE_bool("processed", False, "values after the post-processing of the model")
OVERWRITE = flags.DEFINE_bool("overwrite", False, "replace what is there")
PROGRESS = flags.DEFINE_bool("progress", True, "show a progress bar")
SECONDS = flags.DEFINE_float("seconds", None, "of a camera: stop after so long", 0)


def main(argv: list[str]) -> None:
    logging.set_verbosity(logging.WARNING)  # Orbax tells every file it reads
    warnings.showwarning = lambda message, *_: run.report("warning", str(message))
    signal.signal(signal.SIGTERM, lambda *_: sys.exit(143))  # so that nothing half-written stays
    try:
        if len(argv) < 3:
            raise InputError("name a model and what to predict; see --help")
        well = run.predict(
            argv[1],
            argv[2:],
            run.Outputs(
                pathlib.Path(OUT.value),
                CSV.value,
                pathlib.Path(OVERLAY.value) if OVERLAY.value else None,
                pathlib.Path(PLOT.value) if PLOT.value else None,
                OVERWRITE.value,
                PROGRESS.value,
            ),
            run.Choices(TRACK.value, EVERY.value, PROCESSED.value, SECONDS.value),
        )
    except InputError as error:
        sys.exit(f"error: {error}")
    except KeyboardInterrupt:
        sys.exit(130)
    sys.exit(0 if well else 1)


if __name__ == "__main__":
    app.run(main, flags_parser=command_line.parse)
