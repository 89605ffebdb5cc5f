"""The config in the workdir of a run: written once and checked whenever the run is used."""

import json
import pathlib
from typing import Any

from va_jax import config as configuration
from va_jax import io, keys
from va_jax.config import Config
from va_jax.models import forms
from va_jax.types import InputError

NAME = "config.json"

CHANGEABLE = keys.changeable_keys(Config)
"""Keys that a resumed run may change."""


def store(workdir: pathlib.Path, config: Config) -> None:
    """Write `config` to `workdir`, after checking that any existing run there has the same config.

    Raises:
        InputError: the run in `workdir` has a different config; the message lists the differing
            keys that a run may not change.
    """
    if (workdir / NAME).exists():
        check(workdir, config)
        if _flat(load(workdir)) == _flat(config):
            return
    workdir.mkdir(parents=True, exist_ok=True)
    io.write_json(workdir / NAME, configuration.to_tree(config))


def with_dtype(config: Config) -> Config:
    """Replace `model.compute_dtype=auto` by the type for this kind of device."""
    if config.model.compute_dtype != "auto":
        return config
    dtype = forms.chosen().compute_dtype
    return configuration.with_values(config, **{"model.compute_dtype": dtype})


def with_decided(config: Config, folder: pathlib.Path) -> Config:
    """Replace keys that are decided when a run starts by the values of the run in `folder`, if any.

    These are `model.compute_dtype=auto` and `train.batch_size=0`.
    """
    if not (folder / NAME).exists():
        return config
    stored = load(folder)
    if config.model.compute_dtype == "auto":
        dtype = stored.model.compute_dtype
        config = configuration.with_values(config, **{"model.compute_dtype": dtype})
    if not config.train.batch_size:
        batch = stored.train.batch_size
        config = configuration.with_values(config, **{"train.batch_size": batch})
    return config


def schedule_change(workdir: pathlib.Path, config: Config) -> str | None:
    """Return a warning if `config` changes the length of a run with a length-dependent schedule.

    `config` must not have been stored yet.
    """
    if not (workdir / NAME).exists() or config.optim.schedule == "constant":
        return None
    before, after = load(workdir).train.steps, config.train.steps
    if before == after:
        return None
    return (
        f"train.steps changes from {before} to {after}: optim.schedule={config.optim.schedule!r} "
        "depends on the number of steps, so the learning rate jumps at this point, and the result "
        f"will differ from that of an uninterrupted run of {after} steps"
    )


def load(folder: pathlib.Path) -> Config:
    """Return the config of the run or the exported model in `folder`.

    Keys that are missing because an older version wrote the file get their default values.

    Raises:
        InputError: the file does not exist or is not the config of a run.
    """
    path = folder / NAME
    if not path.exists():
        raise InputError(f"{path}: not found; check that {str(folder)!r} is the workdir of a run")
    tree = io.read_json(path)
    if not isinstance(tree, dict):
        raise InputError(f"{path}: not the config of a run; restore the file")
    try:
        return configuration.parse(_with_writers(tree))
    except InputError as error:
        raise InputError(f"{path}: {error}; correct or restore the file") from error


def _with_writers(tree: dict[str, Any]) -> dict[str, Any]:
    """Replace `log.tensorboard`, a key of earlier versions, by `log.writers`."""
    log = tree.get("log")
    if not isinstance(log, dict) or "tensorboard" not in log:
        return tree
    writers = ("jsonl", "tensorboard") if log["tensorboard"] else ("jsonl",)
    kept = {key: value for key, value in log.items() if key != "tensorboard"}
    return {**tree, "log": {"writers": writers, **kept}}


def for_evaluation(workdir: pathlib.Path, given: Config | None) -> Config:
    """Return the config for evaluating the run in `workdir`: its own, or the `given` one.

    Raises:
        InputError: `given` differs from the run's config in keys that affect more than inference
            (`eval`) and post-processing (`post`).
    """
    stored = load(workdir)
    if given is None:
        return stored
    given = with_decided(given, workdir)
    check(workdir, given, ("eval.",))
    return given


def check(workdir: pathlib.Path, config: Config, may_differ: tuple[str, ...] = ()) -> None:
    """Raise InputError if the run in `workdir` has a different config.

    Keys that are changeable or begin with one of `may_differ` may have different values.
    """
    there, here = _flat(load(workdir)), _flat(config)
    differing = [
        f"{key} ({there[key]!r} in the run, {here[key]!r} given)"
        for key in sorted(here)
        if there[key] != here[key] and key not in CHANGEABLE and not key.startswith(may_differ)
    ]
    if differing:
        raise InputError(
            f"{workdir / NAME}: the run in this workdir has a different config: "
            f"{', '.join(differing)}; use the values of the run, or choose a different --workdir"
        )


def _flat(config: Config) -> dict[str, Any]:
    """Return all values by dotted key, after a round trip through JSON."""
    return json.loads(json.dumps(keys.flatten(configuration.to_tree(config))))
