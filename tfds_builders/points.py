"""Read the points of a face from one text file per frame, when the frame is needed."""

import pathlib
from collections.abc import Callable, Iterator, Mapping

import numpy as np
from jaxtyping import Float

from va_jax.io import read_lines, require_number
from va_jax.types import InputError


class PointFiles(Mapping[int, np.ndarray]):
    """A mapping {frame number: points} that reads the file on every lookup of its frame.

    Args:
        files: {frame number: file}, see `trees.numbered_files`.
        parse: Function that returns the points in a file, or raises InputError.
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
    """Read a `.pts` file: `version: 1`, `n_points: N`, `{`, a line `x y` for each point, `}`.

    Args:
        path: The file.
        points: Expected number of points.

    Raises:
        InputError: The file does not have this format, or N is not `points`.
    """
    lines = [(line, text.strip()) for line, text in read_lines(path)]
    fixed = {0: "version: 1", 1: f"n_points: {points}", 2: "{", points + 3: "}"}
    rows = []
    for place, (line, text) in enumerate(lines):
        if place in fixed:
            if text.lower().split() != fixed[place].split():
                raise InputError(
                    f"{path}: line {line}: found {text!r}, expected {fixed[place]!r}; correct the "
                    "file"
                )
        elif place > points + 3:
            raise InputError(
                f"{path}: line {line}: {text!r} follows the last point; remove this line"
            )
        else:
            rows.append(_point(path, line, text))
    if len(lines) < len(fixed) + points:
        raise InputError(
            f"{path}: line {lines[-1][0]}: the file ends before {points} points and a closing "
            "brace; replace the file"
        )
    return np.array(rows)


def _point(path: pathlib.Path, line: int, text: str) -> list[float]:
    cells = text.split()
    if len(cells) != 2:
        raise InputError(f"{path}: line {line}: {text!r} is not a point; expected x and y")
    return [require_number(path, line, name, cell) for name, cell in zip("xy", cells, strict=True)]


def box_around(points: Float[np.ndarray, "points 2"]) -> Float[np.ndarray, "4"]:
    """Return the smallest upright box (x1, y1, x2, y2) that contains all points."""
    return np.concatenate([points.min(0), points.max(0)])
