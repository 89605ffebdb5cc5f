"""What must be known of a trained network to use it: made from a run, checked in an export."""

import importlib.metadata
import json
import math
import pathlib
from collections.abc import Callable, Mapping
from typing import Any, NamedTuple

from ml_collections import ConfigDict

from va_jax import chain, checkpoints, provenance, stablehlo
from va_jax import config as configuration
from va_jax.chain import Chain
from va_jax.config import CHOICES, write_atomically
from va_jax.models import networks
from va_jax.schema import LABEL_RANGE, InputError

NAME = "passport.json"
FORMAT = 1

TEMPORAL = ("causal", "both_ways", "none")
"""What a prediction rests on: frames up to its own, frames behind it too, its own frame alone."""

AGAIN = "write the export again by `python -m va_jax.main --mode=export --workdir=RUN --out=FOLDER`"


class Field(NamedTuple):
    """What is legal for an entry of a passport."""

    legal: Callable[[Any], bool]
    words: str


def _whole(low: int) -> Field:
    return Field(lambda x: type(x) is int and x >= low, f"a whole number from {low} on")


def _choice(*legal: str) -> Field:
    return Field(lambda x: isinstance(x, str) and x in legal, f"one of {', '.join(legal)}")


def _finite(x: Any) -> bool:
    return type(x) in (int, float) and math.isfinite(x)


TEXT = Field(lambda x: isinstance(x, str) and bool(x), "a text that is not empty")
POSITIVE = Field(lambda x: _finite(x) and x > 0, "a number above 0")

FIELDS = {
    "format": Field(lambda x: type(x) is int and x == FORMAT, f"{FORMAT}, which is all we read"),
    "dims": Field(
        lambda x: isinstance(x, list) and bool(x) and all(map(TEXT.legal, x))
        and len(set(x)) == len(x), "a list of different names"),
    "range": Field(
        lambda x: isinstance(x, list) and len(x) == 2 and all(map(_finite, x)) and x[0] < x[1],
        "the lowest and the highest label"),
    "input.size": _whole(1),
    "input.channels": _choice("RGB"),
    "input.pixels": _choice("uint8 0..255"),
    "input.landmarks.points": _whole(0),
    "input.landmarks.place": _choice("none", "before_fc", "after_fc"),
    "crop.size": Field(lambda x: type(x) is int and 1 <= x <= 4096, "from 1 to 4096"),
    "crop.source": TEXT,
    "crop.margin": Field(lambda x: _finite(x) and x >= 0, "a number from 0 on"),
    "crop.alignment": TEXT,
    "crop.jpeg_quality": Field(lambda x: type(x) is int and 1 <= x <= 100, "from 1 to 100"),
    "fps": POSITIVE,
    "stride": _whole(1),
    "evaluation.state": _choice(*CHOICES["eval.state"]),
    "evaluation.length": _whole(1),
    "evaluation.hop": _whole(1),
    "evaluation.fusion": _choice(*CHOICES["eval.fusion"]),
    "temporal": _choice(*TEMPORAL),
    "stream_state": Field(
        lambda x: x is None or (isinstance(x, list) and all(
            isinstance(shape, list) and all(map(_whole(1).legal, shape)) for shape in x)),
        "shapes of the arrays of the state of one track, or null"),
    "post_processing": Field(lambda x: x is None or isinstance(x, dict), "a mapping or null"),
    "data.name": TEXT,
    "data.split_hash": TEXT,
    "data.frames": Field(
        lambda x: isinstance(x, dict) and all(map(_whole(0).legal, x.values())),
        "frames by split"),
    "scores": Field(lambda x: x is None or isinstance(x, dict), "metric cards by split, or null"),
    "checkpoint_step": _whole(0),
    "versions": Field(
        lambda x: isinstance(x, dict) and all(map(TEXT.legal, x.values())), "versions by name"),
    "licence": TEXT,
    "comparisons": Field(
        lambda x: isinstance(x, list) and all(isinstance(row, dict) for row in x),
        "a list of mappings"),
}  # fmt: skip
"""Every entry of a passport, and what it must be; more entries are passed over."""

CARD = {
    "tracks": _whole(0),
    "frames": _whole(0),
    "frames_that_count": _whole(0),
    "formula": TEXT,
    "scores": Field(lambda x: isinstance(x, dict), "scores by dimension"),
    "baselines": Field(lambda x: isinstance(x, dict), "scores by baseline and dimension"),
}
"""What every metric card of `scores` must hold, as far as its text needs it."""


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
    fitted = checkpoints.read_beside(workdir, step, chain.NAME)
    beside = workdir / "checkpoints" / str(step) / chain.NAME
    found = {
        "format": FORMAT,
        "dims": facts["dims"],
        "range": list(LABEL_RANGE),
        "input": {
            "size": facts["input_size"],
            "channels": "RGB",
            "pixels": "uint8 0..255",
            "landmarks": {
                "points": networks.landmark_points(config.model),
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
    _check(found, str(workdir), "see its config.json and data.json")
    return found


def read(folder: pathlib.Path) -> dict[str, Any]:
    """The passport of an export; InputError names the entry that is missing or not legal."""
    path = folder / NAME
    try:
        text = path.read_text()
    except (OSError, UnicodeDecodeError) as error:
        raise InputError(f"{path}: not readable ({error}); {AGAIN}") from error
    found = _json(path, text)
    _check(found, str(path), AGAIN)
    return found


def write(folder: pathlib.Path, passport: Mapping[str, Any]) -> None:
    """Put a passport into an export."""
    write_atomically(folder / NAME, json.dumps(passport, indent=1) + "\n")


def temporal(model_config: ConfigDict) -> str:
    """One of `TEMPORAL`, of the network that the `model` section of a config describes."""
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
    return stablehlo.state_shapes(networks.build(model_config, tuple(dims)))


def _check(found: Any, where: str, remedy: str) -> None:
    for key, field in FIELDS.items():
        value = found
        for part in key.split("."):
            if not isinstance(value, dict) or part not in value:
                raise InputError(f"{where}: {key!r} is missing; {remedy}")
            value = value[part]
        _demand(field, key, value, where, remedy)
    if found["evaluation"]["hop"] > found["evaluation"]["length"]:
        hop, length = found["evaluation"]["hop"], found["evaluation"]["length"]
        raise InputError(f"{where}: evaluation.hop={hop} is above length={length}; {remedy}")
    if (found["input"]["landmarks"]["points"] == 0) != (
        found["input"]["landmarks"]["place"] == "none"
    ):
        raise InputError(f"{where}: input.landmarks has points and no place for them; {remedy}")
    if found["post_processing"] is not None:
        fitted = Chain.from_json(found["post_processing"], f"{where}: post_processing")
        for dim in found["dims"]:
            if dim not in fitted.steps:
                raise InputError(f"{where}: post_processing.{dim} is missing; {remedy}")
    for split, card in (found["scores"] or {}).items():
        for key, field in CARD.items():
            if not isinstance(card, dict) or key not in card:
                raise InputError(f"{where}: 'scores.{split}.{key}' is missing; {remedy}")
            _demand(field, f"scores.{split}.{key}", card[key], where, remedy)


def _demand(field: Field, key: str, value: Any, where: str, remedy: str) -> None:
    if not field.legal(value):
        shown = repr(value) if len(repr(value)) <= 60 else f"{repr(value)[:57]}.."
        raise InputError(f"{where}: {key}={shown} is not legal: {field.words}; {remedy}")


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
