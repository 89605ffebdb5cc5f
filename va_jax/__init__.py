"""Valence and arousal, frame by frame, from the face in a video."""

import os
from typing import TYPE_CHECKING

if TYPE_CHECKING:
    from va_jax.export.model import Model


def load(path: "str | os.PathLike[str]", head: str = "") -> "Model":
    """Load the trained network in an export or in the workdir of a run.

    See `va_jax.export.model.load`. JAX is imported only when this function is called, since scoring
    does not need it.
    """
    from va_jax.export import model

    return model.load(path, head)
