"""Results: the predictions for a source, and the csv file they are written to."""

import contextlib
import dataclasses
import pathlib
import sys
from collections.abc import Callable, Iterable, Iterator, Mapping, Sequence
from typing import Any

import numpy as np

from va_jax.data.csv_format import PLAIN, CsvFormat, reporting_problems
from va_jax.io import replacing, text_cell, write_json
from va_jax.scoring import predicted
from va_jax.scoring.predicted import csv_header
from va_jax.types import LOGIT

WriteRows = Callable[[Iterable[Sequence[str]]], None]
"""Function that appends rows to a csv file."""


@dataclasses.dataclass(frozen=True)
class TrackResult:
    """A face across all frames of a source."""

    number: int  # 0, 1, ... in order of first appearance
    shown: np.ndarray  # bool [frames]; whether the face is visible
    boxes: np.ndarray  # float32 [frames, 4]: x1, y1, x2, y2, upright pixels; NaN if not shown
    scores: np.ndarray  # float32 [frames]: detection scores from 0 to 1; 0 if not shown
    values: np.ndarray  # float32 [frames, dims]; NaN before and after the track


@dataclasses.dataclass(frozen=True)
class VideoResult:
    """Predictions for a video or an image (one frame)."""

    source: pathlib.Path | str
    time_s: np.ndarray  # float64 [frames]: time of every decoded frame since the start
    tracks: list[TrackResult]  # in order of first appearance; empty if no face was found
    dims: tuple[str, ...]
    width: int  # width of the upright frame, in the same pixels as the boxes
    height: int
    note: str = ""  # printed on the overlay and the plot
    frames: np.ndarray | None = None  # int [rows]: the frame that a row stands for; None: 0, 1, ...

    @property
    def drawn(self) -> tuple[str, ...]:
        """The dimensions with a range, which overlays and plots show; the csv file has all."""
        return tuple(dim for dim in self.dims if not dim.startswith(LOGIT))

    def summary(self) -> str:
        """Return the number of frames (or rows, after resampling) and faces in words."""
        rows, faces = len(self.time_s), len(self.tracks)
        what = "frame" if self.frames is None else "row"
        return f"{rows} {what}{'s' * (rows != 1)}, {faces} face{'s' * (faces != 1)}"


def from_csv(path: pathlib.Path, note: str) -> VideoResult:
    """Return the content of a csv file of predictions; it does not contain the size of a frame.

    Raises:
        InputError: see `predicted.read`.
    """
    content = predicted.read(path)
    tracks = []
    for track in content.tracks:
        corners = np.concatenate([track.boxes[:, :2], track.boxes[:, :2] + track.boxes[:, 2:]], 1)
        parts = (corners, np.nan_to_num(track.scores), track.values)
        tracks.append(
            TrackResult(track.number, track.shown, *(part.astype(np.float32) for part in parts))
        )
    every_frame = (content.frame == np.arange(len(content.frame))).all()
    frames = None if every_frame else content.frame
    return VideoResult(content.source, content.time_s, tracks, content.dims, 0, 0, note, frames)


def csv_rows(result: VideoResult) -> Iterator[list[str]]:
    """Yield the rows for a source, with a row per face for every frame.

    If no face was found, there is one row per frame, with empty cells. While a face is not shown,
    its box and score are empty; outside its track, its values are empty too.
    """
    no_face = [""] * (6 + len(result.dims))
    numbers = range(len(result.time_s)) if result.frames is None else result.frames.tolist()
    for frame, (number, time_s) in enumerate(zip(numbers, result.time_s.tolist(), strict=True)):
        begin = [text_cell(str(result.source)), str(number), f"{time_s:.6f}"]
        if not result.tracks:
            yield [*begin, *no_face, "0"]
        for track in result.tracks:
            shown = bool(track.shown[frame])
            box = box_cells(track.boxes[frame], float(track.scores[frame])) if shown else [""] * 5
            values = value_cells(track.values[frame])
            yield [*begin, str(track.number), *box, *values, str(int(shown))]


def box_cells(box: np.ndarray, score: float) -> list[str]:
    """Return the cells x, y, w, h and face_score for a box x1, y1, x2, y2."""
    x1, y1, x2, y2 = box.tolist()
    return [*(f"{each:.2f}" for each in (x1, y1, x2 - x1, y2 - y1)), f"{score:.4f}"]


def value_cells(values: np.ndarray) -> list[str]:
    """Return the cells for the predictions for one frame; NaN becomes an empty cell."""
    return ["" if np.isnan(value) else f"{value:.6f}" for value in values.tolist()]


def side_file(path: pathlib.Path) -> pathlib.Path:
    """Return the path to the JSON file that describes a csv file: NAME.json for NAME.csv."""
    return path.with_suffix(".json.json" if path.suffix == ".json" else ".json")


@contextlib.contextmanager
def open_csv(
    path: pathlib.Path | None,
    dims: Sequence[str],
    facts: Mapping[str, Any] | None = None,
    csv_format: CsvFormat = PLAIN,
) -> Iterator[WriteRows]:
    """Yield a function that appends rows to a csv file with a header.

    The files appear under their final names when the block succeeds; if it fails, nothing is left
    behind.

    Args:
        path: path to the csv file; None for standard output, which has no side file.
        dims: names of the predicted dimensions.
        facts: content of the side file; None for no side file.
        csv_format: separator and decimal mark.

    Raises:
        InputError: a file cannot be written.
    """
    with reporting_problems(path or "standard output"):
        with contextlib.ExitStack() as stack:
            file = sys.stdout
            if path is not None:
                path.parent.mkdir(parents=True, exist_ok=True)
                temporary = stack.enter_context(replacing(path))
                file = stack.enter_context(temporary.open("w", newline="", encoding="utf-8"))

            def write_rows(rows: Iterable[Sequence[str]]) -> None:
                csv_format.write_rows(file, rows)
                file.flush()

            csv_format.write_header(file, csv_header(dims))
            file.flush()
            yield write_rows
        if path is not None and facts is not None:
            write_json(side_file(path), facts)
