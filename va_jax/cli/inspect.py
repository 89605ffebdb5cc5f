"""Look at a data set's tree before it is built: `python -m va_jax.doctor NAME[/CONFIG] TREE`.

Exit code 1 if anything is wrong: each thing in a line that names the file, and what a build will do
about it.
"""

import argparse
import json
import os
import pathlib
import sys
from collections.abc import Sequence

from tfds_builders.survey import survey, text
from va_jax.types import InputError


def main(argv: Sequence[str] | None = None) -> int:
    parser = argparse.ArgumentParser(prog="python -m va_jax.doctor", description=__doc__)
    parser.add_argument("name", metavar="NAME[/CONFIG]", help="a data set of tfds_builders")
    parser.add_argument("tree", type=pathlib.Path, help="the folder of its source material")
    parser.add_argument(
        "--data_dir", type=pathlib.Path, default="data", help="where it would be built"
    )
    parser.add_argument("--json", action="store_true", help="print JSON instead of text")
    parser.add_argument("--jobs", type=int, default=os.cpu_count(), help="threads")
    parser.add_argument(
        "--no_detector", action="store_true", help="do not search sampled frames for faces"
    )
    parser.add_argument(
        "--config_options", nargs="*", default=[], metavar="KEY=VALUE", help="as for the build"
    )
    args = parser.parse_args(argv)
    try:
        result = survey(
            args.name,
            args.tree.expanduser(),
            args.data_dir.expanduser(),
            args.config_options,
            args.jobs,
            not args.no_detector,
        )
    except InputError as error:
        print(f"error: {error}", file=sys.stderr)
        return 1
    print(json.dumps(result.to_json(), indent=1) if args.json else text(result))
    return 1 if result.findings else 0


if __name__ == "__main__":
    sys.exit(main())
