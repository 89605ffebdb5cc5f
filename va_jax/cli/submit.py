"""Write what a challenge asks for: `python -m va_jax.submission {abaw,avec} WORKDIR --out=OUT`.

WORKDIR is that of an evaluated run, or a folder of the traces of a split. abaw writes one file,
predictions.txt, avec a folder with a csv for each recording; docs/submissions.md tells how.
"""

import pathlib
import sys

from absl import app, flags

from va_jax.cli import flags as command_line
from va_jax.scoring import files
from va_jax.submit import abaw, avec, values
from va_jax.types import InputError

FORMATS = ("abaw", "avec")

OUT = flags.DEFINE_string("out", None, "abaw: the file to write; avec: the folder")
OVERWRITE = flags.DEFINE_bool("overwrite", False, "replace what is there")
SPLIT = flags.DEFINE_string("split", "test", "split of the run")
TEMPLATE = flags.DEFINE_string(
    "template", None, "rows to write: abaw: the organisers' csv; avec: a folder of theirs"
)
FILL = flags.DEFINE_enum(
    "fill", "hold", list(values.TOLD), "what a frame without a face is given; docs/submissions.md"
)
ALLOW_MISSING = flags.DEFINE_bool(
    "allow_missing", False, "also write rows of the template that have no prediction"
)
PROCESSED = flags.DEFINE_bool(
    "processed", None, "take post-processed predictions; default: where there are any"
)

AVEC = {
    "dims": flags.DEFINE_list("dims", ["arousal", "valence"], "avec: columns, in this order"),
    "step_s": flags.DEFINE_float(
        "step_s", 0.1, "avec: from row to row, seconds", avec.LOWEST_STEP_S
    ),
    "rows": flags.DEFINE_integer("rows", 0, "avec: of each recording; 0: to its last frame", 0),
    "header": flags.DEFINE_bool("header", True, "avec: write the names of the columns"),
    "offset_s": flags.DEFINE_float("offset_s", 0.0, "avec: added to the times of all frames"),
}


def main(argv: list[str]) -> None:
    try:
        if len(argv) != 3 or argv[1] not in FORMATS:
            given = " ".join(argv[1:]) or "nothing"
            raise InputError(f"expected abaw or avec and a folder, got {given}; see --help")
        if OUT.value is None:
            raise InputError("--out is missing; name what to write, such as predictions.txt")
        options = {
            "template": pathlib.Path(TEMPLATE.value) if TEMPLATE.value else None,
            "rule": FILL.value,
            "allow_missing": ALLOW_MISSING.value,
            "processed": PROCESSED.value,
            "overwrite": OVERWRITE.value,
        }
        strange = [name for name, flag in AVEC.items() if argv[1] == "abaw" and flag.present]
        if strange:
            raise InputError(f"--{strange[0]} is a flag of avec; leave it out")
        folder, out = (
            files.find_traces(pathlib.Path(argv[2]), SPLIT.value),
            pathlib.Path(OUT.value),
        )
        if argv[1] == "abaw":
            print(abaw.write(folder, out, **options))
        else:
            options |= {name: flag.value for name, flag in AVEC.items()}
            print(avec.write(folder, out, **options))
    except InputError as error:
        sys.exit(f"error: {error}")


if __name__ == "__main__":
    app.run(main, flags_parser=command_line.parse)
