"""Align the predictions of a recording with its labels, and count the rows that do not match."""

import dataclasses
from collections.abc import Callable, Sequence
from typing import Any

import numpy as np
from jaxtyping import Bool, Float, Int

from va_jax.evaluation.filters import mean_period_s, shift
from va_jax.scoring.files import TraceFile
from va_jax.types import LABEL_RANGE, InputError, Trace, Track

FAULTS = {
    "labels_without_file": "recordings with labels but no predictions",
    "predictions_without_file": "recordings with predictions but no labels",
    "labels_without_prediction": "label rows without a prediction",
    "predictions_without_label": "predictions without a label row",
    "invalid_labels": "invalid label rows",
    "invalid_predictions": "invalid prediction rows",
}
"""Keys under which faults are counted, and their descriptions."""

UNIT_FACTOR, UNIT_ROWS = 12, 20
"""If two files of a recording have about the same number of rows (at least `UNIT_ROWS`), and one
lasts more than `UNIT_FACTOR` times as long as the other, the unit of one is wrong (our choice)."""

SLACK = 1e-6
"""Tolerance as a share of a step, because decimal times are not exactly half a step apart."""


class Tally:
    """The number of times that each fault occurred, and the first place of each."""

    def __init__(self) -> None:
        self.counts: dict[str, int] = dict.fromkeys(FAULTS, 0)
        self.first: dict[str, str] = {}  # in order of occurrence

    def add(self, fault: str, places: Sequence[Any], describe: Callable[[Any], str] = str) -> None:
        """Count the places of a fault; `describe` puts the first one into words."""
        if len(places) and fault not in self.first:
            self.first[fault] = describe(places[0])
        self.counts[fault] += len(places)

    def summary(self) -> str:
        """Return the faults that occurred, with their counts, as one line."""
        return ", ".join(f"{FAULTS[fault]}: {self.counts[fault]}" for fault in self.first)


@dataclasses.dataclass(frozen=True)
class Pair:
    """The predictions and labels for one recording, and the pairs of rows that belong together."""

    recording: str
    group: str
    predictions: TraceFile  # only the valid rows
    labels: TraceFile  # all rows; NaN where invalid
    prediction_row: Int[np.ndarray, " pairs"]  # increasing
    label_row: Int[np.ndarray, " pairs"]  # increasing

    @property
    def joined_by(self) -> str:
        """Return `frame` if both sides have frame numbers, else `time`."""
        both = self.predictions.frame is not None and self.labels.frame is not None
        return "frame" if both else "time"

    @property
    def has_times(self) -> bool:
        return self.labels.time_s is not None

    def on_labels(self, lag_s: float) -> Trace:
        """Return a trace with the rows of the labels.

        If a row is not scored because it has no prediction or is excluded, its `face` is False.

        Args:
            lag_s: seconds by which to move the predictions earlier on their own rows, before they
                are assigned to the label rows.
        """
        values = self.predictions.values
        if lag_s and len(values):
            values = shift(values, _seconds_from_start(self.predictions), lag_s)
        pred = np.full(self.labels.values.shape, np.nan)
        pred[self.label_row] = values[self.prediction_row]
        return self._trace(self.labels, pred, self.labels.values, self.label_row)

    def on_predictions(self) -> Trace:
        """Return a trace with the prediction rows; those that `on_labels` scores have a target."""
        target = np.full(self.predictions.values.shape, np.nan)
        target[self.prediction_row] = self.labels.values[self.label_row]
        return self._trace(self.predictions, self.predictions.values, target, self.prediction_row)

    def _trace(
        self, file: TraceFile, pred: np.ndarray, target: np.ndarray, paired: np.ndarray
    ) -> Trace:
        face = np.zeros(len(pred), bool)
        face[paired] = ~self.labels.excluded[self.label_row]
        time_s = _seconds_from_start(file)
        step_s = mean_period_s(time_s) if len(time_s) else 0.0
        name = self.recording
        track = Track(name, name, name, self.group, 1 / step_s if step_s else 1.0, len(pred), 0)
        return Trace(track, pred.astype(np.float32), target.astype(np.float32), face, time_s)


