"""Write traces to csv files: one file for each track, with a row for each frame."""

import pathlib
import shutil
from collections.abc import Sequence

import numpy as np

from va_jax.io import replacing, write_csv
from va_jax.types import Trace, file_name

BEGIN = b"frame,time_s,"
"""Beginning of every file of a trace."""


def write_traces(
    folder: pathlib.Path,
    traces: Sequence[Trace],
    dims: Sequence[str],
    processed: Sequence[np.ndarray] | None = None,
) -> None:
    """Write `file_name(TRACK)`.csv for every trace to `folder`, replacing traces that are there.

    Every frame has a row, even if it is not scored. The columns are frame, time_s, the prediction
    for each dimension, its label as DIM_target (empty if there is none), the spread between the
    raters as DIM_spread (only if the traces have it), its post-processed prediction as
    DIM_processed (only if `processed` is given, [frames, dims] for each trace), face (1 if the
    frame shows the face) and valid (1 if it also has a label and is therefore scored).
    """
    header = ["frame", "time_s", *dims, *(f"{dim}_target" for dim in dims)]
    has_spread = any(trace.spread is not None for trace in traces)
    header += [f"{dim}_spread" for dim in dims] if has_spread else []
    header += [f"{dim}_processed" for dim in dims] if processed is not None else []
    header += ["face", "valid"]
    folder.parent.mkdir(parents=True, exist_ok=True)
    with replacing(folder) as temporary:
        temporary.mkdir()
        for path in folder.iterdir() if folder.is_dir() else ():
            if not _is_trace(path):
                copy = shutil.copytree if path.is_dir() else shutil.copy2
                copy(path, temporary / path.name)
        for number, trace in enumerate(traces):
            columns = [
                range(len(trace.pred)),
                (f"{time_s:.4f}" for time_s in trace.time_s.tolist()),
                *(_cells(column) for column in trace.pred.T),
                *(_cells(column) for column in trace.target.T),
                *(_cells(column) for column in _spread(trace).T if has_spread),
                *(_cells(column) for column in (processed[number].T if processed else ())),
                trace.face.astype(int).tolist(),
                trace.mask.astype(int).tolist(),
            ]
            path = temporary / f"{file_name(trace.track.track_id)}.csv"
            write_csv(path, header, list(zip(*columns, strict=True)))


def _is_trace(path: pathlib.Path) -> bool:
    """Return whether `write_traces` wrote a file, judged by the beginning of its header."""
    if path.suffix != ".csv" or not path.is_file():
        return False
    with path.open("rb") as file:
        return file.read(len(BEGIN)) == BEGIN


def _spread(trace: Trace) -> np.ndarray:
    return np.full_like(trace.target, np.nan) if trace.spread is None else trace.spread


def _cells(column: np.ndarray) -> list[str]:
    """Format values with six decimals; NaN becomes an empty cell."""
    return ["" if value != value else f"{value:.6f}" for value in column.tolist()]
