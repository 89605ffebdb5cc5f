"""Check an export: read it back in a separate process and compare it with the run's network.

    python -m va_jax.export.check FOLDER CASES

This command prints, as JSON, how much each file in FOLDER differs from the predictions in CASES.
"""

import functools
import itertools
import json
import os
import pathlib
import subprocess
import sys
import tempfile
from collections.abc import Callable, Iterator, Mapping, Sequence
from typing import Any, NamedTuple

import jax
import numpy as np
from flax.traverse_util import unflatten_dict

from va_jax.config import Config
from va_jax.data import pipeline, sources
from va_jax.data.windows import Window
from va_jax.export import arrays, metadata, stablehlo
from va_jax.io import Table
from va_jax.models.build import build_model, landmark_points
from va_jax.train import workdir as run_config
from va_jax.types import InputError

LIMIT = 1e-5
"""Largest allowed difference between predictions by an exported file and by the network (our
choice)."""

SHAPES = ((1, 8), (2, 6))
"""Batch and time of the cases; each has two values, since exported functions accept any value."""

Inputs = Sequence[np.ndarray]
"""Inputs of the network in order: frames, face and, if it takes them, landmarks."""


class Case(NamedTuple):
    """Inputs of the network, and its predictions for them."""

    frames: str  # "random", or "real" for frames from the dev split
    inputs: Inputs
    pred: np.ndarray  # float32 [batch, time, dims]


def check(
    folder: pathlib.Path, predict: Callable[..., Any], config: Config, facts: Mapping[str, Any]
) -> list[dict[str, Any]]:
    """Read an export in a separate process, and print how it compares with the run's network.

    Both sides run on the CPU, because an accelerator rounds differently and may already be in use
    by this process.

    Args:
        folder: folder of the export; it does not need to contain the model card yet.
        predict: the run's network as a function of its inputs.
        config: config of the run.
        facts: model metadata.

    Returns:
        `artefact`, `frames`, `batch`, `time` and `max_abs_difference` for every file and case.

    Raises:
        InputError: a file cannot be read, or a difference is above `LIMIT`.
    """
    given, problem = [("random", each) for each in random_inputs(facts)], ""
    try:
        if "weights" not in facts:
            given += [("real", each) for each in real_inputs(config, facts)]
    except InputError as error:
        problem = f"predictions for real frames were not compared: {error}"
    with jax.default_device(jax.local_devices(backend="cpu")[0]):
        cases = [Case(frames, each, np.asarray(predict(*each))) for frames, each in given]
    with tempfile.TemporaryDirectory() as temporary:
        path = pathlib.Path(temporary) / "cases.npz"
        write_cases(path, cases)
        done = subprocess.run(
            [sys.executable, "-m", "va_jax.export.check", str(folder), str(path)],
            env=os.environ | {"JAX_PLATFORMS": "cpu"},
            stdout=subprocess.PIPE,
            text=True,
            check=False,
            start_new_session=True,  # on Ctrl-C, this process ends it without a traceback
        )
    if done.returncode:
        raise InputError(
            f"Cannot check the export: the process that reads it ended with exit code "
            f"{done.returncode}; see the error above"
        )
    rows = json.loads(done.stdout)
    print(table(rows).text())
    if problem:
        print(problem)
    for row in rows:
        if not row["max_abs_difference"] <= LIMIT:  # NaN fails too
            raise InputError(
                f"Cannot export: the predictions of {row['artefact']} differ from those of the "
                f"network by {row['max_abs_difference']:.1e} for {row['frames']} frames of shape "
                f"[{row['batch']}, {row['time']}], which is above the limit of {LIMIT:.0e}. Report "
                "this as a bug."
            )
    return rows


def table(rows: Sequence[Mapping[str, Any]]) -> Table:
    """Return the result of `check` as a table."""
    keys = ("artefact", "frames", "batch", "time")
    return Table(
        ["file", *keys[1:], "largest difference"],
        [[*(str(row[key]) for key in keys), f"{row['max_abs_difference']:.1e}"] for row in rows],
    )


