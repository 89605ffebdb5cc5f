"""Put the predictions of a recording beside its labels, and count all that finds no place."""

import dataclasses
import pathlib
from collections.abc import Callable, Mapping, Sequence

import numpy as np

from va_jax.evaluation.filters import frame_s, moved
from va_jax.scoring.files import TraceFile
from va_jax.types import LABEL_RANGE, InputError, Trace, Track

FAULTS = {
    "labels_without_file": "recordings of the labels without predictions",
    "predictions_without_file": "recordings of the predictions without labels",
    "labels_without_prediction": "label rows without a prediction",
    "predictions_without_label": "predictions without a label row",
    "invalid_labels": "invalid label rows",
    "invalid_predictions": "invalid prediction rows",
}
"""What can be wrong, as counted, and in words."""

SLACK = 1e-6
"""Of a step: times written in decimals are not exactly half a step apart."""


class Tally:
    """How often each fault was met, and where first."""

    def __init__(self) -> None:
        self.counts: dict[str, int] = dict.fromkeys(FAULTS, 0)
        self.first: dict[str, str] = {}  # in the order in which they were met

    def add(self, fault: str, count: int, first: Callable[[], str]) -> None:
        if count and not self.counts[fault]:
            self.first[fault] = first()
        self.counts[fault] += count

    def add_files(
        self, fault: str, here: Mapping[str, pathlib.Path], there: Mapping[str, pathlib.Path]
    ) -> None:
        """Count the files of recordings that are `here` and not `there`."""
        lonely = [path for name, path in here.items() if name not in there]
        self.add(fault, len(lonely), lambda: str(lonely[0]))

    def summary(self) -> str:
        """The faults that were met with their counts, in one line."""
        return ", ".join(f"{FAULTS[fault]}: {self.counts[fault]}" for fault in self.first)


@dataclasses.dataclass(frozen=True)
class Pair:
    """Predictions and labels of one recording, and which rows of them belong together."""

    name: str
    group: str
    predictions: TraceFile  # its valid rows
    labels: TraceFile  # all its rows; NaN where not valid
    prediction_row: np.ndarray  # int64 [pairs], rising
    label_row: np.ndarray  # int64 [pairs], rising

    @property
    def by(self) -> str:
        """What the rows were joined by: `frame` where both sides have frames, else `time`."""
        both = self.predictions.frame is not None and self.labels.frame is not None
        return "frame" if both else "time"

    @property
    def timed(self) -> bool:
        return self.labels.time_s is not None

    def on_labels(self, lag_s: float) -> Trace:
        """A trace of the label rows, the predictions moved earlier by `lag_s` on their own rows.

        Rows that are not scored have `face` False: those without a prediction or marked invalid.
        """
        values = self.predictions.values.astype(np.float32)
        if lag_s and len(values):
            values = moved(values, _from_start(self.predictions), lag_s)
        pred = np.full(self.labels.values.shape, np.nan, np.float32)
        pred[self.label_row] = values[self.prediction_row]
        face = np.zeros(len(pred), bool)
        face[self.label_row] = ~self.labels.marked[self.label_row]
        target = self.labels.values.astype(np.float32)
        return self._trace(self.labels, pred, target, face)

    def on_predictions(self) -> Trace:
        """A trace of the prediction rows, of which those count that `on_labels` counts."""
        target = np.full(self.predictions.values.shape, np.nan, np.float32)
        target[self.prediction_row] = self.labels.values[self.label_row]
        face = np.zeros(len(target), bool)
        face[self.prediction_row] = ~self.labels.marked[self.label_row]
        pred = self.predictions.values.astype(np.float32)
        return self._trace(self.predictions, pred, target, face)

    def _trace(
        self, rows: TraceFile, pred: np.ndarray, target: np.ndarray, face: np.ndarray
    ) -> Trace:
        time_s = _from_start(rows)
        step_s = frame_s(time_s) if len(time_s) else 0.0
        fps = 1 / step_s if step_s else 1.0
        track = Track(self.name, self.name, self.name, self.group, fps, len(pred), 0)
        return Trace(track, pred, target, face, time_s)


