"""Model metadata (`passport.json`): all known facts about a network, collected from its run."""

import dataclasses
import importlib.metadata
import math
import pathlib
from collections.abc import Mapping
from typing import Any

from va_jax.config import FUSIONS, STATES, Config
from va_jax.config import Model as ModelConfig
from va_jax.evaluation import postprocess
from va_jax.evaluation.postprocess import PostProcessing
from va_jax.export import EXPORT_AGAIN, stablehlo
from va_jax.io import read_json, write_json
from va_jax.keys import Limits
from va_jax.models.build import build_model, landmark_points
from va_jax.train import checkpoints, provenance
from va_jax.train import workdir as run_config
from va_jax.types import LABEL_RANGE, InputError

NAME = "passport.json"
FORMAT = 1

SYNTHETIC_WARNING = (
    "this model was trained on drawings of faces: its values on real faces are not meaningful"
)

TEMPORAL = ("causal", "both_ways", "none")
"""Frames that a prediction depends on: its own and earlier ones, also later ones, only its own."""

EVAL_KEYS = ("state", "length", "hop", "fusion")
"""Keys in the config's `eval` section that affect predictions."""

DATA_KEYS = ("name", "input_size", "dims", "crop", "fps", "split_hash", "frames")
"""Facts about the training data that are required for every model."""

ANY = Limits()


@dataclasses.dataclass(frozen=True)
class Field:
    """Legal values of an entry; numbers must be finite, and texts must not be empty."""

    kind: type  # int, float, str, list or dict
    limits: Limits = ANY
    items: "Field | None" = None  # legal items in a list, or values in a dict
    nullable: bool = False

    def allows(self, value: Any) -> bool:
        """Return whether `value` is legal."""
        if value is None:
            return self.nullable
        if self.kind is float and type(value) is int:
            value = float(value)
        if type(value) is not self.kind:
            return False
        if self.kind in (list, dict):
            items = value.values() if self.kind is dict else value
            return self.items is None or all(self.items.allows(item) for item in items)
        legal = bool(value) if self.kind is str else math.isfinite(value)
        return legal and self.limits.allow(value)

    def __str__(self) -> str:
        words = {int: "whole number", float: "number", str: "text", list: "list", dict: "object"}
        text = f"{words[self.kind]} {self.limits}".strip()
        text += f" of ({self.items})" if self.items else ""
        return f"{text} or null" if self.nullable else text


def _one_of(*legal: str) -> Field:
    return Field(str, Limits(legal=legal))


COUNT, POSITIVE, TEXT = Field(int, Limits(low=0)), Field(int, Limits(low=1)), Field(str)

FIELDS = {
    "format": Field(int, Limits(low=FORMAT, high=FORMAT)),
    "dims": Field(list, items=TEXT),
    "range": Field(list, items=Field(float)),
    "input.size": POSITIVE,
    "input.channels": _one_of("RGB"),
    "input.pixels": _one_of("uint8 0..255"),
    "input.landmarks.points": COUNT,
    "input.landmarks.place": _one_of("none", "before_fc", "after_fc"),
    "crop.size": Field(int, Limits(low=1, high=4096)),
    "crop.source": TEXT,
    "crop.margin": Field(float, Limits(low=0)),
    "crop.alignment": TEXT,
    "crop.jpeg_quality": Field(int, Limits(low=1, high=100)),
    "fps": Field(float, Limits(above=0)),
    "stride": POSITIVE,
    "evaluation.state": _one_of(*STATES),
    "evaluation.length": POSITIVE,
    "evaluation.hop": POSITIVE,
    "evaluation.fusion": _one_of(*FUSIONS),
    "temporal": _one_of(*TEMPORAL),
    "stream_state": Field(list, items=Field(list, items=POSITIVE), nullable=True),
    "post_processing": Field(dict, nullable=True),
    "data.name": TEXT,
    "data.split_hash": TEXT,
    "data.frames": Field(dict, items=COUNT),
    "scores": Field(dict, items=Field(dict), nullable=True),
    "checkpoint_step": COUNT,
    "versions": Field(dict, items=TEXT),
    "licence": TEXT,
    "comparisons": Field(list, items=Field(dict)),
}
"""All entries by dotted name; docs/export.md explains them. Additional entries are ignored."""

METRICS_TABLE_FIELDS = {
    "tracks": COUNT,
    "frames": COUNT,
    "frames_that_count": COUNT,
    "formula": TEXT,
    "scores": Field(dict),
    "baselines": Field(dict),
}
"""Required entries of each metrics table in `scores`."""


def is_synthetic(metadata: Mapping[str, Any]) -> bool:
    """Return whether a model was trained on drawn faces, judging by its data set's name."""
    return metadata["data"]["name"].startswith("synthetic_faces/")


