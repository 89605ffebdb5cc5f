"""Read the label files of Aff-Wild, one value per line, and find the frame of each line."""

import pathlib
from collections.abc import Collection, Mapping, Sequence

import numpy as np
from jaxtyping import Float

from tfds_builders.labels import NumberedLabels, check_range
from va_jax.io import read_lines, require_number
from va_jax.types import LABEL_RANGE, InputError


def read_trace(path: pathlib.Path, name: str) -> Float[np.ndarray, "rows"]:
    """Read the values of the target `name`, one per line, in [-1, 1].

    Blank lines at the end are ignored; one between values is refused, because the frames of the
    lines below it would be ambiguous.

    Raises:
        InputError: anything else; names the file and the line.
    """
    values = []
    for expected_line, (line, text) in enumerate(read_lines(path), 1):
        if line != expected_line:
            raise InputError(
                f"{path}: line {expected_line} is blank, so the frames below it are ambiguous; "
                "correct the file"
            )
        values.append(require_number(path, line, name, text.strip()))
    lines = list(range(1, len(values) + 1))
    check_range(path, np.array(values), lines, name, LABEL_RANGE)
    return np.array(values)


def read_labels(
    files: Mapping[str, pathlib.Path], dims: Sequence[str]
) -> Float[np.ndarray, "rows dims"]:
    """Read the values of all targets, columns in the order of `dims`.

    Args:
        files: {target: label file}.
        dims: the targets to read.

    Raises:
        InputError: a file cannot be read, or the files differ in length.
    """
    traces = {dim: read_trace(files[dim], dim) for dim in dims}
    first, *others = dims
    for dim in others:
        if len(traces[dim]) != len(traces[first]):
            raise InputError(
                f"{files[first]}: has {len(traces[first])} rows, but {files[dim]} has "
                f"{len(traces[dim])}; both must have one row per frame"
            )
    return np.stack([traces[dim] for dim in dims], axis=1)


def join(
    video: pathlib.Path,
    values: Float[np.ndarray, "rows dims"],
    frames: int,
    places: Collection[int],
    role: str,
) -> NumberedLabels:
    """Assign rows to the frames of a video, which are numbered from 1.

    Row k belongs to frame k if there are as many rows as frames, or one more or less. Otherwise, if
    there are as many rows as files of places, row k belongs to the k-th of these files in order of
    their frame numbers.

    Args:
        video: the video file.
        values: rows of labels.
        frames: number of frames of the video.
        places: numbers of the frames that have a file of places.
        role: the kind of these files, such as `boxes`.

    Raises:
        InputError: the number of rows is neither.
    """
    rows = len(values)
    if abs(rows - frames) <= 1:
        return NumberedLabels(np.arange(1, rows + 1), values)
    if rows == len(places):
        return NumberedLabels(np.array(sorted(places)), values)
    raise InputError(
        f"{video}: video {video.stem!r} has {rows} labels, but {frames} frames and {len(places)} "
        f"files of {role}; the labels must match one of the two counts (frames within 1)"
    )
