"""What must be known of a trained network to use it: made from a run, checked in an export."""

import importlib.metadata
import json
import pathlib
from collections.abc import Mapping
from typing import Any

from ml_collections import ConfigDict

from va_jax import config as configuration
from va_jax.evaluation import postprocess
from va_jax.export import metadata_fields, stablehlo
from va_jax.io import write_text
from va_jax.models import build
from va_jax.train import checkpoints, provenance
from va_jax.types import LABEL_RANGE, InputError

NAME = "passport.json"

AGAIN = "write the export again by `python -m va_jax.main --mode=export --workdir=RUN --out=FOLDER`"


def of_run(workdir: pathlib.Path) -> dict[str, Any]:
    """The passport of the best checkpoint in `workdir`, with `comparisons` still empty.

    `scores` and `post_processing` are null where that checkpoint has not been evaluated. Raises
    InputError where a fact is not known, or where the last evaluation was another one than
    config.json says.
    """
    config = configuration.load(workdir)
    facts = provenance.read(workdir)
    path = workdir / provenance.NAME
    if facts is None:
        raise InputError(
            f"{path}: not found; put there that of a run on the same data set, or train again"
        )
    wanted = ("name", "input_size", "dims", "crop", "fps", "split_hash", "frames")
    for key in wanted:
        if key not in facts:
            raise InputError(f"{path}: {key!r} is missing; build the data set and train again")
    step = checkpoints.best_step(workdir)
    fitted = checkpoints.read_beside(workdir, step, postprocess.NAME)
    beside = workdir / "checkpoints" / str(step) / postprocess.NAME
    found = {
        "format": metadata_fields.FORMAT,
        "dims": facts["dims"],
        "range": list(LABEL_RANGE),
        "input": {
            "size": facts["input_size"],
            "channels": "RGB",
            "pixels": "uint8 0..255",
            "landmarks": {
                "points": build.landmark_points(config.model),
                "place": config.model.landmarks,
            },
        },
        "crop": facts["crop"],
        "fps": facts["fps"],
        "stride": config.window.stride,
        "evaluation": {key: config.eval[key] for key in ("state", "length", "hop", "fusion")},
        "temporal": temporal(config.model),
        "stream_state": _stream_state(config.model, facts["dims"]),
        "post_processing": None if fitted is None else _json(beside, fitted),
        "data": {key: facts[key] for key in ("name", "split_hash", "frames")},
        "scores": _scores(workdir, config, step),
        "checkpoint_step": step,
        "versions": {
            name: importlib.metadata.version(name) for name in ("va_jax", "jax", "flax", "numpy")
        },
        "licence": _licence(config, facts["name"]),
        "comparisons": [],
    }
    metadata_fields.check(found, str(workdir), "see its config.json and data.json")
    return found


def read(folder: pathlib.Path) -> dict[str, Any]:
    """The passport of an export; InputError names the entry that is missing or not legal."""
    path = folder / NAME
    try:
        text = path.read_text()
    except (OSError, UnicodeDecodeError) as error:
        raise InputError(f"{path}: not readable ({error}); {AGAIN}") from error
    found = _json(path, text)
    metadata_fields.check(found, str(path), AGAIN)
    return found


def write(folder: pathlib.Path, passport: Mapping[str, Any]) -> None:
    """Put a passport into an export."""
    write_text(folder / NAME, json.dumps(passport, indent=1) + "\n")


def temporal(model_config: ConfigDict) -> str:
    """One of `passport_fields.TEMPORAL`, of a network by the `model` section of its config."""
    recurrent = model_config.recurrent != "none"
    if model_config.inflation.taps > 1 or (recurrent and model_config.bidirectional):
        return "both_ways"
    return "causal" if recurrent else "none"


def _stream_state(model_config: ConfigDict, dims: list[str]) -> list[list[int]] | None:
    """Shapes of what a track's state holds; None for a network that cannot be fed piece by piece.

    A network that sees one frame at a time has an empty state.
    """
    if temporal(model_config) == "both_ways":
        return None
    return stablehlo.state_shapes(build.build(model_config, tuple(dims)))


def _scores(workdir: pathlib.Path, config: ConfigDict, step: int) -> dict[str, Any] | None:
    """The metric cards of the checkpoint of `step` without their recordings; None: not scored."""
    path = workdir / "metrics.json"
    if not path.exists():
        return None
    told = _json(path, path.read_text())
    try:
        if told["checkpoint_step"] != step:
            return None
        told_eval, cards = told["eval"], told["splits"]
        kept = {
            split: {key: value for key, value in card.items() if key != "recordings"}
            for split, card in cards.items()
        }
        keys = ("state",) if config.eval.state == "carry" else ("state", "length", "hop", "fusion")
        other = {key: told_eval[key] for key in keys if told_eval[key] != config.eval[key]}
    except (KeyError, TypeError, AttributeError) as error:
        raise InputError(
            f"{path}: is no result of an evaluation ({error!r}); write it again by --mode=eval"
        ) from error
    for key, value in other.items():
        raise InputError(
            f"{path}: was scored with eval.{key}={value!r}, config.json there says "
            f"{config.eval[key]!r}; score again: "
            f"`python -m va_jax.main --mode=eval --workdir={workdir}`"
        )
    return kept


def _licence(config: ConfigDict, name: str) -> str:
    weights, run = config.init.weights, config.init.from_workdir or config.init.from_export
    start = f" It started from {pathlib.Path(weights or run).name}." if weights or run else ""
    return (
        f"Trained on {name}.{start} The licence of a data set, and of weights that training started"
        " from, governs the use of these weights too: see what it permits before passing them on."
    )


def _json(path: pathlib.Path, text: str) -> Any:
    try:
        return json.loads(text)
    except ValueError as error:
        raise InputError(f"{path}: no JSON ({error}); {AGAIN}") from error
