"""A video is predicted from Python: the result describes itself, and equals the csv file."""

import csv
import io
import math

import numpy as np
import pytest
from matplotlib.figure import Figure

import va_jax
from tests.predict.plot_test import result
from tests.predict.predicting import METADATA, FakeModel, detect, write_video
from va_jax import faces
from va_jax.evaluation.postprocess import PostProcessing, Step
from va_jax.predict import inputs, page
from va_jax.predict.api import predict_video
from va_jax.predict.results import csv_header, csv_rows
from va_jax.types import InputError

FACE, OTHER = (0, 40, 20, 48), (1, 100, 20, 24)
FRAMES = [[FACE, OTHER]] * 4 + [[OTHER]] * 2


@pytest.fixture
def video(tmp_path, monkeypatch):
    """Return a video of two faces, the larger of which disappears."""
    monkeypatch.setattr(faces, "Detector", lambda **_: detect)
    return write_video(tmp_path / "two.mp4", FRAMES)


def assert_equals_csv(found):
    """Compare the table of a result with the rows of its csv file."""
    text = io.StringIO()
    csv.writer(text).writerows([csv_header(found.dims), *csv_rows(found)])
    rows, table = list(csv.DictReader(io.StringIO(text.getvalue()))), found.table()
    assert list(table) == list(rows[0])
    for name, column in table.items():
        cells = [row[name] for row in rows]
        if name == "source":
            assert column.tolist() == cells
            continue
        empty = -1 if name == "track" else math.nan
        expected = np.array([float(cell or empty) for cell in cells])
        np.testing.assert_allclose(column.astype(float), expected, atol=0.006)


def test_the_subject_of_a_video_is_predicted_in_every_frame(video):
    alone = write_video(video.with_name("a.mp4"), [[FACE]] * 4 + [[]] * 2)
    found = predict_video(FakeModel(), alone)
    assert repr(found) == "VideoResult('a.mp4': 6 frames, 1 face, 0.2 s; valence, arousal)"
    assert repr(found.tracks) == "[TrackResult(0: visible in 4 of 6 frames)]"
    np.testing.assert_allclose(found.table()["valence"][:4], 1, atol=0.03)
    assert found.table()["valid"].tolist() == [1, 1, 1, 1, 0, 0]
    assert_equals_csv(found)


def test_all_faces_have_the_rows_of_the_csv_file(video):
    found = va_jax.predict_video(FakeModel(), str(video), track="all")
    assert len(found.table()["frame"]) == 12
    assert found.table()["track"].tolist() == [0, 1] * 6
    assert_equals_csv(found)


def test_a_video_without_a_face_has_a_row_for_every_frame(video, monkeypatch):
    def blind(image):
        return detect(np.zeros_like(image))

    blind.follow = None
    monkeypatch.setattr(faces, "Detector", lambda **_: blind)
    found = predict_video(FakeModel(), video)
    assert not found.tracks
    assert found.table()["track"].tolist() == [-1] * 6
    assert_equals_csv(found)
    assert isinstance(found.plot(), Figure)


def test_a_notebook_shows_the_plot(video):
    plot = result(tracks=2).plot()
    assert isinstance(plot, Figure)
    assert plot._repr_png_().startswith(b"\x89PNG")


def test_a_model_of_drawings_is_warned_about_and_noted_on_the_plot(video):
    metadata = METADATA | {"data": {"name": "synthetic_faces/tiny"}}
    with pytest.warns(UserWarning, match="drawings"):
        found = predict_video(FakeModel(metadata), video)
    assert "not meaningful" in found.plot().get_suptitle()


def test_post_processing_is_applied_on_request(video):
    model = FakeModel()
    with pytest.raises(InputError, match="processed=True"):
        predict_video(model, video, processed=True)
    centre = Step("centre", {"bias": -0.5}, True, 0.0, 0.1)
    model.post_processing = PostProcessing({"valence": (centre,), "arousal": ()}, {})
    raw, moved = (predict_video(model, video, processed=each) for each in (False, True))
    difference = raw.table()["valence"] - moved.table()["valence"]
    np.testing.assert_allclose(difference[:4], 0.5, atol=1e-5)


@pytest.mark.parametrize(("option", "value"), [("track", "second"), ("every", 0)])
def test_an_illegal_argument_is_named(video, option, value):
    with pytest.raises(InputError, match=f"{option}={value!r}"):
        predict_video(FakeModel(), video, **{option: value})


def test_a_file_that_is_not_a_video_is_named(video):
    path = video.with_name("b.mp4")
    path.write_text("no video")
    with pytest.raises(InputError, match=r"b\.mp4"):
        predict_video(FakeModel(), path)


def test_a_video_that_breaks_off_gives_the_frames_before(monkeypatch, video):
    def read(path, side):
        for number in range(3):
            yield number / 25, np.zeros((96, 160, 3), np.uint8)
        raise InputError(f"{path}: at 0.120 s: cannot be decoded")

    monkeypatch.setattr(inputs, "read_frames", read)
    with pytest.warns(UserWarning, match=r"two\.mp4: at 0\.120 s.*3 frames"):
        found = predict_video(FakeModel(), video)
    assert len(found.time_s) == 3


def test_a_page_is_written_and_only_a_page_is_replaced(video):
    found, path = predict_video(FakeModel(), video), video.with_name("seen.html")
    va_jax.write_page(found, path)
    assert page.source_of(path) == str(video)
    assert page.read_rows(path).time_s.tolist() == pytest.approx(found.time_s.tolist())
    va_jax.write_page(found, str(path), video="none")
    path.write_text("mine")
    with pytest.raises(InputError, match=r"seen.html exists and is not a page of va_jax"):
        va_jax.write_page(found, path)
    assert path.read_text() == "mine"
    with pytest.raises(InputError, match="video='vhs': choose from auto, embed"):
        va_jax.write_page(found, path, video="vhs")