def of_run(workdir: pathlib.Path) -> dict[str, Any]:
    """Return the metadata for the best checkpoint in `workdir`, with empty `comparisons`.

    `scores` and `post_processing` are None if that checkpoint has not been evaluated.

    Raises:
        InputError: a fact is missing, or the last evaluation used settings other than the run's.
    """
    config = run_config.load(workdir)
    data = _data_facts(workdir)
    step = checkpoints.best_step(workdir)
    fitted = checkpoints.read_beside(workdir, step, postprocess.NAME)
    metadata = {
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
        "post_processing": fitted,
        "data": {key: data[key] for key in ("name", "split_hash", "frames")},
        "scores": _scores(workdir, config, step),
        "checkpoint_step": step,
        "versions": {
            name: importlib.metadata.version(name) for name in ("va_jax", "jax", "flax", "numpy")
        },
        "licence": _licence(config, data["name"]),
        "comparisons": [],
    }
    check(metadata, str(workdir), "correct config.json or data.json there")
    return metadata


def read(folder: pathlib.Path) -> dict[str, Any]:
    """Return the metadata of an export.

    Raises:
        InputError: the file cannot be read, or an entry is missing or invalid.
    """
    path = folder / NAME
    if not path.exists():
        raise InputError(f"{path}: not found; {EXPORT_AGAIN}")
    metadata = read_json(path, EXPORT_AGAIN)
    check(metadata, str(path), EXPORT_AGAIN)
    return metadata


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
    _check_fields(metadata, FIELDS, where, "", remedy)
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
        f"evaluation.hop={evaluation['hop']} is above length={evaluation['length']}": (
            evaluation["hop"] <= evaluation["length"]
        ),
        f"post_processing does not cover all of {', '.join(dims)}": fitted is None
        or {*dims} <= {*fitted},
    }
    for problem, holds in rules.items():
        if not holds:
            raise InputError(f"{where}: {problem}; {remedy}")
    for split, table in (metadata["scores"] or {}).items():
        _check_fields(table, METRICS_TABLE_FIELDS, where, f"scores.{split}.", remedy)


def _check_fields(
    tree: Any, fields: Mapping[str, Field], where: str, prefix: str, remedy: str
) -> None:
    for key, field in fields.items():
        value = tree
        for part in key.split("."):
            if not isinstance(value, dict) or part not in value:
                raise InputError(f"{where}: '{prefix}{key}' is missing; {remedy}")
            value = value[part]
        if not field.allows(value):
            shown = repr(value) if len(repr(value)) <= 60 else f"{repr(value)[:57]}..."
            raise InputError(
                f"{where}: {prefix}{key}={shown} is invalid (expected {field}); {remedy}"
            )


def temporal(config: ModelConfig) -> str:
    """Return which frames each prediction depends on, as one of `TEMPORAL`."""
    recurrent = config.recurrent != "none"
    if config.inflation.taps > 1 or (recurrent and config.bidirectional):
        return "both_ways"
    return "causal" if recurrent else "none"


def _stream_state(config: ModelConfig, dims: list[str]) -> list[list[int]] | None:
    """Return the shapes of a track's state, if any; None if the network uses later frames."""
    if temporal(config) == "both_ways":
        return None
    return stablehlo.state_shapes(build_model(config, tuple(dims)))


def _data_facts(workdir: pathlib.Path) -> dict[str, Any]:
    path = workdir / provenance.NAME
    facts = provenance.read(workdir)
    if facts is None:
        raise InputError(
            f"{path}: not found; copy it from another run on the same data set, or train again"
        )
    for key in DATA_KEYS:
        if key not in facts:
            raise InputError(f"{path}: '{key}' is missing; build the data set and train again")
    return facts


def _scores(workdir: pathlib.Path, config: Config, step: int) -> dict[str, Any] | None:
    """Return a checkpoint's metrics tables without single recordings; None if it is not scored."""
    path, again = workdir / "metrics.json", f"evaluate again with `va_jax evaluate {workdir}`"
    if not path.exists():
        return None
    metrics = read_json(path, again)
    try:
        if metrics["checkpoint_step"] != step:
            return None
        scores = {
            split: {key: value for key, value in table.items() if key != "recordings"}
            for split, table in metrics["splits"].items()
        }
        keys = ("state",) if config.eval.state == "carry" else EVAL_KEYS
        evaluated = {key: metrics["eval"][key] for key in keys}
    except (KeyError, TypeError, AttributeError) as error:
        raise InputError(f"{path}: not the result of an evaluation ({error!r}); {again}") from error
    for key, value in evaluated.items():
        if value != getattr(config.eval, key):
            raise InputError(
                f"{path}: evaluated with eval.{key}={value!r}, but config.json has "
                f"{getattr(config.eval, key)!r}; {again}"
            )
    return scores


def _licence(config: Config, name: str) -> str:
    start = config.init.weights or config.init.from_workdir or config.init.from_export
    started = f" Training started from {pathlib.Path(start).name}." if start else ""
    return (
        f"Trained on {name}.{started} The licences of the data set, and of any weights that "
        "training started from, also apply to these weights: check them before you share the "
        "weights."
    )