def pair(
    name: str,
    group: str,
    predictions: TraceFile,
    labels: TraceFile,
    dims: Sequence[str],
    tally: Tally,
) -> Pair:
    """What belongs together in a recording; `tally` gets what does not, each row once.

    Rows are joined by frame where both sides have frames, else by time; an InputError says where
    they have neither in common. A row of the labels with a value that is no number or outside
    `LABEL_RANGE` is invalid as a whole, and so is one of the predictions with a value that is no
    number; no other row takes its place.
    """
    by_frame = predictions.frame is not None and labels.frame is not None
    if not by_frame and (predictions.time_s is None or labels.time_s is None):
        raise InputError(
            f"{predictions.path} and {labels.path} have neither frames nor times in common; "
            "give --fps to turn frames into times"
        )
    if by_frame:
        prediction_row, label_row = _same_frame(predictions.frame, labels.frame)
    else:
        prediction_row, label_row = _nearest(predictions.time_s, labels.time_s)
    wrong_label = ~((labels.values >= LABEL_RANGE[0]) & (labels.values <= LABEL_RANGE[1]))
    wrong_prediction = np.isnan(predictions.values)
    bad_label, bad_prediction = wrong_label.any(-1), wrong_prediction.any(-1)
    _count_invalid(tally, "invalid_labels", labels, wrong_label & ~labels.marked[:, None], dims)
    _count_invalid(tally, "invalid_predictions", predictions, wrong_prediction, dims)
    lonely_label = ~_flags(len(bad_label), label_row) & ~bad_label & ~labels.marked
    lonely_prediction = ~_flags(len(bad_prediction), prediction_row) & ~bad_prediction
    _count_lonely(tally, "labels_without_prediction", labels, lonely_label)
    _count_lonely(tally, "predictions_without_label", predictions, lonely_prediction)
    if by_frame:
        predictions, labels = _lend_times(predictions, labels), _lend_times(labels, predictions)
    good = ~bad_prediction[prediction_row]
    kept = np.flatnonzero(~bad_prediction)
    return Pair(
        name,
        group,
        dataclasses.replace(
            predictions,
            values=predictions.values[kept],
            frame=None if predictions.frame is None else predictions.frame[kept],
            time_s=None if predictions.time_s is None else predictions.time_s[kept],
            place=predictions.place[kept],
            marked=predictions.marked[kept],
        ),
        dataclasses.replace(labels, values=np.where(bad_label[:, None], np.nan, labels.values)),
        np.searchsorted(kept, prediction_row[good]),
        label_row[good],
    )


def _same_frame(predictions: np.ndarray, labels: np.ndarray) -> tuple[np.ndarray, np.ndarray]:
    _, prediction_row, label_row = np.intersect1d(
        predictions, labels, assume_unique=True, return_indices=True
    )
    return prediction_row, label_row


def _nearest(predictions: np.ndarray, labels: np.ndarray) -> tuple[np.ndarray, np.ndarray]:
    """For each label the nearest prediction within half a label step; none is taken twice.

    Of labels that have the same nearest prediction, the nearest to it takes it. A single label
    reaches half a step of the predictions.
    """
    if not len(predictions) or not len(labels):
        return np.zeros(0, np.int64), np.zeros(0, np.int64)
    steps = next((np.diff(times) for times in (labels, predictions) if len(times) > 1), np.zeros(1))
    reach = np.median(steps) * (0.5 + SLACK) + 1e-9
    right = np.clip(np.searchsorted(predictions, labels), 1, max(len(predictions) - 1, 1))
    left, right = right - 1, np.minimum(right, len(predictions) - 1)
    nearer = np.abs(labels - predictions[left]) <= np.abs(predictions[right] - labels)
    row = np.where(nearer, left, right)
    distance = np.abs(predictions[row] - labels)
    label_row = np.flatnonzero(distance <= reach)
    label_row = label_row[np.lexsort((distance[label_row], row[label_row]))]
    prediction_row, first = np.unique(row[label_row], return_index=True)
    return prediction_row, label_row[first]


def _count_invalid(
    tally: Tally, fault: str, file: TraceFile, wrong: np.ndarray, dims: Sequence[str]
) -> None:
    """Add the rows with a cell that is `wrong` [rows, dims], and those that nothing places."""
    rows = np.flatnonzero(wrong.any(-1))

    def first() -> str:
        at = rows[np.argmin(file.place[rows])] if len(rows) else -1
        if at < 0 or (len(file.unplaced) and file.unplaced[0] < file.place[at]):
            return f"{file.where(file.unplaced[0])}: its frame, time or mark is no number"
        dim = int(np.argmax(wrong[at]))
        value = file.values[at, dim]
        fault = "is no number" if np.isnan(value) else f"{value:g} is outside [-1, 1]"
        return f"{file.where(file.place[at])}: {dims[dim]} {fault}"

    tally.add(fault, len(rows) + len(file.unplaced), first)


def _count_lonely(tally: Tally, fault: str, file: TraceFile, lonely: np.ndarray) -> None:
    def first() -> str:
        at = int(np.argmax(lonely))
        key = f"time {file.time_s[at]:g} s" if file.frame is None else f"frame {file.frame[at]:.0f}"
        return f"{file.where(file.place[at])}: {key}"

    tally.add(fault, int(lonely.sum()), first)


def _lend_times(file: TraceFile, other: TraceFile) -> TraceFile:
    """`file` with the times that the frames of `other` have, where it has none of its own.

    Linear between frames, and on at the mean rate beyond the first and the last.
    """
    if file.time_s is not None or other.time_s is None or not len(other.frame):
        return file
    frame, time_s = other.frame, other.time_s
    beyond = file.frame - np.clip(file.frame, frame[0], frame[-1])
    step_s = (time_s[-1] - time_s[0]) / max(frame[-1] - frame[0], 1)
    return dataclasses.replace(file, time_s=np.interp(file.frame, frame, time_s) + beyond * step_s)


def _from_start(file: TraceFile) -> np.ndarray:
    """float32 seconds from the first row on; the number of the row where there are no times."""
    if file.time_s is None:
        return np.arange(len(file.values), dtype=np.float32)
    return (file.time_s - file.time_s[:1]).astype(np.float32)


def _flags(length: int, rows: np.ndarray) -> np.ndarray:
    flags = np.zeros(length, bool)
    flags[rows] = True
    return flags
