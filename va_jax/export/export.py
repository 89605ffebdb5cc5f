"""Write the network of a run to a self-describing folder that does not need its checkpoints."""

import functools
import pathlib
import shutil
from collections.abc import Mapping
from typing import Any

import jax
import jax.numpy as jnp

from va_jax.evaluation import postprocess
from va_jax.export import arrays, check, metadata, model_card, stablehlo
from va_jax.io import replacing, write_bytes, write_json, write_text
from va_jax.models.build import build_model
from va_jax.models.regressor import Regressor
from va_jax.train import checkpoints, provenance
from va_jax.train import workdir as run_config
from va_jax.types import InputError


def export(workdir: pathlib.Path, out: pathlib.Path) -> None:
    """Write the best checkpoint in `workdir` to the new folder `out`, and check the result.

    `model.safetensors` and `model.npz` contain the arrays. `model.jaxexport` and, if a track can be
    processed in pieces, `stream.jaxexport` contain the network as a function (see `stablehlo`).
    `config.json`, `data.json` and `postprocess.json` are copied from the run. `passport.json`
    contains the model metadata, and `MODEL_CARD.md` describes them in words.

    Raises:
        InputError: a fact about the run is missing, or an exported file does not reproduce the
            network's predictions. In this case `out` is not created.
    """
    if out.exists():
        raise InputError(f"--out={out} already exists; choose another folder or delete it")
    if jax.process_count() > 1:
        raise InputError(
            "Cannot export in several processes. Start a single one, without --coordinator."
        )
    config, facts = run_config.load(workdir), metadata.of_run(workdir)
    model = build_model(config.model, tuple(facts["dims"]))
    variables, step = checkpoints.read_best(workdir)
    with replacing(out) as temporary:
        run_config.store(temporary, config)
        shutil.copyfile(workdir / provenance.NAME, temporary / provenance.NAME)
        post_processing = checkpoints.read_beside(workdir, step, postprocess.NAME)
        if post_processing is not None:  # None: the run has not been evaluated yet
            write_json(temporary / postprocess.NAME, post_processing)
        arrays.write(temporary, variables)
        write_functions(temporary, model, variables, facts)
        metadata.write(temporary, facts)  # the check reads it
        predict = functools.partial(jax.jit(functools.partial(stablehlo.predict, model)), variables)
        facts["comparisons"] = check.check(temporary, predict, config, facts)
        write_text(temporary / model_card.NAME, model_card.text(facts, config))
        metadata.write_with_digests(temporary, facts)
    print(f"wrote the network to {out}; its MODEL_CARD.md describes it")


def write_functions(
    folder: pathlib.Path, model: Regressor, variables: Any, facts: Mapping[str, Any]
) -> None:
    """Write the network and its variables as serialised functions (see `stablehlo`)."""
    size, variables = facts["input"]["size"], jax.tree.map(jnp.asarray, variables)
    write_bytes(folder / stablehlo.MODEL, stablehlo.serialize_model(model, variables, size))
    if facts["stream_state"]:
        write_bytes(folder / stablehlo.STREAM, stablehlo.serialize_stream(model, variables, size))
