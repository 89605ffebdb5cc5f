"""Trace files: a row for every frame, and a picture that opens."""

import csv
import dataclasses

import cv2
import numpy as np

from tests.card_test import DIMS, TRACES
from va_jax.card import Trace
from va_jax.report import plot_traces, write_traces


def test_every_frame_has_a_row_whether_it_counts_or_not(tmp_path):
    source = TRACES[1]
    target, face = source.target.copy(), source.face.copy()
    target[3], face[5] = np.nan, False
    write_traces(tmp_path, [Trace(source.track, source.pred, target, face, source.time_s)], DIMS)
    rows = list(csv.DictReader((tmp_path / "t1.csv").open()))
    assert list(rows[0]) == [
        "frame", "time_s", "valence", "arousal", "valence_target", "arousal_target", "valid",
    ]  # fmt: skip
    assert [int(row["frame"]) for row in rows] == list(range(100))
    assert [i for i, row in enumerate(rows) if row["valid"] == "0"] == [3, 5]
    assert rows[3]["valence_target"] == ""
    preds = np.array([[float(row[dim]) for dim in DIMS] for row in rows])
    np.testing.assert_allclose(preds, source.pred, atol=1e-6)


def test_a_track_id_with_a_slash_names_one_file(tmp_path):
    track = dataclasses.replace(TRACES[0].track, track_id="a/b")
    write_traces(tmp_path, [dataclasses.replace(TRACES[0], track=track)], DIMS)
    assert [path.name for path in tmp_path.iterdir()] == ["a__b.csv"]


def test_the_picture_opens(tmp_path):
    plot_traces(tmp_path / "traces.png", TRACES, DIMS)
    assert cv2.imread(str(tmp_path / "traces.png")).shape[1] > 1000
