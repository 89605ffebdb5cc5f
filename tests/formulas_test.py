"""Names that look like formulas reach the csv files for people as text, and numbers as they are."""

import csv

import numpy as np

from tfds_builders.material import Recording
from tfds_builders.metadata import write_report
from va_jax.predict.results import VideoResult, csv_header, csv_rows
from va_jax.predict.tracks import TrackResult

NAME = '=HYPERLINK("http://x","y").mp4'


def test_the_report_of_a_build_shows_names_and_reasons_as_text(tmp_path):
    track = {"frames": 3, "fps": -25.0}
    rows = [
        {"track": track, "tally": {"gaps": -1}, "face": 3, "labelled": 3, "used": 3},
        {"refused": "@a: no frames"},
    ]
    recordings = [Recording(NAME, "-v", "+s", split="dev"), Recording("P1", "a=b", "\ts")]
    write_report(tmp_path / "report.csv", recordings, rows)
    with (tmp_path / "report.csv").open(newline="") as file:
        _, first, second = csv.reader(file)
    assert first[:4] == ["dev", f"'{NAME}", "'-v", "'+s"]
    assert first[5:10] == ["3", "-25.0", "3", "3", "3"]
    assert second[1:4] == ["P1", "a=b", "'\ts"]
    assert second[-1] == "'@a: no frames"


def test_predictions_show_the_source_as_text():
    ones = np.ones(1, np.float32)
    track = TrackResult(0, ones > 0, np.ones((1, 4), np.float32), ones, -ones[:, None])
    result = VideoResult(NAME, np.zeros(1), [track], ("valence",), 2, 2)
    (cells,) = csv_rows(result)
    row = dict(zip(csv_header(["valence"]), cells, strict=True))
    assert row["source"] == f"'{NAME}"
    assert row["valence"] == "-1.000000"
