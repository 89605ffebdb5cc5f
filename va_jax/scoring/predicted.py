"""Read the csv files that `va_jax predict` writes: a row for every face in every frame."""

import csv
import dataclasses
import io
import pathlib
from collections.abc import Iterator, Sequence
from typing import NamedTuple

import numpy as np
from jaxtyping import Bool, Float, Int

from va_jax.io import DELIMITERS, read_text
from va_jax.types import InputError

BEFORE_VALUES = ("source", "frame", "time_s", "track", "x", "y", "w", "h", "face_score")
"""Columns of a csv file before the predicted dimensions."""

VALID = "valid"

FOLDER_FILE = "predict.json"
"""Name of the side file that describes all csv files in a folder of results."""

SUMMARY = "summary.csv"
"""Name of the file in a folder of results that describes every track in a row."""

BEFORE_STATISTICS = ("source", "track", "minutes", "frames", "face_share")
"""Columns of a summary before the statistics of the predicted dimensions."""

STATISTICS = ("mean", "sd", "q25", "median", "q75", "min", "max")

HEAD_BYTES = 1 << 16
"""Length of the beginning of a csv file that contains the first row, whatever the file is."""


class PredictedTrack(NamedTuple):
    """A face across all frames of a file."""

    number: int
    shown: Bool[np.ndarray, " frames"]
    values: Float[np.ndarray, "frames dims"]  # float64; NaN where the cells are empty
    boxes: Float[np.ndarray, "frames 4"]  # x, y, w, h in pixels; NaN where the cells are empty
    scores: Float[np.ndarray, " frames"]  # of the detector; NaN where the cells are empty


@dataclasses.dataclass(frozen=True)
class Predicted:
    """The content of a csv file with the rows of one source."""

    path: pathlib.Path
    source: str
    dims: tuple[str, ...]
    frame: Int[np.ndarray, " frames"]
    time_s: Float[np.ndarray, " frames"]  # float64, increasing
    tracks: list[PredictedTrack]  # sorted by number; empty if no face was found


def csv_header(dims: Sequence[str]) -> list[str]:
    """Return the column names for a csv file of predictions."""
    return [*BEFORE_VALUES, *dims, VALID]


def summary_header(dims: Sequence[str]) -> list[str]:
    """Return the column names for a summary."""
    return [*BEFORE_STATISTICS, *(f"{dim}_{name}" for dim in dims for name in STATISTICS)]


def source_of(path: pathlib.Path) -> str | None:
    """Return the source in the first row of a csv file; None if `va_jax predict` did not write it.

    The header identifies our files, whatever their separator: only they begin with all the columns
    of `csv_header`.
    """
    header, first = _begin(path)
    is_prediction = len(first) == len(header) and header == csv_header(_dims(header))
    return first[0].removeprefix("'") if is_prediction else None  # as `text_cell` writes it


def is_summary(path: pathlib.Path) -> bool:
    """Return whether a file is a summary that `va_jax predict` wrote, judged by its header."""
    header, _ = _begin(path)
    columns = header[len(BEFORE_STATISTICS) :: len(STATISTICS)]
    dims = [name.removesuffix(f"_{STATISTICS[0]}") for name in columns]
    return bool(dims) and header == summary_header(dims)


def read(path: pathlib.Path) -> Predicted:
    """Read a csv file of predictions with any separator and decimal mark; see `parse`."""
    return parse(path, read_text(path))


def parse(path: pathlib.Path, text: str) -> Predicted:
    """Return the content of a csv file of predictions; `path` is for messages.

    Raises:
        InputError: the file was not written by `va_jax predict`, a cell is not a number, or the
            rows belong to several sources.
    """
    try:
        header, *cells = (row for row in _rows(text) if row)
    except (ValueError, csv.Error):  # an empty file, or a cell that is too long
        header, cells = [], []
    dims = _dims(header)
    if header != csv_header(dims):
        raise InputError(
            f"{path}: the first line is not that of a file of va_jax predict; pass predictions"
        )
    for number, row in enumerate(cells, 2):
        if len(row) != len(header):
            raise InputError(
                f"{path}: row {number} has {len(row)} cells instead of {len(header)}; remove the "
                "file and predict the video again"
            )
    sources = {row[0] for row in cells}
    if len(sources) != 1:
        raise InputError(
            f"{path}: contains rows of {len(sources)} sources instead of 1; predict every video to "
            "a file of its own, with --out instead of --csv"
        )
    columns = list(zip(*cells, strict=True))
    frame, time_s, track, valid = (
        _numbers(path, header[at], columns[at]) for at in (1, 2, 3, len(header) - 1)
    )
    for name, column in (("frame", frame), ("time_s", time_s)):
        if not np.isfinite(column).all():
            row = int(np.argmin(np.isfinite(column))) + 2
            raise InputError(
                f"{path}: row {row}: {name} {columns[header.index(name)][row - 2]!r} is not a "
                "number; remove the file and predict the video again"
            )
    rest = range(BEFORE_VALUES.index("x"), len(header) - 1)
    numbers = np.stack([_numbers(path, header[at], columns[at]) for at in rest], axis=1)
    # With --fps, a frame of the video may have several rows, and their times differ.
    places, index = np.unique(np.stack([time_s, frame], 1), axis=0, return_inverse=True)
    tracks = []
    for number in np.unique(track[np.isfinite(track)]).astype(int).tolist():
        rows_of = track == number
        at = index.reshape(-1)[rows_of]
        if len(np.unique(at)) < len(at):
            raise InputError(
                f"{path}: track {number} has several rows for the same frame; remove the file and "
                "predict the video again"
            )
        shown = np.zeros(len(places), bool)
        shown[at] = valid[rows_of] == 1
        seen = np.full((len(places), numbers.shape[1]), np.nan)
        seen[at] = numbers[rows_of]
        tracks.append(PredictedTrack(number, shown, seen[:, 5:], seen[:, :4], seen[:, 4]))
    times, frames = places[:, 0], places[:, 1].astype(int)
    return Predicted(path, sources.pop().removeprefix("'"), tuple(dims), frames, times, tracks)


def _begin(path: pathlib.Path) -> tuple[list[str], list[str]]:
    """Return the cells in the first two rows of a file; empty lists if there are none."""
    if not path.is_file():
        return [], []
    try:
        with path.open("rb") as file:
            text = file.read(HEAD_BYTES).decode("utf-8-sig", errors="replace")
        rows = _rows(text)
        return next(rows, []), next(rows, [])
    except (OSError, csv.Error):
        return [], []


def _rows(text: str) -> Iterator[list[str]]:
    """Yield the rows of a file whose first column is called `source`."""
    begin = text.removeprefix(BEFORE_VALUES[0])[:1]
    delimiter = begin if begin in DELIMITERS else ","
    return csv.reader(io.StringIO(text, newline=""), delimiter=delimiter)


def _dims(header: Sequence[str]) -> list[str]:
    return list(header[len(BEFORE_VALUES) : -1])


def _numbers(path: pathlib.Path, name: str, cells: Sequence[str]) -> Float[np.ndarray, " rows"]:
    """Return the numbers in the cells of a column; NaN for empty cells."""
    points = [cell.replace(",", ".") or "nan" for cell in cells]
    try:
        return np.array(points, np.float64)
    except ValueError as error:
        raise InputError(
            f"{path}: column {name!r}: {error}; remove the file and predict the video again"
        ) from error
