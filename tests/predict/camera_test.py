"""A fake camera: which frames are taken, what is written, how it ends."""

import csv
import pathlib

import numpy as np
import pytest

from tests.predict.predicting import METADATA, FakeModel, predictor
from va_jax.predict import camera
from va_jax.predict.results import open_csv
from va_jax.types import InputError


class FakeCapture:
    """Frames as OpenCV gives them, blue first; `times_s` is what the clock says after each."""

    def __init__(self, times_s, faces=None, stop_at=None):
        self.times_s, self.faces, self.stop_at = list(times_s), faces, stop_at
        self.number = -1

    def read(self):
        self.number += 1
        if self.number == self.stop_at:
            raise KeyboardInterrupt
        if self.number == len(self.times_s):
            return False, None
        image = np.zeros((96, 160, 3), np.uint8)
        if self.faces is None or self.faces[self.number]:
            image[20:68, 40:88] = 0, 0, 255
            image[4:16, 100:112] = 0, 255, 0  # a smaller one
        return True, image

    def clock(self):
        return 100 + self.times_s[min(self.number, len(self.times_s) - 1)]


def run(capture, path: pathlib.Path, seconds=None) -> tuple[list[dict[str, str]], str | None]:
    model = FakeModel(METADATA | {"fps": 10.0, "stride": 2})
    with open_csv(path, model.dims) as write_rows:
        warning = camera.run(
            capture, "camera 0", predictor(model), write_rows, seconds, capture.clock
        )
    with path.open() as file:
        return list(csv.DictReader(file)), warning


def test_frames_are_taken_at_the_rate_the_network_was_trained_at(tmp_path):
    rows, warning = run(FakeCapture(np.arange(90) / 30), tmp_path / "a.csv")
    assert [int(row["frame"]) for row in rows] == list(range(30))
    times_s = [float(row["time_s"]) for row in rows]
    np.testing.assert_allclose(times_s, np.arange(30) / 10, atol=1e-6)
    assert warning is None


def test_the_largest_face_is_predicted_from_its_crop_in_rgb(tmp_path):
    rows, _ = run(FakeCapture([0.0]), tmp_path / "a.csv")
    row = rows[0]
    assert [row[key] for key in ("source", "track", "valid")] == ["camera 0", "0", "1"]
    assert [float(row[key]) for key in "xywh"] == [40, 20, 48, 48]
    assert float(row["valence"]) == pytest.approx(1, abs=0.03)


def test_without_a_face_the_row_has_no_box_and_the_stream_continues(tmp_path):
    capture = FakeCapture(np.arange(3) / 10, [True, False, True])
    rows, _ = run(capture, tmp_path / "a.csv")
    assert [row["valid"] for row in rows] == ["1", "0", "1"]
    assert (rows[1]["track"], rows[1]["x"], rows[1]["face_score"]) == ("", "", "")
    assert [float(row["arousal"]) for row in rows] == [1, 2, 3]  # pushes
    assert rows[1]["valence"] == rows[0]["valence"]


def test_it_ends_after_the_given_seconds(tmp_path):
    rows, _ = run(FakeCapture(np.arange(90) / 30), tmp_path / "a.csv", seconds=1.0)
    assert len(rows) == 11


def test_ctrl_c_keeps_the_rows(tmp_path):
    rows, _ = run(FakeCapture(np.arange(90) / 30, stop_at=31), tmp_path / "a.csv")
    assert len(rows) == 11


def test_a_slow_machine_gets_a_warning(tmp_path):
    rows, warning = run(FakeCapture(np.arange(10) / 4), tmp_path / "a.csv")
    assert len(rows) == 10
    assert "0.1 s apart" in warning
    assert "0.25 s apart" in warning


def test_a_camera_that_does_not_exist_is_refused():
    with pytest.raises(InputError, match="camera 99 cannot be opened"), camera.open_camera(99):
        pass
