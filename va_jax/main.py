"""Train, evaluate, export or describe: `python -m va_jax.main --config=FILE --workdir=DIR`."""

import functools
import pathlib
import sys

from va_jax.cli import config_file, job
from va_jax.cli.parser import Parser
from va_jax.types import InputError

MODES = ("train", "eval", "export", "summary")


def make_parser() -> Parser:
    parser = Parser(prog="python -m va_jax.main", description=__doc__)
    add = parser.add_argument
    add("--config", metavar="FILE[:VARIANT]", help="config file; not needed to evaluate or export")
    add("--workdir", type=pathlib.Path, help="folder of the run; not needed for a summary")
    add("--mode", choices=MODES, default="train",
        help="train to the end and evaluate; evaluate only; write the network to --out; "
        "describe it")  # fmt: skip
    add("--out", type=pathlib.Path,
        help="export: folder to write, default WORKDIR/export; eval: default WORKDIR")  # fmt: skip
    job.add_arguments(parser)
    return parser


def main() -> int:
    args, overrides = make_parser().parse_known_args()
    here = job.of_arguments(args)
    try:
        config = config_file.read(args.config, overrides) if args.config or overrides else None
        if args.config is None and (args.mode in ("train", "summary") or overrides):
            raise InputError("--config is missing; name a file, such as configs/quickstart.py")
        if args.workdir is None and args.mode != "summary":
            raise InputError("--workdir is missing; name the folder of the run")
    except InputError as error:
        sys.exit(f"error: {error}")
    actions = {
        "train": functools.partial(job.train, here, config, args.workdir),
        "eval": functools.partial(job.evaluate, here, config, args.workdir, args.out),
        "export": functools.partial(job.export, args.workdir, args.out),
        "summary": functools.partial(job.summarise, config),
    }
    action: functools.partial[None] = actions[args.mode]
    return job.run(here, lambda stop: action(stop))


if __name__ == "__main__":
    sys.exit(main())
