"""Read an export in a process of its own: `python -m va_jax.verify FOLDER CASES`, for `export`.

Prints as JSON how far what is read there is from the predictions in CASES, which `trial` wrote.
"""

import functools
import json
import pathlib
import sys
from collections.abc import Callable, Iterator, Mapping, Sequence
from typing import Any

import jax
import numpy as np
from flax.traverse_util import unflatten_dict

from va_jax import config as configuration
from va_jax.export import export, metadata, stablehlo, trial
from va_jax.models import build

Run = Callable[[Sequence[np.ndarray]], Any]


def differences(folder: pathlib.Path, cases: Sequence[trial.Case]) -> Iterator[dict[str, Any]]:
    """For every artefact in `folder` and every case the largest difference to its predictions."""
    for artefact, run in artefacts(folder):
        for case in cases:
            batch, time = case.shape
            found = np.abs(np.asarray(run(case.inputs)) - case.pred).max()
            yield {
                "artefact": artefact,
                "frames": case.frames,
                "batch": batch,
                "time": time,
                "max_abs_difference": float(found),
            }


def artefacts(folder: pathlib.Path) -> Iterator[tuple[str, Run]]:
    """Every artefact by name as a function of the network's inputs, one in memory at a time."""
    facts = metadata.read(folder)
    model = build.build(configuration.load(folder).model, tuple(facts["dims"]))
    live = jax.jit(functools.partial(stablehlo.predict, model))
    for name, read in ((export.PARAMETERS, export.read), (export.ARRAYS, _npz)):
        variables = unflatten_dict(read(folder), sep="/")
        yield name, lambda inputs, variables=variables: live(variables, *inputs)
    whole = jax.jit(stablehlo.read(folder / stablehlo.MODEL).call)
    yield stablehlo.MODEL, lambda inputs: whole(*inputs)
    if facts["stream_state"]:
        stream = stablehlo.read(folder / stablehlo.STREAM)
        yield f"{stablehlo.STREAM}, in halves", functools.partial(_pieces, stream, facts)


def _npz(folder: pathlib.Path) -> Mapping[str, np.ndarray]:
    with np.load(folder / export.ARRAYS) as arrays:
        return dict(arrays)


def _pieces(stream: Any, facts: Mapping[str, Any], inputs: Sequence[np.ndarray]) -> np.ndarray:
    half = inputs[0].shape[1] // 2
    return stablehlo.run_in_pieces(stream, inputs, facts["stream_state"], half)


if __name__ == "__main__":
    rows = differences(pathlib.Path(sys.argv[1]), trial.read(pathlib.Path(sys.argv[2])))
    print(json.dumps(list(rows)))
