"""The files of an evaluation on two data sets agree with each other."""

import csv
import json
import statistics

import jax
import pytest

from tests.two_sets import FIRST, SECOND
from va_jax.config import with_values
from va_jax.data import sources
from va_jax.evaluation import cross_dataset, seeds
from va_jax.evaluation.evaluate import evaluate
from va_jax.evaluation.postprocess import file_of
from va_jax.report import overview
from va_jax.report.overview import Overview
from va_jax.scoring import score
from va_jax.train import checkpoints, logs
from va_jax.train import workdir as run_config

DIMS = ("valence", "arousal")


@pytest.fixture(autouse=True)
def _optax_promotes_types():
    with jax.numpy_dtype_promotion("standard"), jax.numpy_rank_promotion("allow"):
        yield


@pytest.fixture
def metrics(two_sets_run):
    return json.loads((two_sets_run / "metrics.json").read_text())


def test_every_set_has_its_own_traces_metrics_and_report(two_sets_run, metrics):
    config = run_config.load(two_sets_run)
    for name in (FIRST, SECOND):
        folder = two_sets_run / "sets" / name
        assert "the best by mean dev CCC over all data sets" in (folder / "report.html").read_text()
        assert json.loads((folder / "metrics.json").read_text()) == metrics["sets"][name]
        for split in ("dev", "test"):
            source = sources.open_split(config.data.dir, name, split)
            for track in source.tracks:
                path = folder / "traces" / split / f"{track.track_id}.csv"
                with path.open(newline="") as file:
                    assert len(list(csv.reader(file))) == track.frames + 1


def test_the_scores_of_a_set_can_be_computed_from_its_traces(two_sets_run, metrics):
    folder = two_sets_run / "sets" / SECOND / "traces" / "test"
    options = score.ScoreOptions(label_suffix="_target", strict=True)
    again = score.score(folder, folder, options).table["scores"]
    for dim in DIMS:
        expected = metrics["sets"][SECOND]["splits"]["test"]["scores"][dim]["pooled"]["ccc"]
        assert again[dim]["pooled"]["ccc"] == pytest.approx(expected, abs=2e-4)


def test_the_means_are_those_of_the_sets(metrics):
    for split in ("dev", "test"):
        for dim in DIMS:
            own = [
                each["splits"][split]["scores"][dim]["pooled"]["ccc"]
                for each in metrics["sets"].values()
            ]
            mean = metrics["mean"][split]["scores"][dim]["ccc"]
            assert mean == pytest.approx(statistics.fmean(own))


def test_the_dev_scores_of_the_evaluation_are_those_of_the_log(two_sets_run, metrics):
    step = metrics["checkpoint_step"]
    (line,) = (x for x in logs.history(two_sets_run) if (x["step"], x["kind"]) == (step, "dev"))
    for name, each in metrics["sets"].items():
        for dim in DIMS:
            own = each["splits"]["dev"]["scores"][dim]["pooled"]["ccc"]
            assert line[f"ccc_{dim}/{name}"] == pytest.approx(own, abs=1e-6)
            mean = metrics["mean"]["dev"]["scores"][dim]["ccc"]
            assert line[f"ccc_{dim}"] == pytest.approx(mean, abs=1e-6)


def test_post_processing_of_each_set_is_stored_with_the_checkpoint(two_sets_run, metrics):
    data, step = run_config.load(two_sets_run).data, metrics["checkpoint_step"]
    for name in data.names:
        stored = checkpoints.read_beside(two_sets_run, step, file_of(data, name))
        assert stored == metrics["sets"][name]["post_processing"]


def test_the_page_and_the_text_show_every_set_and_the_mean(two_sets_run, metrics):
    page = (two_sets_run / "report.html").read_text()
    text = (two_sets_run / "metrics.txt").read_text()
    for name, each in metrics["sets"].items():
        assert f'href="sets/{name}/report.html"' in page
        assert (two_sets_run / "sets" / name / "report.html").exists()
        for dim in DIMS:
            ccc = each["splits"]["dev"]["scores"][dim]["pooled"]["ccc"]
            assert any(
                line.startswith(name) and f"{round(ccc, 3) + 0.0:.3f}" in line
                for line in text.splitlines()
            )
    assert text.count(overview.MEAN) == page.count(overview.MEAN) == 4


def test_a_set_without_labels_has_a_row_without_scores():
    empty = {"scores": {"valence": {}}, "tracks": 2, "frames_that_count": 0}
    row = {"ccc": 0.25, "rmse": 0.5, "interval": None}
    full = {"scores": {"valence": {"pooled": row}}, "tracks": 3, "frames_that_count": 90}
    shown = Overview("run", {}, {"test": {"a": full, "b": empty}}, {"test": {}}, (), 1)
    first, second = overview.text(shown).splitlines()[-2:]
    assert first.split() == ["a", "0.250", "0.500", "3", "90"]
    assert second.split() == ["b", "not", "labelled", "2", "0"]


def test_the_seed_table_has_the_means_and_every_set(two_sets_run, metrics, tmp_path):
    seeds.write(tmp_path, {0: two_sets_run, 1: two_sets_run})
    rows = json.loads((tmp_path / "seeds.json").read_text())["rows"]
    assert rows["test valence"]["mean"] == pytest.approx(
        metrics["mean"]["test"]["scores"]["valence"]["ccc"]
    )
    assert {f"dev arousal, {name}" for name in (FIRST, SECOND)} <= rows.keys()


@pytest.mark.slow
def test_another_evaluation_in_a_new_folder_gives_the_same_scores(two_sets_run, metrics, tmp_path):
    config = with_values(run_config.load(two_sets_run), **{"eval.batch_size": 8})
    evaluate(config, two_sets_run, tmp_path / "out")
    again = json.loads((tmp_path / "out" / "metrics.json").read_text())
    for split in ("dev", "test"):
        for dim in DIMS:
            own, other = (each["mean"][split]["scores"][dim] for each in (metrics, again))
            assert other["ccc"] == pytest.approx(own["ccc"], abs=1e-5)


@pytest.mark.slow
def test_cross_dataset_scores_each_set_with_its_own_head_and_refuses_others(
    two_sets_run, metrics, tmp_path
):
    cells = cross_dataset.plan([two_sets_run], [FIRST, SECOND], "", "test")
    for result in cross_dataset.score_cells(cells, processed=False):
        expected = metrics["sets"][result["data"]]["splits"]["test"]["scores"]
        assert result["own"]
        for dim in DIMS:
            ccc = result["metrics"]["scores"][dim]["pooled"]["ccc"]
            assert ccc == pytest.approx(expected[dim]["pooled"]["ccc"], abs=1e-5)
    with pytest.raises(ValueError, match=rf"synthetic_faces/none.*{FIRST}, {SECOND}"):
        cross_dataset.plan([two_sets_run], ["synthetic_faces/none"], "", "test")
