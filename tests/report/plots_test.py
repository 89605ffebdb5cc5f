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
from va_jax.report.trace_plots import draw_traces, figure


def draw(source, folder) -> np.ndarray:
    (folder / "one.png").write_bytes(draw_traces([source], DIMS))
    return opened((folder / "one.png").read_bytes())


def opened(png):
    return cv2.imdecode(np.frombuffer(png, np.uint8), cv2.IMREAD_COLOR).astype(int)


def changed(source, **fields):
    return dataclasses.replace(source, **fields)


def test_frames_that_are_not_scored_have_a_grey_background(tmp_path):
    source = trace(4, 400)
    face = np.ones(400, bool)
    face[200:] = False
    blank = changed(
        source, face=face, target=np.zeros((400, 2), np.float32),
        pred=np.zeros((400, 2), np.float32),
    )  # fmt: skip
    image = draw(blank, tmp_path)
    row = image[70]  # near the upper edge of the first panel
    assert (row[200] == 255).all()
    assert (row[500] < 240).all()
    assert (image[2, 2] == 255).all()


def test_a_labelled_frame_between_unlabelled_ones_is_a_dot(tmp_path):
    source = trace(5, 100)
    target = np.full_like(source.target, np.nan)
    none = draw(changed(source, target=target), tmp_path)
    target[50] = 0.5
    one = draw(changed(source, target=target), tmp_path)
    dark = (one.max(-1) < 80) & (none.max(-1) >= 80)
    assert 4 <= dark.sum() <= 200  # and the score in the title


@pytest.mark.parametrize("frames", [1, 2])
@pytest.mark.parametrize("labelled", [True, False])
def test_recordings_of_one_or_two_frames_are_drawn_without_a_warning(frames, labelled, tmp_path):
    source = trace(6, frames)
    target = source.target if labelled else np.full_like(source.target, np.nan)
    with warnings.catch_warnings():
        warnings.simplefilter("error")
        image = draw(changed(source, target=target), tmp_path)
    assert image.shape[1] > 1000


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
    (tmp_path / "few.png").write_bytes(draw_traces(TRACES[:1], DIMS))
    (tmp_path / "many.png").write_bytes(draw_traces([trace(n, 20) for n in range(20)], DIMS))
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
