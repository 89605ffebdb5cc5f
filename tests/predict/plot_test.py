"""The picture of a prediction: its panels, and what is left out of them."""

import dataclasses

import cv2
import numpy as np
import pytest

from va_jax.predict import plot
from va_jax.predict.results import VideoResult
from va_jax.predict.tracks import TrackResult
from va_jax.types import DIMS


def result(tracks=1, frames=40, dims=DIMS, hidden=slice(0, 0)) -> VideoResult:
    """Tracks at 10 frames/s whose dimension i is i / 10 plus a slow wave."""
    time_s = np.arange(frames) / 10
    wave = 0.4 * np.sin(time_s)[:, None] + np.arange(len(dims)) / 10
    shown = np.ones(frames, bool)
    shown[hidden] = False
    boxes = np.zeros((frames, 4), np.float32)
    each = (shown, boxes, shown.astype(np.float32), wave.astype(np.float32))
    return VideoResult(
        "a/face.mp4", time_s, [TrackResult(n, *each) for n in range(tracks)], dims, 64, 48
    )


def panels(predicted: VideoResult) -> dict[str, object]:
    """Axes by title."""
    return {axes.get_title(loc="left"): axes for axes in predicted.plot().axes}


def test_a_face_has_a_panel_for_each_dimension_and_a_plane():
    titles = list(panels(result()))
    assert titles[:2] == list(DIMS)
    assert len(titles) == 3


def test_faces_are_named_by_their_numbers_where_there_are_several():
    assert {"face 0: arousal", "face 1: arousal"} <= set(panels(result(tracks=2)))


def test_without_arousal_there_is_no_plane():
    assert list(panels(result(dims=("valence", "dominance")))) == ["valence", "dominance"]


def test_lines_hold_the_values_except_where_the_face_is_not_shown():
    predicted = result(hidden=slice(10, 20))
    line = panels(predicted)["arousal"].lines[1]
    expected = predicted.tracks[0].values[:, 1].astype(np.float64)
    expected[10:20] = np.nan
    np.testing.assert_allclose(line.get_ydata(), expected, atol=1e-6)
    np.testing.assert_array_equal(line.get_xdata(), predicted.time_s)


def test_frames_without_the_face_are_grey_from_halfway_before_to_halfway_after():
    (bars,) = panels(result(hidden=slice(10, 20)))["valence"].collections
    (path,) = bars.get_paths()
    assert path.get_extents().x0 == pytest.approx(0.95)
    assert path.get_extents().x1 == pytest.approx(1.95)


def test_the_plane_holds_the_pairs_of_the_frames_that_are_shown():
    predicted = result(hidden=slice(10, 20), dims=("arousal", "x", "valence"))
    *_, plane = panels(predicted).values()
    shown = np.delete(np.arange(40), slice(10, 20))
    np.testing.assert_allclose(
        plane.collections[0].get_offsets(), predicted.tracks[0].values[shown][:, [2, 0]], atol=1e-6
    )


def test_of_very_many_faces_those_shown_longest_are_drawn(monkeypatch):
    monkeypatch.setattr(plot, "MOST_TRACKS", 2)
    predicted = result(tracks=3)
    shown = predicted.tracks[1].shown.copy()
    shown[5:] = False
    predicted.tracks[1] = dataclasses.replace(predicted.tracks[1], shown=shown)
    drawn = predicted.plot()
    titles = {axes.get_title(loc="left") for axes in drawn.axes}
    assert "face 1: valence" not in titles
    assert {"face 0: valence", "face 2: valence"} <= titles
    assert "40 frames, 3 faces; only the 2 " in drawn.get_suptitle()


@pytest.mark.parametrize(("tracks", "frames"), [(0, 5), (1, 1), (2, 40)])
def test_a_png_is_written_and_nothing_beside_it(tmp_path, tracks, frames):
    plot.write(tmp_path / "out.png", result(tracks, frames).plot(), "a.mp4")
    assert cv2.imread(str(tmp_path / "out.png")).shape[1] == 1140
    assert [path.name for path in tmp_path.iterdir()] == ["out.png"]
    assert plot.source_of(tmp_path / "out.png") == "a.mp4"


def test_a_note_is_written_into_the_picture():
    noted = dataclasses.replace(result(), note="values are not meaningful")
    assert noted.note in noted.plot().get_suptitle()
