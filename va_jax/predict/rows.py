"""Results as the rows of a csv file: one for every frame of every face."""

import contextlib
import csv
import os
import pathlib
import sys
import tempfile
from collections.abc import Iterable, Iterator, Sequence

import numpy as np

from va_jax.predict.results import VideoResult
from va_jax.types import InputError


def header(dims: Sequence[str]) -> list[str]:
    """Names of the columns."""
    return ["source", "frame", "time_s", "track", "x", "y", "w", "h", "face_score", *dims, "valid"]


def rows(result: VideoResult) -> Iterator[list[str]]:
    """The cells of a source, frame after frame, in each a row for every face.

    Without any face there is a row a frame with nothing of a face in it. Where a face is not shown
    it has neither box nor score, and where the network was not asked no values.
    """
    source, nothing = str(result.source), [""] * (6 + len(result.dims))
    for frame, time_s in enumerate(result.time_s.tolist()):
        begin = [source, str(frame), f"{time_s:.6f}"]
        if not result.tracks:
            yield [*begin, *nothing, "0"]
        for track in result.tracks:
            shown = bool(track.shown[frame])
            place = placed(track.boxes[frame], float(track.scores[frame])) if shown else [""] * 5
            yield [*begin, str(track.number), *place, *told(track.values[frame]), str(int(shown))]


def placed(box: np.ndarray, score: float) -> list[str]:
    """Cells x, y, w, h and face_score of a box x1, y1, x2, y2."""
    x1, y1, x2, y2 = box.tolist()
    return [*(f"{each:.2f}" for each in (x1, y1, x2 - x1, y2 - y1)), f"{score:.4f}"]


def told(values: np.ndarray) -> list[str]:
    """Cells of the predictions of a frame."""
    return ["" if value != value else f"{value:.6f}" for value in values.tolist()]


def make_folder(folder: pathlib.Path) -> None:
    """Make the folder of tables; raises InputError where nothing can be written into it."""
    try:
        folder.mkdir(parents=True, exist_ok=True)
        tempfile.TemporaryFile(dir=folder).close()
    except OSError as error:
        raise InputError(f"{folder} cannot be written: {error.strerror}; name another") from error


class Table:
    """A csv file that is written as rows come; use as a context manager.

    It has its name when it is complete: an error inside leaves nothing. None is standard output.
    Raises InputError where it cannot be written.
    """

    def __init__(self, path: pathlib.Path | None, dims: Sequence[str]):
        self._path, self._dims, self._file = path, dims, sys.stdout

    def __enter__(self) -> "Table":
        if self._path is not None:
            self._temporary = self._path.with_name(f".{self._path.name}.{os.getpid()}.tmp")
            with self._writing():
                self._path.parent.mkdir(parents=True, exist_ok=True)
                self._file = self._temporary.open("w", newline="")
        self.add([header(self._dims)])
        return self

    def add(self, cells: Iterable[Sequence[str]]) -> None:
        with self._writing():
            csv.writer(self._file, lineterminator="\n").writerows(cells)

    def flush(self) -> None:
        with self._writing():
            self._file.flush()

    def __exit__(self, kind: type | None, *_: object) -> None:
        if self._path is None:
            self.flush()
            return
        try:
            with self._writing():
                self._file.close()
                if kind is None:
                    os.replace(self._temporary, self._path)
        finally:
            self._temporary.unlink(missing_ok=True)

    @contextlib.contextmanager
    def _writing(self) -> Iterator[None]:
        try:
            yield
        except OSError as error:
            where = self._path or "standard output"
            raise InputError(f"{where} cannot be written: {error.strerror}") from error
