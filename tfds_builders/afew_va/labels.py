"""Read the JSON file of an AFEW-VA clip: the actor, and 68 points and two labels per frame."""

import dataclasses
import pathlib
import re
import reprlib
from collections.abc import Mapping, Sequence
from typing import Any, TypeGuard

import numpy as np
from jaxtyping import Float

from tfds_builders.crops import usable
from tfds_builders.labels import NumberedLabels, to_label_range
from va_jax.io import read_json
from va_jax.types import InputError

POINTS = 68

RANGE = (-10.0, 10.0)
"""Lowest and highest legal label in the files."""

REACH_PX = 4096.0
"""Largest plausible absolute value of a coordinate (our choice)."""


@dataclasses.dataclass(frozen=True)
class Annotation:
    """The labels and landmarks of one clip."""

    labels: NumberedLabels
    landmarks: Mapping[int, np.ndarray]  # frame number -> float64 [68, 2], pixels


def read_actor(path: pathlib.Path) -> str:
    """Return the actor's name in lower case with single spaces, or "" if it is blank.

    Frames are not checked.

    Raises:
        InputError: The file cannot be read, or `actor` is not a name.
    """
    actor = _get(path, _object(path, read_json(path), "the file"), "actor", "the file")
    if not isinstance(actor, str) or not (actor := " ".join(actor.split())).isprintable():
        raise InputError(f"{path}: actor {reprlib.repr(actor)} is not a name; correct the file")
    return actor.casefold()


def read_annotation(path: pathlib.Path, dims: Sequence[str]) -> Annotation:
    """Read the annotation of a clip, with labels mapped to [-1, 1].

    Frames are identified by number and may be in any order. Landmarks from which no crop can be cut
    (see `crops.usable`) are left out.

    Raises:
        InputError: The file does not have the set's format.
    """
    content = _object(path, read_json(path), "the file")
    frames = _object(path, _get(path, content, "frames", "the file"), "frames")
    keys: dict[int, str] = {}
    for key in frames:
        if not re.fullmatch(r"[0-9]{1,5}", key):
            raise InputError(
                f"{path}: frame {key!r}: a frame number must have 1 to 5 digits; correct the file"
            )
        other = keys.setdefault(int(key), key)
        if other != key:
            raise InputError(
                f"{path}: frames {other!r} and {key!r} have the same number; remove one of the two"
            )
    if not keys:
        raise InputError(f"{path}: contains no frames; replace the file")
    values, landmarks = [], {}
    for number, key in sorted(keys.items()):
        where = f"frame {key!r}"
        frame = _object(path, frames[key], where)
        values.append([_label(path, frame, dim, where) for dim in dims])
        points = _points(path, _get(path, frame, "landmarks", where), where)
        if usable(points):
            landmarks[number] = points
    labels = NumberedLabels(
        np.array(sorted(keys)), to_label_range(np.array(values, np.float64), RANGE)
    )
    return Annotation(labels, landmarks)


def _object(path: pathlib.Path, value: Any, where: str) -> dict[str, Any]:
    if not isinstance(value, dict):
        raise InputError(f"{path}: {where} is not a JSON object; replace the file")
    return value


def _get(path: pathlib.Path, content: dict[str, Any], key: str, where: str) -> Any:
    if key not in content:
        raise InputError(f"{path}: {where} has no key {key!r}; correct the file")
    return content[key]


def _is_number(value: Any) -> TypeGuard[int | float]:
    return isinstance(value, int | float) and not isinstance(value, bool)


def _label(path: pathlib.Path, frame: dict[str, Any], dim: str, where: str) -> float:
    value = _get(path, frame, dim, where)
    low, high = RANGE
    if not _is_number(value) or not low <= value <= high:
        raise InputError(
            f"{path}: {where}: {dim} {reprlib.repr(value)} is not a number from {low:g} to "
            f"{high:g}; correct the file"
        )
    return value


def _points(path: pathlib.Path, value: Any, where: str) -> Float[np.ndarray, "68 2"]:
    if not isinstance(value, list) or len(value) != POINTS:
        count = len(value) if isinstance(value, list) else "no list of"
        raise InputError(
            f"{path}: {where} has {count} landmarks; expected {POINTS} points; correct the file"
        )
    for index, point in enumerate(value):
        is_pair = isinstance(point, list) and len(point) == 2
        if not is_pair or not all(_is_number(each) and abs(each) <= REACH_PX for each in point):
            raise InputError(
                f"{path}: {where}: landmark {index} {reprlib.repr(point)} is not a pair of "
                f"coordinates of at most {REACH_PX:g} pixels; correct the file"
            )
    return np.array(value, np.float64)
