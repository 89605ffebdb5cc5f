"""Reduce the runs of two systems to the recordings and frames that all runs share."""

import dataclasses
import functools
import glob
import pathlib
from collections.abc import Mapping, Sequence

import numpy as np
from jaxtyping import Float, Int

from va_jax.evaluation.metrics import Moments
from va_jax.scoring import files, folders
from va_jax.scoring.align import Tally, pair
from va_jax.scoring.files import PROCESSED, TARGET, UNTIMED, Timing, TraceFile
from va_jax.types import DIMS, InputError

TOLERANCE = 1e-5
"""Largest accepted difference between two labels for a frame; traces round labels to 1e-6."""

Files = Mapping[str, pathlib.Path]  # recording -> csv file


@dataclasses.dataclass(frozen=True)
class Rows:
    """The rows of a recording that one run can be scored on."""

    path: pathlib.Path
    key: Int[np.ndarray, " rows"]  # increasing: the frame, or the row in the label file
    time_s: Float[np.ndarray, " rows"]  # since the first row of labels; NaN if they have no times
    pred: Float[np.ndarray, "rows dims"]
    target: Float[np.ndarray, "rows dims"]

    def at(self, keys: Int[np.ndarray, " kept"]) -> "Rows":
        """Return the rows with the given keys, all of which must exist."""
        chosen = np.searchsorted(self.key, keys)
        parts = self.time_s[chosen], self.pred[chosen], self.target[chosen]
        return Rows(self.path, keys, *parts)


@dataclasses.dataclass(frozen=True)
class Signals:
    """The labels and the predictions of both systems for a recording, on their common frames."""

    name: str
    key: Int[np.ndarray, " rows"]  # as in `Rows`
    time_s: Float[np.ndarray, " rows"]  # as in `Rows`
    target: Float[np.ndarray, "rows dims"]
    a: Float[np.ndarray, "rows dims"]  # mean over the runs of the system
    b: Float[np.ndarray, "rows dims"]


class Side:
    """The runs of one system, and the numbers of recordings and frames that are not compared."""

    def __init__(self, given: str, split: str) -> None:
        """Find the runs that the argument `given` names (see `find_runs`)."""
        self.given = given
        self.folders = find_runs(given, split)
        self.runs: list[Files] = [folders.find_recordings(folder) for folder in self.folders]
        self.moments: list[Moments] = []  # [recordings, dims] for every run, from `pair_runs`
        self.tally = Tally()  # rows and files that do not match the labels
        self.recordings, self.frames = 0, 0  # left out because another run lacks them
        self.first = ""  # the first one that is left out

    def leave_out(self, first: str, recordings: int = 0, frames: int = 0) -> None:
        self.first = self.first or first
        self.recordings += recordings
        self.frames += frames


@dataclasses.dataclass(frozen=True)
class Paired:
    """Two systems, reduced to the same frames."""

    a: Side
    b: Side
    dims: list[str]
    processed: list[str]  # the `dims` whose post-processed predictions are compared
    has_processed: bool  # whether all runs have such predictions for some dimension
    recordings: int  # number of recordings with at least one common frame
    frames: int
    signals: list[Signals]  # one per recording


def find_runs(given: str, split: str) -> list[pathlib.Path]:
    """Return the folder of csv files for each run named in a comma-separated argument.

    The argument lists folders, patterns, or workdirs, whose traces for `split` are used.
    """
    places: list[pathlib.Path] = []
    for part in map(str.strip, given.split(",")):
        pattern = glob.has_magic(part) and not pathlib.Path(part).exists()
        found = sorted(glob.glob(part)) if pattern else [part]
        if not any(found):
            raise InputError(
                f"{part or repr(given)}: no folder matches this; pass workdirs or folders"
            )
        places += [pathlib.Path(each).expanduser() for each in found]
    resolved = [place.resolve() for place in places]
    for i, place in enumerate(resolved):
        if place in resolved[:i]:
            raise InputError(f"{given}: {places[i]} is listed twice; list every run once")
    return [folders.find_traces(place, split) for place in places]


