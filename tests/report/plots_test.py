"""Pictures of an evaluation: every kind of recording can be drawn, and nothing is lost."""

import dataclasses
import warnings

import cv2
import numpy as np
import pytest

from tests.evaluation.score_table_test import DIMS, TRACES, trace
from va_jax.evaluation.lags import LagCurve
from va_jax.evaluation.metrics import Moments
from va_jax.report import plots
from va_jax.report.trace_plots import draw_recording, figure, plot_traces

TITLES = ["valence: CCC 0.123", "arousal: CCC 0.456"]


def draw(source, processed=None) -> np.ndarray:
    return opened(draw_recording(source, TITLES, [0.1, 0.2], "label ± RMSE", processed))


def opened(png):
    return cv2.imdecode(np.frombuffer(png, np.uint8), cv2.IMREAD_COLOR).astype(int)


def changed(source, **fields):
    return dataclasses.replace(source, **fields)


def test_frames_that_are_not_scored_have_a_grey_background():
    source = trace(4, 400)
    face = np.ones(400, bool)
    face[200:] = False
    blank = changed(
        source, face=face, target=np.zeros((400, 2), np.float32),
        pred=np.zeros((400, 2), np.float32),
    )  # fmt: skip
    image = draw(blank)
    row = image[70]  # near the upper edge of the first panel
    assert (row[300] == 255).all()
    assert (row[900] < 240).all()
    assert (image[2, 2] == 255).all()


def test_the_band_is_as_wide_as_the_spread_between_the_raters_where_it_is_known():
    source = changed(
        trace(4, 400), target=np.zeros((400, 2), np.float32), pred=np.zeros((400, 2), np.float32)
    )
    spread = np.full((400, 2), np.nan, np.float32)
    spread[100:200], spread[200:] = 0.2, 0.6
    image = draw(changed(source, spread=spread))
    panel = image[65:190]  # most of the first panel
    blue = (panel[..., 0] - panel[..., 2] > 20).sum(0)  # height of the band in each column
    none, narrow, wide = (
        int(np.median(blue[a:b])) for a, b in ((80, 280), (340, 550), (620, 1080))
    )
    assert none == 0
    assert wide == pytest.approx(3 * narrow, abs=8)
    assert narrow > 10


def test_a_labelled_frame_between_unlabelled_ones_is_a_dot():
    source = trace(5, 100)
    target = np.full_like(source.target, np.nan)
    none = draw(changed(source, target=target))
    target[50] = 0.5
    one = draw(changed(source, target=target))
    dark = (one.max(-1) < 80) & (none.max(-1) >= 80)
    assert 4 <= dark.sum() <= 100


@pytest.mark.parametrize("frames", [1, 2])
@pytest.mark.parametrize("labelled", [True, False])
def test_recordings_of_one_or_two_frames_are_drawn_without_a_warning(frames, labelled):
    source = trace(6, frames)
    target = source.target if labelled else np.full_like(source.target, np.nan)
    with warnings.catch_warnings():
        warnings.simplefilter("error")
        image = draw(changed(source, target=target), source.pred)
    assert image.shape[1] > 1000


def test_pictures_of_recordings_are_small():
    png = draw_recording(
        trace(7, 800, fps=25.0), TITLES, [0.1, 0.2], "label ± RMSE", trace(8, 800).pred
    )
    assert len(png) < 50_000


def test_a_density_is_the_share_of_frames_in_each_bin():
    rng = np.random.default_rng(1)
    x, y = rng.normal(size=(2, 1000))
    share = plots.density(np.stack([x, y], 1))
    column = np.clip(np.floor((np.clip(x, -1, 1) + 1) * plots.BINS / 2), 0, plots.BINS - 1)
    row = np.clip(np.floor((np.clip(y, -1, 1) + 1) * plots.BINS / 2), 0, plots.BINS - 1)
    expected = np.zeros((plots.BINS, plots.BINS))
    np.add.at(expected, (column.astype(int), row.astype(int)), 1 / 1000)
    np.testing.assert_allclose(share, expected, atol=1e-12)


def test_densities_can_be_drawn_for_a_single_frame_and_for_a_run_that_diverged():
    target = np.array([[0.3, -1.2]], np.float32)
    nothing = np.full((5, 2), np.nan, np.float32)
    for png in (
        plots.draw_scatter(target, target, dict(zip(DIMS, (0.1, -0.2), strict=True))),
        plots.draw_plane(np.repeat(target, 5, 0), nothing, DIMS),
    ):
        assert opened(png).shape[1] > 1000


@pytest.mark.slow
def test_losses_and_lags_can_be_drawn():
    history = [{"step": n, "kind": "train", "loss": 1 / n} for n in (1, 2, 3)]
    history += [{"step": n, "kind": "dev", "ccc_valence": 0.1, "ccc_arousal": 0.2} for n in (2, 4)]
    curve = LagCurve((-1.0, 0.0, 1.0), (0.1, 0.3, 0.2), 0.0, 0.3)
    marked = opened(plots.draw_losses(history, DIMS, 2))
    assert (marked != opened(plots.draw_losses(history, DIMS, None))).any()
    assert opened(plots.draw_lags({"valence": curve})).shape[1] > 500


@pytest.mark.slow
def test_the_overview_shows_six_recordings_of_many(tmp_path):
    plot_traces(tmp_path / "few.png", TRACES[:1], DIMS)
    plot_traces(tmp_path / "many.png", [trace(n, 20) for n in range(20)], DIMS)
    few, many = (cv2.imread(str(tmp_path / name)).shape for name in ("few.png", "many.png"))
    assert few[1] == many[1] > 1000
    assert few[0] < many[0] < 6 * few[0]
    assert sorted(path.name for path in tmp_path.iterdir()) == ["few.png", "many.png"]


def test_a_notebook_shows_the_figure_of_a_recording_with_its_scores():
    source = trace(4, 400)
    drawn = figure(source, DIMS)
    ccc = Moments.of(source.pred, source.target, source.mask).ccc()
    titles = [axes.get_title(loc="left") for axes in drawn.axes]
    assert titles == [f"t4: {dim}, CCC {ccc[i]:.3f}" for i, dim in enumerate(DIMS)]
    assert opened(drawn._repr_png_()).shape[1] > 1000
    unlabelled = changed(source, target=np.full_like(source.target, np.nan))
    assert all("not scored" in axes.get_title(loc="left") for axes in figure(unlabelled).axes)


def test_a_recording_is_described_in_one_line():
    source = trace(4, 400)
    face = np.arange(400) >= 50
    assert repr(changed(source, face=face)) == "Trace('t4': 400 frames, 350 of them scored)"
