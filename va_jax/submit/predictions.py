"""Read the predictions for a split from csv traces, and fill in frames without a face."""

import dataclasses
import pathlib
from collections.abc import Sequence

import numpy as np
from jaxtyping import Bool, Float

from va_jax.scoring import files, folders
from va_jax.types import InputError

FILL_RULES = {
    "hold": "filled with the value of the last frame with a face",
    "nearest": "filled with the value of the nearest frame with a face",
    "interpolate": "interpolated between frames with a face",
    "zero": "set to 0",
    "keep": "kept as predicted",
}
"""Rule -> description of its effect on frames without a face; see `fill`."""


@dataclasses.dataclass(frozen=True)
class Predictions:
    """The predictions for a whole track, one row per frame."""

    values: Float[np.ndarray, "frames dims"]
    face: Bool[np.ndarray, " frames"]


def read_predictions(
    folder: pathlib.Path, dims: Sequence[str], processed: bool | None = None
) -> tuple[dict[str, Predictions], list[str]]:
    """Read all traces in a folder, in the format of `report.traces.write_traces`.

    Args:
        folder: folder with TRACK.csv files, which must all have the same columns.
        dims: dimensions to read, in lower case.
        processed: True to read post-processed predictions, which must exist; False to read raw
            predictions; None to read DIM_processed if it exists.

    Returns:
        The predictions by track, sorted by name, and the names of the columns that were read.
    """
    paths = folders.find_recordings(folder)
    columns: list[str] = []
    for path in paths.values():
        chosen = _choose_columns(path, dims, processed)
        if columns and chosen != columns:
            raise InputError(
                f"{path}: the predictions are {', '.join(chosen)}, but {next(iter(paths))}.csv has "
                f"{', '.join(columns)}; evaluate the run again"
            )
        columns = chosen
    return {name: _read_trace(path, columns) for name, path in paths.items()}, columns


def fill(predictions: Predictions, rule: str) -> Float[np.ndarray, "frames dims"]:
    """Return the predictions, with those for frames without a face replaced.

    If there is no frame to take a value from, all values are 0.

    Args:
        predictions: predictions, NaN for frames that were not predicted; these have no face.
        rule: one of `FILL_RULES`. `hold` takes the value of the last frame with a face or, before
            the first such frame, the value of that frame. `nearest` takes that of the nearest frame
            with a face, the earlier one of two at the same distance. `interpolate` is linear in
            frame numbers, and constant at both ends. `keep` keeps all predictions, and repeats the
            last one for frames that were not predicted.
    """
    values = predictions.values
    predicted = np.isfinite(values).all(-1)
    known = np.flatnonzero(predicted if rule == "keep" else predicted & predictions.face)
    filled = np.zeros_like(values)
    if not len(known):
        return filled
    if rule == "zero":
        filled[known] = values[known]
        return filled
    frames = np.arange(len(values))
    if rule == "interpolate":
        return np.stack([np.interp(frames, known, column[known]) for column in values.T], 1)
    source = known[np.maximum(np.searchsorted(known, frames, side="right") - 1, 0)]
    if rule == "nearest":
        after = known[np.minimum(np.searchsorted(known, frames), len(known) - 1)]
        source = np.where(np.abs(frames - source) <= np.abs(after - frames), source, after)
    return values[source]


def _choose_columns(path: pathlib.Path, dims: Sequence[str], processed: bool | None) -> list[str]:
    header = files.read_header(path)
    predicted = [name for name in header if f"{name}_target" in header]
    for dim in dims:
        if dim not in predicted:
            raise InputError(
                f"{path}: there are predictions of {', '.join(predicted) or 'no dimension'}, but "
                f"not of {dim!r}; evaluate a network that predicts {dim}"
            )
    if processed is False:
        return list(dims)
    columns = [f"{dim}_processed" if f"{dim}_processed" in header else dim for dim in dims]
    if processed and columns == list(dims):
        raise InputError(f"{path}: there is no column {dims[0]}_processed; omit --processed")
    return columns


def _read_trace(path: pathlib.Path, columns: Sequence[str]) -> Predictions:
    rows = files.read_trace_file(path, ["frame", *columns, "face"])
    values, face = rows.values[:, 1:-1], rows.values[:, -1]
    wrong = np.column_stack(
        [
            rows.values[:, 0] != np.arange(len(values)),
            ~np.isfinite(values),
            ~np.isin(face, (0, 1)),
        ]
    )
    if wrong.any():
        row, column = np.argwhere(wrong)[0].tolist()
        expected = {0: f"{row}", len(columns) + 1: "0 or 1"}.get(column, "a finite number")
        raise InputError(
            f"{rows.where(row)}: {rows.columns[column]} is not {expected}; evaluate the run again"
        )
    return Predictions(values, face == 1)
