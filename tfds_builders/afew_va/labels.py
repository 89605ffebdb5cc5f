"""The JSON file of a clip of AFEW-VA: who acts, and of every frame 68 points and two labels."""

import collections
import dataclasses
import json
import pathlib
import re
import reprlib
from collections.abc import Mapping, Sequence
from typing import Any, NoReturn

import numpy as np

from tfds_builders.crops import usable
from tfds_builders.labels import NumberedLabels, to_label_range
from va_jax.types import InputError

POINTS = 68

RANGE = (-10.0, 10.0)
"""Lowest and highest value in the files."""

REACH_PX = 4096.0
"""A point further than this from the corner of the picture is none (ours)."""


@dataclasses.dataclass(frozen=True)
class Annotation:
    """What the file of one clip says of its frames."""

    labels: NumberedLabels
    landmarks: Mapping[int, np.ndarray]  # frame number -> float64 [68, 2], pixels


def read_actor(path: pathlib.Path) -> str:
    """Who acts, in lower case and with single blanks; "" where the file names nobody.

    Raises InputError as `read_annotation` does, but does not look at the frames.
    """
    actor = _get(path, _object(path, _load(path), "the file"), "actor", "the file")
    if not isinstance(actor, str) or not (actor := " ".join(actor.split())).isprintable():
        raise InputError(f"{path}: actor {reprlib.repr(actor)} is no name; correct the file")
    return actor.casefold()


def read_annotation(path: pathlib.Path, dims: Sequence[str]) -> Annotation:
    """The annotation of a clip, its labels in [-1, 1].

    Frames go by number, in any order. Points that place no face (`cropping.usable`) are left out.
    Raises InputError that names the file, and the line or the frame, for everything else than the
    layout of the set.
    """
    content = _object(path, _load(path), "the file")
    frames = _object(path, _get(path, content, "frames", "the file"), "frames")
    by_number: dict[int, tuple[str, Any]] = {}
    for key, frame in frames.items():
        if not re.fullmatch(r"[0-9]{1,5}", key):
            raise InputError(f"{path}: frame {key!r} is not called by 1 to 5 digits; rename it")
        other, _ = by_number.setdefault(int(key), (key, frame))
        if other != key:
            raise InputError(f"{path}: frames {other!r} and {key!r} are the same; remove one")
    if not by_number:
        raise InputError(f"{path}: holds no frame; replace it")
    values, landmarks = [], {}
    for number, (key, frame) in sorted(by_number.items()):
        where = f"frame {key!r}"
        frame = _object(path, frame, where)
        values.append([_label(path, frame, dim, where) for dim in dims])
        points = _points(path, _get(path, frame, "landmarks", where), where)
        if usable(points):
            landmarks[number] = points
    labels = NumberedLabels(
        np.array(sorted(by_number)), to_label_range(np.array(values, np.float64), RANGE)
    )
    return Annotation(labels, landmarks)


def _load(path: pathlib.Path) -> Any:
    """The JSON value in a file, every number a float."""

    def unique(pairs: list[tuple[str, Any]]) -> dict[str, Any]:
        ((key, count),) = collections.Counter(key for key, _ in pairs).most_common(1) or [("", 0)]
        if count > 1:
            raise InputError(f"{path}: key {key!r} comes twice in one object; remove one")
        return dict(pairs)

    def refuse(word: str) -> NoReturn:
        raise InputError(f"{path}: {word} is not a number; correct the file")

    try:
        text = path.read_text(encoding="utf-8-sig")
        return json.loads(text, object_pairs_hook=unique, parse_int=float, parse_constant=refuse)
    except OSError as error:
        raise InputError(f"{path}: {error.strerror}; check the path") from error
    except UnicodeDecodeError as error:
        raise InputError(f"{path}: is no UTF-8 text; replace it") from error
    except json.JSONDecodeError as error:
        where = f"line {error.lineno}, column {error.colno}"
        raise InputError(f"{path}: {where}: {error.msg}; replace the file") from error
    except RecursionError as error:
        raise InputError(f"{path}: is nested too deeply; replace the file") from error


def _object(path: pathlib.Path, value: Any, where: str) -> dict[str, Any]:
    if not isinstance(value, dict):
        raise InputError(f"{path}: {where} is no JSON object; replace the file")
    return value


def _get(path: pathlib.Path, content: dict[str, Any], key: str, where: str) -> Any:
    if key not in content:
        raise InputError(f"{path}: {where} has no key {key!r}; correct the file")
    return content[key]


def _label(path: pathlib.Path, frame: dict[str, Any], dim: str, where: str) -> float:
    value = _get(path, frame, dim, where)
    low, high = RANGE
    if not isinstance(value, float) or not low <= value <= high:
        shown = f"{value:g}" if isinstance(value, float) else reprlib.repr(value)
        raise InputError(
            f"{path}: {where}: {dim} {shown} is no number from {low:g} to {high:g}; "
            "correct the file"
        )
    return value


def _points(path: pathlib.Path, value: Any, where: str) -> np.ndarray:
    if not isinstance(value, list) or len(value) != POINTS:
        count = len(value) if isinstance(value, list) else "no list of"
        raise InputError(f"{path}: {where}: {count} landmarks, expected {POINTS}; correct the file")
    for index, point in enumerate(value):
        pair = isinstance(point, list) and len(point) == 2
        if not pair or not all(isinstance(x, float) and abs(x) <= REACH_PX for x in point):
            raise InputError(
                f"{path}: {where}: landmark {index} {reprlib.repr(point)} is not x, y in "
                f"pixels, at most {REACH_PX:g}; correct the file"
            )
    return np.array(value, np.float64)
