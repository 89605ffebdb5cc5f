"""The picture of a prediction: its panels, what is left out of them, and refusals."""

import dataclasses
import pathlib

import cv2
import numpy as np
import pytest

from va_jax.predict import plot
from va_jax.predict.results import TrackResult, VideoResult
from va_jax.types import DIMS, InputError


def result(tracks=1, frames=40, dims=DIMS, hidden=slice(0, 0)) -> VideoResult:
    """Tracks at 10 frames/s whose dimension i is i / 10 plus a slow wave."""
    time_s = np.arange(frames) / 10
    wave = 0.4 * np.sin(time_s)[:, None] + np.arange(len(dims)) / 10
    shown = np.ones(frames, bool)
    shown[hidden] = False
    boxes = np.zeros((frames, 4), np.float32)
    each = (shown, boxes, shown.astype(np.float32), wave.astype(np.float32))
    return VideoResult(
        pathlib.Path("a/face.mp4"), time_s, [TrackResult(n, *each) for n in range(tracks)], dims
    )


def panels(told: VideoResult) -> dict[str, object]:
    """Axes by title."""
    return {axes.get_title(loc="left"): axes for axes in plot.figure(told).axes}


def test_a_face_has_a_panel_for_each_dimension_and_a_plane():
    titles = list(panels(result()))
    assert titles[:2] == list(DIMS)
    assert len(titles) == 3


def test_faces_are_named_by_their_numbers_where_there_are_several():
    assert {"face 0: arousal", "face 1: arousal"} <= set(panels(result(tracks=2)))


def test_without_arousal_there_is_no_plane():
    assert list(panels(result(dims=("valence", "dominance")))) == ["valence", "dominance"]


def test_lines_hold_the_values_but_where_the_face_is_not_shown():
    told = result(hidden=slice(10, 20))
    line = panels(told)["arousal"].lines[1]
    expected = told.tracks[0].values[:, 1].astype(np.float64)
    expected[10:20] = np.nan
    np.testing.assert_allclose(line.get_ydata(), expected, atol=1e-6)
    np.testing.assert_array_equal(line.get_xdata(), told.time_s)


def test_frames_without_the_face_are_grey_from_halfway_before_to_halfway_behind():
    (bars,) = panels(result(hidden=slice(10, 20)))["valence"].collections
    (path,) = bars.get_paths()
    assert path.get_extents().x0 == pytest.approx(0.95)
    assert path.get_extents().x1 == pytest.approx(1.95)


def test_the_plane_holds_the_pairs_of_the_frames_that_are_shown():
    told = result(hidden=slice(10, 20), dims=("arousal", "x", "valence"))
    *_, plane = panels(told).values()
    shown = np.delete(np.arange(40), slice(10, 20))
    np.testing.assert_allclose(
        plane.collections[0].get_offsets(), told.tracks[0].values[shown][:, [2, 0]], atol=1e-6
    )


def test_a_long_recording_shows_its_extremes():
    told = result(frames=9000)
    told.tracks[0].values[4321, 0] = 0.97
    told.tracks[0].values[6543, 0] = -0.96
    band = panels(told)["valence"].collections[0]
    extents = band.get_paths()[0].get_extents()
    assert (extents.y0, extents.y1) == pytest.approx((-0.96, 0.97))


def test_of_very_many_faces_those_shown_longest_are_drawn(monkeypatch):
    monkeypatch.setattr(plot, "MOST_TRACKS", 2)
    told = result(tracks=3)
    shown = told.tracks[1].shown.copy()
    shown[5:] = False
    told.tracks[1] = dataclasses.replace(told.tracks[1], shown=shown)
    drawn = plot.figure(told)
    titles = {axes.get_title(loc="left") for axes in drawn.axes}
    assert "face 1: valence" not in titles
    assert {"face 0: valence", "face 2: valence"} <= titles
    assert drawn.texts[1].get_text() == "40 frames, 3 faces, here the 2 that are shown longest"


@pytest.mark.parametrize(("tracks", "frames"), [(0, 5), (1, 1), (2, 40)])
def test_a_png_is_written_and_nothing_beside_it(tmp_path, tracks, frames):
    plot.write(tmp_path / "out.png", result(tracks, frames), False)
    assert cv2.imread(str(tmp_path / "out.png")).shape[1] == 1140
    assert [path.name for path in tmp_path.iterdir()] == ["out.png"]


@pytest.mark.parametrize(
    ("out", "told"),
    [
        ("out.pdf", r"out\.pdf: a plot is a \.png"),
        ("none/out.png", "the folder .*none does not exist"),
        ("there.png", r"there\.png exists already; choose another name, or --overwrite"),
    ],
)
def test_places_that_cannot_be_written_are_refused(tmp_path, out, told):
    (tmp_path / "there.png").touch()
    with pytest.raises(InputError, match=told):
        plot.write(tmp_path / out, result(), False)


def test_what_is_there_is_replaced_if_asked(tmp_path):
    (tmp_path / "there.png").write_text("old")
    plot.write(tmp_path / "there.png", result(), True)
    assert cv2.imread(str(tmp_path / "there.png")) is not None
