"""The predictions of a split, read from the csv traces that an evaluation leaves."""

import dataclasses
import pathlib
from collections.abc import Sequence

import numpy as np

from va_jax.scoring import files
from va_jax.types import InputError


@dataclasses.dataclass(frozen=True)
class Predictions:
    """What a network predicted for a whole track, one row a frame."""

    values: np.ndarray  # float64 [frames, dims]
    face: np.ndarray  # bool [frames]
    time_s: np.ndarray  # float64 [frames], rising


def read_split(
    folder: pathlib.Path, dims: Sequence[str], processed: bool | None = None
) -> tuple[dict[str, Predictions], list[str]]:
    """{file name without .csv: predictions of `dims`} in the order of names; the columns read.

    A dimension is read from its column DIM_processed where there is one. False for `processed`
    reads what the network said instead; True is an InputError where no dimension has such a column.
    Raises InputError, with file and line, for everything else than `report.write_traces` writes.
    """
    found: dict[str, Predictions] = {}
    columns: list[str] = []
    for name, path in files.recordings(folder).items():
        chosen = _columns(path, dims, processed)
        if found and chosen != columns:
            raise InputError(
                f"{path}: has {', '.join(chosen)} where {next(iter(found))}.csv has "
                f"{', '.join(columns)}; evaluate again"
            )
        columns = chosen
        found[name] = _read(path, columns)
    return found, columns


def _columns(path: pathlib.Path, dims: Sequence[str], processed: bool | None) -> list[str]:
    header = files.column_names(path)
    for name in ("frame", "time_s", "face"):
        if name not in header:
            raise InputError(f"{path}: line 1: has no column {name!r}; evaluate again")
    dims = [dim.casefold() for dim in dims]  # as the names of the header are
    for dim in dims:
        if dim not in header or f"{dim}_target" not in header:
            known = ", ".join(name for name in header if f"{name}_target" in header)
            raise InputError(
                f"{path}: predicts {known or 'nothing'}, not {dim!r}; ask for other dims, or "
                "evaluate a network that predicts it"
            )
    if processed is False:
        return dims
    columns = [f"{dim}_processed" if f"{dim}_processed" in header else dim for dim in dims]
    if processed and columns == dims:
        raise InputError(
            f"{path}: line 1: has no column {dims[0]}_processed; leave --processed out"
        )
    return columns


def _read(path: pathlib.Path, columns: Sequence[str]) -> Predictions:
    names = [*columns, "face"]
    rows = files.read(path, names)
    if len(rows.unplaced):
        raise InputError(
            f"{rows.where(int(rows.unplaced[0]))}: frame or time is no number; evaluate again"
        )
    gaps = np.flatnonzero(rows.frame != np.arange(len(rows.frame)))
    if len(gaps):
        where = rows.where(int(rows.place[gaps[0]]))
        raise InputError(
            f"{where}: frame {rows.frame[gaps[0]]:g} does not follow on the one before; "
            "evaluate again"
        )
    values, face = rows.values[:, :-1], rows.values[:, -1]
    good = np.column_stack([np.isfinite(values), np.isin(face, (0, 1))])
    if not good.all():
        i, j = np.argwhere(~good)[0]
        what = "neither 0 nor 1" if names[j] == "face" else "no finite number"
        raise InputError(f"{rows.where(int(rows.place[i]))}: {names[j]} is {what}; evaluate again")
    return Predictions(values, face == 1, rows.time_s)
