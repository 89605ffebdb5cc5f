"""Console command `va_jax COMMAND`; each command is a module with `add_arguments` and `run`."""

import importlib
import importlib.metadata
import sys
from collections.abc import Sequence

from va_jax.cli.parser import Parser
from va_jax.types import InputError

COMMANDS = {
    "train": "train a network and evaluate it",
    "evaluate": "score a run, optionally with different inference settings",
    "export": "write the network of a run to a self-contained folder",
    "summary": "print the layers, parameters and cost of a network",
    "predict": "predict valence and arousal for videos, images or a camera",
    "score": "score predictions from any system against labels",
    "compare": "compare two systems on the same recordings",
    "cross-dataset": "score runs on several data sets",
    "submit": "write the submission file of a challenge",
    "inspect": "check a data set's files before building it",
    "preview": "draw the windows that a network is trained on",
    "build": "build records from a data set or from your own videos",
    "selftest": "check that this installation reproduces the published numbers",
}


def main(argv: Sequence[str] | None = None) -> int:
    """Run the command in `argv` (default: the process's arguments), and return the exit code."""
    words = list(sys.argv[1:] if argv is None else argv)
    if not words or words[0] in ("-h", "--help"):
        print(_overview())
        return 0 if words else 1
    name, *rest = words
    if name == "--version":
        print(importlib.metadata.version("va_jax"))
        return 0
    if name not in COMMANDS:
        print(f"error: unknown command {name!r}; choose from {', '.join(COMMANDS)}",
              file=sys.stderr)  # fmt: skip
        return 1
    module = importlib.import_module(f"va_jax.cli.{name.replace('-', '_')}")
    parser = Parser(prog=f"va_jax {name}", description=module.__doc__)
    module.add_arguments(parser)
    args, extra = parser.parse_known_args(rest)
    try:
        if getattr(module, "TAKES_CONFIG_KEYS", False):
            return module.run(args, extra)
        if extra:
            raise InputError(f"unexpected argument {extra[0]!r}; see va_jax {name} --help")
        return module.run(args)
    except InputError as error:
        print(f"error: {error}", file=sys.stderr, flush=True)
        return 1
    except KeyboardInterrupt:
        return 130


def _overview() -> str:
    lines = [f"  {name:<15}{text}" for name, text in COMMANDS.items()]
    return "\n".join([
        "usage: va_jax COMMAND [ARGUMENTS]", "",
        "Estimate valence and arousal, frame by frame, from the face in a video.", "",
        *lines, "", "`va_jax COMMAND --help` explains a command and gives an example.",
    ])  # fmt: skip
