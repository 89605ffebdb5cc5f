"""Read target.csv, in which users name the target's face in a video by a point at a time."""

import itertools
import pathlib
from collections.abc import Collection
from typing import NamedTuple

from tfds_builders.material import TargetPoint
from tfds_builders.veatic.layout import ID
from va_jax.io import number, read_csv, require_number
from va_jax.types import InputError
from va_jax.video.facts import read_timeline
from va_jax.video.read import probe

COLUMNS = ("id", "time_s", "x", "y")


class Row(NamedTuple):
    """One row of target.csv."""

    line: int
    point: TargetPoint


def read_targets(path: pathlib.Path, ids: Collection[int]) -> dict[int, list[Row]]:
    """Read target.csv; other columns are ignored. Without the file, nothing is named.

    Args:
        path: The file.
        ids: Ids of the videos.

    Returns:
        {id: its rows, by time}.

    Raises:
        InputError: A row cannot be read, has an unknown id, or repeats the time of another row.
    """
    if not path.is_file():
        return {}
    file = read_csv(path)
    columns = file.columns(*COLUMNS)
    rows: dict[int, list[Row]] = {}
    for line, cells in file.rows:
        if not any(cells):
            continue
        name, *place = (cells[column] for column in columns)
        if not ID.fullmatch(name) or int(name) not in ids:
            raise InputError(f"{path}: line {line}: id {name!r} has no video; correct the id")
        rows.setdefault(int(name), []).append(Row(line, _point(path, line, place)))
    for each in rows.values():
        each.sort(key=lambda row: row.point.time_s)
        for row, later in itertools.pairwise(each):
            if row.point.time_s == later.point.time_s:
                raise InputError(
                    f"{path}: line {later.line}: time_s {later.point.time_s:g} is already on line "
                    f"{row.line}; remove one of the two"
                )
    return rows


def _point(path: pathlib.Path, line: int, cells: list[str]) -> TargetPoint:
    time_s = require_number(path, line, "time_s", cells[0])
    if cells[1:] == ["", ""]:
        return TargetPoint(time_s, None, None)
    x, y = (number(cell) for cell in cells[1:])
    if x is None or y is None:
        raise InputError(
            f"{path}: line {line}: x {cells[1]!r} and y {cells[2]!r} are not two numbers; give "
            "both in pixels, or leave both empty if the target is not visible"
        )
    return TargetPoint(time_s, x, y)


def check_rows(path: pathlib.Path, rows: list[Row], video: pathlib.Path) -> None:
    """Raise InputError if a row is outside its video, or if no row has a point."""
    info, times_s = probe(video), read_timeline(video).time_s
    end_s = float(times_s[-1]) + (1 / info.fps if info.fps else 0.0)
    for line, (time_s, x, y) in rows:
        if not 0 <= time_s <= end_s:
            raise InputError(
                f"{path}: line {line}: time_s {time_s:g} is outside {video.name}, which ends at "
                f"{end_s:.2f} s; correct the time"
            )
        for name, value, size in (("x", x, info.width), ("y", y, info.height)):
            if value is not None and not 0 <= value < size:
                raise InputError(
                    f"{path}: line {line}: {name} {value:g} is outside the {info.width}x"
                    f"{info.height} pixels of {video.name}; correct the point"
                )
    if all(row.point.x is None for row in rows):
        raise InputError(
            f"{path}: line {rows[0].line}: no row with the id of {video.name} has a point; add a "
            "row with x and y on the target's face"
        )
