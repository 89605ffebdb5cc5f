"""Pictures of an evaluation: thinning loses nothing, and every kind of recording can be drawn."""

import dataclasses
import warnings

import cv2
import numpy as np
import pytest

from tests.evaluation.score_table_test import DIMS, TRACES, trace
from va_jax.evaluation.lags import LagCurve
from va_jax.report import plots
from va_jax.report.trace_plots import TraceFigure, plot_traces, thin

TITLES = ["valence: CCC 0.123", "arousal: CCC 0.456"]


def figure(processed=False):
    return TraceFigure(DIMS, [0.1, 0.2], "label ± RMSE", processed)


def opened(png):
    return cv2.imdecode(np.frombuffer(png, np.uint8), cv2.IMREAD_COLOR).astype(int)


def changed(source, **fields):
    return dataclasses.replace(source, **fields)


def test_a_thinned_trace_keeps_the_extremes_of_every_part():
    rng = np.random.default_rng(0)
    time_s = np.sort(rng.uniform(0, 7, 5000)).astype(np.float32)
    values = rng.normal(size=5000).astype(np.float32)
    values[1000:2500] = np.nan
    where, low, high = thin(time_s, values, (0.0, 7.0), columns=50)
    for part in range(50):
        inside = (time_s >= part * 7 / 50) & (time_s < (part + 1) * 7 / 50)
        at = np.flatnonzero((where >= part * 7 / 50) & (where < (part + 1) * 7 / 50))
        known = values[inside & np.isfinite(values)]
        assert len(at) == 1
        expected = (known.min(), known.max()) if len(known) else (np.nan, np.nan)
        np.testing.assert_equal((low[at[0]], high[at[0]]), expected)


def test_a_short_trace_is_not_thinned():
    source = TRACES[0]
    where, low, high = thin(source.time_s, source.pred[:, 0], (0.0, 29.9))
    assert where is source.time_s
    np.testing.assert_array_equal([low, high], [source.pred[:, 0]] * 2)


def test_a_single_frame_that_is_not_scored_is_visible_among_many():
    source = trace(0, 40_000, fps=200.0)
    face = source.face.copy()
    face[20_000] = False
    one = opened(figure().draw(changed(source, face=face), TITLES, None))
    assert (one != opened(figure().draw(source, TITLES, None))).any()


def test_a_recording_looks_the_same_whatever_was_drawn_before():
    reused = figure()
    first = reused.draw(TRACES[0], TITLES, None)
    reused.draw(TRACES[1], ["another", "title"], None)
    assert reused.draw(TRACES[0], TITLES, None) == first


def test_frames_that_are_not_scored_have_a_grey_background():
    source = trace(4, 400)
    face = np.ones(400, bool)
    face[200:] = False
    blank = changed(
        source, face=face, target=np.zeros((400, 2), np.float32),
        pred=np.zeros((400, 2), np.float32),
    )  # fmt: skip
    image = opened(figure().draw(blank, TITLES, None))
    row = image[int(100 * (0.3 + 0.3 + 0.2))]  # near the upper edge of the first panel
    assert (row[300] == 255).all()
    assert (row[900] < 240).all()
    assert (image[2, 2] == 255).all()


def test_a_labelled_frame_between_unlabelled_ones_is_a_dot():
    source = trace(5, 100)
    target = np.full_like(source.target, np.nan)
    none = opened(figure().draw(changed(source, target=target), TITLES, None))
    target[50] = 0.5
    one = opened(figure().draw(changed(source, target=target), TITLES, None))
    dark = (one.max(-1) < 80) & (none.max(-1) >= 80)
    assert 4 <= dark.sum() <= 100


def test_a_long_recording_continues_in_further_rows():
    short, long = (opened(figure().draw(trace(0, n, fps=1.0), TITLES, None)) for n in (300, 900))
    assert long.shape[0] > 2.8 * short.shape[0]
    endless = opened(figure().draw(trace(0, 36_000, fps=1.0), TITLES, None))
    assert endless.shape[0] < 3000


@pytest.mark.parametrize("frames", [1, 2])
@pytest.mark.parametrize("labelled", [True, False])
def test_recordings_of_one_or_two_frames_are_drawn_without_a_warning(frames, labelled):
    source = trace(6, frames)
    target = source.target if labelled else np.full_like(source.target, np.nan)
    with warnings.catch_warnings():
        warnings.simplefilter("error")
        png = figure(True).draw(changed(source, target=target), TITLES, source.pred)
    assert opened(png).shape[1] > 1000


def test_pictures_of_recordings_are_small():
    png = figure(True).draw(trace(7, 800, fps=25.0), TITLES, trace(8, 800).pred)
    assert len(png) < 50_000


def test_a_density_is_the_share_of_frames_in_each_bin():
    rng = np.random.default_rng(1)
    x, y = rng.normal(size=(2, 1000))
    share = plots.density(x, y)
    column = np.clip(np.floor((np.clip(x, -1, 1) + 1) * plots.BINS / 2), 0, plots.BINS - 1)
    row = np.clip(np.floor((np.clip(y, -1, 1) + 1) * plots.BINS / 2), 0, plots.BINS - 1)
    expected = np.zeros((plots.BINS, plots.BINS))
    np.add.at(expected, (column.astype(int), row.astype(int)), 1 / 1000)
    np.testing.assert_allclose(share, expected, atol=1e-12)


@pytest.mark.parametrize("frames", [1, 500])
def test_densities_can_be_drawn_for_any_number_of_frames(frames):
    rng = np.random.default_rng(2)
    target, pred = rng.uniform(-1.2, 1.2, size=(2, frames, 2)).astype(np.float32)
    for png in (
        plots.draw_plane(target, pred, DIMS),
        plots.draw_plane(target, np.full_like(pred, np.nan), DIMS),  # of a run that diverged
        plots.draw_scatter(target, pred, dict(zip(DIMS, (0.1, -0.2), strict=True))),
    ):
        assert opened(png).shape[1] > 1000


def test_losses_and_lags_can_be_drawn():
    history = [{"step": n, "kind": "train", "loss": 1 / n} for n in (1, 2, 3)]
    history += [{"step": n, "kind": "dev", "ccc_valence": 0.1, "ccc_arousal": 0.2} for n in (2, 4)]
    curve = LagCurve((-1.0, 0.0, 1.0), (0.1, 0.3, 0.2), 0.0, 0.3)
    marked = opened(plots.draw_losses(history, DIMS, 2))
    assert (marked != opened(plots.draw_losses(history, DIMS, None))).any()
    assert opened(plots.draw_lags({"valence": curve})).shape[1] > 500


def test_the_overview_shows_six_recordings_of_many(tmp_path):
    plot_traces(tmp_path / "few.png", TRACES[:1], DIMS)
    plot_traces(tmp_path / "many.png", [trace(n, 50) for n in range(20)], DIMS)
    few, many = (cv2.imread(str(tmp_path / name)).shape for name in ("few.png", "many.png"))
    assert few[1] == many[1] > 1000
    assert few[0] < many[0] < 6 * few[0]
    assert sorted(path.name for path in tmp_path.iterdir()) == ["few.png", "many.png"]
