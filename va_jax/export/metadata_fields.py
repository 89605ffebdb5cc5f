"""What every entry of a passport must be."""

import math
from collections.abc import Callable
from typing import Any, NamedTuple

from va_jax.config import CHOICES
from va_jax.evaluation.postprocess import Chain
from va_jax.types import InputError

FORMAT = 1

TEMPORAL = ("causal", "both_ways", "none")
"""What a prediction rests on: frames up to its own, frames behind it too, its own frame alone."""


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


def check(found: Any, where: str, remedy: str) -> None:
    """Raise an InputError that names the first entry which is missing or not legal."""
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
