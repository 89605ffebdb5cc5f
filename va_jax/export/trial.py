"""Frames on which an export must give what the network of the run gives."""

import pathlib
from collections.abc import Mapping, Sequence
from typing import Any, NamedTuple

import numpy as np
from ml_collections import ConfigDict

from va_jax.data import pipeline, sources, transforms
from va_jax.data.windows import Window
from va_jax.models import build
from va_jax.types import InputError

SHAPES = ((1, 8), (2, 6))
"""Batch and time of the cases: two of each, for both are left open in an export."""


class Case(NamedTuple):
    """Inputs of the network in their order, and what it predicts for them."""

    frames: str  # random, or real: of the dev split
    inputs: list[np.ndarray]
    pred: np.ndarray  # float32 [batch, time, dims]

    @property
    def shape(self) -> tuple[int, int]:
        """Batch and time."""
        return self.inputs[0].shape[:2]


def random_inputs(facts: Mapping[str, Any]) -> list[list[np.ndarray]]:
    """Noise for the network with that passport, a fifth of the frames without a face."""
    rng = np.random.default_rng(0)
    size, points = facts["input"]["size"], facts["input"]["landmarks"]["points"]
    result = []
    for shape in SHAPES:
        inputs = [rng.integers(0, 256, (*shape, size, size, 3), np.uint8), rng.random(shape) < 0.8]
        if points:
            inputs.append(rng.uniform(-1, 1, (*shape, points, 2)).astype(np.float32))
        result.append(inputs)
    return result


def real_inputs(config: ConfigDict, facts: Mapping[str, Any]) -> list[list[np.ndarray]]:
    """The first faces of the dev split of a run, prepared as for its evaluation.

    Raises InputError where its data set is not there.
    """
    data, points = config.data, build.landmark_points(config.model)
    source = sources.open_split(data.dir, data.name, data.dev, points)
    result = []
    for rows, time in SHAPES:
        chosen = [row % len(source.tracks) for row in range(rows)]
        starts = [int(source.labels(track).face.argmax()) for track in chosen]
        windows = [Window(*each) for each in zip(chosen, starts, strict=True)]
        batch = pipeline.read_batch(
            source,
            windows,
            time,
            config.window.stride,
            facts["input"]["size"],
            lambda _: transforms.UNCHANGED,
        )
        result.append([batch[key] for key in ("frames", "face", "landmarks") if key in batch])
    return result


def inputs(
    config: ConfigDict, facts: Mapping[str, Any]
) -> tuple[list[tuple[str, list[np.ndarray]]], str]:
    """Both kinds of inputs by name, and why there are no real ones, or ""."""
    named = [("random", each) for each in random_inputs(facts)]
    try:
        return named + [("real", each) for each in real_inputs(config, facts)], ""
    except InputError as error:
        return named, str(error)


def write(path: pathlib.Path, cases: Sequence[Case]) -> None:
    """Keep cases for another process."""
    arrays = {}
    for number, case in enumerate(cases):
        for place, array in enumerate((case.pred, *case.inputs)):
            arrays[f"{number} {case.frames} {place}"] = array
    np.savez(path, **arrays)


def read(path: pathlib.Path) -> list[Case]:
    """What `write` kept."""
    found: dict[tuple[str, str], list[np.ndarray]] = {}
    with np.load(path) as arrays:
        for name in arrays.files:  # in the order they were written
            number, frames, _ = name.split()
            found.setdefault((number, frames), []).append(arrays[name])
    return [Case(frames, rest, pred) for (_, frames), (pred, *rest) in found.items()]
