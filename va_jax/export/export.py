"""The network of a run as a folder that explains itself and needs no checkpoint.

What is in it was read again by another process and gave what the network of the run gives, or there
is no such folder.
"""

import functools
import json
import os
import pathlib
import shutil
import subprocess
import sys
import tempfile
from collections.abc import Mapping, Sequence
from typing import Any

import jax
import jax.numpy as jnp
import numpy as np
import safetensors.numpy
from flax.traverse_util import flatten_dict
from ml_collections import ConfigDict

from va_jax import config as configuration
from va_jax.evaluation import postprocess
from va_jax.export import metadata, model_card, stablehlo, trial
from va_jax.models import build
from va_jax.models.regressor import Regressor
from va_jax.train import checkpoints, provenance
from va_jax.types import InputError

PARAMETERS = "model.safetensors"
ARRAYS = "model.npz"

LIMIT = 1e-5
"""The largest difference that any prediction of an artefact may have to the network's (ours)."""


def export(workdir: pathlib.Path, out: pathlib.Path) -> None:
    """Write the best checkpoint of `workdir` to the new folder `out`, and print how it compares.

    `model.safetensors` and `model.npz` hold every array under its path, such as
    `params/backbone/conv1/kernel`; `model.jaxexport` and, where the state can be handed on,
    `stream.jaxexport` hold the network as a function (see `stablehlo`). `config.json`, `data.json`
    and `postprocess.json` are those of the run; `passport.json` and `MODEL_CARD.md` say how to use
    all this. Raises InputError where a fact is missing, or where an artefact differs from the
    network by more than `LIMIT`; then nothing is left.
    """
    if out.exists():
        raise InputError(f"--out={out} exists already; choose another folder, or delete it")
    if jax.process_count() > 1:
        raise InputError("--mode=export is for one process; start it without --coordinator")
    config = configuration.load(workdir)
    facts = metadata.of_run(workdir)
    model = build.build(config.model, tuple(facts["dims"]))
    variables, step = checkpoints.read_best(workdir)
    out.parent.mkdir(parents=True, exist_ok=True)
    temporary = out.with_name(f".{out.name}.{os.getpid()}.tmp")
    try:
        configuration.claim(temporary, config)
        shutil.copyfile(workdir / provenance.NAME, temporary / provenance.NAME)
        fitted = checkpoints.read_beside(workdir, step, postprocess.NAME)
        if fitted is not None:  # not evaluated yet
            (temporary / postprocess.NAME).write_text(fitted)
        write_arrays(temporary, variables)
        write_functions(temporary, model, variables, facts)
        metadata.write(temporary, facts)
        rows = _compared(temporary, model, variables, config, facts)
        _check(rows)
        facts |= {"comparisons": rows}
        metadata.write(temporary, facts)
        (temporary / model_card.NAME).write_text(model_card.text(facts, config))
        os.replace(temporary, out)
    finally:
        shutil.rmtree(temporary, ignore_errors=True)
    print(f"{out} holds the network; MODEL_CARD.md there says how to use it")


def write_arrays(folder: pathlib.Path, variables: Mapping[str, Any]) -> None:
    """The variables of a network by path, for this package and for NumPy alone."""
    arrays = {
        path: np.ascontiguousarray(value)
        for path, value in flatten_dict(variables, sep="/").items()
    }
    # Not save_file, whose files nobody but their owner may read.
    (folder / PARAMETERS).write_bytes(safetensors.numpy.save(arrays))
    np.savez(folder / ARRAYS, **arrays)


def write_functions(
    folder: pathlib.Path, model: Regressor, variables: Any, facts: Mapping[str, Any]
) -> None:
    """The network as functions with its variables inside."""
    size, variables = facts["input"]["size"], jax.tree.map(jnp.asarray, variables)
    (folder / stablehlo.MODEL).write_bytes(stablehlo.of_model(model, variables, size))
    if facts["stream_state"]:
        (folder / stablehlo.STREAM).write_bytes(stablehlo.of_stream(model, variables, size))


def read(folder: pathlib.Path) -> dict[str, np.ndarray]:
    """The arrays of an export, by path."""
    path = folder / PARAMETERS
    try:
        return safetensors.numpy.load_file(path)
    except (OSError, safetensors.SafetensorError) as error:
        raise InputError(
            f"{path}: not readable ({error}); write it with "
            f"`python -m va_jax.main --mode=export --workdir=RUN --out={folder}`"
        ) from error


def _compared(
    folder: pathlib.Path,
    model: Regressor,
    variables: Any,
    config: ConfigDict,
    facts: Mapping[str, Any],
) -> list[dict[str, Any]]:
    """What `verify` finds in a fresh process, printed too.

    Both sides run on the CPU: an accelerator rounds otherwise, and may be taken by this process.
    """
    named, lacking = trial.inputs(config, facts)
    with jax.default_device(jax.local_devices(backend="cpu")[0]):
        live = jax.jit(functools.partial(stablehlo.predict, model))
        cases = [
            trial.Case(frames, inputs, np.asarray(live(variables, *inputs)))
            for frames, inputs in named
        ]
    with tempfile.TemporaryDirectory() as elsewhere:
        path = pathlib.Path(elsewhere) / "cases.npz"
        trial.write(path, cases)
        done = subprocess.run(
            [sys.executable, "-m", "va_jax.verify", str(folder), str(path)],
            env=os.environ | {"JAX_PLATFORMS": "cpu"},
            stdout=subprocess.PIPE,
            text=True,
            check=False,
        )
    if done.returncode:
        raise InputError(
            f"the export could not be read again, see above (exit code {done.returncode}); nothing "
            "was kept"
        )
    rows = json.loads(done.stdout)
    print(model_card.comparisons(rows))
    if lacking:
        print(f"no real frames were tried: {lacking}")
    return rows


def _check(rows: Sequence[Mapping[str, Any]]) -> None:
    for row in rows:
        if not row["max_abs_difference"] <= LIMIT:  # nor NaN
            raise InputError(
                f"{row['artefact']} gives what differs by {row['max_abs_difference']:.1e} from the "
                f"network on {row['frames']} frames [{row['batch']}, {row['time']}], above the "
                f"limit of {LIMIT:.0e}; nothing was kept"
            )
