"""Valence and arousal, frame by frame, from the face in a video."""

import os
from typing import TYPE_CHECKING

if TYPE_CHECKING:
    from va_jax.export.model import Model
    from va_jax.predict.results import VideoResult


def load(path: "str | os.PathLike[str]", head: str = "") -> "Model":
    """Load the trained network in an export or in the workdir of a run.

    See `va_jax.export.model.load`. JAX is imported only when this function is called, since scoring
    does not need it.
    """
    from va_jax.export import model

    return model.load(path, head)


def predict_video(
    model: "Model",
    path: "str | os.PathLike[str]",
    track: str = "largest",
    every: int = 1,
    processed: bool = False,
    progress: bool = False,
) -> "VideoResult":
    """Predict every frame of a video or an image; see `va_jax.predict.api.predict_video`."""
    from va_jax.predict import api

    return api.predict_video(model, path, track, every, processed, progress)


def write_page(result: "VideoResult", path: "str | os.PathLike[str]", video: str = "auto") -> None:
    """Write the page of a prediction for a browser; see `va_jax.predict.api.write_page`."""
    from va_jax.predict import api

    api.write_page(result, path, video)
