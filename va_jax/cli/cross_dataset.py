"""Score runs on data sets: `python -m va_jax.matrix RUN... --data=NAME,NAME:SPLIT --data_dir=DIR`.

A table with a line for every run and a column for every built data set. Each RUN is a workdir.
"""

import json
import pathlib
import sys

import jax
from absl import app, flags, logging

from va_jax.cli import flags as command_line
from va_jax.evaluation import cross_dataset
from va_jax.io import write_text
from va_jax.types import InputError

DATA = flags.DEFINE_list("data", None, "built data sets, each NAME or NAME:SPLIT")
DATA_DIR = flags.DEFINE_string("data_dir", "", "folder that holds them; default each run's own")
SPLIT = flags.DEFINE_string("split", "test", "split of the sets that name none")
PROCESSED = flags.DEFINE_bool("processed", False, "with each run's own post-processing")
AGGREGATION = flags.DEFINE_enum(
    "aggregation", "pooled", ["pooled", "mean_of_recordings", "length_weighted"], "what is shown"
)
FORMAT = flags.DEFINE_enum("format", "text", ["text", "json", "markdown"], "of what is printed")
OUT = flags.DEFINE_string("out", None, "file to write it to, too")


def main(argv: list[str]) -> None:
    logging.set_verbosity(logging.WARNING)  # Orbax and TFDS tell every file they open
    try:
        if len(argv) < 2 or not DATA.value:
            raise InputError("name the workdirs of runs, and sets by --data=NAME,NAME:SPLIT")
        workdirs = [pathlib.Path(each) for each in argv[1:]]
        cells = cross_dataset.plan(workdirs, DATA.value, DATA_DIR.value, SPLIT.value)
        results = []
        for each in cross_dataset.fill(cells, PROCESSED.value):
            results.append(each)
            print(f"{len(results)} of {len(cells)}: {each['run']}, {each['data']}", file=sys.stderr)
        if jax.process_index() == 0:
            print(text := _text(results))
            if OUT.value:
                write_text(pathlib.Path(OUT.value), f"{text}\n")
    except InputError as error:
        sys.exit(f"error: {error}")


def _text(results: list[dict]) -> str:
    if FORMAT.value == "json":
        return json.dumps({"results": results}, indent=1)
    form = cross_dataset.table if FORMAT.value == "text" else cross_dataset.markdown
    return form(results, AGGREGATION.value).rstrip()


if __name__ == "__main__":
    app.run(main, flags_parser=command_line.parse)