def pair(
    predictions: TraceFile, labels: TraceFile, tally: Tally, recording: str = "", group: str = ""
) -> Pair:
    """Match the rows of a recording by frame if both sides have frame numbers, else by time.

    A label row is invalid as a whole if one of its values is not a number in `LABEL_RANGE`; a
    prediction row, if one of its values is not a number. No other row takes the place of an invalid
    one.

    Args:
        predictions: predictions, with values in the order of the dimensions.
        labels: labels, with values in the same order.
        tally: counts to update; each row that does not match or is invalid is counted once.
        recording: name of the recording.
        group: group of the recording; "" for none.

    Raises:
        InputError: the two sides do not both have frame numbers, nor both have times.
    """
    if predictions.frame is not None and labels.frame is not None:
        _, prediction_row, label_row = np.intersect1d(
            predictions.frame, labels.frame, assume_unique=True, return_indices=True
        )
    elif predictions.time_s is not None and labels.time_s is not None:
        _check_units(predictions, labels)
        prediction_row, label_row = _match_nearest(predictions.time_s, labels.time_s)
    else:
        raise InputError(
            f"{predictions.path} and {labels.path} cannot be matched, because only one has "
            "frames and only the other has times; set --fps to derive times from frames"
        )
    wrong_label: np.ndarray = ~(
        (labels.values >= LABEL_RANGE[0]) & (labels.values <= LABEL_RANGE[1])
    )
    wrong_prediction = np.isnan(predictions.values)
    bad_label, bad_prediction = np.any(wrong_label, -1), np.any(wrong_prediction, -1)
    counted = ~labels.excluded
    _count_invalid(tally, "invalid_labels", labels, wrong_label & counted[:, None])
    _count_invalid(tally, "invalid_predictions", predictions, wrong_prediction)
    usable = np.flatnonzero(~bad_label & counted)
    _count_alone(tally, "labels_without_prediction", labels, np.setdiff1d(usable, label_row))
    kept = np.flatnonzero(~bad_prediction)
    alone = np.setdiff1d(kept, prediction_row)
    _count_alone(tally, "predictions_without_label", predictions, alone)
    good = ~bad_prediction[prediction_row]
    return Pair(
        recording,
        group,
        _with_times_of(predictions, labels).select(kept),
        dataclasses.replace(
            _with_times_of(labels, predictions),
            values=np.where(bad_label[:, None], np.nan, labels.values),
        ),
        np.searchsorted(kept, prediction_row[good]),
        label_row[good],
    )


def _check_units(predictions: TraceFile, labels: TraceFile) -> None:
    files = sorted((predictions, labels), key=_duration_s)
    short_s, long_s = map(_duration_s, files)
    counts = sorted(len(file.values) for file in files)
    if counts[0] >= UNIT_ROWS and counts[1] < 1.25 * counts[0] and long_s > UNIT_FACTOR * short_s:
        raise InputError(
            f"{files[1].path}: the {len(files[1].values)} rows last {long_s:g} s, but the "
            f"{len(files[0].values)} rows of {files[0].path} last {short_s:g} s, so one of the "
            "files has the wrong time unit; name its time column time_s, time_ms or frame"
        )


def _duration_s(file: TraceFile) -> float:
    return 0.0 if file.time_s is None else float(np.ptp(file.time_s))


def _match_nearest(
    predictions: Float[np.ndarray, " m"], labels: Float[np.ndarray, " n"]
) -> tuple[Int[np.ndarray, " pairs"], Int[np.ndarray, " pairs"]]:
    """Return the matching rows of predictions and labels: each label takes the nearest prediction.

    The prediction must lie within half a label step (or, for a single label, half a prediction
    step). If several labels share their nearest prediction, the label closest to it takes it.
    """
    steps = np.diff(labels if len(labels) > 1 else predictions)
    reach = (np.median(steps) if len(steps) else 0) * (0.5 + SLACK) + 1e-9
    neighbours = np.searchsorted(predictions, labels) + np.array([[-1], [0]])
    neighbours = np.clip(neighbours, 0, len(predictions) - 1)
    distances = np.abs(predictions[neighbours] - labels)
    row = np.where(distances[0] <= distances[1], *neighbours)
    distance = distances.min(0)
    label_row = np.flatnonzero(distance <= reach)
    label_row = label_row[np.lexsort((distance[label_row], row[label_row]))]
    prediction_row, first = np.unique(row[label_row], return_index=True)
    return prediction_row, label_row[first]


def _count_invalid(
    tally: Tally, fault: str, file: TraceFile, wrong: Bool[np.ndarray, "rows dims"]
) -> None:
    def describe(row: int) -> str:
        column = int(np.argmax(wrong[row]))
        value = file.values[row, column]
        problem = "is not a number" if np.isnan(value) else f"{value:g} is outside [-1, 1]"
        return f"{file.where(row)}: {file.columns[column]} {problem}"

    tally.add(fault, np.flatnonzero(wrong.any(-1)).tolist(), describe)


def _count_alone(tally: Tally, fault: str, file: TraceFile, rows: Int[np.ndarray, " _"]) -> None:
    def describe(row: int) -> str:
        if file.frame is not None:
            return f"{file.where(row)}: frame {file.frame[row]:.0f}"
        assert file.time_s is not None  # rows always have frames or times
        return f"{file.where(row)}: time {file.time_s[row]:g} s"

    tally.add(fault, rows.tolist(), describe)


def _with_times_of(file: TraceFile, other: TraceFile) -> TraceFile:
    """Derive times for a file without times from the frames and times of `other`.

    Times are linear between frames, and continue at the mean rate before the first and after the
    last frame.
    """
    if file.frame is None or file.time_s is not None or other.frame is None or other.time_s is None:
        return file
    frame, time_s = other.frame, other.time_s
    beyond = file.frame - np.clip(file.frame, frame[0], frame[-1])
    step_s = (time_s[-1] - time_s[0]) / max(frame[-1] - frame[0], 1)
    return dataclasses.replace(file, time_s=np.interp(file.frame, frame, time_s) + beyond * step_s)


def _seconds_from_start(file: TraceFile) -> Float[np.ndarray, " rows"]:
    """Return the time since the first row in float32 seconds; without times, the row numbers."""
    if file.time_s is None:
        return np.arange(len(file.values), dtype=np.float32)
    return (file.time_s - file.time_s[:1]).astype(np.float32)
