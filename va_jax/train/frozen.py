"""Digests of frozen backbones, to check which backbone computed cached features."""

import hashlib
import pathlib
from typing import Any

import numpy as np
from flax.traverse_util import flatten_dict

from va_jax.config import Config
from va_jax.data import features
from va_jax.types import InputError

PARTS = ("params/backbone/", "batch_stats/backbone/", "batch_stats/input/")
"""Prefixes of the paths of the variables on which a frame's features depend."""


def digest(variables: Any) -> str:
    """Return the SHA-256 of the backbone's arrays and of the normalisation of its input."""
    flat: dict[str, Any] = flatten_dict(variables, sep="/")
    found = hashlib.sha256()
    for path in sorted(path for path in flat if path.startswith(PARTS)):
        array = np.asarray(flat[path])
        found.update(f"{path} {array.dtype} {array.shape}\n".encode())
        found.update(np.ascontiguousarray(array).tobytes())
    return found.hexdigest()


def check_all(config: Config, variables: Any) -> None:
    """Check the features of every data set of a run, if it reads features; see `check`."""
    for folder in config.data.features_folders:
        check(pathlib.Path(folder), variables)


def check(folder: pathlib.Path, variables: Any) -> None:
    """Check that the features in `folder` are those of the backbone in `variables`.

    Raises:
        InputError: the features were computed with a different backbone; the message names both
            backbones.
    """
    facts, own = features.read_facts(folder), digest(variables)
    if facts["backbone"] != own:
        raise InputError(
            f"data.features={str(folder)!r}: these features were computed with the backbone of "
            f"{facts.get('source')} (SHA-256 {facts['backbone'][:12]}), but this run has a "
            f"different backbone (SHA-256 {own[:12]}); start from the same weights, or "
            f"{features.REMEDY}"
        )
