"""Write a trained network to a self-describing folder: that of a run, or one trained elsewhere."""

import dataclasses
import functools
import pathlib
import shutil
from collections.abc import Mapping
from typing import Any

import jax
import jax.numpy as jnp

from va_jax.config import Config
from va_jax.data import sets
from va_jax.evaluation import postprocess
from va_jax.export import arrays, check, chosen, metadata, model_card, stablehlo
from va_jax.io import replacing, write_bytes, write_json, write_text
from va_jax.models import set_heads
from va_jax.models.build import build_model
from va_jax.models.regressor import Regressor
from va_jax.train import checkpoints, initialize, provenance
from va_jax.train import workdir as run_config
from va_jax.train.state import initial_variables
from va_jax.types import InputError
from va_jax.weights.estimators import ESTIMATORS


def export(workdir: pathlib.Path, out: pathlib.Path, head: str = "") -> None:
    """Write the best checkpoint in `workdir` to the new folder `out`, and check the result.

    `model.safetensors` and `model.npz` contain the arrays. `model.jaxexport` and, if a track can be
    processed in pieces, `stream.jaxexport` contain the network as a function (see `stablehlo`).
    `config.json`, `data.json` and `postprocess.json` are copied from the run. `passport.json`
    contains the model metadata, and `MODEL_CARD.md` describes them in words. The network of a run
    on several data sets is exported as if it had been trained on one of them.

    Args:
        workdir: folder of the run.
        out: folder to write.
        head: the data set to choose; see `chosen.set_of`.

    Raises:
        InputError: a fact about the run is missing, `head` is not legal, or an exported file does
            not reproduce the network's predictions. In this case `out` is not created.
    """
    _check_writable(out)
    run, facts = run_config.load(workdir), metadata.of_run(workdir, head)
    name = chosen.set_of(run, workdir, head)
    stored, step = checkpoints.read_best(workdir)
    if step != facts["checkpoint_step"]:
        raise InputError(
            f"{workdir}: a better checkpoint was saved just now, at step {step}; export again"
        )
    number, own = run.data.names.index(name), set_heads.sets_with_heads(run)
    variables = set_heads.of_set(stored, own, facts["dims"], number)
    with replacing(out) as temporary:
        temporary.mkdir(parents=True)
        shutil.copyfile(workdir / provenance.NAME, temporary / provenance.NAME)
        if (workdir / initialize.NAME).exists():
            shutil.copyfile(workdir / initialize.NAME, temporary / initialize.NAME)
        post_processing = checkpoints.read_beside(
            workdir, step, postprocess.file_of(run.data, name)
        )
        if post_processing is not None:  # None: the run has not been evaluated yet
            write_json(temporary / postprocess.NAME, post_processing)
        _write_network(temporary, sets.named(run, name), variables, facts)
    print(f"wrote the network to {out}; see its description in MODEL_CARD.md")


def export_weights(config: Config, out: pathlib.Path) -> None:
    """Write the network in the weight file `init.weights`, unchanged, to the new folder `out`.

    All of its parameters must be in the file, with the heads for valence and arousal.

    Raises:
        InputError: the file cannot be read, is for another network, or contains no such heads; or
            an exported file does not reproduce the network's predictions. In this case `out` is
            not created.
    """
    _check_writable(out)
    config = run_config.with_dtype(config)
    weights = initialize.read(config.init)
    if weights is None or weights.format not in ESTIMATORS:
        source = weights.source if weights else "init.weights=''"
        raise InputError(
            f"{source}: expected weights of a network that already estimates valence and arousal "
            f"({', '.join(ESTIMATORS)}); to use other weights, start from them with `va_jax train`"
        )
    data = ESTIMATORS[weights.format].facts(config.data.size)
    model = build_model(config.model, tuple(data["dims"]))
    variables = jax.eval_shape(lambda: initial_variables(model, data["input_size"], config.seed))
    initialize.check_backbone(weights, config.model.backbone)
    start = initialize.fill(variables, weights, dataclasses.replace(config.init, fresh=()))
    print(initialize.table(start, data["input_size"]))
    facts = metadata.of_weights(config, data, weights)
    with replacing(out) as temporary:
        temporary.mkdir(parents=True)
        provenance.write(temporary, data)
        initialize.write(temporary / initialize.NAME, start)
        _write_network(temporary, config, start.variables, facts)
    print(f"wrote the network to {out}; see its description in MODEL_CARD.md")


def _check_writable(out: pathlib.Path) -> None:
    if out.exists():
        raise InputError(
            f"--out={out} already exists; choose a different folder, or delete this one"
        )
    if jax.process_count() > 1:
        raise InputError(
            "Cannot export in several processes. Start a single one, without --coordinator."
        )


def _write_network(
    folder: pathlib.Path, config: Config, variables: Any, facts: dict[str, Any]
) -> None:
    """Write the network and everything that describes it, and check what was written."""
    model = build_model(config.model, tuple(facts["dims"]))
    run_config.store(folder, config)
    arrays.write(folder, variables)
    write_functions(folder, model, variables, facts)
    metadata.write(folder, facts)  # the check reads it
    predict = functools.partial(jax.jit(functools.partial(stablehlo.predict, model)), variables)
    facts["comparisons"] = check.check(folder, predict, config, facts)
    write_text(folder / model_card.NAME, model_card.text(facts, config))
    metadata.write_with_digests(folder, facts)


def write_functions(
    folder: pathlib.Path, model: Regressor, variables: Any, facts: Mapping[str, Any]
) -> None:
    """Write the network and its variables as serialised functions (see `stablehlo`)."""
    size, variables = facts["input"]["size"], jax.tree.map(jnp.asarray, variables)
    write_bytes(folder / stablehlo.MODEL, stablehlo.serialize_model(model, variables, size))
    if facts["stream_state"]:
        write_bytes(folder / stablehlo.STREAM, stablehlo.serialize_stream(model, variables, size))
