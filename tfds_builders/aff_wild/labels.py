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

    Blank lines at the end are ignored. A blank line between values is rejected, because it would be
    unclear which frames the lines below it belong to.

    Raises:
        InputError: The file does not have this format.
    """
    values = []
    for expected_line, (line, text) in enumerate(read_lines(path), 1):
        if line != expected_line:
            raise InputError(
                f"{path}: line {expected_line} is blank, so the frame numbers below it are "
                "ambiguous; correct the file"
            )
        values.append(require_number(path, line, name, text.strip()))
    lines = list(range(1, len(values) + 1))
    check_range(path, np.array(values), lines, name, LABEL_RANGE)
    return np.array(values)


def read_labels(
    files: Mapping[str, pathlib.Path], dims: Sequence[str]
) -> Float[np.ndarray, "rows dims"]:
    """Read the values of all targets, with columns in the order of `dims`.

    Args:
        files: {target: label file}.
        dims: Targets to read.

    Raises:
        InputError: A file cannot be read, or the files differ in length.
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
    """Assign rows of labels to the frames of a video, which are numbered from 1.

    Row k belongs to frame k if the numbers of rows and frames differ by at most one. Otherwise, if
    there are as many rows as position files, row k belongs to the k-th of these files in the order
    of their frame numbers.

    Args:
        video: Video file.
        values: Rows of labels.
        frames: Number of frames in the video.
        places: Numbers of the frames that have a position file.
        role: Kind of these files, such as `boxes`.

    Raises:
        InputError: The number of rows matches neither count.
    """
    rows = len(values)
    if abs(rows - frames) <= 1:
        return NumberedLabels(np.arange(1, rows + 1), values)
    if rows == len(places):
        return NumberedLabels(np.array(sorted(places)), values)
    raise InputError(
        f"{video}: video {video.stem!r} has {rows} labels, but {frames} frames and {len(places)} "
        f"files of {role}; expected as many labels as frames (give or take one) or as such files"
    )
