"""The summary of a folder of results: a row with statistics for every video and face."""

import pathlib
from collections.abc import Iterator, Mapping, Sequence
from typing import NamedTuple

import numpy as np
from jaxtyping import Bool, Float

from va_jax.data.csv_format import CsvFormat
from va_jax.io import text_cell
from va_jax.predict.inputs import InputFile
from va_jax.predict.outputs import Outputs
from va_jax.scoring import predicted
from va_jax.scoring.folders import csv_files
from va_jax.scoring.predicted import FOLDER_FILE, SUMMARY, Predicted
from va_jax.types import InputError, natural_key

QUARTILES = (0.25, 0.5, 0.75)
NONE = [""] * len(predicted.STATISTICS)


class _Row(NamedTuple):
    """The cells for a face in a video."""

    source: str
    path: pathlib.Path
    begin: list[str]  # the cells after the source
    values: Mapping[str, list[str]]  # {dimension: its statistics}


def write_all(files: Sequence[InputFile], outputs: Outputs) -> tuple[list[str], list[str]]:
    """Write a summary for every folder of results.

    A summary describes all predictions in the folder, also those that were there before. Listed
    files have one only if there are several and the user chose the folder.

    Returns:
        Problems and warnings, one line each.
    """
    if outputs.csv is not None:
        return [], []
    problems, warnings = [], []
    folders = {file.out for file in files if file.folder is not None}
    listed = {file.out for file in files} if outputs.out is not None and len(files) > 1 else set()
    for out in sorted(folders | listed):
        if taken := [file.path for file in files if file.csv == out / SUMMARY]:
            warnings.append(f"{out}: no summary, because {SUMMARY} has the rows of {taken[0]}")
            continue
        try:
            problems += write(out, outputs.csv_format, with_folders=out in folders)
        except InputError as error:
            problems.append(str(error))
    return problems, warnings


def write(out: pathlib.Path, csv_format: CsvFormat, with_folders: bool = True) -> list[str]:
    """Describe all csv files of predictions in a folder, sorted by source and track.

    Nothing is written if the folder contains no predictions.

    Args:
        out: folder of results, which will contain the summary.
        csv_format: separator and decimal mark of the summary.
        with_folders: whether to read the sub-folders, except those that are folders of results
            themselves.

    Returns:
        Problems with files that are missing from the summary, one line each.

    Raises:
        InputError: the summary cannot be written, or something else has its name.
    """
    path = out / SUMMARY
    if path.exists() and not predicted.is_summary(path):
        raise InputError(
            f"{path} is not a summary that this command wrote, so it will not be replaced; move "
            "it or choose a different --out"
        )
    rows: list[_Row] = []
    problems = []
    for each in _ours(out, with_folders):
        try:
            rows += _rows(predicted.read(each))
        except InputError as error:
            problems.append(str(error))
    if rows:
        rows.sort(key=lambda row: (natural_key(row.source), natural_key(str(row.path))))
        dims = list(dict.fromkeys(dim for row in rows for dim in row.values))
        cells = (
            [
                text_cell(row.source),
                *row.begin,
                *(x for dim in dims for x in row.values.get(dim, NONE)),
            ]
            for row in rows
        )
        csv_format.write(path, predicted.summary_header(dims), cells)
    return problems


def _ours(out: pathlib.Path, with_folders: bool) -> Iterator[pathlib.Path]:
    """Yield the csv files of predictions in a folder."""
    for path in csv_files(out) if with_folders else sorted(out.glob("*.csv")):
        folders = path.relative_to(out).parents[:-1]
        if any((out / each / FOLDER_FILE).exists() for each in folders):
            continue
        if predicted.source_of(path) is not None:
            yield path


def _rows(content: Predicted) -> Iterator[_Row]:
    """Yield a row for every face in a file, or one row if there is none."""
    length = [f"{duration_s(content.time_s) / 60:.4f}", str(len(content.time_s))]
    place = content.source, content.path
    if not content.tracks:
        yield _Row(*place, ["", *length, f"{0:.6f}"], dict.fromkeys(content.dims, NONE))
    for track in content.tracks:
        begin = [str(track.number), *length, f"{track.shown.mean():.6f}"]
        values = zip(content.dims, track.values.T, strict=True)
        yield _Row(*place, begin, {dim: statistics(each, track.shown) for dim, each in values})


def duration_s(time_s: Float[np.ndarray, " frames"]) -> float:
    """Return the length of a video, in which the last frame is shown for the mean time of a frame.

    It is 0 for a single frame.
    """
    frames = len(time_s)
    return float(time_s[-1] - time_s[0]) * frames / (frames - 1) if frames > 1 else 0.0


def statistics(
    values: Float[np.ndarray, " frames"], shown: Bool[np.ndarray, " frames"]
) -> list[str]:
    """Return the cells for `STATISTICS`, computed over the frames that show the face.

    Every such frame counts the same. The standard deviation is that of a sample (with n - 1), and
    quartiles are interpolated linearly, as R and pandas do by default.
    """
    used = values[shown & np.isfinite(values)]
    if not len(used):
        return NONE
    sd = f"{used.std(ddof=1):.6f}" if len(used) > 1 else ""
    quartiles = (f"{each:.6f}" for each in np.quantile(used, QUARTILES))
    return [f"{used.mean():.6f}", sd, *quartiles, f"{used.min():.6f}", f"{used.max():.6f}"]
