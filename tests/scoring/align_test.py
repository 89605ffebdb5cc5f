"""Predictions aligned with labels: by frame as a dictionary would, by time with the nearest."""

import pathlib

import numpy as np
import pytest
from hypothesis import given, settings
from hypothesis import strategies as st

from va_jax.scoring.align import Tally, pair
from va_jax.scoring.files import TraceFile
from va_jax.types import InputError

FRAMES = st.sets(st.integers(-3, 40), max_size=30)
TICKS = st.sets(st.integers(0, 200), min_size=1, max_size=30)


def file(name, values, frame=None, time_s=None, excluded=()):
    values = np.asarray(values, np.float64)[:, None]
    rows = np.arange(len(values))
    frame, time_s = (None if x is None else np.asarray(x, np.float64) for x in (frame, time_s))
    path, columns = pathlib.Path(name), ("valence",)
    return TraceFile(path, columns, frame, time_s, values, np.isin(rows, excluded), rows)


def joined(predictions, labels, tally=None):
    return pair(predictions, labels, tally or Tally())


def timed(predictions, labels):
    """Pairs (label row, prediction row) of two lists of times."""
    found = joined(
        file("p", np.zeros(len(predictions)), time_s=predictions),
        file("l", np.zeros(len(labels)), time_s=labels),
    )
    return dict(zip(found.label_row.tolist(), found.prediction_row.tolist(), strict=True))


@settings(max_examples=50)
@given(FRAMES, FRAMES, st.sets(st.integers(-3, 40)), st.sets(st.integers(-3, 40)))
def test_frames_are_joined_as_by_a_dictionary(predicted, labelled, unreadable, out_of_range):
    predictions = {n: np.nan if n in unreadable else n / 100 for n in sorted(predicted)}
    labels = {n: -5.0 if n in out_of_range else n / 50 for n in sorted(labelled)}
    tally = Tally()
    trace = joined(
        file("p", list(predictions.values()), frame=list(predictions)),
        file("l", list(labels.values()), frame=list(labels)),
        tally,
    ).on_labels(0.0)
    good = {n for n in labels if n not in out_of_range}
    expected = [n for n in labels if n in good and n in predicted - unreadable]
    np.testing.assert_array_equal(trace.pred[trace.mask, 0], np.float32(expected) / 100)
    np.testing.assert_array_equal(
        trace.target[trace.mask, 0], np.array([n / 50 for n in expected], np.float32)
    )
    assert len(trace.pred) == len(labels)
    assert tally.counts == {
        "labels_without_file": 0,
        "predictions_without_file": 0,
        "labels_without_prediction": len(good - predicted),
        "predictions_without_label": len(predicted - unreadable - labelled),
        "invalid_labels": len(labelled & out_of_range),
        "invalid_predictions": len(predicted & unreadable),
    }


@settings(max_examples=50)
@given(TICKS, TICKS)
def test_times_are_joined_to_the_nearest_within_half_a_step_and_never_twice(predicted, labelled):
    predictions, labels = (np.array(sorted(x)) / 100 for x in (predicted, labelled))
    found = timed(predictions, labels)
    steps = np.diff(labels) if len(labels) > 1 else np.diff(predictions)
    reach = np.median(steps) / 2 + 1e-6 if len(steps) else 1e-6
    distance = np.abs(labels[:, None] - predictions)
    assert len(set(found.values())) == len(found)
    for row, label in enumerate(distance):
        if label.min() > reach:
            assert row not in found
        elif row in found:
            assert label[found[row]] == pytest.approx(label.min(), abs=1e-12)
        else:  # its nearest belongs to a label that is as near or nearer
            nearest = np.flatnonzero(label <= label.min() + 1e-12)
            owners = [other for other, taken in found.items() if taken in nearest]
            assert any(distance[o, found[o]] <= label.min() + 1e-12 for o in owners)


def test_labels_at_ten_hertz_take_the_nearest_of_25_frames_a_second():
    labels, predictions = np.arange(50) * 0.1, np.arange(125) * 0.04
    found = timed(predictions, labels)
    assert sorted(found) == list(range(50))
    for label, prediction in found.items():
        assert abs(labels[label] - predictions[prediction]) <= 0.02 + 1e-9


def test_sides_without_frames_or_times_in_common_are_refused():
    frames, times = file("p.csv", [0.1], frame=[0]), file("l.csv", [0.1], time_s=[0])
    with pytest.raises(InputError, match=r"p\.csv and l\.csv cannot be matched"):
        joined(frames, times)


@pytest.mark.parametrize("owner", ["predictions", "labels"])
def test_a_side_without_times_gets_those_of_the_other_sides_frames(owner):
    timed_side = file("a", np.zeros(3), frame=[2, 4, 8], time_s=[1.0, 1.5, 2.5])
    other = file("b", np.zeros(5), frame=[0, 2, 3, 8, 10])
    sides = {owner: timed_side, ({"predictions", "labels"} - {owner}).pop(): other}
    found = joined(**sides)
    assert found.has_times
    lent = found.labels if owner == "predictions" else found.predictions
    np.testing.assert_allclose(lent.time_s, [0.5, 1.0, 1.25, 2.5, 3.0])


def test_a_lag_moves_predictions_on_their_own_rows():
    """Labels at every fifth frame: a small lag brings the predictions between them there."""
    values = np.arange(20) / 100
    predictions = file("p", values, frame=np.arange(20), time_s=np.arange(20) * 0.04)
    labels = file("l", np.zeros(4), frame=[0, 5, 10, 15])
    trace = joined(predictions, labels).on_labels(0.08)
    np.testing.assert_allclose(trace.pred[:, 0], [0.02, 0.07, 0.12, 0.17], atol=1e-7)
    trace = joined(predictions, labels).on_labels(-0.24)
    np.testing.assert_allclose(trace.pred[:, 0], [0, 0, 0.04, 0.09], atol=1e-7)


@pytest.mark.parametrize("lag_s", [0.0, 0.2, -0.48])
def test_the_same_rows_count_at_every_lag_and_on_both_sides(lag_s):
    rng = np.random.default_rng(0)
    values = rng.uniform(-1, 1, 40)
    values[[3, 30]] = np.nan
    predictions = file("p", values, frame=np.arange(40), time_s=np.arange(40) * 0.04)
    labels = file("l", rng.uniform(-1, 1, 20), frame=np.arange(0, 40, 2), excluded=[4])
    found = joined(predictions, labels)
    on_labels, on_predictions = found.on_labels(lag_s), found.on_predictions()
    assert on_labels.mask.sum() == 18
    np.testing.assert_array_equal(
        on_labels.target[on_labels.mask], on_predictions.target[on_predictions.mask]
    )
