"""A folder of predictions that is continued: what it was made with, which files are complete."""

import json
import pathlib
from collections.abc import Mapping
from typing import Any

from va_jax.io import write_text
from va_jax.predict.inputs import Item
from va_jax.types import InputError

NAME = "predict.json"


def claim(out: pathlib.Path, settings: Mapping[str, Any], overwrite: bool) -> None:
    """Note in `out` how its files are made; they must not be made in another way beside each other.

    Raises InputError that names what differs, unless all is to be overwritten.
    """
    path = out / NAME
    if path.exists() and not overwrite:
        try:
            there = json.loads(path.read_text())
            differing = [
                f"{key}={there.get(key)!r}, here {value!r}"
                for key, value in settings.items()
                if there.get(key) != value
            ]
        except (ValueError, AttributeError) as error:
            raise InputError(f"{path}: not as it was written ({error}); use --overwrite") from error
        if differing:
            raise InputError(
                f"{path}: its folder was predicted with {', '.join(differing)}; choose another "
                "--out, or --overwrite"
            )
    try:
        out.mkdir(parents=True, exist_ok=True)
        write_text(path, json.dumps(settings, indent=1) + "\n")
    except OSError as error:
        raise InputError(f"{path} cannot be written: {error.strerror}") from error


def complete(item: Item, csv: pathlib.Path) -> bool:
    """Whether a file needs no prediction: it has one that is newer than itself.

    An old file that is put in the place of another one is told by the time of that.
    """
    there = item.path.stat()
    return csv.exists() and csv.stat().st_mtime >= max(there.st_mtime, there.st_ctime)


def mark(path: pathlib.Path) -> tuple[int, int] | None:
    """What changes when a file is written to; None where there is none."""
    try:
        there = path.stat()
    except OSError:
        return None
    return there.st_size, there.st_mtime_ns
