"""Compute the mean feature of each subject with the backbone of a run or an exported model."""

import pathlib
from collections.abc import Iterable

import jax
import numpy as np
from tqdm import tqdm

from va_jax import config as configuration
from va_jax.data import alike, pipeline
from va_jax.data.pipeline import WindowShape
from va_jax.data.sources import Source
from va_jax.data.windows import Window
from va_jax.models import inflate
from va_jax.models.build import build_model
from va_jax.train import exported, initialize
from va_jax.train import workdir as run_config
from va_jax.train.state import initial_variables
from va_jax.types import InputError


def mean_features(model: pathlib.Path, sources: Iterable[Source]) -> dict[str, np.ndarray]:
    """Return {subject: mean feature} of a few frames of each track, float64 [width].

    Args:
        model: a run or an exported model; only its backbone is used.
        sources: the splits.

    Raises:
        InputError: the model cannot be read, or its backbone sees neighbouring frames.
    """
    stored = run_config.load(model)
    key = "from_export" if (model / exported.ARRAYS).exists() else "from_workdir"
    config = configuration.with_values(
        stored, **{"init.weights": "", "init.from_workdir": "", "init.from_export": ""}
    )
    config = configuration.with_values(config, **{f"init.{key}": str(model)})
    config = run_config.with_dtype(config)
    opened = list(sources)
    network = build_model(config.model, opened[0].dims)
    if inflate.reach(network.backbone.times()):
        raise InputError(
            f"--model={model}: its backbone sees neighbouring frames; choose a model with a 2-D "
            "network"
        )
    size = config.data.size or opened[0].size
    initial = jax.jit(lambda: initial_variables(network, size, config.seed))()
    start = initialize.start(config, initial)
    if start is None:
        raise InputError(f"--model={model}: contains no weights; choose a run or an export")
    pool = jax.jit(lambda *given: network.apply(start.variables, *given, method="pool"))
    sums = alike.SubjectSums()
    for source in opened:
        for number, track in enumerate(tqdm(source.tracks, "features", disable=None)):
            stride = max(1, track.frames // alike.FRAMES)
            window = Window(number, 0)
            shape = WindowShape(alike.FRAMES, stride, size)
            batch = pipeline.read_batch(source, [window], shape)
            values = np.asarray(pool(batch["frames"], batch["face"]), np.float32)[0]
            sums.add(track.subject_id, values[batch["face"][0]])
    return sums.means()
