"""Model metadata (`passport.json`): all known facts about a network, collected from its run.

    python -m va_jax.export.metadata FOLDER

This command adds digests of the files to an export that was written without digests.
"""

import importlib.metadata
import pathlib
import sys
from collections.abc import Mapping
from typing import Any

from va_jax.config import Config
from va_jax.config import Model as ModelConfig
from va_jax.data import sets
from va_jax.evaluation import postprocess
from va_jax.evaluation.postprocess import PostProcessing
from va_jax.export import chosen, stablehlo
from va_jax.export.fields import FIELDS, FORMAT, METRICS_TABLE_FIELDS, OPTIONAL_FIELDS, check_fields
from va_jax.io import read_json, write_json
from va_jax.models.build import build_model, landmark_points
from va_jax.train import checkpoints, exported, initialize, provenance
from va_jax.train import workdir as run_config
from va_jax.train.exported import EXPORT_AGAIN
from va_jax.types import LABEL_RANGE, InputError
from va_jax.weights import licences
from va_jax.weights.load import Weights

NAME = exported.METADATA

SYNTHETIC_WARNING = (
    "this model was trained on drawings of faces: its values on real faces are not meaningful"
)

EVAL_KEYS = ("state", "length", "hop", "fusion")
"""Keys in the config's `eval` section that affect predictions."""

DATA_KEYS = ("name", "input_size", "dims", "crop", "fps", "split_hash", "frames")
"""Facts about the training data that are required for every model."""


def is_synthetic(metadata: Mapping[str, Any]) -> bool:
    """Return whether a model was trained only on drawn faces, judging by its data sets' names."""
    return all(name.startswith("synthetic_faces/") for name in metadata["data"]["name"].split(","))


def of_run(workdir: pathlib.Path, head: str = "") -> dict[str, Any]:
    """Return the metadata for the best checkpoint in `workdir`, with empty `comparisons`.

    `scores` and `post_processing` are None if that checkpoint has not been evaluated. For a run on
    several data sets, these and all facts about the input are those of one of them (see
    `chosen.set_of`); `sets` contains the facts about each of them.

    Raises:
        InputError: a fact is missing, the last evaluation used settings other than the run's, or
            `head` is not legal.
    """
    run = run_config.load(workdir)
    name = chosen.set_of(run, workdir, head)
    config, step = sets.named(run, name), checkpoints.best_step(workdir)
    found = _data_facts(workdir)
    data = found[name]
    metadata = _facts(config, data) | {
        "post_processing": _post_processing(workdir, step, postprocess.file_of(run.data, name)),
        "scores": _scores(workdir, config, step, several=len(found) > 1),
        "checkpoint_step": step,
        "licence": _licence(config, ", ".join(run.data.names), initialize.licence_of(workdir)),
    }
    if len(found) > 1:
        metadata |= chosen.several(name, found)
    check(metadata, str(workdir), "correct config.json or data.json in this folder")
    return metadata


def of_weights(config: Config, data: Mapping[str, Any], weights: Weights) -> dict[str, Any]:
    """Return the metadata for a network that somebody else trained, with empty `comparisons`.

    Args:
        config: config whose `init` section names the weights.
        data: the facts in `DATA_KEYS` about the data that they were trained on.
        weights: the weights.
    """
    licence = licences.licence(weights.format)
    metadata = _facts(config, data) | {
        "post_processing": None,
        "scores": None,
        "checkpoint_step": 0,
        "licence": f"These are the weights in {weights.source}. Their licence: {licence}.",
        "weights": {"source": weights.source, "format": weights.format, "licence": licence},
    }
    check(metadata, weights.source, "report this as a bug")
    return metadata


def _facts(config: Config, data: Mapping[str, Any]) -> dict[str, Any]:
    """Return the facts about a model that follow from its config and its training data."""
    return {
        "format": FORMAT,
        "dims": data["dims"],
        "range": list(LABEL_RANGE),
        "input": {
            "size": data["input_size"],
            "channels": "RGB",
            "pixels": "uint8 0..255",
            "landmarks": {"points": landmark_points(config.model), "place": config.model.landmarks},
        },
        "crop": data["crop"],
        "fps": data["fps"],
        "stride": config.window.stride,
        "evaluation": {key: getattr(config.eval, key) for key in EVAL_KEYS},
        "temporal": temporal(config.model),
        "stream_state": _stream_state(config.model, data["dims"]),
        "data": {key: data[key] for key in ("name", "split_hash", "frames")},
        "versions": {
            name: importlib.metadata.version(name) for name in ("va_jax", "jax", "flax", "numpy")
        },
        "comparisons": [],
    }


def read(folder: pathlib.Path) -> dict[str, Any]:
    """Return the metadata of an export, after comparing its files with their digests.

    Raises:
        InputError: the file cannot be read, an entry is missing or invalid, or a file of the export
            has changed.
    """
    path = folder / NAME
    if not path.exists():
        raise InputError(f"{path}: not found; {EXPORT_AGAIN}")
    metadata = read_json(path, EXPORT_AGAIN)
    check(metadata, str(path), EXPORT_AGAIN)
    exported.check(folder, metadata)
    return metadata


def write_with_digests(folder: pathlib.Path, metadata: Mapping[str, Any]) -> None:
    """Write the metadata of an export with the digests of all its other files."""
    write(folder, {**metadata, exported.DIGESTS: exported.digests(folder)})


def write(folder: pathlib.Path, metadata: Mapping[str, Any]) -> None:
    """Write the metadata of an export."""
    write_json(folder / NAME, metadata)


