"""Plots of many sources: a folder of PNG files that can be resumed."""

import os
import pathlib
from collections.abc import Sequence

import numpy as np
from PIL import Image

from va_jax.predict import plot
from va_jax.predict.inputs import InputFile
from va_jax.predict.results import TrackResult, VideoResult
from va_jax.scoring import predicted
from va_jax.types import InputError


def is_folder(path: pathlib.Path) -> bool:
    """Return whether `--plot` names a folder: a path without an extension, or one that exists."""
    return path.is_dir() or not path.suffix


def path_of(file: InputFile, folder: pathlib.Path) -> pathlib.Path:
    """Return the path to the plot of a file, which has the same name as its csv file."""
    return folder / file.csv.relative_to(file.out).with_suffix(".png")


def source_of(path: pathlib.Path) -> str | None:
    """Return the source of a plot; None if this command did not draw it."""
    try:
        with Image.open(path) as image:
            return image.info.get(plot.SOURCE)
    except (OSError, ValueError, SyntaxError, Image.DecompressionBombError):
        return None


def draw(
    path: pathlib.Path, file: InputFile, result: VideoResult, overwrite: bool = False
) -> str | None:
    """Draw the plot of a file to `path`, or into `path` if it is a folder; return any problem.

    In a folder, `overwrite` permits replacing the plot of another source.
    """
    if not is_folder(path):
        plot.write(path, result)
        return None
    try:
        write(path_of(file, path), result, overwrite)
    except InputError as error:
        return str(error)
    return None


def write(path: pathlib.Path, result: VideoResult, overwrite: bool = False) -> None:
    """Write the plot of a source into a folder that is created if necessary.

    Raises:
        InputError: the path is taken by a file that is not a plot of this command or, unless
            `overwrite` is set, by the plot of another video; or the file cannot be written.
    """
    before = source_of(path)
    if before is None and (path.exists() or path.is_symlink()):
        raise InputError(
            f"{path} was not written by this command, so it will not be replaced; move it or "
            "choose a different --plot"
        )
    if (
        before is not None
        and not overwrite
        and os.path.exists(before)
        and os.path.realpath(before) != os.path.realpath(result.source)
    ):
        raise InputError(
            f"{path} is the plot of {before}; choose a different --plot or pass --overwrite"
        )
    try:
        path.parent.mkdir(parents=True, exist_ok=True)
        plot.write(path, result)
    except OSError as error:
        raise InputError(
            f"{path} cannot be written: {error.strerror}; free up disk space or choose a "
            "different --plot"
        ) from error


def draw_missing(files: Sequence[InputFile], folder: pathlib.Path, note: str) -> list[str]:
    """Draw the plots of files that were predicted earlier from their csv files.

    A plot is up to date if it belongs to the source and is not older than the csv file.

    Returns:
        The problems, one line each.
    """
    problems = []
    for file in files:
        path = path_of(file, folder)
        try:
            if not _is_up_to_date(path, file.csv):
                write(path, from_csv(file.csv, note))
        except InputError as error:
            problems.append(str(error))
    return problems


def _is_up_to_date(path: pathlib.Path, csv: pathlib.Path) -> bool:
    source = source_of(path)
    if source is None or source != predicted.source_of(csv):
        return False
    return path.stat().st_mtime >= csv.stat().st_mtime


def from_csv(path: pathlib.Path, note: str) -> VideoResult:
    """Return the times and values in a csv file of predictions; it does not contain the rest."""
    content = predicted.read(path)
    frames = len(content.time_s)
    boxes, scores = np.full((frames, 4), np.nan, np.float32), np.zeros(frames, np.float32)
    tracks = [
        TrackResult(track.number, track.shown, boxes, scores, track.values.astype(np.float32))
        for track in content.tracks
    ]
    return VideoResult(content.source, content.time_s, tracks, content.dims, 0, 0, note)
