"""Traces as files: a csv for every track, a row for every frame."""

import os
import pathlib
import shutil
from collections.abc import Sequence

import numpy as np

from va_jax.types import Trace

NAMES_OF_TRACKS = str.maketrans({"/": "__"})


def file_name(track_id: str) -> str:
    """What the files of a track are called, without an ending."""
    return track_id.translate(NAMES_OF_TRACKS)


def write_traces(
    folder: pathlib.Path,
    traces: Sequence[Trace],
    dims: Sequence[str],
    processed: Sequence[np.ndarray] | None = None,
) -> None:
    """`folder`/TRACK.csv for every trace, in place of what the folder held.

    A row a frame, also where it does not count. Columns: frame, time_s, a column per dimension, its
    label (empty where there is none) as DIM_target, where predictions were `processed` [frames,
    dims] these as DIM_processed, face (1 where the frame shows the face) and valid (1 where it is
    also labelled, and so counts).
    """
    folder.parent.mkdir(parents=True, exist_ok=True)
    temporary = folder.with_name(f".{folder.name}.{os.getpid()}.tmp")
    temporary.mkdir()
    header = ["frame", "time_s", *dims, *(f"{dim}_target" for dim in dims)]
    header += [f"{dim}_processed" for dim in dims] if processed is not None else []
    header += ["face", "valid"]
    try:
        for number, trace in enumerate(traces):
            columns = [
                map(str, range(len(trace.pred))),
                (f"{x:.4f}" for x in trace.time_s.tolist()),
                *(_cells(column) for column in trace.pred.T),
                *(_cells(column) for column in trace.target.T),
                *(_cells(column) for column in (processed[number].T if processed else ())),
                map(str, trace.face.astype(int).tolist()),
                map(str, trace.mask.astype(int).tolist()),
            ]
            lines = [",".join(header), *map(",".join, zip(*columns, strict=True))]
            path = temporary / f"{file_name(trace.track.track_id)}.csv"
            path.write_text("\n".join(lines) + "\n")
        shutil.rmtree(folder, ignore_errors=True)
        os.replace(temporary, folder)
    finally:
        shutil.rmtree(temporary, ignore_errors=True)


def _cells(column: np.ndarray) -> list[str]:
    """Six decimals; nothing where a value is NaN."""
    return ["" if x != x else f"{x:.6f}" for x in column.tolist()]
