"""Bring runs of two systems onto the recordings and frames that all of them have."""

import dataclasses
import glob
import pathlib
from collections.abc import Sequence
from typing import NamedTuple

import numpy as np

from va_jax.evaluation.metrics import Moments
from va_jax.scoring import align
from va_jax.scoring import files as trace_files
from va_jax.scoring.align import Tally
from va_jax.scoring.files import TraceFile
from va_jax.types import DIMS, InputError

TARGET, PROCESSED = "_target", "_processed"
"""Ends of the names of columns in our own traces."""

TOLERANCE = 1e-5
"""By which labels of one frame may differ: traces round them to 1e-6."""


class Rows(NamedTuple):
    """The rows of a recording that count in one run."""

    key: np.ndarray  # int64 [rows], rising: the frame, or the row of the label file
    pred: np.ndarray  # float32 [rows, dims]
    target: np.ndarray  # float32 [rows, dims]


class Side:
    """The runs of one system: what they are scored by, and what of them is not scored."""

    def __init__(self, runs: int) -> None:
        self.parts: list[list[Moments]] = [[] for _ in range(runs)]  # a run, a recording
        self.tally = Tally()  # what finds no place beside the labels
        self.recordings, self.frames = 0, 0  # left out, for another run lacks them
        self.first = ""  # of these

    def moments(self) -> list[Moments]:
        """Those of every run, each [recordings, dims]."""
        return [Moments.stack(parts) for parts in self.parts]

    def leave_out(self, first: str, recordings: int = 0, frames: int = 0) -> None:
        if recordings or frames:
            self.first = self.first or first
        self.recordings += recordings
        self.frames += frames


@dataclasses.dataclass(frozen=True)
class Paired:
    """Two sides on the same frames."""

    dims: list[str]
    processed: list[str]  # those of `dims` of which post-processed predictions are compared
    has_processed: bool  # whether all runs have such predictions of a dimension
    recordings: list[str]  # those that have a frame that counts
    frames: int
    sides: tuple[Side, Side]


def folders(given: str, split: str) -> list[pathlib.Path]:
    """The folders of csv files, one a run, that workdirs, folders or globs name, by commas."""
    places: list[pathlib.Path] = []
    for part in filter(None, (part.strip() for part in given.split(","))):
        found = sorted(glob.glob(part)) if glob.has_magic(part) else [part]
        if not found:
            raise InputError(f"{part}: matches nothing; name workdirs or folders of predictions")
        places += [pathlib.Path(each).expanduser() for each in found]
    if not places:
        raise InputError(f"{given!r} names no folder; name workdirs or folders of predictions")
    resolved = [place.resolve() for place in places]
    for i, place in enumerate(resolved):
        if place in resolved[:i]:
            raise InputError(f"{given}: names {places[i]} twice; name every run once")
    return [trace_files.split_folder(place, split) for place in places]


def paired(
    first: Sequence[pathlib.Path],
    second: Sequence[pathlib.Path],
    labels: pathlib.Path | None = None,
    dims: Sequence[str] | None = None,
    processed: bool = False,
    fps: float | None = None,
) -> Paired:
    """Two sides, a folder of csv files for each run, on the frames that count in all runs.

    Labels are those of the folder `labels`, else the columns DIM_target of every run, which must
    agree. `dims` are all those that the labels and every run have, where not given. With
    `processed` the columns DIM_processed are read for every dimension of which all runs have them.
    Raises an InputError where nothing is common to all, or where labels disagree.
    """
    files = [[trace_files.recordings(folder) for folder in side] for side in (first, second)]
    truths = {} if labels is None else trace_files.recordings(labels)
    runs = [run for side in files for run in side]
    everywhere = [*runs, truths] if truths else runs
    names = sorted(set.intersection(*map(set, everywhere)))
    if not names:
        paths = ", ".join(str(next(iter(run.values()))) for run in everywhere)
        raise InputError(
            f"no recording is in all of the folders, which start with {paths}; name the files of "
            "one recording alike"
        )
    run_files = [run[names[0]] for run in runs]
    dims, targets = _dims(dims, run_files, truths.get(names[0]))
    have = [dim for dim in dims if all(_has(path, f"{dim}{PROCESSED}") for path in run_files)]
    if processed and not have:
        raise InputError(
            f"--processed: not every run has a column {dims[0]}{PROCESSED}; evaluate those that "
            "lack it again, or leave --processed out"
        )
    columns = [f"{dim}{PROCESSED}" if processed and dim in have else dim for dim in dims]
    sides = tuple(Side(len(side)) for side in files)
    for side, side_runs in zip(sides, files, strict=True):
        for name in sorted(set().union(*side_runs) - set(names)):
            side.leave_out(name, recordings=1)
        complete = {n: p for n, p in side_runs[0].items() if all(n in run for run in side_runs)}
        side.tally.add_files("labels_without_file", truths, complete)
    kept, frames = [], 0
    for name in names:
        truth = trace_files.read(truths[name], targets, fps, True) if truths else None
        rows = [
            [_rows(run[name], columns, targets, truth, fps, side.tally) for run in side_runs]
            for side, side_runs in zip(sides, files, strict=True)
        ]
        common = _common(name, sides, rows, by_frame=truth is None)
        if not len(common):
            continue
        kept.append(name)
        frames += len(common)
        on_common = [[_on(common, run) for run in side_rows] for side_rows in rows]
        target = on_common[0][0].target
        for side, side_rows, side_runs in zip(sides, on_common, files, strict=True):
            for parts, run, run_files in zip(side.parts, side_rows, side_runs, strict=True):
                _check_labels(name, dims, common, target, run.target, runs[0], run_files)
                parts.append(Moments.of(run.pred, target, np.ones(len(common), bool)))
    if not kept:
        raise InputError(
            f"no frame counts in every run, in none of {len(names)} recordings; look at the files "
            f"of {names[0]!r}"
        )
    return Paired(list(dims), have if processed else [], bool(have), kept, frames, sides)