def check(metadata: Any, where: str, remedy: str) -> None:
    """Check all entries in model metadata.

    Args:
        metadata: metadata from any source.
        where: file or folder that the metadata come from, for the message.
        remedy: suggested remedy, for the end of the message.

    Raises:
        InputError: an entry is missing or invalid; the message names the first one.
    """
    given = {key: field for key, field in OPTIONAL_FIELDS.items() if key in metadata}
    check_fields(metadata, FIELDS | given, where, "", remedy)
    dims, ends, fitted = metadata["dims"], metadata["range"], metadata["post_processing"]
    landmarks, evaluation = metadata["input"]["landmarks"], metadata["evaluation"]
    if fitted is not None:
        PostProcessing.from_json(fitted, f"{where}: post_processing")
    rules = {
        f"dims={dims} must contain distinct names": bool(dims) and len(set(dims)) == len(dims),
        f"range={ends} must have a lower and an upper end": len(ends) == 2 and ends[0] < ends[1],
        f"input.landmarks={landmarks} must have both points and a place, or neither": (
            (landmarks["points"] == 0) == (landmarks["place"] == "none")
        ),
        f"evaluation.hop={evaluation['hop']} is above evaluation.length={evaluation['length']}": (
            evaluation["hop"] <= evaluation["length"]
        ),
        f"post_processing does not cover all dimensions ({', '.join(dims)})": fitted is None
        or {*dims} <= {*fitted},
    }
    for problem, holds in rules.items():
        if not holds:
            raise InputError(f"{where}: {problem}; {remedy}")
    _check_scores(metadata["scores"] or {}, where, "scores", remedy)


def _check_scores(scores: Mapping[str, Any], where: str, key: str, remedy: str) -> None:
    for split, table in scores.items():
        check_fields(table, METRICS_TABLE_FIELDS, where, f"{key}.{split}.", remedy)


def temporal(config: ModelConfig) -> str:
    """Return which frames each prediction depends on, as one of `TEMPORAL`."""
    stacked = config.temporal != "none"
    if config.inflation.taps > 1 or (stacked and config.bidirectional):
        return "both_ways"
    return "causal" if stacked else "none"


def _stream_state(config: ModelConfig, dims: list[str]) -> list[list[int]] | None:
    """Return the shapes of a track's state, if any; None if the network uses later frames."""
    if temporal(config) == "both_ways":
        return None
    return stablehlo.state_shapes(build_model(config, tuple(dims)))


def _data_facts(workdir: pathlib.Path) -> dict[str, dict[str, Any]]:
    """Return the facts about each data set of a run by its name."""
    path = workdir / provenance.NAME
    facts = provenance.read(workdir)
    if facts is None:
        raise InputError(
            f"{path}: not found; copy the file from another run on the same data set, or train "
            "again"
        )
    by_set = provenance.by_set(facts)
    for each in by_set.values():
        for key in DATA_KEYS:
            if key not in each:
                raise InputError(
                    f"{path}: '{key}' is missing; build the data set again, and repeat the training"
                )
    return by_set


def _post_processing(workdir: pathlib.Path, step: int, name: str) -> dict[str, Any] | None:
    """Return the post-processing in a checkpoint's file; None if it has not been evaluated."""
    fitted = checkpoints.read_beside(workdir, step, name)
    if fitted is not None:
        PostProcessing.from_json(fitted, f"{workdir}: {name} of step {step}")
    return fitted


def _scores(
    workdir: pathlib.Path, config: Config, step: int, several: bool
) -> dict[str, Any] | None:
    """Return a checkpoint's metrics tables without single recordings; None if it is not scored.

    Args:
        workdir: folder of the run.
        config: config of the run, reduced to one data set.
        step: step of the checkpoint.
        several: whether the run has several data sets.
    """
    path, again = (
        workdir / "metrics.json",
        f"evaluate the run again with `va_jax evaluate {workdir}`",
    )
    if not path.exists():
        return None
    metrics = read_json(path, again)
    try:
        metrics = metrics["sets"][config.data.name] if several else metrics
        if metrics["checkpoint_step"] != step:
            return None
        scores = {
            split: {key: value for key, value in table.items() if key != "recordings"}
            for split, table in metrics["splits"].items()
        }
        keys = ("state",) if config.eval.state == "carry" else EVAL_KEYS
        evaluated = {key: metrics["eval"][key] for key in keys}
    except (KeyError, TypeError, AttributeError) as error:
        raise InputError(
            f"{path}: this is not the result of an evaluation ({error!r}); {again}"
        ) from error
    _check_scores(scores, str(path), "splits", again)
    for key, value in evaluated.items():
        if value != getattr(config.eval, key):
            raise InputError(
                f"{path}: the run was evaluated with eval.{key}={value!r}, but config.json has "
                f"{getattr(config.eval, key)!r}; {again}"
            )
    return scores


def _licence(config: Config, name: str, of_start: str) -> str:
    start = config.init.weights or config.init.from_workdir or config.init.from_export
    started = f" Training started from {pathlib.Path(start).name}." if start else ""
    started += f" The licence of the weights that it started from: {of_start}." if of_start else ""
    return (
        f"Trained on {name}.{started} The licences of the data set, and of any weights that "
        "training started from, also apply to these weights: check them before you share the "
        "weights."
    )


if __name__ == "__main__":
    folder = pathlib.Path(sys.argv[1])
    write_with_digests(folder, read(folder))
