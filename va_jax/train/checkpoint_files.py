"""Check the JSON files in a checkpoint's folder before Orbax reads them."""

import pathlib
from typing import Any

from va_jax.io import read_json
from va_jax.types import InputError

BEST = "dev_ccc"
"""Name of the score saved with an evaluated checkpoint: the pooled CCC, averaged over
dimensions."""

DESCRIPTION = "_CHECKPOINT_METADATA"
"""File in which Orbax lists the items that were saved: state, data, config and, if the checkpoint
was evaluated, metrics."""


def check(folder: pathlib.Path) -> None:
    """Check the JSON files of every checkpoint in `folder`.

    Orbax would skip a checkpoint that has lost its score, and the run would continue with a
    different best checkpoint.

    Raises:
        InputError: a file is missing or damaged; the message names it.
    """
    if folder.is_dir():
        for checkpoint in sorted(folder.iterdir()):
            if checkpoint.name.isdecimal():
                _check(checkpoint)


def remedy(checkpoint: pathlib.Path) -> str:
    """Return the remedy for a damaged checkpoint."""
    return f"restore it, or delete {checkpoint} to continue without this checkpoint"


def _check(checkpoint: pathlib.Path) -> None:
    items = _read(checkpoint, DESCRIPTION).get("item_handlers")
    if not isinstance(items, dict):
        raise _damaged(checkpoint, DESCRIPTION, "'item_handlers' must be a JSON object")
    if type(_read(checkpoint, "data/metadata").get("next_batch")) is not int:
        raise _damaged(checkpoint, "data/metadata", "'next_batch' must be a whole number")
    _read(checkpoint, "state/_METADATA")
    if "metrics" in items:
        score = _read(checkpoint, "metrics/metrics").get(BEST)
        if type(score) not in (int, float):
            raise _damaged(checkpoint, "metrics/metrics", f"{BEST!r} must be a number")


def _read(checkpoint: pathlib.Path, name: str) -> dict[str, Any]:
    """Return the JSON object in a file of a checkpoint."""
    if not (checkpoint / name).is_file():
        raise _damaged(checkpoint, name, "not found")
    tree = read_json(checkpoint / name, remedy(checkpoint))
    if not isinstance(tree, dict):
        raise _damaged(checkpoint, name, "expected a JSON object")
    return tree


def _damaged(checkpoint: pathlib.Path, name: str, problem: str) -> InputError:
    return InputError(f"{checkpoint / name}: {problem}; {remedy(checkpoint)}")
