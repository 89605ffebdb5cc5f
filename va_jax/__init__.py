"""Valence and arousal, frame by frame, from the face in a video."""

import os
from typing import TYPE_CHECKING

if TYPE_CHECKING:
    from va_jax.export.model import Model


def load(path: "str | os.PathLike[str]") -> "Model":
    """The trained network in an export or in the workdir of a run: see `va_jax.model`."""
    from va_jax.export import model  # not above: scoring needs no JAX

    return model.load(path)
