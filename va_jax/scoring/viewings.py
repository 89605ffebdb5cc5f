"""Read which stimulus each recording shows, and the viewer's values on its time line."""

import dataclasses
import math
import pathlib
from collections.abc import Mapping, Sequence

import numpy as np

from va_jax.io import CsvFile, read_csv, require_number
from va_jax.scoring import predicted
from va_jax.scoring.folders import find_recordings
from va_jax.scoring.predicted import Predicted, PredictedTrack
from va_jax.scoring.resample import Resampled, count_rows, resample
from va_jax.types import LOGIT, InputError, natural_key

OPTIONAL = ("start_s", "end_s", "viewer", "track")
"""Columns that the list of viewings may have besides `file` and `stimulus`."""


@dataclasses.dataclass(frozen=True)
class Viewing:
    """A recording of one viewer, or a part of it, that shows one stimulus."""

    where: str  # file and line in the list of viewings
    path: pathlib.Path  # csv file of predictions
    stimulus: str
    viewer: str
    start_s: float = 0.0  # time in the recording at which the stimulus begins
    end_s: float = math.inf  # time in the recording at which it ends
    track: int | None = None  # number of the viewer's face; None if there is only one

    @property
    def order(self) -> tuple[list[int | str], float]:
        """Sort key that does not depend on the order of the list."""
        return natural_key(str(self.path)), self.start_s


def read_viewings(path: pathlib.Path, folder: pathlib.Path) -> tuple[list[Viewing], list[str]]:
    """Read the list of viewings, and find the predictions for each.

    Args:
        path: csv file with the columns `file` and `stimulus`, and any of `OPTIONAL`. `file` is the
            name of a file in `folder`, with or without its extension or that of the video.
        folder: folder of predictions.

    Returns:
        The viewings, and the names of recordings that the list does not contain.

    Raises:
        InputError: a column or file is missing, or a cell is not valid.
    """
    table, recordings = read_csv(path), find_recordings(folder)
    places = dict(zip(("file", "stimulus"), table.columns("file", "stimulus"), strict=True))
    known = [name.casefold() for name in table.header]
    places |= {name: table.columns(name)[0] for name in OPTIONAL if name in known}
    if unknown := set(known) - set(places):
        raise InputError(
            f"{path}: line {table.header_line}: unknown column {sorted(unknown)[0]!r}; use file, "
            f"stimulus, {', '.join(OPTIONAL)}"
        )
    viewings = []
    for line, cells in table.rows:
        row = {name: cells[place] for name, place in places.items()}
        viewings.append(_viewing(table, line, row, recordings))
    if not viewings:
        raise InputError(f"{path}: there are no viewings; add a row for each recording")
    used = {viewing.path for viewing in viewings}
    return viewings, [name for name, file in recordings.items() if file not in used]


def _viewing(
    table: CsvFile, line: int, row: Mapping[str, str], recordings: Mapping[str, pathlib.Path]
) -> Viewing:
    where = f"{table.path}: line {line}"
    name = row["file"]
    found = next((x for x in (name, _without_extension(name)) if x in recordings), None)
    if found is None:
        raise InputError(
            f"{where}: there are no predictions for file {name!r} (such as "
            f"{next(iter(recordings))!r}); correct the name or predict the video"
        )
    if not row["stimulus"]:
        raise InputError(f"{where}: the stimulus of {name!r} is empty; give it a name")
    numbers = {
        key: require_number(table.path, line, key, row[key])
        for key in ("start_s", "end_s", "track")
        if row.get(key)
    }
    track = numbers.get("track")
    if track is not None and (track < 0 or track % 1):
        raise InputError(f"{where}: track {row['track']!r} is not the number of a face; correct it")
    viewing = Viewing(
        where,
        recordings[found],
        row["stimulus"],
        row.get("viewer") or found,
        numbers.get("start_s", 0.0),
        numbers.get("end_s", math.inf),
        None if track is None else int(track),
    )
    if viewing.end_s <= viewing.start_s:
        raise InputError(
            f"{where}: end_s {viewing.end_s:g} is not after start_s {viewing.start_s:g}; correct "
            "the row"
        )
    return viewing


def _without_extension(name: str) -> str:
    path = pathlib.PurePosixPath(name.replace("\\", "/"))
    return str(path.with_suffix("")) if path.name else name


def choose_dims(files: Sequence[Predicted], chosen: Sequence[str] | None) -> list[str]:
    """Return the dimensions to aggregate: `chosen`, or all that every file has, without logits.

    Raises:
        InputError: a file does not contain a chosen dimension, or the files share none.
    """
    common = [dim for dim in files[0].dims if all(dim in file.dims for file in files)]
    if chosen:
        for file in files:
            if missing := [dim for dim in chosen if dim not in file.dims]:
                raise InputError(
                    f"{file.path}: contains {', '.join(file.dims)}, but not {missing[0]!r}; "
                    "correct --dims"
                )
        return list(dict.fromkeys(chosen))
    found = [dim for dim in common if not dim.startswith(LOGIT)]
    if not found:
        raise InputError(
            f"{files[0].path}: shares no dimension with all other files; pass files of one model"
        )
    return found


def on_time_line(viewing: Viewing, file: Predicted, dims: Sequence[str], fps: float) -> Resampled:
    """Return the values of a viewer at 0, 1 / fps, ... seconds after the stimulus began.

    Frames before the start and after the end of the stimulus are left out.

    Raises:
        InputError: the file has several faces and the viewing names none, or not the right one, or
            the stimulus begins after the end of the recording.
    """
    track = _track(viewing, file)
    inside = (file.time_s >= viewing.start_s) & (file.time_s <= viewing.end_s)
    if not inside.any():
        raise InputError(
            f"{viewing.where}: {file.path} has no frame between start_s {viewing.start_s:g} and "
            f"end_s {viewing.end_s:g} (it ends at {file.time_s[-1]:.3f} s); correct the row"
        )
    time_s = file.time_s[inside] - viewing.start_s
    values, shown = np.full((len(time_s), len(dims)), np.nan), np.zeros(len(time_s), bool)
    if track is not None:
        columns = [file.dims.index(dim) for dim in dims]
        values, shown = track.values[inside][:, columns], track.shown[inside]
    return resample(time_s, values, shown, fps, count_rows(time_s, fps))


def _track(viewing: Viewing, file: Predicted) -> PredictedTrack | None:
    """Return the viewer's face; None if the file contains no face."""
    numbers = [track.number for track in file.tracks]
    if viewing.track is None and len(numbers) > 1:
        raise InputError(
            f"{viewing.where}: {file.path} contains {len(numbers)} faces; add a column track with "
            "the number of the viewer's face, or predict with --track=largest"
        )
    if viewing.track is not None and viewing.track not in numbers:
        there = ", ".join(map(str, numbers)) or "none"
        raise InputError(
            f"{viewing.where}: {file.path} has no track {viewing.track} (tracks: {there}); correct "
            "the row"
        )
    if not numbers:
        return None
    return file.tracks[0 if viewing.track is None else numbers.index(viewing.track)]


def read_files(viewings: Sequence[Viewing]) -> dict[pathlib.Path, Predicted]:
    """Read the predictions of all viewings, each file once."""
    paths = sorted({viewing.path for viewing in viewings})
    return {path: predicted.read(path) for path in paths}
