"""The network of a run as a folder that needs no checkpoint: parameters, config, data facts."""

import os
import pathlib
import shutil

import numpy as np
import safetensors.numpy
from flax.traverse_util import flatten_dict

from va_jax import chain, checkpoints, provenance
from va_jax import config as configuration
from va_jax.schema import InputError

PARAMETERS = "model.safetensors"


def export(workdir: pathlib.Path, out: pathlib.Path) -> None:
    """Write the best checkpoint of `workdir` to the new folder `out`, whole or not at all.

    `model.safetensors` holds every array under its path, such as `params/backbone/conv1/kernel`;
    `config.json`, `data.json` (what the run was trained on) and `postprocess.json` (what an
    evaluation has fitted on dev) are those of the run.
    """
    if out.exists():
        raise InputError(f"--out={out} exists already; choose another folder")
    config = configuration.load(workdir)
    data = provenance.read(workdir)
    variables, step = checkpoints.read_best(workdir)
    fitted = checkpoints.read_beside(workdir, step, chain.NAME)
    arrays = {
        path: np.ascontiguousarray(value)
        for path, value in flatten_dict(variables, sep="/").items()
    }
    out.parent.mkdir(parents=True, exist_ok=True)
    temporary = out.with_name(f".{out.name}.{os.getpid()}.tmp")
    try:
        configuration.claim(temporary, config)
        if data is not None:  # an older run has none
            provenance.write(temporary, data)
        if fitted is not None:  # not evaluated yet
            (temporary / chain.NAME).write_text(fitted)
        # Not save_file, whose files nobody but their owner may read.
        (temporary / PARAMETERS).write_bytes(safetensors.numpy.save(arrays))
        os.replace(temporary, out)
    finally:
        shutil.rmtree(temporary, ignore_errors=True)


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