def _dims(
    given: Sequence[str] | None, run_files: Sequence[pathlib.Path], label_file: pathlib.Path | None
) -> tuple[list[str], list[str]]:
    """The dimensions to compare, and the columns of their labels."""
    label_files = run_files if label_file is None else [label_file]
    known = [_labelled(path) for path in label_files]
    for path, labelled in zip(label_files, known, strict=True):
        if label_file is None and not any(name.endswith(TARGET) for name in labelled.values()):
            raise InputError(
                f"{path}: has no labels, which a column such as {DIMS[0]}{TARGET} would hold; give "
                "a folder of labels as the third argument"
            )
    if given is None:
        dims = [
            dim
            for dim in known[0]
            if all(dim in labelled for labelled in known)
            and all(_has(path, dim) for path in run_files)
        ]
        if not dims:
            raise InputError(
                f"{run_files[0]} and {label_files[-1]}: no dimension is labelled and predicted in "
                "every run; name what to compare by --dims"
            )
    else:
        dims = [dim for dim in dict.fromkeys(dim.strip() for dim in given) if dim]
        if not dims:
            raise InputError(f"--dims={','.join(given)}: names no dimension; name columns")
    return dims, [known[0].get(dim.casefold(), dim) for dim in dims]


def _labelled(path: pathlib.Path) -> dict[str, str]:
    """Dimension -> the column of its labels: DIM_target, or DIM where there is none such."""
    header = trace_files.column_names(path)
    ours = {name.removesuffix(TARGET): name for name in header if name.endswith(TARGET)}
    return ours or {dim: dim for dim in DIMS if dim in header}


def _has(path: pathlib.Path, column: str) -> bool:
    return column.casefold() in trace_files.column_names(path)


def _rows(
    path: pathlib.Path,
    columns: Sequence[str],
    targets: Sequence[str],
    truth: TraceFile | None,
    fps: float | None,
    tally: Tally,
) -> Rows:
    """What counts of a file of predictions beside `truth`, else beside its own labels."""
    if truth is None:
        both = trace_files.read(path, [*columns, *targets], fps, has_marks=True)
        if both.frame is None:
            raise InputError(f"{path}: has no column 'frame'; give a folder of labels")
        predictions, truth = (
            dataclasses.replace(both, values=values)
            for values in np.split(both.values, [len(columns)], axis=1)
        )
        key = truth.frame.astype(np.int64)
    else:
        predictions = trace_files.read(path, columns, fps)
        key = np.arange(len(truth.values))
    pair = align.pair(path.stem, "", predictions, truth, columns, tally)
    trace = pair.on_labels(0.0)
    return Rows(key[trace.mask], trace.pred[trace.mask], trace.target[trace.mask])


def _common(
    name: str, sides: Sequence[Side], rows: Sequence[Sequence[Rows]], by_frame: bool
) -> np.ndarray:
    """The keys that all runs have; each side is told what it has beside them."""
    common = rows[0][0].key
    for run in [run for side_rows in rows for run in side_rows]:
        common = np.intersect1d(common, run.key, assume_unique=True)
    for side, side_rows in zip(sides, rows, strict=True):
        held = np.unique(np.concatenate([run.key for run in side_rows]))
        more = np.setdiff1d(held, common, assume_unique=True)
        if len(more):
            what = "frame" if by_frame else "label row"
            side.leave_out(f"{name}: {what} {more[0]}", frames=len(more))
    return common


def _on(common: np.ndarray, rows: Rows) -> Rows:
    chosen = np.searchsorted(rows.key, common)
    return Rows(common, rows.pred[chosen], rows.target[chosen])


def _check_labels(
    name: str,
    dims: Sequence[str],
    frame: np.ndarray,
    here: np.ndarray,
    there: np.ndarray,
    first: dict[str, pathlib.Path],
    run: dict[str, pathlib.Path],
) -> None:
    apart = np.argwhere(np.abs(here - there) > TOLERANCE)
    if len(apart):
        i, dim = apart[0]
        raise InputError(
            f"{name}: frame {frame[i]}: {dims[dim]} is labelled {here[i, dim]:g} in {first[name]} "
            f"and {there[i, dim]:g} in {run[name]}; evaluate both on the same data, or give a "
            "folder of labels"
        )
