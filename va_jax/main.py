"""Train, evaluate, export, summarise or compile: `python -m va_jax.main --config=FILE`."""

import pathlib
import sys

from va_jax.cli import config_file, job
from va_jax.cli.command import exit_code
from va_jax.cli.parser import Parser
from va_jax.types import InputError

MODES = ("train", "eval", "export", "summary", "compile")
WITHOUT_RUN = ("summary", "compile")
MODES_OF = {
    "out": ("eval", "export"),
    "head": ("export",),
    "topology": ("compile",),
    "coordinator": ("train", "eval"),
    "process": ("train", "eval"),
    "processes": ("train", "eval"),
}
"""Flags that apply only to some modes."""


def make_parser() -> Parser:
    parser = Parser(prog="python -m va_jax.main", description=__doc__)
    add = parser.add_argument
    add(
        "--config", metavar="FILE[:VARIANT]", help="config file; optional for evaluation and export"
    )
    add(
        "--workdir",
        type=pathlib.Path,
        help="folder of the run; not required for summary and compile",
    )
    add("--mode", choices=MODES, default="train",
        help="train to the end and evaluate, only evaluate, export the network to --out, print a "
        "summary of the network, or compile its steps to see whether they fit")  # fmt: skip
    add("--out", type=pathlib.Path,
        help="folder to write to; by default WORKDIR/export for an export, and WORKDIR for an "
        "evaluation")  # fmt: skip
    add("--head", default="", metavar="SET",
        help="export: data set, among those of the run, whose head to export")  # fmt: skip
    add("--topology", default="", metavar="NAME",
        help="compile: TPU slice, such as v5e:2x4; default: the devices here")  # fmt: skip
    job.add_arguments(parser)
    return parser


def main() -> int:
    return exit_code(_run, ends_process=True)


def _run() -> int:
    args, overrides = make_parser().parse_known_args()
    config = config_file.read(args.config, overrides)
    if args.config is None and (overrides or args.mode in ("train", *WITHOUT_RUN)):
        raise InputError("--config is missing; pass a file, such as configs/quickstart.py")
    if args.workdir is None and args.mode not in WITHOUT_RUN:
        raise InputError("--workdir is missing; pass the folder of the run")
    for flag, modes in MODES_OF.items():
        value = getattr(args, flag)
        if value not in (None, "") and args.mode not in modes:
            allowed = " and ".join(f"--mode={mode}" for mode in modes)
            raise InputError(f"--{flag}={value} applies only to {allowed}; omit it")
    here, given = job.of_arguments(args), None if args.config is None else config
    actions = {
        "train": lambda stop: job.train(here, config, args.workdir, stop),
        "eval": lambda stop: job.evaluate(here, given, args.workdir, args.out, stop),
        "export": lambda stop: job.export(args.workdir, args.out, args.head, stop),
        "summary": lambda stop: job.summarise(config, stop),
        "compile": lambda stop: job.compile_steps(config, args.topology, False, stop),
    }
    return job.run(here, actions[args.mode])


if __name__ == "__main__":
    sys.exit(main())
