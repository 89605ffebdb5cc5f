"""Label files of Aff-Wild, one for each target: a number a line, and which frame a line is of."""

import pathlib
from collections.abc import Collection, Mapping, Sequence

import numpy as np
from jaxtyping import Float

from tfds_builders.labels import NumberedLabels, check_range
from va_jax.io import read_lines, require_number
from va_jax.types import LABEL_RANGE, InputError


def read_trace(path: pathlib.Path, name: str) -> Float[np.ndarray, "rows"]:
    """The values of the target `name`, a line each, in [-1, 1].

    Raises InputError, with file and line, for everything else, a blank line above another one too:
    what stands below it would belong to other frames. Blank lines at the end do not count.
    """
    values = []
    for place, (line, text) in enumerate(read_lines(path), 1):
        if line != place:
            raise InputError(f"{path}: line {place}: is blank, so which frame is next is not clear")
        values.append(require_number(path, line, name, text.strip()))
    lines = list(range(1, len(values) + 1))
    check_range(path, np.array(values), lines, name, LABEL_RANGE)
    return np.array(values)


def read_labels(
    files: Mapping[str, pathlib.Path], dims: Sequence[str]
) -> Float[np.ndarray, "rows dims"]:
    """The values of all targets from {target: file}; raises InputError where they differ in length.

    The columns are in the order of `dims`.
    """
    traces = {dim: read_trace(files[dim], dim) for dim in dims}
    first, *others = dims
    for dim in others:
        if len(traces[dim]) != len(traces[first]):
            raise InputError(
                f"{files[first]}: has {len(traces[first])} rows, but {files[dim]} has "
                f"{len(traces[dim])}; both must have a row for each frame"
            )
    return np.stack([traces[dim] for dim in dims], axis=1)


def join(
    video: pathlib.Path,
    values: Float[np.ndarray, "rows dims"],
    frames: int,
    places: Collection[int],
    role: str,
) -> NumberedLabels:
    """Says which of the video's frames, numbered from 1, a row is of.

    Row k is of frame k where there are as many rows as `frames`, or one more or less. Where there
    are as many as `places` (the numbers of the frames that have a file of `role`, boxes or so), row
    k is of the k-th of these numbers in rising order. Raises InputError for any other count.
    """
    rows = len(values)
    if abs(rows - frames) <= 1:
        return NumberedLabels(np.arange(1, rows + 1), values)
    if rows == len(places):
        return NumberedLabels(np.array(sorted(places)), values)
    raise InputError(
        f"{video}: video {video.stem!r} has {rows} labels, but {frames} frames and {len(places)} "
        f"files of {role}; labels must be as many as frames, give or take one, or as these files"
    )
