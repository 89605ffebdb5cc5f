"""Console command `va_jax COMMAND`; each command is a module with `add_arguments` and `run`."""

import _thread
import argparse
import functools
import importlib
import importlib.metadata
import os
import sys
import threading
import traceback
from collections.abc import Callable, Sequence
from types import ModuleType

from va_jax.cli.parser import Parser

COMMANDS = {
    "train": "train a network and evaluate it",
    "evaluate": "score a run, optionally with different inference settings",
    "export": "export a network to a self-contained folder",
    "features": "store the features of a frozen backbone for training",
    "summary": "print the layers, parameters and cost of a network",
    "compile": "check whether a network fits the devices here, or TPUs elsewhere",
    "predict": "predict valence and arousal for videos, images or a camera",
    "audience": "average the predictions for many viewers of a stimulus",
    "score": "score predictions from any system against labels",
    "compare": "compare two systems on the same recordings",
    "cross-dataset": "score runs on several data sets",
    "submit": "write the submission file of a challenge",
    "inspect": "check a data set's files before building it",
    "preview": "draw the windows that a network is trained on",
    "build": "build records from a data set or from your own videos",
    "selftest": "check that this installation reproduces the published numbers",
}


STARTS_DEVICES = "jax/_src/xla_bridge.py"
"""The file of JAX that raises an error, of any type, if a platform is not available."""


def main(argv: Sequence[str] | None = None) -> int:
    """Run the command in `argv` (default: the process's arguments), and return the exit code."""
    words = list(sys.argv[1:] if argv is None else argv)
    if not words or words[0] in ("-h", "--help"):
        print(_overview())
        return 0 if words else 1
    if words[0] == "--version":
        print(importlib.metadata.version("va_jax"))
        return 0
    return exit_code(functools.partial(_run, *words), ends_process=argv is None)


def exit_code(action: Callable[[], int], ends_process: bool = False) -> int:
    """Return the exit code of an action; report bad input and Ctrl-C in one line each.

    If `ends_process`, Ctrl-C ends the process at once, after the action has cleaned up: JAX may
    crash if Python shuts down while it computes.
    """
    before, sys.unraisablehook = sys.unraisablehook, _repeat_ctrl_c
    try:
        return _report_errors(action)
    except KeyboardInterrupt:
        print("interrupted", file=sys.stderr, flush=True)
        if ends_process:
            os._exit(130)
        return 130
    finally:
        sys.unraisablehook = before


def _repeat_ctrl_c(ignored: "sys.UnraisableHookArgs") -> None:
    """Repeat a Ctrl-C that Python ignores, such as one during garbage collection in JAX."""
    if issubclass(ignored.exc_type, KeyboardInterrupt):
        threading.Timer(0.1, _thread.interrupt_main).start()  # once the callback has returned
    else:
        sys.__unraisablehook__(ignored)


def _report_errors(action: Callable[[], int]) -> int:
    from va_jax.types import InputError  # imports NumPy, while Ctrl-C is already handled

    try:
        return action()
    except InputError as error:
        problem = str(error)
    except OSError as error:
        if error.errno is None or error.filename is None:
            raise
        problem = f"{error.filename}: {error.strerror}; check the path"
    except (AssertionError, RuntimeError) as error:
        platform = os.environ.get("JAX_PLATFORMS")
        if not platform or STARTS_DEVICES not in "".join(traceback.format_exception(error)):
            raise
        problem = (
            f"JAX_PLATFORMS={platform}: this platform is not available to JAX; set the variable to "
            "cpu, unset it, or install a version of JAX that supports the platform"
        )
    print(f"error: {problem}", file=sys.stderr, flush=True)
    return 1


def parse(name: str, *words: str) -> tuple[ModuleType, argparse.Namespace, list[str]]:
    """Parse a command; return its module, its arguments, and flags for config keys, not yet read.

    Raises:
        InputError: the command is unknown, or it has an argument too many.
    """
    from va_jax.types import InputError

    if name not in COMMANDS:
        raise InputError(f"unknown command {name!r}; choose from {', '.join(COMMANDS)}")
    module = importlib.import_module(f"va_jax.cli.{name.replace('-', '_')}")
    parser = Parser(prog=f"va_jax {name}", description=module.__doc__)
    module.add_arguments(parser)
    args, extra = parser.parse_known_args(words)
    if extra and not getattr(module, "TAKES_CONFIG_KEYS", False):
        raise InputError(f"unexpected argument {extra[0]!r}; see va_jax {name} --help")
    return module, args, extra


def _run(name: str, *words: str) -> int:
    module, args, extra = parse(name, *words)
    if getattr(module, "TAKES_CONFIG_KEYS", False):
        return module.run(args, extra)
    return module.run(args)


def _overview() -> str:
    lines = [f"  {name:<15}{text}" for name, text in COMMANDS.items()]
    return "\n".join([
        "usage: va_jax COMMAND [ARGUMENTS]", "",
        "Estimate valence and arousal, frame by frame, from the face in a video.", "",
        *lines, "", "Run `va_jax COMMAND --help` for the options of a command and an example.",
    ])  # fmt: skip