def pair_runs(
    first: Side,
    second: Side,
    labels: pathlib.Path | None = None,
    dims: Sequence[str] | None = None,
    processed: bool = False,
    timing: Timing = UNTIMED,
) -> Paired:
    """Read two systems, and keep the frames that can be scored in all of their runs.

    Args:
        first: first system; its moments and its counts of data left out are filled in.
        second: second system, which is filled in likewise.
        labels: folder of label files; None to use the columns DIM_target of all runs, which must
            agree.
        dims: dimensions to compare; None for all that the labels and every run have.
        processed: whether to read DIM_processed for every dimension for which all runs have it.
        timing: how to identify rows if the column names leave it open.
    """
    sides = first, second
    runs = [*first.runs, *second.runs]
    label_files = {} if labels is None else folders.find_recordings(labels)
    names = _common_names([*runs, label_files] if label_files else runs)
    run_files = [run[names[0]] for run in runs]
    dims, targets = _choose_dims(dims, run_files, label_files.get(names[0]))
    have = [dim for dim in dims if all(_has(path, f"{dim}{PROCESSED}") for path in run_files)]
    if processed and not have:
        raise InputError(
            f"--processed: not every run has a column {dims[0]}{PROCESSED}; evaluate the runs "
            "that lack it again, or omit --processed"
        )
    columns = [f"{dim}{PROCESSED}" if processed and dim in have else dim for dim in dims]
    for side in sides:
        _count_missing(side, names, label_files)
    moments: list[list[Moments]] = [[] for _ in runs]
    frames, signals = 0, []
    for name in names:
        truth = None
        if label_files:
            truth = files.read_trace_file(label_files[name], targets, timing, has_marks=True)
        rows = [
            [
                _read_rows(run[name], columns, targets, truth, timing, side.tally)
                for run in side.runs
            ]
            for side in sides
        ]
        common = functools.reduce(np.intersect1d, [each.key for side in rows for each in side])
        unit = "frame" if truth is None else "label row"
        for side, of_side in zip(sides, rows, strict=True):
            keys = np.unique(np.concatenate([each.key for each in of_side]))
            extra = np.setdiff1d(keys, common)
            if len(extra):
                side.leave_out(f"{name}: {unit} {extra[0]}", frames=len(extra))
        frames += len(common)
        if len(common):
            on_common = [each.at(common) for side in rows for each in side]
            target = on_common[0].target
            for each, of_run in zip(on_common, moments, strict=True):
                _check_labels(name, on_common[0], each, dims)
                of_run.append(Moments.of(each.pred, target, np.ones(len(common), bool)))
            preds = [each.pred for each in on_common]
            a, b = (np.mean(p, 0) for p in (preds[: len(first.runs)], preds[len(first.runs) :]))
            signals.append(Signals(name, common, on_common[0].time_s, target, a, b))
    if not frames:
        raise InputError(
            f"none of the frames in {len(names)} recordings can be scored in every run; check the "
            f"files, beginning with those of {names[0]!r}"
        )
    stacked = [Moments.stack(of_run) for of_run in moments]
    first.moments, second.moments = stacked[: len(first.runs)], stacked[len(first.runs) :]
    chosen = have if processed else []
    return Paired(*sides, dims, chosen, bool(have), len(moments[0]), frames, signals)


def _common_names(folders: Sequence[Files]) -> list[str]:
    names = sorted(set.intersection(*map(set, folders)))
    if not names:
        paths = ", ".join(str(next(iter(folder.values()))) for folder in folders)
        raise InputError(
            f"no recording is in every folder; the first files are {paths}; give the files of a "
            "recording the same name"
        )
    return names


def _count_missing(side: Side, names: Sequence[str], label_files: Files) -> None:
    """Count recordings that are not compared, and label files that a run of the side lacks."""
    for name in sorted(set().union(*side.runs) - set(names)):
        side.leave_out(name, recordings=1)
    lacking = [
        path for name, path in label_files.items() if not all(name in run for run in side.runs)
    ]
    side.tally.add("labels_without_file", lacking)


def _choose_dims(
    given: Sequence[str] | None, run_files: Sequence[pathlib.Path], label_file: pathlib.Path | None
) -> tuple[list[str], list[str]]:
    """Return the dimensions to compare, and the names of their label columns."""
    label_files = run_files if label_file is None else [label_file]
    known: list[dict[str, str]] = []  # dimension -> label column, for every file
    for path in label_files:
        header = files.read_header(path)
        targets = {name.removesuffix(TARGET): name for name in header if name.endswith(TARGET)}
        if label_file is None and not targets:
            raise InputError(
                f"{path}: there is no column of labels, such as {DIMS[0]}{TARGET}; pass a folder "
                "of labels as the third argument"
            )
        known.append(targets or {dim: dim for dim in DIMS if dim in header})
    if given is not None:
        dims = list(dict.fromkeys(given))
    else:
        dims = [dim for dim in known[0] if all(dim in labelled for labelled in known)]
        dims = [dim for dim in dims if all(_has(path, dim) for path in run_files)]
    if not dims:
        raise InputError(
            f"{run_files[0]} and {label_files[-1]}: no dimension is both labelled and predicted "
            "in every run; list the columns to compare with --dims"
        )
    return dims, [known[0].get(dim.casefold(), dim) for dim in dims]


def _has(path: pathlib.Path, column: str) -> bool:
    return column.casefold() in files.read_header(path)


def _read_rows(
    path: pathlib.Path,
    columns: Sequence[str],
    targets: Sequence[str],
    truth: TraceFile | None,
    timing: Timing,
    tally: Tally,
) -> Rows:
    """Return the rows of a file that can be scored on the labels in `truth` or its own labels."""
    if truth is None:
        both = files.read_trace_file(path, [*columns, *targets], timing, has_marks=True)
        if both.frame is None:
            raise InputError(
                f"{path}: there is no column 'frame'; add one, or pass a folder of labels"
            )
        at = len(columns)
        predictions = dataclasses.replace(both, values=both.values[:, :at])
        truth = dataclasses.replace(both, columns=both.columns[at:], values=both.values[:, at:])
        key = both.frame.astype(np.int64)
    else:
        predictions = files.read_trace_file(path, columns, timing)
        key = np.arange(len(truth.values))
    paired = pair(predictions, truth, tally)
    trace = paired.on_labels(0.0)
    time_s = trace.time_s if paired.has_times else np.full(len(trace.time_s), np.nan)
    kept = (column[trace.mask] for column in (key, time_s, trace.pred, trace.target))
    return Rows(path, *kept)


def _check_labels(name: str, first: Rows, other: Rows, dims: Sequence[str]) -> None:
    """Raise InputError if two runs have different labels for a recording."""
    differ = np.argwhere(np.abs(first.target - other.target) > TOLERANCE)
    if len(differ):
        row, dim = differ[0]
        raise InputError(
            f"{name}: frame {first.key[row]}: {dims[dim]} is labelled "
            f"{first.target[row, dim]:g} in {first.path} but {other.target[row, dim]:g} in "
            f"{other.path}; evaluate both runs on the same data, or pass a folder of labels"
        )
