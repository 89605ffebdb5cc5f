"""Trace files: a row for every frame, in a folder that holds nothing else."""

import csv
import dataclasses

import numpy as np

from tests.evaluation.score_table_test import DIMS, TRACES
from va_jax.report.traces import write_traces
from va_jax.types import Trace


def test_every_frame_has_a_row_whether_it_is_scored_or_not(tmp_path):
    source = TRACES[1]
    target, face = source.target.copy(), source.face.copy()
    target[3], face[5] = np.nan, False
    write_traces(
        tmp_path / "out", [Trace(source.track, source.pred, target, face, source.time_s)], DIMS
    )
    rows = list(csv.DictReader((tmp_path / "out" / "t1.csv").open()))
    assert list(rows[0]) == [
        "frame", "time_s", "valence", "arousal", "valence_target", "arousal_target",
        "face", "valid",
    ]  # fmt: skip
    assert [int(row["frame"]) for row in rows] == list(range(100))
    assert [i for i, row in enumerate(rows) if row["valid"] == "0"] == [3, 5]
    assert [i for i, row in enumerate(rows) if row["face"] == "0"] == [5]
    assert rows[3]["valence_target"] == ""
    preds = np.array([[float(row[dim]) for dim in DIMS] for row in rows])
    np.testing.assert_allclose(preds, source.pred, atol=1e-6)


def test_a_track_id_with_a_slash_names_one_file(tmp_path):
    track = dataclasses.replace(TRACES[0].track, track_id="a/b")
    write_traces(tmp_path / "out", [dataclasses.replace(TRACES[0], track=track)], DIMS)
    assert [path.name for path in (tmp_path / "out").iterdir()] == ["a%2Fb.csv"]


def test_processed_predictions_have_their_own_columns(tmp_path):
    write_traces(tmp_path / "out", TRACES[:1], DIMS, [2 * TRACES[0].pred])
    rows = list(csv.DictReader((tmp_path / "out" / "t0.csv").open()))
    assert list(rows[0])[-4:] == ["valence_processed", "arousal_processed", "face", "valid"]
    processed = np.array([float(row["arousal_processed"]) for row in rows])
    np.testing.assert_allclose(processed, 2 * TRACES[0].pred[:, 1], atol=1e-6)


def test_the_spread_between_raters_has_its_own_columns_if_it_is_known(tmp_path):
    spread = np.full_like(TRACES[0].target, 0.25)
    spread[3] = np.nan
    rated = dataclasses.replace(TRACES[0], spread=spread)
    write_traces(tmp_path / "out", [rated, TRACES[1]], DIMS, [TRACES[0].pred, TRACES[1].pred])
    rows = list(csv.DictReader((tmp_path / "out" / "t0.csv").open()))
    assert list(rows[0])[4:10] == [
        *(f"{dim}_{kind}" for kind in ("target", "spread", "processed") for dim in DIMS)
    ]
    assert [rows[i]["arousal_spread"] for i in (2, 3)] == ["0.250000", ""]
    unrated = list(csv.DictReader((tmp_path / "out" / "t1.csv").open()))
    assert {row["valence_spread"] for row in unrated} == {""}


def test_old_traces_are_removed_and_other_files_stay(tmp_path):
    write_traces(tmp_path / "out", TRACES, DIMS)
    for name in ("notes.xlsx", "mine.csv"):
        (tmp_path / "out" / name).write_text("a,b\n")
    write_traces(tmp_path / "out", TRACES[:1], DIMS)
    found = sorted(path.name for path in (tmp_path / "out").iterdir())
    assert found == ["mine.csv", "notes.xlsx", "t0.csv"]
    assert [path.name for path in tmp_path.iterdir()] == ["out"]
