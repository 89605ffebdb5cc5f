"""Results: the predictions for a source, and the csv file they are written to."""

import contextlib
import dataclasses
import pathlib
import sys
from collections.abc import Callable, Iterable, Iterator, Mapping, Sequence
from typing import Any

import numpy as np
from matplotlib.figure import Figure

from va_jax.data.csv_format import PLAIN, CsvFormat, reporting_problems
from va_jax.io import replacing, text_cell, write_json
from va_jax.predict import plot
from va_jax.predict.tracks import TrackResult, drawn_dims
from va_jax.scoring import predicted
from va_jax.scoring.predicted import csv_header

WriteRows = Callable[[Iterable[Sequence[str]]], None]
"""Function that appends rows to a csv file."""


@dataclasses.dataclass(frozen=True, repr=False)
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
        return drawn_dims(self.dims)

    def __repr__(self) -> str:
        name, seconds = pathlib.Path(self.source).name, float(self.time_s[-1])
        return f"VideoResult({name!r}: {self.summary()}, {seconds:.1f} s; {', '.join(self.dims)})"

    def summary(self) -> str:
        """Return the number of frames (or rows, after resampling) and faces in words."""
        rows, faces = len(self.time_s), len(self.tracks)
        what = "frame" if self.frames is None else "row"
        return f"{rows} {what}{'s' * (rows != 1)}, {faces} face{'s' * (faces != 1)}"

    def plot(self) -> Figure:
        """Return a figure of all values over time and in the valence-arousal plane."""
        title = f"{pathlib.Path(self.source).name}: {self.summary()}"
        return plot.figure(self.tracks, self.time_s, self.dims, title, self.note)

    def table(self) -> dict[str, np.ndarray]:
        """Return the rows of the csv file as arrays [rows] by column, as for `pandas.DataFrame`.

        Empty cells are NaN. If no face was found, there is one row per frame, with `track` -1.
        """
        frames, tracks = len(self.time_s), self.tracks or [_no_face(len(self.time_s), self.dims)]
        rows = [frame for frame in range(frames) for _ in tracks]  # frame by frame, face by face
        numbers = np.arange(frames) if self.frames is None else self.frames

        def joined(parts: Iterable[np.ndarray]) -> np.ndarray:
            return np.stack([*parts], 1).reshape(len(rows), -1)

        shown = joined(track.shown for track in tracks)[:, 0]
        x1, y1, x2, y2 = joined(track.boxes for track in tracks).T
        score = joined(track.scores for track in tracks)[:, 0]
        values = joined(track.values for track in tracks)
        columns = [
            np.full(len(rows), str(self.source)), numbers[rows], self.time_s[rows],
            np.tile([track.number for track in tracks], frames), x1, y1, x2 - x1, y2 - y1,
            np.where(shown, score, np.nan), *values.T, shown.astype(int),
        ]  # fmt: skip
        return dict(zip(csv_header(self.dims), columns, strict=True))


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


def _no_face(frames: int, dims: Sequence[str]) -> TrackResult:
    boxes, values = (np.full((frames, n), np.nan, np.float32) for n in (4, len(dims)))
    return TrackResult(-1, np.zeros(frames, bool), boxes, np.zeros(frames, np.float32), values)


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
