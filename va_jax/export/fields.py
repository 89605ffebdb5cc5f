"""Entries of the model metadata: their types and legal values."""

import dataclasses
import math
from collections.abc import Mapping
from typing import Any

from va_jax.config import FUSIONS, STATES
from va_jax.keys import Limits
from va_jax.types import InputError

FORMAT = 1

TEMPORAL = ("causal", "both_ways", "none")
"""Frames that a prediction uses: its own and earlier ones, later ones too, or only its own."""

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

OPTIONAL_FIELDS = {
    "files": Field(dict, items=TEXT),
    "weights": Field(dict, items=TEXT),
    "set": TEXT,
    "sets": Field(dict, items=Field(dict)),
}
"""Digests, which exports of earlier versions lack; the source of weights not trained here; and, for
a run on several data sets, the chosen one and the facts about each."""

METRICS_TABLE_FIELDS = {
    "tracks": COUNT,
    "frames": COUNT,
    "frames_that_count": COUNT,
    "formula": TEXT,
    "scores": Field(dict),
    "baselines": Field(dict),
}
"""Required entries of each metrics table in `scores`."""


def check_fields(
    tree: Any, fields: Mapping[str, Field], where: str, prefix: str, remedy: str
) -> None:
    """Check the entries of a tree.

    Args:
        tree: parsed JSON.
        fields: legal values by dotted name.
        where: file or folder that the tree comes from, for the message.
        prefix: name of the tree followed by a dot, for the message.
        remedy: suggested remedy, for the end of the message.

    Raises:
        InputError: an entry is missing or invalid; the message names the first one.
    """
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