def random_inputs(facts: Mapping[str, Any]) -> list[Inputs]:
    """Return random inputs that suit these metadata; a fifth of the frames show no face."""
    rng = np.random.default_rng(0)
    size, points = facts["input"]["size"], facts["input"]["landmarks"]["points"]
    result = []
    for shape in SHAPES:
        given = [rng.integers(0, 256, (*shape, size, size, 3), np.uint8), rng.random(shape) < 0.8]
        if points:
            given.append(rng.uniform(-1, 1, (*shape, points, 2)).astype(np.float32))
        result.append(given)
    return result


def real_inputs(config: Config, facts: Mapping[str, Any]) -> list[Inputs]:
    """Return the first faces in the run's dev split, prepared as for evaluation.

    Raises:
        InputError: the data set cannot be read.
    """
    data = config.data
    source = sources.open_split(data.dir, data.name, data.dev, landmark_points(config.model))
    result = []
    for rows, time in SHAPES:
        tracks = [row % len(source.tracks) for row in range(rows)]
        first_faces = [int(source.labels(track).face.argmax()) for track in tracks]
        windows = [Window(*each) for each in zip(tracks, first_faces, strict=True)]
        shape = pipeline.WindowShape(time, config.window.stride, facts["input"]["size"])
        batch = pipeline.read_batch(source, windows, shape)
        result.append([batch[key] for key in ("frames", "face", "landmarks") if key in batch])
    return result


def write_cases(path: pathlib.Path, cases: Sequence[Case]) -> None:
    """Write cases to an npz file."""
    stored = {
        f"{number}.{case.frames}.{place}": array
        for number, case in enumerate(cases)
        for place, array in enumerate((case.pred, *case.inputs))
    }
    np.savez(path, allow_pickle=False, **stored)


def read_cases(path: pathlib.Path) -> list[Case]:
    """Read the cases that `write_cases` stored."""
    cases = []
    with np.load(path) as stored:
        for key, names in itertools.groupby(stored.files, lambda name: name.rpartition(".")[0]):
            pred, *given = (stored[name] for name in names)
            cases.append(Case(key.split(".")[1], given, pred))
    return cases


def functions(folder: pathlib.Path) -> Iterator[tuple[str, Callable[..., Any]]]:
    """Yield the name of every file in an export, and the network stored in it.

    The network is a function of the inputs. Only one network is in memory at a time.
    """
    facts = metadata.read(folder)
    model = build_model(run_config.load(folder).model, tuple(facts["dims"]))
    network = jax.jit(functools.partial(stablehlo.predict, model))
    for name in (arrays.SAFETENSORS, arrays.NPZ):
        variables = unflatten_dict(arrays.read(folder, name), sep="/")
        yield name, functools.partial(network, variables)
    yield stablehlo.MODEL, jax.jit(stablehlo.read(folder / stablehlo.MODEL).call)
    if facts["stream_state"]:
        stream = stablehlo.read(folder / stablehlo.STREAM)

        def in_halves(*given: np.ndarray) -> np.ndarray:
            half = given[0].shape[1] // 2
            return stablehlo.run_in_pieces(stream, given, facts["stream_state"], half)

        yield f"{stablehlo.STREAM}, in halves", in_halves


def differences(folder: pathlib.Path, cases: Sequence[Case]) -> Iterator[dict[str, Any]]:
    """Yield the largest difference in predictions for every file in an export and every case."""
    for name, function in functions(folder):
        for frames, given, pred in cases:
            batch, time = pred.shape[:2]
            yield {
                "artefact": name,
                "frames": frames,
                "batch": batch,
                "time": time,
                "max_abs_difference": float(np.abs(np.asarray(function(*given)) - pred).max()),
            }


if __name__ == "__main__":
    cases = read_cases(pathlib.Path(sys.argv[2]))
    print(json.dumps(list(differences(pathlib.Path(sys.argv[1]), cases))))
