"""Points of a face in a small text file for each frame, parsed when the frame is asked for."""

import os
import pathlib
import re
from collections.abc import Callable, Iterator, Mapping

import numpy as np
from jaxtyping import Float

from tfds_builders.text import read_lines, require
from va_jax.types import InputError


def numbered_files(folder: pathlib.Path, *suffixes: str) -> dict[int, pathlib.Path]:
    """{frame number: file} of the files with one of the suffixes, in any case, rising by number.

    The number is the last run of digits in the name; hidden files do not count. Raises InputError
    where a name has no number, or two files have the same.
    """
    files: dict[int, pathlib.Path] = {}
    for name in sorted(os.listdir(folder)):
        stem, suffix = os.path.splitext(name)
        if suffix.lower() not in suffixes or name.startswith("."):
            continue
        digits = re.findall(r"\d+", stem)
        if not digits:
            raise InputError(
                f"{folder / name}: no frame number in the name; rename it to 00001{suffix} or so"
            )
        other = files.setdefault(int(digits[-1]), folder / name)
        if other.name != name:
            raise InputError(f"{folder / name}: has the frame number of {other.name}; remove one")
    return dict(sorted(files.items()))


class PointFiles(Mapping[int, np.ndarray]):
    """{frame number: points}; a file is parsed each time its frame is asked for, never before.

    `len` and `in` open no file.

    Args:
      files: {frame number: file}, see `numbered_files`.
      parse: the points of one file; raises InputError that names the file and the line.
    """

    def __init__(
        self,
        files: Mapping[int, pathlib.Path],
        parse: Callable[[pathlib.Path], np.ndarray],
    ):
        self._files, self._parse = files, parse

    def __getitem__(self, number: int) -> np.ndarray:
        return self._parse(self._files[number])

    def __iter__(self) -> Iterator[int]:
        return iter(self._files)

    def __len__(self) -> int:
        return len(self._files)

    def __contains__(self, number: object) -> bool:
        return number in self._files


def read_pts(path: pathlib.Path, points: int) -> Float[np.ndarray, "points 2"]:
    """The points of a `.pts` file: `version: 1`, `n_points: N`, `{`, a line `x y` for each, `}`.

    Raises InputError, with file and line, for everything else, and where N is not `points`.
    """
    lines = [(line, text.strip()) for line, text in read_lines(path)]
    fixed = {0: "version: 1", 1: f"n_points: {points}", 2: "{", points + 3: "}"}
    rows = []
    for place, (line, text) in enumerate(lines):
        if place in fixed:
            if text.lower().split() != fixed[place].split():
                raise InputError(f"{path}: line {line}: {text!r}, expected {fixed[place]!r}")
        elif place > points + 3:
            raise InputError(f"{path}: line {line}: {text!r} behind the end of the points")
        else:
            rows.append(_point(path, line, text))
    if len(lines) < len(fixed) + points:
        raise InputError(
            f"{path}: line {lines[-1][0]}: is the last; expected {points} points between braces"
        )
    return np.array(rows)


def _point(path: pathlib.Path, line: int, text: str) -> list[float]:
    cells = text.split()
    if len(cells) != 2:
        raise InputError(f"{path}: line {line}: {text!r} is not a point, x y")
    return [require(path, line, name, cell) for name, cell in zip("xy", cells, strict=True)]


def box_around(points: Float[np.ndarray, "points 2"]) -> Float[np.ndarray, "4"]:
    """x1, y1, x2, y2 of the upright box that just holds the points."""
    return np.concatenate([points.min(0), points.max(0)])
